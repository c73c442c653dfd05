"""What Slack, Discord and Teams mean by their answers: too many, gone for good, or an ordinary failure."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest

from noteflow_hooks.domain.options import Format
from noteflow_hooks.executor.vendors import Heard, hear

if TYPE_CHECKING:
    from collections.abc import Mapping

_NONE: Final[Mapping[str, str]] = {}


def heard(form: Format, status: int, body: bytes | str = b"", headers: Mapping[str, str] = _NONE) -> Heard:
    """Return what the answer means."""
    return hear(form, status, body.encode() if isinstance(body, str) else body, headers.get)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "no_service"),
        (404, "channel_not_found"),
        (404, "no_team"),
        (403, "action_prohibited"),
        (403, "invalid_token"),
        (410, "channel_is_archived"),
        (404, "no_service\n"),
    ],
)
def test_slack_says_gone_in_a_word(status: int, words: str) -> None:
    """A removed webhook, an archived channel, an administrator's restriction: nothing will go there again."""
    assert heard(Format.SLACK, status, words).gone == f"{status} {words.strip()}"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "<html>Not Found</html>"),
        (404, ""),
        (400, "invalid_payload"),
        (500, "no_service"),
        (400, "no_service"),
        (200, "no_service"),
        (403, "no_text"),
    ],
)
def test_slack_s_other_answers_are_ordinary(status: int, words: str) -> None:
    """A proxy's 404 disables nothing, and neither does what the message itself is refused for."""
    assert heard(Format.SLACK, status, words) == Heard(status)


def test_discord_says_gone_by_its_own_code() -> None:
    """A 404 that has it disables the endpoint; without it, or with another one, it is an ordinary failure."""
    assert heard(Format.DISCORD, 404, '{"message": "Unknown Webhook", "code": 10015}').gone == (
        "404 Unknown Webhook (10015)"
    )
    for status, body in ((404, '{"code": 10003}'), (404, ""), (404, "[10015]"), (400, '{"code": 10015}')):
        assert heard(Format.DISCORD, status, body) == Heard(status)


@pytest.mark.parametrize(
    ("body", "headers", "seconds"),
    [
        ('{"message": "You are being rate limited.", "retry_after": 0.529, "global": false}', {}, 0.529),
        ('{"retry_after": 64.57, "global": true}', {"x-ratelimit-reset-after": "1.2"}, 64.57),
        ("", {"x-ratelimit-reset-after": "1.2"}, 1.2),
        ('{"retry_after": "5"}', {}, 5),
        ('{"retry_after": 1e300}', {}, 86_400),
    ],
)
def test_discord_says_how_long_to_wait_in_its_body(body: str, headers: Mapping[str, str], seconds: float) -> None:
    """And in a header of its own; the longer of the two counts, up to a day."""
    assert heard(Format.DISCORD, 429, body, headers).retry_after == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"retry_after": -1}',
        '{"retry_after": true}',
        '{"retry_after": "soon"}',
        '{"retry_after": NaN}',
        '{"retry_after": 1e999}',
        "[" * 5000,
        b"\xff",
    ],
)
def test_a_wait_of_discord_s_that_makes_no_sense_is_none(body: str | bytes) -> None:
    """Junk is no wait, and no error."""
    assert heard(Format.DISCORD, 429, body) == Heard(429)
    assert heard(Format.DISCORD, 500, '{"retry_after": 5}') == Heard(500)


@pytest.mark.parametrize("status", [413, 429, 503])
def test_a_200_of_a_connector_may_have_an_error_in_its_body(status: int) -> None:
    """What Teams itself has said is the status."""
    words = f"Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error {status} with"
    assert heard(Format.TEAMS, 200, f"{words} ContextId tcid=1,server=x,cv=y.0..").status == status
    assert heard(Format.TEAMS, 500, words).status == 500


def test_teams_too_many_waits_for_its_window() -> None:
    """It names no time to wait; where a workflow names one, that counts."""
    words = (
        "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ContextId"
    )
    assert heard(Format.TEAMS, 200, words) == Heard(429, retry_after=timedelta(seconds=30))
    assert heard(Format.TEAMS, 429).retry_after == timedelta(seconds=30)
    assert heard(Format.TEAMS, 429, headers={"retry-after": "7"}) == Heard(429)
    assert heard(Format.TEAMS, 200, "1") == Heard(200)
    assert heard(Format.TEAMS, 202) == Heard(202)


def test_teams_says_gone_by_a_workflow_s_code() -> None:
    """A deleted workflow is gone; a 404 of anything else is an ordinary failure."""
    body = {"error": {"code": "WorkflowNotFound", "message": "The workflow 'x' could not be found."}}
    assert heard(Format.TEAMS, 404, json.dumps(body)).gone == "404 WorkflowNotFound"
    for other in ("", '{"error": "WorkflowNotFound"}', '{"error": {"code": "Other"}}'):
        assert heard(Format.TEAMS, 404, other) == Heard(404)


@pytest.mark.parametrize("form", [each for each in Format if not each.is_preset])
def test_other_formats_hear_the_status_alone(form: Format) -> None:
    """Whatever the body says."""
    assert heard(form, 404, "no_service") == heard(form, 404, '{"code": 10015}') == Heard(404)
