"""What processes count together: sums that never fall, gauges of those that live, and rows that have no room."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

from prometheus_client import CollectorRegistry, generate_latest

from noteflow_hooks.telemetry import counting
from noteflow_hooks.telemetry.collecting import FiguresCollector
from noteflow_hooks.telemetry.memory import SharedFigures, create_figures
from noteflow_hooks.telemetry.metrics import (
    ALL,
    CLAIM_LAG,
    CLOCK_SKEW,
    CONNECTIONS,
    POSTS,
    TOKENS_REFUSED,
    Metric,
)
from tests.quality.sources import ROOT
from tests.support.scraping import Scrape


def scraped(shared: SharedFigures) -> Scrape:
    """Return what would be answered."""
    registry = CollectorRegistry()
    registry.register(FiguresCollector(shared))
    return Scrape(generate_latest(registry).decode())


#: A program of its own: a fork of this process may hang by what other tests' threads have held.
_CHILDREN_DIE = """
import os
from noteflow_hooks.telemetry.memory import SharedFigures
from noteflow_hooks.telemetry.metrics import POST_PLACES, POSTS, POSTS_UNDER_WAY
from tests.unit.test_telemetry import scraped

def in_a_child(slot, posts):
    if (pid := os.fork()) == 0:
        figures = shared.slot(slot)
        figures.add(figures.row(POSTS), posts)
        figures.add(figures.row(POSTS_UNDER_WAY))
        os._exit(0)
    os.waitpid(pid, 0)

shared = SharedFigures.made(3)
in_a_child(1, 5)
in_a_child(1, 2)
in_a_child(2, 1)
own = shared.slot(0)
own.add(own.row(POSTS), 10)
own.set(own.row(POST_PLACES), 100)
scrape = scraped(shared)
print(*(scrape.value(name) for name in ("posts_total", "posts_under_way", "post_places", "processes")))
own.leave()
print(scraped(shared).value("processes"))
"""


def test_what_dead_processes_counted_stays_and_what_they_had_in_use_does_not() -> None:
    """Whoever takes a dead one's slot counts on in it."""
    command = [sys.executable, "-c", _CHILDREN_DIE]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=ROOT)
    assert (ended.stderr, list(map(float, ended.stdout.split()))) == ("", [18, 0, 100, 1, 0])


def test_of_clocks_the_one_that_is_farthest_off_counts() -> None:
    """Two seconds in each of two processes are two."""
    shared = SharedFigures.made(2)
    for slot, value in ((0, 1.5), (1, 2.0)):
        figures = shared.slot(slot)
        figures.set(figures.row(CLOCK_SKEW), value)
    assert scraped(shared).value("worker_clock_skew_seconds") == 2.0


def test_no_count_of_many_threads_is_lost() -> None:
    """Each adds at the same time to the same rows, without a lock, and they take turns as often as they can."""
    figures = (shared := SharedFigures.made(1)).slot(0)
    row, observe = figures.row(POSTS), figures.observer(CLAIM_LAG)

    def count() -> None:
        for _ in range(2000):
            figures.add(row)
            observe(0.05)

    threads, before = [threading.Thread(target=count) for _ in range(4)], sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    finally:
        sys.setswitchinterval(before)
    assert scraped(shared).value("posts_total") == 8000
    assert scraped(shared).value("claim_lag_seconds_count") == 8000


def test_a_value_at_a_bound_is_in_that_bounds_bucket() -> None:
    """As Prometheus counts: less than or equal; what is above the last bound is in the last bucket alone."""
    shared = SharedFigures.made(1)
    observe = shared.slot(0).observer(CLAIM_LAG)
    for value in (0.1, 0.11, 1e9):
        observe(value)
    scrape = scraped(shared)
    counts = {each.labels["le"]: each.value for each in scrape.samples if each.name.endswith("lag_seconds_bucket")}
    assert (counts["0.02"], counts["0.1"], counts["0.25"], counts["3600.0"], counts["+Inf"]) == (0, 1, 2, 2, 3)
    assert scrape.value("claim_lag_seconds_sum") == 1e9 + 0.21


def test_processes_that_are_started_share_the_memory_of_a_descriptor() -> None:
    """As the servers of a group do."""
    descriptor = create_figures(2)
    first, second = (SharedFigures.opened(descriptor) for _ in range(2))
    figures = first.slot(1)
    figures.add(figures.row(CONNECTIONS, "made"), 3)
    assert scraped(second).value("connections_total", how="made") == 3
    os.close(descriptor)


def test_more_labels_than_there_is_room_for_harm_nobody() -> None:
    """What has no room counts in the last row, and all others go on."""
    shared = SharedFigures.made(2)
    figures = shared.slot(0)
    odd = Metric(name="odd", kind="counter", help="Odd.", labels=("which",))
    posts = figures.row(POSTS)
    for number in range(600):
        figures.add(figures.row(odd, f"{number}" + "x" * 200))
    figures.add(posts, 7)
    sums, _ = shared.totals()
    assert sums[(POSTS.name,)] == 7
    assert sum(sums.values()) == 607


def test_nothing_is_counted_where_nothing_is_measured() -> None:
    """And where it is, from the first look on everything is there whose labels are known."""
    counting.count(TOKENS_REFUSED, "missing")
    assert counting.figures() is None
    shared = SharedFigures.made(1)
    counting.count_in(shared.slot(0))
    try:
        assert scraped(shared).value("tokens_refused_total") == 0
        counting.count(TOKENS_REFUSED, "missing")
        counting.count(TOKENS_REFUSED, "scope", by=2)
    finally:
        counting.count_in(None)
    assert scraped(shared).value("tokens_refused_total", reason="missing") == 1
    assert scraped(shared).value("tokens_refused_total") == 3
    assert sum(len(each.known) for each in ALL) < 60
