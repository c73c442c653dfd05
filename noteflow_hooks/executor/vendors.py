"""What the vendors of chats mean by their answers, where that isn't what HTTP's status says by itself.

Sources: docs.slack.dev, "Sending messages using incoming webhooks" ("Handling errors"); discord.com/developers, "Rate
Limits" and "JSON Error Codes"; learn.microsoft.com, "Create and send messages" ("Rate limiting for connectors").
"""

from __future__ import annotations

import json
import math
import re
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from noteflow_hooks.domain.attempts import SUCCESS
from noteflow_hooks.domain.options import Format
from noteflow_hooks.domain.retry import RETRY_AFTER_CAP

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: By what Slack says, as plain text, that a webhook or its channel is not there any more, and with which status.
_SLACK_GONE: Final = frozenset(
    {
        b"action_prohibited",
        b"channel_is_archived",
        b"channel_not_found",
        b"invalid_token",
        b"no_active_hooks",
        b"no_service",
        b"no_service_id",
        b"no_team",
        b"posting_to_general_channel_denied",
        b"team_disabled",
    }
)
_SLACK_STATUSES: Final = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
#: "Unknown webhook".
_DISCORD_GONE: Final = 10015
#: The code with which Azure says that a workflow was deleted.
_TEAMS_GONE: Final = "WorkflowNotFound"
#: Connectors answer 200 and have what Teams itself has said in the body.
_TEAMS_SAID: Final = re.compile(rb"Microsoft Teams endpoint returned HTTP error ([45][0-9]{2})\b")
#: How long the longer of the windows is in which Teams counts by itself; it names no time to wait.
_TEAMS_WINDOW: Final = timedelta(seconds=30)


class Heard(NamedTuple):
    """What an answer means."""

    status: int
    #: In which words the vendor says that nothing will ever be taken there again; None where it doesn't.
    gone: str | None = None
    #: How long to wait, where the vendor has another way of saying so than ``Retry-After``.
    retry_after: timedelta | None = None


def hear(form: Format, status: int, body: bytes, header: Callable[[str], str | None]) -> Heard:
    """Return what a preset's answer means; ``header`` returns a header's value by its name in lower case."""
    match form:
        case Format.SLACK:
            return _hear_slack(status, body)
        case Format.DISCORD:
            return _hear_discord(status, body, header)
        case Format.TEAMS:
            return _hear_teams(status, body, header)
        case _:
            return Heard(status)


def _hear_slack(status: int, body: bytes) -> Heard:
    words = body.strip()
    is_gone = status in _SLACK_STATUSES and words in _SLACK_GONE
    return Heard(status, f"{status} {words.decode('ascii')}" if is_gone else None)


def _hear_discord(status: int, body: bytes, header: Callable[[str], str | None]) -> Heard:
    if status == HTTPStatus.NOT_FOUND and _object(body).get("code") == _DISCORD_GONE:
        return Heard(status, f"{status} Unknown Webhook ({_DISCORD_GONE})")
    if status != HTTPStatus.TOO_MANY_REQUESTS:
        return Heard(status)
    waits = [_wait(_object(body).get("retry_after")), _wait(header("x-ratelimit-reset-after"))]
    return Heard(status, retry_after=max((each for each in waits if each is not None), default=None))


def _hear_teams(status: int, body: bytes, header: Callable[[str], str | None]) -> Heard:
    inner = _TEAMS_SAID.search(body) if status in SUCCESS else None
    if inner is not None:
        status = int(inner[1])
    if status == HTTPStatus.TOO_MANY_REQUESTS and header("retry-after") is None:
        return Heard(status, retry_after=_TEAMS_WINDOW)
    error = _object(body).get("error") if status == HTTPStatus.NOT_FOUND else None
    is_gone = isinstance(error, dict) and error.get("code") == _TEAMS_GONE
    return Heard(status, f"{status} {_TEAMS_GONE}" if is_gone else None)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _wait(seconds: object) -> timedelta | None:
    """Return a wait of so many seconds, given as a number or as text; None where that makes no sense."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float | str):
        return None
    try:
        number = float(seconds)
    except (ValueError, OverflowError):
        return None
    return (
        timedelta(seconds=min(number, RETRY_AFTER_CAP.total_seconds()))
        if math.isfinite(number) and number >= 0
        else None
    )
