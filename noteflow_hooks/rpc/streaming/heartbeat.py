"""The heartbeat: this server's recordings are marked as alive, and those of servers that died are ended."""

from __future__ import annotations

import logging
import math
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from noteflow_hooks.application.meetings import end_abandoned
from noteflow_hooks.errors import UnavailableError

if TYPE_CHECKING:
    from noteflow_hooks.application.webhooks import WebhookService
    from noteflow_hooks.rpc.runtime.database import Database
    from noteflow_hooks.rpc.streaming.streams import AudioStreams

log = logging.getLogger(__name__)

#: Longer than any recording: at the start only this server's own are ended.
_EVER: Final = timedelta(days=3650)


class Heartbeat:
    """Beats for the open recordings, and ends those that no server beats for."""

    def __init__(
        self,
        database: Database,
        streams: AudioStreams,
        service: WebhookService | None,
        *,
        every: timedelta,
        silent_for: timedelta,
    ) -> None:
        """A recording without a heartbeat for ``silent_for`` counts as abandoned."""
        self._database = database
        self._streams = streams
        self._service = service
        self._silent_for = silent_for
        self._rounds_needed = math.ceil(silent_for / every)
        self._rounds = 0

    async def end_own(self, server: str) -> None:
        """End what a server of this name left open when it died. Call it before the first stream comes."""
        try:
            await self._end_abandoned(server=server, silent_for=_EVER)
        except UnavailableError:
            log.warning("recordings that a dead server left open are ended later: the database does not answer")

    async def beat(self) -> None:
        """Beat, and end abandoned recordings where the database has answered for long enough.

        After it was away all heartbeats are old: every server gets the time to beat before any recording is ended.
        """
        try:
            await self._streams.beat()
            if self._rounds >= self._rounds_needed:
                await self._end_abandoned(server=None, silent_for=self._silent_for)
            else:
                await self._database.run(lambda unit: unit.meetings.abandoned_recordings(silent_for=_EVER))
        except UnavailableError:
            self._rounds = 0
            raise
        self._rounds += 1

    async def _end_abandoned(self, *, server: str | None, silent_for: timedelta) -> None:
        ended = await self._database.call(
            lambda: end_abandoned(self._database.units, self._service, silent_for=silent_for, server=server)
        )
        if ended:
            log.info("%d recordings without a living server were ended", ended)
