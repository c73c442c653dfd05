"""The exporter itself: totals become counters and histograms, workers have states, and what is away is said once."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from noteflow_hooks.domain.stats import BOUNDS_MS, Count, Measure
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.exporter import collector, metrics
from noteflow_hooks.exporter.broker import Progress
from noteflow_hooks.exporter.certificates import end_of
from noteflow_hooks.exporter.collector import ExporterCollector
from noteflow_hooks.exporter.totals import of_totals
from tests.support.certificates import authority, write_pair
from tests.support.scraping import Scrape

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from noteflow_hooks.telemetry.collecting import Rows
    from noteflow_hooks.telemetry.metrics import Metric


def scraped(own: ExporterCollector) -> Scrape:
    """Return what would be answered."""
    registry = CollectorRegistry()
    registry.register(own)
    return Scrape(generate_latest(registry).decode())


def shown(*totals: Count) -> Scrape:
    """Return what is shown of these totals."""
    return scraped(ExporterCollector(lambda: of_totals(totals), dict, server_certificate_end=lambda: None))


def test_each_bucket_is_one_of_the_roll_ups_bins() -> None:
    """Otherwise some of a bin would be counted on the wrong side of a bound."""
    bins = {bound / 1000 for bound in BOUNDS_MS}
    assert bins >= {*metrics.LATENCY.buckets, *metrics.DURATION.buckets}


def test_totals_are_counters_and_histograms() -> None:
    """A bin of a duration is in the bucket that has its upper end; tries are numbers, and not milliseconds."""
    in_bin = BOUNDS_MS.index(20)
    scrape = shown(
        Count(Measure.EVENT, "meeting.completed", 0, 7, 0),
        Count(Measure.ATTEMPT, "succeeded", in_bin, 3, 45),
        Count(Measure.ATTEMPT, "timeout", len(BOUNDS_MS), 1, 99_000_000),
        Count(Measure.LATENCY, "later", in_bin, 2, 30),
        Count(Measure.TRIES, "succeeded", 2, 3, 6),
        Count(Measure.TRIES, "dead", 20, 1, 20),
        Count(Measure.DEAD, "timeout", 0, 1, 0),
        Count(Measure.SKIPPED, "filtered", 0, 4, 0),
    )
    assert scrape.value("events_total", type="meeting.completed") == 7
    assert scrape.value("attempts_total", outcome="succeeded", kind="none") == 3
    assert scrape.value("attempts_total", outcome="failed", kind="timeout") == 1
    assert scrape.value("post_duration_seconds_bucket", le="0.02") == 3
    assert scrape.value("post_duration_seconds_bucket", le="0.01") == 0
    assert scrape.value("post_duration_seconds_bucket", le="30.0") == 3
    assert scrape.value("post_duration_seconds_count") == 4
    assert scrape.value("post_duration_seconds_sum") == pytest.approx(99_000.045)
    assert scrape.value("delivery_latency_seconds_count", attempt="later") == 2
    assert scrape.value("delivery_latency_seconds_count", attempt="first") == 0
    assert scrape.value("attempts_per_delivery_bucket", le="2.0") == 3
    assert scrape.value("attempts_per_delivery_sum") == 26
    assert scrape.value("deliveries_settled_total", status="succeeded") == 3
    assert scrape.value("deliveries_settled_total", status="dead", reason="timeout") == 1
    assert scrape.value("deliveries_settled_total", status="skipped", reason="filtered") == 4


def test_what_is_away_is_a_figure_and_said_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one's metrics stay; and when it is back, that is said too."""
    monkeypatch.setattr(collector, "_FRESH_S", 0.0)
    caplog.set_level(logging.INFO)
    is_away = True

    def look() -> Mapping[Metric, Rows]:
        if is_away:
            raise UnavailableError("the database does not answer (OperationalError); try again", detail="no route")
        return {metrics.DUE: {(): 3}}

    own = ExporterCollector(look, dict, server_certificate_end=lambda: 5.0)
    for _ in range(3):
        scrape = scraped(own)
        assert scrape.value("database_up") == 0
        assert "noteflow_hooks_deliveries_due" not in scrape.names()
        assert scrape.value("server_certificate_end_timestamp_seconds") == 5
    is_away = False
    for _ in range(2):
        scrape = scraped(own)
        assert (scrape.value("database_up"), scrape.value("deliveries_due")) == (1, 3)
    said = [each.getMessage() for each in caplog.records]
    assert said == ["the database is away, and its metrics with it: no route", "the database answers again"]


