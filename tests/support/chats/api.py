"""Stubs of the vendors' APIs, made from their documentation: they refuse, slow down and say gone as the vendors do.

Sources: docs.slack.dev, "Sending messages using incoming webhooks"; discord.com/developers, "Execute Webhook", "Rate
Limits"; learn.microsoft.com, "Create and send messages" and "Rate limiting for connectors".
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from noteflow_hooks.domain.options import Format
from tests.support.chats.discord import check_discord
from tests.support.chats.shown import RefusedError
from tests.support.chats.slack import check_slack
from tests.support.chats.teams import check_teams
from tests.support.receiver import Receiver
from tests.support.receiver_connection import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.support.receiver_connection import ReceivedRequest, ReceiverConnection

_CHECKS: Final[Mapping[Format, Callable[[bytes], None]]] = {
    Format.SLACK: check_slack,
    Format.DISCORD: check_discord,
    Format.TEAMS: check_teams,
}
#: How many requests each takes in so many seconds.
_WINDOWS: Final = {Format.SLACK: (1, 1.0), Format.DISCORD: (5, 2.0), Format.TEAMS: (4, 1.0)}
#: The window's edge as a vendor sees it: what was sent a second apart may come a little closer.
_EDGE_S: Final = 0.25
#: Whatever a vendor would not look at, or should not get.
_NOT_OURS: Final = ("x-noteflow-", "webhook-", "ce-", "traceparent")
_JSON: Final = (("Content-Type", "application/json"),)


@dataclass(slots=True)
class Channel:
    """A channel with its webhook."""

    form: Format
    path: str
    #: The messages that it has taken, oldest first.
    messages: list[bytes] = field(default_factory=list)
    #: Why messages were refused.
    refusals: list[str] = field(default_factory=list)
    #: How it says that it is gone; empty while it is there.
    gone: str = ""
    #: So many of the next requests are too many.
    too_many: int = 0
    #: How many were answered so.
    slowed: int = 0
    #: Whether it is an old connector of Teams.
    is_connector: bool = False
    _came: list[float] = field(default_factory=list)

    def answer(self, request: ReceivedRequest) -> Answer:
        """Answer a request as the vendor does."""
        if self.gone:
            return _gone(self)
        if self._is_too_many():
            self.slowed += 1
            return _too_many(self)
        try:
            self._check(request)
        except RefusedError as error:
            self.refusals.append(str(error))
            return _refused(self.form, str(error))
        self.messages.append(request.body)
        return _taken(self)

    def _is_too_many(self) -> bool:
        now, (count, seconds) = time.monotonic(), _WINDOWS[self.form]
        self._came = [each for each in self._came if now - each < seconds - _EDGE_S]
        if self.too_many:
            self.too_many -= 1
            return True
        self._came.append(now)
        return len(self._came) > count

    def _check(self, request: ReceivedRequest) -> None:
        if request.method != "POST" or request.header("Content-Type") != "application/json":
            raise RefusedError("invalid_payload")
        for name, _ in request.headers:
            if name.lower().startswith(_NOT_OURS):
                raise RefusedError(f"a header that is not the vendor's: {name}")
        _CHECKS[self.form](request.body)


def _taken(channel: Channel) -> Answer:
    match channel.form:
        case Format.SLACK:
            return Answer(200, body=b"ok")
        case Format.DISCORD:
            return Answer(204, (("X-RateLimit-Limit", "5"), ("X-RateLimit-Remaining", "4")), body=b"")
        case _:
            return Answer(200, body=b"1") if channel.is_connector else Answer(202, body=b"")


def _refused(form: Format, words: str) -> Answer:
    match form:
        case Format.SLACK:
            return Answer(400, body=words.encode())
        case Format.DISCORD:
            return _json(400, {"message": words, "code": 50035, "errors": {}})
        case _:
            return _json(400, {"error": {"code": "InvalidRequestContent", "message": words}})


def _too_many(channel: Channel) -> Answer:
    match channel.form:
        case Format.SLACK:
            body = {"ok": False, "error": "rate_limited", "retry_after": 1}
            return _json(429, body, ("Retry-After", "1"))
        case Format.DISCORD:
            body = {"message": "You are being rate limited.", "retry_after": 0.3, "global": False}
            return _json(429, body, ("X-RateLimit-Reset-After", "0.3"), ("X-RateLimit-Scope", "user"))
        case _ if channel.is_connector:
            words = "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with"
            return Answer(200, body=f"{words} ContextId tcid=0,server=DB3PEPF0000009A,cv=BmkbJ1..".encode())
        case _:
            return _json(429, {"error": {"code": "TooManyRequests", "message": "x"}}, ("Retry-After", "1"))


def _gone(channel: Channel) -> Answer:
    match channel.form:
        case Format.SLACK:
            statuses = {"action_prohibited": 403, "channel_is_archived": 410}
            return Answer(statuses.get(channel.gone, 404), body=channel.gone.encode())
        case Format.DISCORD:
            return _json(404, {"message": channel.gone, "code": 10015})
        case _:
            return _json(404, {"error": {"code": "WorkflowNotFound", "message": channel.gone}})


def _json(status: int, body: dict[str, Any], *headers: tuple[str, str]) -> Answer:
    return Answer(status, (*_JSON, *headers), json.dumps(body).encode())


class ChatApis(Receiver):
    """All three APIs at one address, over TLS. Where there is no webhook, Slack's answer is given."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - the receiver's own
        """Take a receiver's options."""
        super().__init__(tls=True, **options)
        self._channels: dict[str, Channel] = {}

    def channel(self, form: Format, path: str, **state: Any) -> Channel:  # noqa: ANN401 - its fields
        """Make a channel whose webhook is at that path."""
        made = self._channels[path] = Channel(form, path, **state)
        return made

    @override
    def _answered(self, connection: ReceiverConnection, request: ReceivedRequest) -> bool:
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()
            channel = self._channels.get(request.path)
            answer = Answer(404, body=b"no_team") if channel is None else channel.answer(request)
        connection.send(answer.encode())
        return True
