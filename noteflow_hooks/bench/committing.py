"""The committing client: stores events of meetings, each in a transaction of its own, as a NoteFlow server does.

It reads a line of JSON, the fields of :class:`Task`, and answers with the moments before the first event and after the
last one, by the monotonic clock, which all processes of a machine share, in seconds.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle, islice
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from noteflow_hooks import bootstrap
from noteflow_hooks.bench.lines import answer_each
from noteflow_hooks.bench.traffic import BODY
from noteflow_hooks.domain.events import Event, WebhookEventType
from noteflow_hooks.local.stack.environment import GivenSettings

if TYPE_CHECKING:
    from noteflow_hooks.parts import StoreParts


@dataclass(frozen=True, slots=True)
class Task:
    """Events that are stored one after another."""

    database_url: str
    workspace_id: str
    #: Their meetings, in turn.
    meeting_ids: list[str]
    count: int

    def run(self) -> tuple[float, float]:
        """Store them and return when the first one began, and when the last one was there."""
        store = bootstrap.store(GivenSettings(database_url=self.database_url))
        try:
            # The first one only makes the connection.
            _commit(store, self._event(f"{uuid4()}"))
            began = time.monotonic()
            for meeting_id in islice(cycle(self.meeting_ids), self.count):
                _commit(store, self._event(meeting_id))
            return began, time.monotonic()
        finally:
            store.close()

    def _event(self, meeting_id: str) -> Event:
        return Event(
            id=uuid4(),
            workspace_id=UUID(self.workspace_id),
            event_type=WebhookEventType.MEETING_COMPLETED,
            payload=BODY.encode(),
            occurred_at=datetime.now(UTC),
            meeting_id=meeting_id,
        )


def _commit(store: StoreParts, event: Event) -> None:
    with store.units() as unit:
        unit.events.append(event)
        unit.commit()


def main() -> None:
    """Answer each line until the standard input ends."""
    answer_each(lambda line: Task(**json.loads(line)).run())


if __name__ == "__main__":
    main()
