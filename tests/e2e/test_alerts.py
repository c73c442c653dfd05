"""Each alert fires where it should, stays silent where it should, and has its page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from noteflow_hooks.cli.root import root
from noteflow_hooks.exporter.metrics import ALL as OF_ROWS
from noteflow_hooks.telemetry.metrics import ALL as OF_PROCESSES
from noteflow_hooks.telemetry.metrics import PREFIX
from tests.support.alert_cases import CASES, Case, Series
from tests.support.document_pages import Page, understood
from tests.support.prometheus import RULES, promtool

if TYPE_CHECKING:
    from pathlib import Path

PAGE: Final = Page("alerts")
_NAME: Final = "NoteflowHooks"
#: What both pages for operators have, each once.
COMMANDS: Final = sorted(
    [*PAGE.commands(), *(each for each in Page("operations").commands() if each not in PAGE.commands())]
)
_GROUPS: Final[list[Any]] = yaml.safe_load(RULES.read_text())["groups"]
ALERTS: Final = [rule for group in _GROUPS for rule in group["rules"] if "alert" in rule]


def _test(name: str, series: Series, case: Case, *, fires: bool) -> dict[str, Any]:
    prefixed = {key if key.startswith("up{") else PREFIX + key: values for key, values in series.items()}
    fired = f'count(ALERTS{{alertname="{_NAME}{name}",alertstate="firing"}}) or vector(0)'
    found = [
        {"expr": f"clamp_max({fired}, 1)", "eval_time": case.at, "exp_samples": [{"labels": "{}", "value": int(fires)}]}
    ]
    given = [{"series": key, "values": values} for key, values in prefixed.items()]
    return {"name": name, "interval": case.every, "input_series": given, "promql_expr_test": found}


def _tests(name: str, case: Case) -> list[dict[str, Any]]:
    return [
        _test(name, case.fires, case, fires=True),
        _test(name, case.silent, case, fires=False),
    ]


def _promtool_runs(folder: Path, cases: dict[str, Case]) -> None:
    files = []
    for every in sorted({case.every for case in cases.values()}):
        tests = [each for name, case in cases.items() if case.every == every for each in _tests(name, case)]
        file = folder / f"{every}.yml"
        file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": every, "tests": tests}))
        files.append(str(file))
    promtool("test", "rules", *files)


def test_each_alert_has_a_firing_and_a_silent_case() -> None:
    """And no case is of an alert that is no more."""
    assert {rule["alert"] for rule in ALERTS} == {_NAME + each for each in CASES}


def test_each_alert_fires_and_is_silent_as_its_cases_say(tmp_path: Path) -> None:
    """By promtool, over series that rise and fall."""
    promtool("check", "rules", str(RULES))
    _promtool_runs(tmp_path, CASES)


def test_a_case_that_is_wrong_is_found(tmp_path: Path) -> None:
    """Or the one above would prove nothing."""
    case = CASES["RedisDown"]
    with pytest.raises(AssertionError, match="RedisDown"):
        _promtool_runs(tmp_path, {"RedisDown": Case(case.silent, case.fires)})


def test_alerts_ask_for_metrics_that_there_are() -> None:
    """An alert over a name that nobody answers would be silent for ever."""
    ours = {PREFIX + each.name for each in (*OF_ROWS, *OF_PROCESSES)}
    asked = {name for rule in ALERTS for name in re.findall(rf"{PREFIX}\w+", rule["expr"])}
    assert {re.sub(r"_(total|bucket|count)$", "", name) for name in asked} - ours == {PREFIX.rstrip("_")} & asked


@pytest.mark.parametrize("alert", ALERTS, ids=lambda each: each["alert"])
def test_each_alert_says_what_it_is_and_where_it_is_explained(alert: dict[str, Any]) -> None:
    """Its section says what it means, where to look, and what to do."""
    told = alert["annotations"]
    assert set(told) == {"summary", "description", "runbook"}
    assert alert["labels"]["severity"] in ("page", "ticket")
    page, _, anchor = told["runbook"].partition("#")
    assert (page, anchor) == ("docs/alerts.md", alert["alert"].lower())
    text = PAGE.sections()[alert["alert"]]
    assert all(each in text for each in ("**Means.**", "**Look.**", "**Do.**"))


def test_no_section_is_of_an_alert_that_is_no_more() -> None:
    """Both ways."""
    assert {name for name in PAGE.sections() if name.startswith(_NAME)} == {rule["alert"] for rule in ALERTS}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_each_command_of_the_page_is_one(words: list[str]) -> None:
    """It is understood, option for option, without being run."""
    understood(root, words)
