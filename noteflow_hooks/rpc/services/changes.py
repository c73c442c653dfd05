"""What UpdateWebhook may change: one checked change for each path of its field mask."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.domain.webhooks import WebhookConfig
from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.rpc.messages.parse import parse_headers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from google.protobuf.field_mask_pb2 import FieldMask

    from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

_ALLOWED: Final = (
    "url",
    "events",
    "name",
    "enabled",
    "timeout_ms",
    "max_retries",
    "headers",
    "rate_limit_per_s",
    "max_concurrency",
    "paused",
)
#: The fields that the mask names without a value to take the limit away.
_LIMITS: Final = ("rate_limit_per_s", "max_concurrency")


def checked_paths(mask: FieldMask) -> Sequence[str]:
    """Return the mask's paths, once each; raise InvalidInputError for none, or for one that can't be changed."""
    paths = tuple(dict.fromkeys(mask.paths))
    unknown = [path for path in paths if path not in _ALLOWED]
    if unknown or not paths:
        problem = f"{unknown[0][:100]!r} can't be changed" if unknown else "names no field"
        raise InvalidInputError("update_mask", f"{problem}; allowed: {', '.join(_ALLOWED)}")
    return paths


def apply(
    config: WebhookConfig,
    request: pb.UpdateWebhookRequest,
    paths: Sequence[str],
    *,
    allow_http_loopback: bool,
    now: datetime,
) -> WebhookConfig:
    """Return the endpoint with the named fields changed; raise InvalidInputError as a registration would."""
    given = {path: _given(request, path) for path in paths}
    paused = given.pop("paused", None)
    checked = _checked(config, given, allow_http_loopback=allow_http_loopback)
    changes: dict[str, Any] = {path: getattr(checked, path) for path in given}
    if changes.get("enabled"):
        changes["disabled_reason"] = None
    if "headers" in changes:
        changes |= {"header_names": checked.header_names, "secret_unavailable": config.secret_unreadable}
    if paused is not None:
        changes["paused_at"] = _paused_at(config, now) if paused else None
    return replace(config, **changes)


def _given(request: pb.UpdateWebhookRequest, path: str) -> Any:  # noqa: ANN401 - each field has its own type
    if path == "headers":
        return parse_headers(request.headers)
    if path in _LIMITS and not request.HasField(path):  # type: ignore[arg-type]  # the stubs want literals
        return None
    return getattr(request, path)


def _paused_at(config: WebhookConfig, now: datetime) -> datetime:
    """Return since when it is paused: pausing it once more changes nothing."""
    return config.paused_at if config.paused_at is not None else now


def _checked(config: WebhookConfig, given: dict[str, Any], *, allow_http_loopback: bool) -> WebhookConfig:
    """Return an endpoint that has the given fields and is valid."""
    rest = dict(given)
    # What the mask leaves out takes a valid value here and is not looked at: it may stem from a time with other rules.
    return WebhookConfig.create(
        config.workspace_id,
        rest.pop("url", "https://unchanged.invalid/"),
        rest.pop("events", ()),
        **rest,
        allow_http_loopback=allow_http_loopback,
    )
