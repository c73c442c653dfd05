"""How things are told in the audit trail: by field, and nothing that opens a door.

A secret is ``changed``, a URL its scheme and host, and of headers only their names are told. Of a filter its strings
are not: they may repeat what was said in a meeting.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from noteflow_hooks.domain.audit.entries import WORKER, Action, TargetKind, entry_of
from noteflow_hooks.domain.contacts import Digest, masked_address
from noteflow_hooks.domain.endpoint_keys import Rotated
from noteflow_hooks.domain.options import NO_OPTIONS, OPTION_FIELDS

if TYPE_CHECKING:
    from datetime import datetime

    from noteflow_hooks.domain.access import ApiToken
    from noteflow_hooks.domain.audit.entries import Actor, AuditEntry
    from noteflow_hooks.domain.client_certificates import CertificateInfo, ClientTls
    from noteflow_hooks.domain.contacts import Contact
    from noteflow_hooks.domain.event_types import CustomEventType
    from noteflow_hooks.domain.replays import Replay
    from noteflow_hooks.domain.webhooks import WebhookConfig

#: What stands for a value that is not told.
CHANGED: Final = "changed"
#: The fields of an endpoint that are told as they are.
_PLAIN: Final = (
    "name",
    "enabled",
    "timeout_ms",
    "max_retries",
    "rate_limit_per_s",
    "max_concurrency",
    "payload_version",
    "signing",
    "disabled_reason",
)


#: What may hold any text in a CEL expression: comments, and strings; raw ones, in which a backslash is one, come first.
#: One that has no end goes to the end.
_STRINGS: Final = re.compile(
    r"//[^\n]*"
    r"|(?:[bB]?[rR]|[rR][bB])(?P<raw>\"{3}|'{3}|\"|').*?(?:(?P=raw)|$)"
    r"|[bB]?(?P<quote>\"{3}|'{3}|\"|')(?:\\.|[^\\])*?(?:(?P=quote)|$)",
    re.DOTALL,
)


def tell_url(url: str) -> str:
    """Return the URL's scheme and host, and ``…`` for its path and query, which may be credentials."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "…"
    # A stored URL has no user name; one that was put there by hand is not told either.
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/…"


def tell_filter(text: str) -> str:
    """Return a filter without what stands in its strings and comments."""
    return _STRINGS.sub(lambda found: "" if found[0].startswith("//") else '"…"', text).strip()


def tell_webhook(webhook: WebhookConfig) -> dict[str, Any]:
    """Tell a whole endpoint, without the fields that have no value, and without options that are off."""
    fields = {name: getattr(webhook, name) for name in _PLAIN}
    usual = ((name, getattr(NO_OPTIONS, name)) for name in OPTION_FIELDS)
    fields |= {
        name: _told_option(name, value)
        for name, usually in usual
        if (value := getattr(webhook.options, name)) != usually
    }
    fields |= {
        "url": tell_url(webhook.url),
        "events": list(webhook.events),
        "paused": webhook.paused_at is not None,
        "header_names": list(webhook.header_names),
        "secret": CHANGED if webhook.has_secret else None,
        "key": CHANGED if webhook.has_key else None,
        "verified": None if webhook.verification.unverified_since is None else False,
        "pending_url": _told_pending(webhook),
    } | _told_tls(webhook.tls)
    fields |= {name: value for name, value in _told_contact(webhook.contact).items() if value}
    return {name: value for name, value in sorted(fields.items()) if value is not None}


