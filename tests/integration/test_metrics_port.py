"""A port for `/metrics` that another process has: it is said once, and taken as soon as it is free."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING, Final

import pytest
from prometheus_client.core import GaugeMetricFamily

from noteflow_hooks.telemetry import answering
from noteflow_hooks.telemetry.answering import MetricsServer
from tests.support.scraping import address_in, scraped
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

TRIES_S: Final = 0.02


class Named:
    """Figures by which it shows who answers."""

    def __init__(self, number: int) -> None:
        self._number = number

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield GaugeMetricFamily("noteflow_hooks_number", "Which one.", self._number)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have it tried more often than in earnest."""
    monkeypatch.setattr(answering, "_TRY_EVERY_S", TRIES_S)


def test_a_port_that_is_taken_is_tried_until_it_is_free(caplog: pytest.LogCaptureFixture) -> None:
    """As by the worker that this one replaces: one warning, however often it is tried, and then an answer."""
    caplog.set_level("INFO")
    with closing(MetricsServer("127.0.0.1:0", Named(1))) as first:
        address = first.listen()
        second = MetricsServer(address, Named(2))
        tried = _counted_tries(second)
        second.start()
        until(lambda: len(tried) > 3, what="it is tried some times")
        assert [each.levelname for each in caplog.records] == ["WARNING"]
        assert f"METRICS_BIND is '{address}': can't listen there (Address already in use)" in caplog.text
        assert scraped(address).value("number") == 1
    with closing(second):
        assert address_in(lambda: caplog.text) == address
        assert scraped(address).value("number") == 2
        assert [each.levelname for each in caplog.records] == ["WARNING", "INFO"]


def test_who_has_ended_meanwhile_takes_it_no_more() -> None:
    """Its tries end with it, and the port is another's."""
    with closing(MetricsServer("127.0.0.1:0", Named(1))) as first:
        second = MetricsServer(first.listen(), Named(2))
        tried = _counted_tries(second)
        second.start()
        until(lambda: len(tried) > 1, what="it is tried")
        [trying] = [each for each in threading.enumerate() if each.name == "metrics" and _tries(each)]
        second.close()
        trying.join(timeout=10)
        assert not trying.is_alive()


def _tries(thread: threading.Thread) -> bool:
    return getattr(getattr(thread, "_target", None), "__name__", "") == "_try_on"


def _counted_tries(server: MetricsServer) -> list[None]:
    """Return what gets an item with each try to listen."""
    tried: list[None] = []
    listen = server.listen

    def counted() -> str:
        tried.append(None)
        return listen()

    server.listen = counted  # type: ignore[method-assign]  # the same, counted
    return tried