def test_a_fault_of_the_exporters_own_is_an_absence_too(caplog: pytest.LogCaptureFixture) -> None:
    """It goes on answering; the log has the error."""

    def look() -> Mapping[Metric, Rows]:
        raise ZeroDivisionError

    own = ExporterCollector(look, dict, server_certificate_end=lambda: None)
    assert scraped(own).value("database_up") == 0
    assert "ZeroDivisionError" in caplog.text


def test_several_who_ask_at_once_share_a_look() -> None:
    """Two scrapes within two seconds ask the database once."""
    looks: list[None] = []

    def look() -> Mapping[Metric, Rows]:
        looks.append(None)
        return {}

    own = ExporterCollector(look, dict, server_certificate_end=lambda: None)
    scraped(own)
    scraped(own)
    assert len(looks) == 1


def test_a_worker_that_answers_and_begins_nothing_is_stuck() -> None:
    """After half a minute in which its queues hold messages; one with nothing to take is not."""
    progress, queues = Progress(), {"a": ["deliver"], "b": ["maintenance"]}
    lengths = {"deliver": 5, "maintenance": 0}
    assert progress.note({"a": 7, "b": 1}, queues, lengths, now=0) == {"taking": 2, "stuck": 0, "silent": 0}
    assert progress.note({"a": 7, "b": 1}, queues, lengths, now=29) == {"taking": 2, "stuck": 0, "silent": 0}
    assert progress.note({"a": 7, "b": 1}, queues, lengths, now=31) == {"taking": 1, "stuck": 1, "silent": 0}
    assert progress.note({"a": 8, "b": 1}, queues, lengths, now=40) == {"taking": 2, "stuck": 0, "silent": 0}


def test_a_worker_that_answers_no_more_is_silent_for_ten_minutes(caplog: pytest.LogCaptureFixture) -> None:
    """Then it is forgotten: it was ended, as most are. It is named in the log, once; and so it is when it is back."""
    caplog.set_level(logging.INFO)
    progress = Progress()
    progress.note({"a": 1, "b": 1}, {}, {}, now=0)
    assert [progress.note({"b": 1}, {}, {}, now=now)["silent"] for now in (590, 599, 601)] == [1, 1, 0]
    progress.note({"a": 1}, {}, {}, now=610)
    progress.note({"a": 1, "b": 2}, {}, {}, now=620)
    said = [(each.levelname, each.getMessage().partition(":")[0]) for each in caplog.records]
    assert said == [
        ("WARNING", "worker a answers no more"),
        ("WARNING", "worker b answers no more"),
        ("INFO", "worker b answers again"),
    ]


def test_a_gauge_that_nobody_looked_at_is_not_there() -> None:
    """Whoever has no keys can't tell which are old: 0 would be an answer."""
    scrape = scraped(ExporterCollector(lambda: {metrics.DUE: {(): 1}}, dict, server_certificate_end=lambda: None))
    assert "noteflow_hooks_ciphertexts" not in scrape.names()
    assert scrape.value("attempts_total") == 0
    assert "noteflow_hooks_attempts_total" in scrape.names()


def test_a_servers_certificate_that_has_ended_is_shown_with_its_end(tmp_path: Path) -> None:
    """And one that is renewed in its place with its own; where none can be read, nothing is shown."""
    ended = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    begun = ended - timedelta(days=1)
    files = write_pair(tmp_path, authority().issue_cert("localhost", not_before=begun, not_after=ended))
    assert end_of(files.cert) == ended.timestamp()
    write_pair(tmp_path, authority().issue_cert("localhost", not_after=ended + timedelta(days=90)))
    assert end_of(files.cert) == (ended + timedelta(days=90)).timestamp()
    assert [end_of(path) for path in (None, tmp_path, files.key)] == [None, None, None]
