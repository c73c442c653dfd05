"""Tries a client on every path of the hostile server, and compares each result with the server's table."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.urls import parse_url
from noteflow_hooks.executor.http.faults import ExchangeError, from_network
from noteflow_hooks.executor.http.stream import Deadline
from noteflow_hooks.executor.http.trust import tls_context
from noteflow_hooks.executor.outcome import Outcome, answered, failed
from scripts.http_parsers.client import Client, Place
from tests.support.builders import a_webhook
from tests.support.certificates import authority_pem
from tests.support.hostile_cases.faulty_listeners import FAULTY_LISTENERS, FaultyListener
from tests.support.hostile_server import CASES, HostileServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.executor.http.reply import Reply
    from tests.support.hostile_cases.case import HostileCase

#: Time limits: of attempts that end only by it, of such attempts that must get a head before, and of all others, which
#: should end long before.
_SHORT_S, _HEADED_S, _PLENTY_S = 2.0, 8.0, 30.0
#: How much later than its limit an attempt may end.
_GRACE_S: Final = 5.0
_AT_ONCE: Final = 16
_BODY: Final = b"{}"
_HEADERS: Final = {"Host": "localhost", "Accept-Encoding": "identity", "Content-Length": str(len(_BODY))}


class Verdict(NamedTuple):
    """The result of one attempt."""

    #: Whether it is as the table says.
    fits: bool
    #: Whether the client would use the connection again.
    keeps: bool
    #: The result in a few words.
    came: str


@dataclass
class _Attempt:
    """One attempt, in a thread of its own in case the client never returns."""

    case: HostileCase | FaultyListener
    url: str
    outcome: Outcome | None = None
    keeps: bool = False

    @property
    def limit_s(self) -> float:
        """Its time limit."""
        if not self.case.is_drawn_out:
            return _PLENTY_S
        return _SHORT_S if ErrorKind.TIMEOUT in self.case.kinds else _HEADED_S

    def make(self, kind: type[Client]) -> None:
        """Make the attempt. If the client raises anything but the failure of an exchange, that is its own fault."""
        deadline = Deadline(time.monotonic() + self.limit_s, time.monotonic)
        try:
            self.outcome = self._made(kind, deadline)
        except ExchangeError as error:
            self.outcome = failed(error)
        except OSError as error:
            self.outcome = failed(from_network(error))
        except Exception as error:  # noqa: BLE001 - the boundary: what a client raises is part of the comparison
            self.outcome = Outcome(error_kind=ErrorKind.INTERNAL, error_message=repr(error)[:80])

    def _made(self, kind: type[Client], deadline: Deadline) -> Outcome:
        url = parse_url(self.url, allow_http_loopback=True)
        context = tls_context(authority_pem()) if url.scheme == "https" else None
        client = kind(Place(url.port, context), deadline)
        try:
            answer = client.post(url.target, _HEADERS, _BODY, deadline)
            outcome = answered(cast("Reply", answer), a_webhook(), now=datetime.now(UTC))
            self.keeps = answer.is_reusable
        finally:
            client.close()
        return outcome

    def verdict(self) -> Verdict:
        """Compare the result with the table."""
        if self.outcome is None:
            return Verdict(fits=False, keeps=False, came="does not end in time")
        fits = self._fits(self.outcome)
        came = f"{self.outcome.status_code} {self.outcome.error_kind} {self.outcome.error_message}"
        return Verdict(fits, self.keeps, came)

    def _fits(self, outcome: Outcome) -> bool:
        if isinstance(self.case, FaultyListener):
            return outcome.error_kind in self.case.kinds
        # The messages' words are the project's own; the rest is what any client must arrive at.
        is_told = (outcome.status_code, outcome.error_kind) in {(each.status, each.kind) for each in self.case.outcomes}
        wait, asked = outcome.retry_after, self.case.wait_s
        is_kept = self.case.body is None or outcome.response_body == self.case.body
        waits = wait is None if asked is None else wait is not None and asked[0] <= wait.total_seconds() <= asked[1]
        return is_told and is_kept and (waits or outcome.error_kind is None)


def verdicts(kind: type[Client]) -> dict[str, Verdict]:
    """Try all paths. Those that end only by their time limit come last, all at once."""
    with HostileServer() as server:
        attempts = dict(_attempts(server))
        brief = [each for each in attempts.values() if not each.case.is_drawn_out]
        for start in range(0, len(brief), _AT_ONCE):
            _make(kind, brief[start : start + _AT_ONCE])
        _make(kind, [each for each in attempts.values() if each.case.is_drawn_out])
        return {name: each.verdict() for name, each in attempts.items()}


def _attempts(server: HostileServer) -> Iterator[tuple[str, _Attempt]]:
    for name, case in CASES.items():
        for scheme in ("https", "http"):
            if case.speaks(scheme):
                yield f"{scheme} {name}", _Attempt(case, server.url(name, scheme=scheme))
    for name, listener in FAULTY_LISTENERS.items():
        yield f"handshake {name}", _Attempt(listener, server.listener(name))


def _make(kind: type[Client], attempts: list[_Attempt]) -> None:
    threads = [threading.Thread(target=each.make, args=(kind,), daemon=True) for each in attempts]
    for thread in threads:
        thread.start()
    end = time.monotonic() + max(each.limit_s for each in attempts) + _GRACE_S
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
