"""What the benchmark makes of its figures."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, cast

import psutil
import pytest

from noteflow_hooks.bench import latency, light, plots
from noteflow_hooks.bench.against import between
from noteflow_hooks.bench.calls import Calls, percentile
from noteflow_hooks.bench.record import Record
from noteflow_hooks.bench.report import bounds_as_json, short, tables
from noteflow_hooks.bench.results import Results
from noteflow_hooks.bench.rounds import play
from noteflow_hooks.bench.scenario import Bound, Scenario, SkippedError
from noteflow_hooks.bench.scenarios import ALL, FULL, chosen, names
from noteflow_hooks.bench.usage import cpu_seconds
from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.errors import NoteFlowHooksError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from noteflow_hooks.bench.publishing import Stream
    from noteflow_hooks.bench.scenario import Values
    from noteflow_hooks.bench.stage import Stage

AT_LEAST = Bound("ratio", "fast enough", "at least", 0.75)
AT_MOST = Bound("p95_ms", "soon enough", "at most", 25.0)
ABOUT = {
    "date": "2026-01-31T12:00:00+00:00",
    "machine": {"cores": 2, "cpu": "a processor"},
    "versions": {"python": "3.11"},
    "settings": {"rounds": 3, "scale": 1.0, "workers": 2},
}


def a_record(**figures: Sequence[float]) -> Record:
    """Return what a scenario `s` found in its rounds."""
    record = Record()
    for figure, values in figures.items():
        for value in values:
            record.add("s", {figure: value})
    return record


def a_scenario(*bounds: Bound, found: Sequence[Values] = (), is_once: bool = False) -> Scenario:
    """Return a scenario `s` that finds these values one after the other."""
    left = list(found)
    return Scenario("s", "a title", lambda _: left.pop(0), bounds, is_once)


class AStage:
    """As much of a stage as the rounds look at."""

    def __init__(self) -> None:
        self.is_warming_up = False
        self.peak_per_s: float | None = None
        self.last_baseline: object = None

    def check(self) -> None:
        """Find nothing wrong."""


@pytest.fixture
def stage() -> Stage:
    return cast("Stage", AStage())


@pytest.mark.parametrize(
    ("bound", "values", "is_met"),
    [
        (AT_LEAST, [0.75, 0.1, 0.9], True),
        (AT_LEAST, [0.74, 0.1, 0.9], False),
        (AT_MOST, [25.0, 1.0, 900.0], True),
        (AT_MOST, [25.1, 1.0, 900.0], False),
    ],
)
def test_a_bound_is_held_against_the_median(bound: Bound, values: list[float], *, is_met: bool) -> None:
    """One round in which the machine did something else decides nothing; the limit itself is allowed."""
    assert bound.is_met(values) == is_met


def test_a_percentile_lies_between_its_neighbours() -> None:
    """Of one value, it is that."""
    assert percentile(list(range(101)), 95) == 95
    assert percentile([1.0, 3.0], 50) == 2
    assert percentile([7.0], 99) == 7


@pytest.mark.parametrize(
    ("value", "shown"), [(0.7468, "0.75"), (12.34, "12.3"), (1234.5, "1,234"), (-3.0, "-3.00"), (0.0, "0.00")]
)
def test_a_number_is_shown_with_the_digits_that_mean_something(value: float, shown: str) -> None:
    """Thousands are set apart."""
    assert short(value) == shown


def test_the_tables_show_medians_spreads_and_bounds() -> None:
    """Processor time stands apart, a delivery's and a call's; a bound that was not measured is left out."""
    record = a_record(ratio=[0.7, 0.8, 0.5], cpu_workers_us=[400.0], call_Stop_server_us=[90.0])
    bounds, figures, cpu, calls = tables([a_scenario(AT_LEAST, AT_MOST)], record)
    assert bounds.rows == [["fast enough", "0.70", "0.50 to 0.80", "at least 0.75", "NO"]]
    assert figures.rows == [["s", "ratio", "0.70", "0.50 to 0.80"]]
    assert cpu.rows == [["s", "workers", "400", "400 to 400"]]
    assert calls.rows == [["s", "Stop_server", "90.0", "90.0 to 90.0"]]
    assert "| fast enough | 0.70 | 0.50 to 0.80 | at least 0.75 | NO |" in bounds.markdown().splitlines()
    assert "MEDIAN" in bounds.text()


def test_files_hold_every_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nothing can be drawn."""
    monkeypatch.setattr(plots, "can_draw", lambda: False)
    Results(ABOUT, [a_scenario(AT_LEAST)], a_record(ratio=[0.7, 0.8, 0.9])).write(tmp_path)
    kept = json.loads((tmp_path / "bench.json").read_text())
    assert kept["values"] == {"s": {"ratio": [0.7, 0.8, 0.9]}}
    assert kept["bounds"][0] | {"median": 0.8, "least": 0.7, "most": 0.9, "met": True} == kept["bounds"][0]
    page = (tmp_path / "table.md").read_text()
    assert "2 cores of a processor, 2 worker processes, 3 rounds at scale 1; python 3.11." in page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.json", "table.md"]


