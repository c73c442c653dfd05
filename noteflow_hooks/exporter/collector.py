"""Collects what the exporter shows. A database or Redis that is away is a figure like others, and said once in the log.

Several may ask at once: a look serves all who come while it is fresh.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from prometheus_client.registry import Collector

from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.exporter.metrics import DATABASE_UP, FROM_BROKER, FROM_DATABASE, REDIS_UP, SERVER_CERTIFICATE
from noteflow_hooks.telemetry.collecting import family

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prometheus_client.core import Metric as Family

    from noteflow_hooks.telemetry.collecting import Rows
    from noteflow_hooks.telemetry.metrics import Metric

log = logging.getLogger(__name__)

#: For so long a look counts as fresh.
_FRESH_S: Final = 2.0
#: So often Redis and the workers are asked, who take seconds to answer.
_ASK_EVERY_S: Final = 10.0


class Look:
    """The latest look at one system, and whether it answered."""

    def __init__(self, name: str, look: Callable[[], Mapping[Metric, Rows]]) -> None:
        """``look`` raises UnavailableError where the system of that name is away."""
        self._name = name
        self._look = look
        self._lock = threading.Lock()
        self._looked_at = 0.0
        self._was_up: bool | None = None
        self.rows: Mapping[Metric, Rows] = {}

    @property
    def is_up(self) -> bool:
        """Whether it answered last."""
        return bool(self._was_up)

    def refresh(self) -> None:
        """Look, unless somebody has just looked."""
        with self._lock:
            if self._was_up is not None and time.monotonic() - self._looked_at < _FRESH_S:
                return
            try:
                self.rows = self._look()
            except UnavailableError as error:
                self.rows = {}
                self._note(error)
            except Exception as error:  # the boundary: the exporter goes on answering, whatever it meets
                self.rows = {}
                log.exception("a look at %s failed", self._name)
                self._note(error)
            else:
                self._note(None)
            self._looked_at = time.monotonic()

    def _note(self, error: Exception | None) -> None:
        is_up = error is None
        if error is not None and self._was_up is not False:
            log.warning("%s is away, and its metrics with it: %s", self._name, getattr(error, "detail", None) or error)
        elif is_up and self._was_up is False:
            log.info("%s answers again", self._name)
        self._was_up = is_up


class ExporterCollector(Collector):
    """Shows what both looks have found."""

    def __init__(
        self,
        database: Callable[[], Mapping[Metric, Rows]],
        broker: Callable[[], Mapping[Metric, Rows]],
        *,
        server_certificate_end: Callable[[], float | None],
    ) -> None:
        """``server_certificate_end`` is when that ends, as Prometheus has moments."""
        self._database = Look("the database", database)
        self._broker = Look("Redis", broker)
        self._certificate_end = server_certificate_end

    def collect(self) -> Iterable[Family]:
        """Yield each metric; of a system that is away, only that it is."""
        self._database.refresh()
        yield family(DATABASE_UP, {(): float(self._database.is_up)})
        yield from _families(FROM_DATABASE, self._database)
        yield family(REDIS_UP, {(): float(self._broker.is_up)})
        yield from _families(FROM_BROKER, self._broker)
        if (end := self._certificate_end()) is not None:
            yield family(SERVER_CERTIFICATE, {(): end})

    def ask_on(self, ended: threading.Event) -> None:
        """Ask Redis and the workers again and again until that is set; call it in a thread of its own."""
        self._broker.refresh()
        while not ended.wait(_ASK_EVERY_S):
            self._broker.refresh()


def _families(shown: Iterable[Metric], look: Look) -> Iterable[Family]:
    rows = look.rows
    if look.is_up:
        # A counter of nothing is 0; a gauge that was not looked at is not there.
        yield from (
            family(metric, rows.get(metric, {})) for metric in shown if metric in rows or metric.kind != "gauge"
        )
