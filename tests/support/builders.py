"""Valid values of every kind, made with overrides: a test names the fields it is about and no others."""
# ruff: noqa: ANN401 - an override is whatever type its field has

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from noteflow_hooks.domain.access import ApiToken, Workspace
from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.audit.entries import Action, Actor, ActorKind, AuditEntry, TargetKind, entry_of
from noteflow_hooks.domain.deliveries import AttemptResult, WebhookDelivery
from noteflow_hooks.domain.events import Event, WebhookEventType
from noteflow_hooks.domain.exchanges import Blank, Exchange, HeaderForm, Headers, Times
from noteflow_hooks.domain.meetings import Meeting, MeetingState, Recording, Segment, Summary
from noteflow_hooks.domain.options import EndpointOptions, Format
from noteflow_hooks.domain.payloads import encode
from noteflow_hooks.domain.presets import masked
from noteflow_hooks.domain.retry import RetryPolicy
from noteflow_hooks.domain.webhooks import WebhookConfig

#: A moment for values whose time does not matter.
NOON: Final = datetime(2024, 1, 31, 12, tzinfo=UTC)
#: Exponential from one second, without jitter.
EXACT: Final = RetryPolicy(jitter=0)

#: Who does something, where it does not matter.
BY: Final = Actor(ActorKind.TOKEN, "a token", "wxyz")


def a_workspace(**overrides: Any) -> Workspace:
    """Make a workspace that nothing belongs to."""
    return replace(Workspace(id=uuid4(), name="Acme"), **overrides)


def a_token(**overrides: Any) -> ApiToken:
    """Make a token's record, with a hash of its own."""
    token_id = uuid4()
    made = ApiToken(
        id=token_id,
        workspace_id=uuid4(),
        name="server",
        token_hash=hashlib.sha256(token_id.bytes).digest(),
        hint="wxyz",
    )
    return replace(made, **overrides)


def an_entry(**overrides: Any) -> AuditEntry:
    """Make an entry of the audit trail, of a test of some endpoint."""
    made = entry_of(BY, Action.WEBHOOK_TESTED, uuid4(), (TargetKind.WEBHOOK, uuid4()))
    return replace(made, **overrides)


def a_webhook(**overrides: Any) -> WebhookConfig:
    """Make an endpoint that subscribes to ``meeting.completed`` and is unsigned."""
    made = WebhookConfig(
        id=uuid4(),
        workspace_id=uuid4(),
        url="https://receiver.example/hooks",
        events=(WebhookEventType.MEETING_COMPLETED,),
    )
    return replace(made, **overrides)


#: By format: a URL as its vendor gives it, of which nobody has the rest.
PRESET_URLS: Final = {
    Format.SLACK: "https://hooks.slack.com/services/T0000CANARY/B0000CANARY/xoxcanaryXXXXXXXXXXXXXXXX",
    Format.DISCORD: "https://discord.com/api/webhooks/112233445566778899/canary-discord-token_0123456789abcdef",
    Format.TEAMS: (
        "https://default0a1b2c.3d.environment.api.powerplatform.com/powerautomate/automations/direct/workflows"
        "/0a1b2ccanary3d4e5f/triggers/manual/paths/invoke?api-version=1&sig=canary-teams-signature_0123456789abcdef"
    ),
}


def a_preset(form: Format = Format.SLACK, **overrides: Any) -> WebhookConfig:
    """Make an endpoint of a chat, as it is stored."""
    return a_webhook(**preset_fields(form) | overrides)


def preset_fields(form: Format) -> dict[str, Any]:
    """Return what makes an endpoint one of a chat."""
    url = PRESET_URLS[form]
    return {"url": masked(url), "hidden_url": url, "options": EndpointOptions(format=form)}


def a_payload(**overrides: Any) -> dict[str, Any]:
    """Make what a publisher may say of ``meeting.completed``; an override of None takes the field out."""
    fields: dict[str, Any] = {
        "meeting_id": "m-1",
        "title": "Weekly",
        "duration_seconds": 61.5,
        "segment_count": 3,
        "has_summary": True,
    }
    return {name: value for name, value in (fields | overrides).items() if value is not None}


def an_event(**overrides: Any) -> Event:
    """Make a ``meeting.completed`` without an idempotency key."""
    made = Event(
        id=uuid4(),
        workspace_id=uuid4(),
        event_type=WebhookEventType.MEETING_COMPLETED,
        payload=encode({"event": "meeting.completed", "timestamp": NOON.isoformat()} | a_payload()),
        occurred_at=NOON,
        meeting_id="m-1",
    )
    return replace(made, **overrides)


def a_delivery(**overrides: Any) -> WebhookDelivery:
    """Make a pending delivery that was never attempted and has been due since :data:`NOON`."""
    made = WebhookDelivery(
        id=uuid4(),
        webhook_id=uuid4(),
        event_id=uuid4(),
        event_type=WebhookEventType.MEETING_COMPLETED,
        next_attempt_at=NOON,
    )
    return made._replace(**overrides)


def an_attempt_result(**overrides: Any) -> AttemptResult:
    """Make a 200 after 12 ms."""
    made = AttemptResult(started_at=NOON, duration_ms=12, status_code=200, response_body="ok")
    return made._replace(**overrides)


_SENT: Final = HeaderForm(
    (
        ("Host", Blank.OWN),
        ("User-Agent", "test"),
        ("X-NoteFlow-Delivery", Blank.DELIVERY),
        ("webhook-id", Blank.MESSAGE),
        ("webhook-timestamp", Blank.TIMESTAMP),
        ("X-Key", "[redacted]"),
    )
)


def an_exchange(form: HeaderForm | None = None, *, times: Times | None = None, said: str = "7f") -> Exchange:
    """Make one whose request and answer have each kind of header line; ``form`` is the answer's."""
    heard = form if form is not None else HeaderForm((("Server", "tiny"), ("X-Said", Blank.OWN)))
    return Exchange(times, Headers(_SENT, ("example.com",)), Headers(heard, (said,)))


def a_failure(**overrides: Any) -> AttemptResult:
    """Make a 500 after 34 ms."""
    made = AttemptResult(
        started_at=NOON,
        duration_ms=34,
        status_code=500,
        response_body="no",
        error_kind=ErrorKind.STATUS,
        error_message="HTTP 500",
    )
    return made._replace(**overrides)


def a_meeting(**overrides: Any) -> Meeting:
    """Make a meeting that goes on and that nobody records."""
    made = Meeting(id=uuid4(), workspace_id=uuid4(), title="Weekly", state=MeetingState.ACTIVE, created_at=NOON)
    return replace(made, **overrides)


def a_recording(**overrides: Any) -> Recording:
    """Make a recording under way, which its server was seen at just now."""
    made = Recording(
        id=uuid4(),
        meeting_id=uuid4(),
        workspace_id=uuid4(),
        server="server-1",
        started_at=NOON,
        seen_at=NOON,
    )
    return replace(made, **overrides)


def a_segment(**overrides: Any) -> Segment:
    """Make a sentence of 1.75 s by a speaker who has a name."""
    made = Segment(text="Good morning.", start_seconds=0.5, end_seconds=2.25, speaker="Ada")
    return replace(made, **overrides)


def a_summary(**overrides: Any) -> Summary:
    """Make a summary with key points and action items."""
    made = Summary("All is well.", key_points=("the sky is blue",), action_items=("go out", "come back"))
    return replace(made, **overrides)


def hours(count: float) -> timedelta:
    """Return that many hours, negative ones into the past."""
    return timedelta(hours=count)
