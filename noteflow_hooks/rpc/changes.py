"""What UpdateWebhook may change: one checked change for each path of its field mask."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.domain.webhooks import WebhookConfig
from noteflow_hooks.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.field_mask_pb2 import FieldMask

    from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

_ALLOWED: Final = ("url", "events", "name", "enabled", "timeout_ms", "max_retries")


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
) -> WebhookConfig:
    """Return the endpoint with the named fields changed; raise InvalidInputError as a registration would."""
    given: dict[str, Any] = {path: getattr(request, path) for path in paths}
    # What the mask leaves out takes a valid value here and is not looked at: it may stem from a time with other rules.
    checked = WebhookConfig.create(
        config.workspace_id,
        given.pop("url", "https://unchanged.invalid/"),
        given.pop("events", ()),
        **given,
        allow_http_loopback=allow_http_loopback,
    )
    changes: dict[str, Any] = {path: getattr(checked, path) for path in paths}
    if changes.get("enabled"):
        changes["disabled_reason"] = None
    return replace(config, **changes)
