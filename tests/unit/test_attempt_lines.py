"""The line of each attempt: one, with always the same fields, at the level that its outcome has."""

from __future__ import annotations

import json
import logging
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from noteflow_hooks.domain.attempt_line import ATTEMPT_FIELDS
from noteflow_hooks.logs import JsonFormatter, TextFormatter
from tests.support.delivery_system import FAILED, OK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noteflow_hooks.domain.deliveries import AttemptResult
    from tests.support.delivery_system import System


def lines(caplog: pytest.LogCaptureFixture, level: int) -> Sequence[dict[str, Any]]:
    """Return the records of that level, as JSON has them."""
    records = [JsonFormatter().format(each) for each in caplog.records if each.levelno == level]
    return [json.loads(line) for each in records for line in each.split("\n")]


@pytest.fixture(autouse=True)
def everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="noteflow_hooks")


def test_each_attempt_has_one_line_with_the_same_fields(system: System, caplog: pytest.LogCaptureFixture) -> None:
    """One that succeeds at DEBUG, one that fails at WARNING; what it is about is in the fields, and no URL's path."""
    [good] = system.deliveries(1, url="https://good.example/private")
    system.deliver([good])
    system.answer = lambda _: FAILED
    [bad] = system.deliveries(1, url="https://bad.example/private")
    system.deliver([bad])
    [succeeded] = lines(caplog, logging.DEBUG)
    [failed] = [each for each in lines(caplog, logging.WARNING) if each["host"] == "bad.example"]
    for line in (succeeded, failed):
        assert tuple(line)[5:] == ATTEMPT_FIELDS
        assert line["workspace"] == str(system.workspace.id)
        assert "private" not in str(line)
    assert (succeeded["delivery"], succeeded["outcome"], succeeded["status"], succeeded["kind"]) == (
        str(good),
        "succeeded",
        200,
        None,
    )
    assert (succeeded["next"], succeeded["next_at"]) == ("none", None)
    assert (failed["delivery"], failed["outcome"], failed["status"], failed["kind"]) == (
        str(bad),
        "retrying",
        500,
        "status",
    )
    assert (failed["attempt"], failed["next"], failed["error"]) == (1, "retry", "HTTP 500")
    assert failed["next_at"].endswith("Z")


def test_people_read_the_same_fields(system: System, caplog: pytest.LogCaptureFixture) -> None:
    """With ``-`` for what there is none of, and in quotes what is no one word."""
    system.answer = lambda _: FAILED._replace(error_message="no \x1b[31m\nway")
    [delivery_id] = system.deliveries(1)
    system.deliver([delivery_id])
    [record] = [each for each in caplog.records if each.levelno == logging.WARNING]
    line = TextFormatter().format(record)
    assert f" delivery={delivery_id} batch=- members=- " in line
    assert line.endswith(r'error="no \\x1b[31m\\nway"')


def test_a_delivery_that_dies_has_a_line_of_its_own(system: System, caplog: pytest.LogCaptureFixture) -> None:
    """At WARNING, beside that of its last attempt, of which nothing follows."""
    system.answer = lambda _: FAILED
    [delivery_id] = system.deliveries(1, max_retries=1)
    system.deliver([delivery_id])
    attempt, death = lines(caplog, logging.WARNING)
    assert (attempt["outcome"], attempt["next"]) == ("dead", "none")
    assert death["message"] == f"delivery {delivery_id} is dead after 1 attempts: Max retries exceeded: HTTP 500"
    assert death["delivery"] == str(delivery_id)


def test_a_breaker_tells_as_it_opens_and_as_it_closes(system: System, caplog: pytest.LogCaptureFixture) -> None:
    """Once each, however many attempts it was, with the endpoint's host."""
    system.answer = lambda _: FAILED
    ids = system.deliveries(25, max_retries=20, url="https://host.example/private")
    system.deliver(ids)
    system.answer = lambda _: OK
    system.pass_time(timedelta(hours=1))
    for _ in range(3):
        system.deliver([])
    told = [each for each in lines(caplog, logging.WARNING) if "change" in each]
    assert [each["change"] for each in told] == ["breaker_opened", "breaker_closed"]
    assert {each["host"] for each in told} == {"host.example"}
    assert "opens after " in told[0]["message"]
    assert "private" not in str(told)


@pytest.mark.parametrize(
    ("answer", "change"),
    [
        (OK._replace(duration_ms=2500), "slow"),
        (FAILED._replace(status_code=410, error_message="HTTP 410"), "disabled"),
    ],
    ids=["slow", "disabled"],
)
def test_an_endpoint_that_is_slow_or_disabled_is_told(
    system: System, caplog: pytest.LogCaptureFixture, answer: AttemptResult, change: str
) -> None:
    """Once, with the endpoint and the reason."""
    system.answer = lambda _: answer
    system.deliver(system.deliveries(3))
    told = [each for each in lines(caplog, logging.WARNING) if "change" in each]
    assert [each["change"] for each in told] == [change]
    assert told[0]["message"].startswith(f"webhook {told[0]['webhook']} at receiver.example: ")


def test_the_page_on_logs_has_each_field_of_an_attempts_line() -> None:
    """In their order, and no other."""
    page = (Path(__file__).parents[2] / "docs" / "logs.md").read_text("utf-8")
    table = page.partition("| field | what |")[2].partition("Beside it")[0]
    named = [
        name for row in re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    ]
    assert tuple(named) == ATTEMPT_FIELDS