def test_plots_have_what_was_measured_and_no_more() -> None:
    """A scenario that was not played has no bar, and a plot without bars is none."""
    record = Record()
    record.add("http", {"ratio": 0.5, "rate_per_s": 1.0, "bare_per_s": 2.0, "cpu_workers_us": 400.0})
    record.add("celery-app", {"ratio": 9.0, "rate_per_s": 1.0, "obvious_per_s": 0.1})
    drawn = plots.plots(record)
    assert (drawn["ratios"].labels, drawn["ratios"].series) == (["http"], {"median": [0.5], "bound": [1.4]})
    assert drawn["rates"].series["obvious Celery app"] == [None, 0.1]
    assert drawn["cpu"].series == {"workers": [400.0]}
    assert drawn["latency"].labels == []


def test_plots_are_svg_without_scripts(tmp_path: Path) -> None:
    """They load nothing from anywhere either."""
    pytest.importorskip("pygal")
    record = Record()
    record.add("http", {"ratio": 0.5, "cpu_workers_us": 400.0})
    plots.draw(record, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cpu.svg", "ratios.svg"]
    for path in tmp_path.iterdir():
        text = path.read_text(encoding="utf-8")
        assert "<svg" in text
        assert "<script" not in text


def test_the_warm_up_is_not_recorded(stage: Stage) -> None:
    """Every measurement is said, that one too."""
    record, said = Record(), list[str]()
    scenario = a_scenario(found=[{"ratio": 9.0}, {"ratio": 1.0}, {"ratio": 2.0}])
    play(stage, [scenario], rounds=2, record=record, say=said.append)
    assert record.rounds("s", "ratio") == [1.0, 2.0]
    assert [line.split()[0] for line in said] == ["warm-up", "round", "round"]


def test_what_is_played_once_is_played_last(stage: Stage) -> None:
    """Without a warm-up."""
    record = Record()
    play(stage, [a_scenario(found=[{"mb": 1.0}], is_once=True)], rounds=3, record=record, say=lambda _: None)
    assert record.rounds("s", "mb") == [1.0]


def test_a_scenario_that_is_skipped_says_why(stage: Stage) -> None:
    """In each table where its figures would stand, in bench.json, and while the rounds are played."""

    def skipped(_: Stage) -> Values:
        raise SkippedError("no such tool")

    record, said = Record(), list[str]()
    scenario = Scenario("s", "t", skipped, (AT_LEAST,))
    play(stage, [scenario], rounds=1, record=record, say=said.append)
    assert [line.split()[-5:] for line in said] == [["s", "skipped:", "no", "such", "tool"]] * 2
    bounds, figures = tables([scenario], record)
    assert bounds.rows == [["fast enough", "-", "skipped: no such tool", "at least 0.75", "-"]]
    assert figures.rows == [["s", "skipped: no such tool", "-", "-"]]
    [found] = bounds_as_json([scenario], record)
    assert (found["skipped"], found["limit"], "met" in found) == ("no such tool", 0.75, False)


def test_without_h2load_the_light_client_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names what would have to be installed."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SkippedError, match=r"h2load is missing .* nghttp2-client"):
        light.needs_it()


def test_a_figure_stands_between_two_baselines(stage: Stage) -> None:
    """A machine that slows down meanwhile slows the second one; one that has just been made serves the next figure."""
    rates = [100.0, 300.0, 500.0, 700.0, 900.0]

    def measured(kind: str) -> tuple[float, str]:
        return between(stage, lambda: rates.pop(0), kind=kind, measure=lambda: f"after {rates[0]:g}")

    assert measured("a") == (200.0, "after 300")
    assert measured("a") == (400.0, "after 500")
    assert measured("b") == (800.0, "after 900")


def test_processor_time_is_that_of_the_named_processes() -> None:
    """To less than a tick of 10 ms, and without those that are left out."""
    pids = {"own": [os.getpid()]}
    # Other tests' servers may be children of this process.
    children = [each.pid for each in psutil.Process().children(recursive=True)]
    before, began = cpu_seconds(pids, without=children)["own"], time.process_time()
    while time.process_time() - began < 0.005:
        pass
    assert 0.005 <= cpu_seconds(pids, without=children)["own"] - before <= time.process_time() - began + 0.005
    assert cpu_seconds(pids, without=[os.getpid(), *children]) == {"own": 0.0}


def test_a_measurement_that_breaks_is_named(stage: Stage) -> None:
    """Whatever of the system went away."""

    def breaks(_: Stage) -> Values:
        raise NoteFlowHooksError("PostgreSQL has gone")

    with pytest.raises(NoteFlowHooksError, match="s: PostgreSQL has gone"):
        play(stage, [Scenario("s", "t", breaks)], rounds=1, record=Record(), say=lambda _: None)


def test_scenarios_are_chosen_by_name() -> None:
    """Or by group; without names all but those that only a full run has. Each has a name of its own."""
    assert [each.name for each in chosen(["tls", "http"], full=False)] == ["http", "tls"]
    assert [each.name for each in chosen(["calls"], full=False)] == ["calls-1", "calls-16"]
    assert set(chosen([], full=True)) == set(ALL)
    assert set(chosen([], full=False)) == set(ALL) - set(FULL)
    assert len({name for each in ALL for name in (each.name, each.group) if name}) == len(names())
    assert len(ALL) == len({each.name for each in ALL} - {each.group for each in ALL})


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("bench --rounds 0", "0 is not in the range 1<=x<=100"),
        ("bench --only nonsense", "'nonsense' is not one of 'http', 'tls'"),
        ("bench --scale 0", "0.0 is not in the range 0.001<=x<=10"),
        ("bench --output /dev/null/x", "--output is '/dev/null/x', which can't be made: Not a directory"),
    ],
)
def test_a_bad_option_is_one_line(line: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is started for it."""
    assert run(root, line.split()) == 2
    printed = capsys.readouterr()
    assert says in printed.err
    assert (printed.out, printed.err.count("\n")) == ("", 1)


def test_the_list_names_every_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    """And starts nothing."""
    assert run(root, ["bench", "--list", "--json"]) == 0
    assert [each["name"] for each in json.loads(capsys.readouterr().out)] == [each.name for each in ALL]


def test_no_caller_s_first_call_for_minutes_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its token would be looked up and its endpoint be read, which no steady caller waits for."""
    made: list[Stream] = []

    def publish(_: object, streams: Sequence[Stream]) -> list[Calls]:
        made.extend(streams)
        return [Calls({}, lags_ms=[float(len(made))] * 2)]

    monkeypatch.setattr(latency, "publish", publish)
    monkeypatch.setattr(latency, "settle", lambda _: None)
    monkeypatch.setattr(latency, "_tokens", lambda _: ["a", "b", "c"])
    monkeypatch.setattr(latency, "latencies_ms", lambda _, calls: calls.lags_ms)
    found = latency.at_rate(cast("Stage", None), rate_per_s=7.0, events=40)
    assert [(each.tokens, each.count) for each in made] == [(["a", "b", "c"], 3), (["a", "b", "c"], 40)]
    assert found["p50_ms"] == 2.0