def tell_update(before: WebhookConfig, after: WebhookConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tell the fields in which the two differ, before and after.

    Where a URL's path, a header's value or a filter's string is all that differs, both are told alike, and are there
    all the same.
    """
    old: dict[str, Any] = {}
    new: dict[str, Any] = {}
    for name in _PLAIN:
        _note(old, new, name, getattr(before, name), getattr(after, name))
    for name in OPTION_FIELDS:
        was, is_now = getattr(before.options, name), getattr(after.options, name)
        if was != is_now:
            old[name], new[name] = _told_option(name, was), _told_option(name, is_now)
    _note(old, new, "events", list(before.events), list(after.events))
    _note(old, new, "paused", before.paused_at is not None, after.paused_at is not None)
    if before.address != after.address:
        old["url"], new["url"] = tell_url(before.url), tell_url(after.url)
    if before.verification.pending_url != after.verification.pending_url:
        old["pending_url"], new["pending_url"] = _told_pending(before), _told_pending(after)
    _note(old, new, "verified", *(each.verification.unverified_since is None for each in (before, after)))
    if (before.header_names, before.headers) != (after.header_names, after.headers):
        old["header_names"], new["header_names"] = list(before.header_names), list(after.header_names)
        new["headers"] = CHANGED
    if before.tls != after.tls:
        _note_tls(old, new, before.tls, after.tls)
    if before.contact != after.contact:
        _note_contact(old, new, before.contact, after.contact)
    if before.signing_key != after.signing_key:
        old["key"], new["key"] = (CHANGED if each.has_key else None for each in (before, after))
    return old, new


def _told_option(name: str, value: Any) -> Any:  # noqa: ANN401 - an option has whatever type it has
    return tell_filter(value) if name == "filter" else value


def _told_pending(webhook: WebhookConfig) -> str | None:
    pending = webhook.verification.pending_url
    return None if pending is None else tell_url(pending)


def tell_pending(webhook: WebhookConfig) -> dict[str, Any]:
    """Tell where an endpoint is to move, if it is to."""
    pending = _told_pending(webhook)
    return {} if pending is None else {"pending_url": pending}


def tell_rotation(before: WebhookConfig, what: Rotated) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Tell what a rotation has made anew; before it, only what was there."""
    had = {Rotated.SECRET: before.has_secret, Rotated.KEY: before.has_key}
    new: dict[str, Any] = {each.value: CHANGED for each in had if what in (each, Rotated.BOTH)}
    old = {name: value for name, value in new.items() if had[Rotated(name)]}
    return old or None, new


def _told_contact(contact: Contact | None) -> dict[str, Any]:
    """Tell an address by its first letter and its host."""
    return {
        "contact": None if contact is None else masked_address(contact.address),
        "contact_confirmed": contact is not None and contact.is_confirmed,
        "digest": None if contact is None or contact.digest is Digest.NONE else contact.digest.value,
    }


def _note_contact(old: dict[str, Any], new: dict[str, Any], before: Contact | None, after: Contact | None) -> None:
    was, is_now = _told_contact(before), _told_contact(after)
    for name in was:
        _note(old, new, name, was[name], is_now[name])
    if before is not None and after is not None and before.address != after.address:
        old["contact"], new["contact"] = was["contact"], is_now["contact"]


def _told_tls(tls: ClientTls) -> dict[str, Any]:
    """Tell certificates by what is shown of them, and a key as ``changed``."""
    return {
        "client_certificate": None if tls.info is None else _certificate(tls.info),
        "client_key": CHANGED if tls.client_key is not None else None,
        "server_ca": [_certificate(each) for each in tls.server_ca_info] or None,
    }


def _note_tls(old: dict[str, Any], new: dict[str, Any], before: ClientTls, after: ClientTls) -> None:
    was, is_now = _told_tls(before), _told_tls(after)
    for name in ("client_certificate", "server_ca"):
        _note(old, new, name, was[name], is_now[name])
    if before.client_key != after.client_key:
        old["client_key"], new["client_key"] = was["client_key"], is_now["client_key"]


def _certificate(info: CertificateInfo) -> dict[str, Any]:
    return {
        "subject": info.subject,
        "issuer": info.issuer,
        "not_after": _moment(info.not_after),
        "sha256": info.sha256,
    }


def tell_token(token: ApiToken) -> dict[str, Any]:
    """Tell a token's record."""
    return {
        "name": token.name,
        "hint": token.hint,
        "scopes": sorted(token.scopes),
        "expires_at": _moment(token.expires_at),
    }


def tell_event_type(kind: CustomEventType) -> dict[str, Any]:
    """Tell an event type of a workspace's own, without its schema and its example, which may have texts in them."""
    return {"description": kind.description, "deprecated": kind.deprecated}


def tell_put(before: CustomEventType | None, after: CustomEventType) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Tell a type before and after it was put; ``schema`` and ``example`` where they are others than before."""
    new = tell_event_type(after)
    for name in ("schema", "example"):
        if before is None or getattr(before, name) != getattr(after, name):
            new[name] = CHANGED
    return None if before is None else tell_event_type(before), new


def tell_replay(replay: Replay) -> dict[str, Any]:
    """Tell what a replay sends again, and how far it has come."""
    asked = replay.criteria
    fields = {
        "state": replay.state.value,
        "webhook_id": None if asked.webhook_id is None else str(asked.webhook_id),
        "event_type": asked.event_type,
        "status": asked.status,
        "statuses": sorted(asked.statuses) or None,
        "event_id": None if asked.event_id is None else str(asked.event_id),
        "meeting_id": asked.meeting_id,
        "error_kind": asked.error_kind,
        "status_code": asked.status_code,
        "skip_reason": asked.skip_reason,
        "id_prefix": None if asked.ids is None else asked.ids.prefix,
        "created_after": _moment(asked.created_after),
        "created_before": _moment(asked.created_before),
        "rate_per_s": replay.rate_per_s,
        "include_filtered": replay.include_filtered or None,
        "matched": replay.matched,
        "sent": replay.sent,
    }
    return {name: value for name, value in fields.items() if value is not None}


def entry_of_disabling(webhook: WebhookConfig, reason: str, *, is_gone: bool) -> AuditEntry:
    """Return the entry that the system has disabled the endpoint, which was enabled; ``is_gone`` for a 410 Gone."""
    return entry_of(
        WORKER,
        Action.WEBHOOK_GONE if is_gone else Action.WEBHOOK_DISABLED,
        webhook.workspace_id,
        (TargetKind.WEBHOOK, webhook.id),
        old={"enabled": True},
        new={"enabled": False, "disabled_reason": reason},
    )


def entry_of_verification(by: Actor, before: WebhookConfig, after: WebhookConfig) -> AuditEntry:
    """Return the entry that the endpoint is verified, and has moved where its URL is another."""
    old, new = tell_update(before, after)
    action = Action.WEBHOOK_VERIFIED if before.url == after.url else Action.WEBHOOK_MOVED
    return entry_of(by, action, after.workspace_id, (TargetKind.WEBHOOK, after.id), old=old, new=new)


def _note(old: dict[str, Any], new: dict[str, Any], name: str, before: object, after: object) -> None:
    if before != after:
        old[name], new[name] = before, after


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
