"""By what a delivery is rendered, fixed when it is first claimed: all its attempts are the same bytes.

A delivery says nothing of it where that is the usual: the payload as it is, in its first version. So most rows have
none, and neither a later change of the endpoint nor a later release makes another request of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from noteflow_hooks.domain.options import Format
from noteflow_hooks.domain.payload_versions import FIRST
from noteflow_hooks.domain.traces import EventTrace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.webhooks import WebhookConfig

#: The number of each format's newest renderer. One that gives other bytes gets the next number, here and in
#: ``rendering.registry``, where the old one stays.
NEWEST_RENDERERS: Final[Mapping[Format, int]] = dict.fromkeys(Format, 1)
#: When a delivery is looked at again that was begun with a renderer which this release doesn't have.
LOOK_AGAIN_AFTER: Final = timedelta(seconds=30)
UNKNOWN_RENDERER: Final = "Waits for a worker of the release that has begun it: this one doesn't have its renderer"
_STORED: Final = re.compile(r"([a-z-]{1,32})/([1-9][0-9]{0,8})/([1-9][0-9]{0,8})")


class EventFacts(NamedTuple):
    """What renderers need of an event, beside its payload and its endpoint, and its trace."""

    meeting_id: str | None
    occurred_at: datetime
    #: Its trace, which is nothing that is rendered; None where it has none.
    trace: EventTrace | None = None

    @classmethod
    def of(cls, event: Event) -> EventFacts:
        """Return those of a stored event."""
        return cls(event.meeting_id, event.occurred_at).traced(event.traceparent, since=event.created_at)

    def traced(self, traceparent: str | None, *, since: datetime | None) -> EventFacts:
        """Return the same with the trace of an event that was stored then; without one where that is none."""
        return self._replace(trace=EventTrace.read(traceparent, since=since))


@dataclass(frozen=True, slots=True)
class Rendering:
    """A format, the version of payloads that the endpoint wants, and the number of the format's renderer."""

    format: Format
    payload_version: int = FIRST
    renderer: int = 1

    @classmethod
    def of(cls, webhook: WebhookConfig) -> Rendering:
        """Return by what an endpoint's deliveries are rendered that are first claimed now."""
        chosen = webhook.options.format
        return cls(chosen, webhook.payload_version, NEWEST_RENDERERS[chosen])

    @classmethod
    def read(cls, stored: str) -> Rendering | None:
        """Return what is stored so; None where no release has stored it, or one that has formats we don't know."""
        match = _STORED.fullmatch(stored)
        if match is None or match[1] not in Format.__members__.values():
            return None
        return cls(Format(match[1]), int(match[2]), int(match[3]))

    @property
    def is_known(self) -> bool:
        """Whether this release has its renderer."""
        return self.renderer <= NEWEST_RENDERERS[self.format]

    @property
    def stored(self) -> str | None:
        """How a delivery says it: None for the usual."""
        return None if self == USUAL else self.text

    @property
    def text(self) -> str:
        """The same in full, whatever it is."""
        return f"{self.format}/{self.payload_version}/{self.renderer}"


#: The payload as it is: what a delivery is sent as that says nothing else.
USUAL: Final = Rendering(Format.NOTEFLOW)
