"""Each fault of `docs/operations.md` raises its alerts within a minute, as soon as the page says at the latest."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from noteflow_hooks.telemetry.metrics import PREFIX
from tests.support.document_pages import Page
from tests.support.fault_cases import FAULTS, SCRAPE_S, SEEN_AT_S, Fault
from tests.support.prometheus import ROOT, RULES, promtool

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.alert_cases import Series

_GROUP: Final[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"][0]
_NAME: Final = "NoteflowHooks"
_WITHIN_S: Final = 60
_ROWS: Final = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in Page("operations").sections()["What shows when something is wrong"].splitlines()
    if line.startswith("| ") and line.count(" | ") == 4
][1:]
#: One scrape that fails, or one look that finds nobody, is no fault.
BLIPS: Final[dict[str, Series]] = {
    "TargetDown": {'up{job="noteflow-hooks-worker"}': "1x5 0 1x30"},
    "NoConsumers": {"queue_consumers": "1x5 0 1x30"},
    "WorkerSilent": {'workers{state="silent"}': "0x5 1 0x30"},
    "RedisDown": {"redis_up": "1x5 0 1x30"},
    "DatabaseDown": {"database_up": "1x5 0 1x30"},
}


def _seconds(duration: str) -> int:
    number, unit = int(duration[:-1]), duration[-1]
    return number * {"s": 1, "m": 60}[unit]


def _every_s() -> int:
    return _seconds(_GROUP["interval"])


def _latest_s(fault: Fault) -> float:
    """Return after how long the alert fires at the latest: seen, looked at, and kept up for as long as it asks for."""
    [rule] = [each for each in _GROUP["rules"] if each.get("alert") == _NAME + fault.alert]
    return fault.seen_s + _every_s() + _seconds(rule.get("for", "0s"))


def _fires(alert: str, at_s: float, *, fires: bool) -> dict[str, Any]:
    fired = f'count(ALERTS{{alertname="{_NAME}{alert}",alertstate="firing"}}) or vector(0)'
    found = [{"labels": "{}", "value": int(fires)}]
    return {"expr": f"clamp_max({fired}, 1)", "eval_time": f"{int(at_s)}s", "exp_samples": found}


def _run(folder: Path, tests: list[tuple[str, Series, list[dict[str, Any]]]]) -> None:
    written = [
        {
            "name": name,
            "interval": f"{SCRAPE_S}s",
            "input_series": [
                {"series": key if key.startswith("up{") else PREFIX + key, "values": values}
                for key, values in series.items()
            ],
            "promql_expr_test": found,
        }
        for name, series, found in tests
    ]
    file = folder / "faults.yml"
    every = f"{_every_s()}s"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": every, "tests": written}))
    promtool("test", "rules", str(file))


def test_each_fault_raises_its_alert_within_a_minute(tmp_path: Path) -> None:
    """By promtool: silent as it begins, and firing a minute later less the time that a look at the rules may wait."""
    _run(
        tmp_path,
        [
            (
                f"{fault.row}: {fault.alert}",
                fault.series,
                [
                    _fires(fault.alert, SEEN_AT_S - fault.seen_s, fires=False),
                    _fires(fault.alert, SEEN_AT_S - fault.seen_s + _WITHIN_S - _every_s(), fires=True),
                ],
            )
            for fault in FAULTS
        ],
    )


def test_what_has_passed_by_the_next_scrape_raises_none(tmp_path: Path) -> None:
    """However quick the alerts are."""
    moments = range(SEEN_AT_S, SEEN_AT_S + 2 * SCRAPE_S, _every_s())
    _run(
        tmp_path,
        [(alert, series, [_fires(alert, at, fires=False) for at in moments]) for alert, series in BLIPS.items()],
    )


def test_the_scrapes_are_as_often_as_the_figures_say() -> None:
    """Compose's Prometheus has what they are made for."""
    config = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    assert config["global"]["scrape_interval"] == f"{SCRAPE_S}s"


@pytest.mark.parametrize("row", _ROWS, ids=lambda row: row[0])
def test_each_row_says_by_when_its_alerts_fire(row: list[str]) -> None:
    """Of each fault, as it comes out of scrapes, looks and rules; none is later than a minute."""
    said = {name: int(latest) for name, latest in re.findall(r"\[(\w+)\]\(alerts\.md#\w+\) (\d+) s", row[-1])}
    calculated = {each.alert: _latest_s(each) for each in FAULTS if row[0].startswith(each.row)}
    assert said == calculated
    assert 0 < max(said.values()) <= _WITHIN_S


def test_each_fault_has_its_row() -> None:
    """And each row says where it shows: in no cell is nothing."""
    assert all(any(row[0].startswith(each.row) for row in _ROWS) for each in FAULTS)
    assert all(len(cell) > 3 for row in _ROWS for cell in row)
    named = set(re.findall(r"`(\w+)`", " ".join(row[3] for row in _ROWS)))
    asked = " ".join(key for fault in FAULTS for key in fault.series)
    assert all(name in asked for name in named - {"state", "kind"})
