"""Over TLS a POST waits for a connection of its endpoint's that is in use rather than dial, but never for long."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import pytest

from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from noteflow_hooks.executor.http.connections import Connection, IdleConnections, Route
from tests.support.builders import a_delivery, a_webhook
from tests.support.certificates import authority_pem
from tests.support.receiver import Receiver
from tests.support.receiver_connection import Answer
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.domain.webhooks import WebhookConfig

#: Longer than any POST waits, in the tests where its wait is not the question.
LONG_S: Final = 0.04


@pytest.fixture
def executor() -> Iterator[WebhookExecutor]:
    egress = EgressPolicy(allow=["127.0.0.0/8"], allow_http_loopback=True)
    made = WebhookExecutor(egress, ca_bundle=authority_pem())
    yield made
    made.close()


def succeeded(executor: WebhookExecutor, webhook: WebhookConfig) -> bool:
    return executor.post(Claim(a_delivery(), webhook, b"{}")).succeeded


def test_one_connection_that_hangs_holds_up_no_other_post(executor: WebhookExecutor) -> None:
    """They wait in vain for it, and then dial: all requests are there before any answer is given."""
    with Receiver(tls=True) as receiver, ThreadPoolExecutor(12) as threads:
        webhook = a_webhook(url=receiver.url(host="localhost"), timeout_ms=30_000)
        receiver.hold()
        posts = [threads.submit(succeeded, executor, webhook) for _ in range(12)]
        receiver.wait_for(12)
        receiver.release()
        assert all(each.result(PATIENCE_S) for each in posts)
        assert receiver.connections == 12


def test_what_is_given_back_is_never_shared_with_another_webhook(executor: WebhookExecutor) -> None:
    """Even where both go to the same place, and one waits while the other's comes back."""
    with Receiver(tls=True) as receiver, ThreadPoolExecutor(8) as threads:
        webhooks = [a_webhook(url=receiver.url(host="localhost"), timeout_ms=30_000) for _ in range(2)]
        posts = [threads.submit(succeeded, executor, webhooks[number % 2]) for number in range(200)]
        assert all(each.result(PATIENCE_S) for each in posts)
        used: dict[int, set[str | None]] = {}
        for request in receiver.requests:
            used.setdefault(request.connection, set()).add(request.header("x-noteflow-delivery"))
        assert sum(map(len, used.values())) == 200
        assert receiver.connections >= 2


class FakeWire(Connection):
    """A connection that is quiet or not, and that says whether it was closed."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self.good_until = 0.0
        self.quiet = True
        self.closed = False

    def is_quiet(self) -> bool:
        return self.quiet

    def close(self) -> None:
        self.closed = True


ROUTE: Final = Route(uuid4(), "https", "receiver.example", 443)


def pool() -> IdleConnections:
    return IdleConnections(limit=8, max_age_s=1.5, monotonic=time.monotonic)


def waits(idle: IdleConnections, count: int = 1) -> None:
    until(lambda: len(idle._lanes[ROUTE].waiting) == count, what=f"{count} wait")  # noqa: SLF001 - nothing else tells


def taken(idle: IdleConnections, threads: ThreadPoolExecutor) -> list[Connection | None]:
    """Return where the connection goes that the next one who waits gets."""
    got: list[Connection | None] = []
    threads.submit(lambda: got.append(idle.take(ROUTE, wait_s=LONG_S)))
    return got


def with_long_waits(monkeypatch: pytest.MonkeyPatch) -> IdleConnections:
    """Return a pool in which a wait ends by what happens and not by the time."""
    monkeypatch.setattr("noteflow_hooks.executor.http.connections._LONGEST_WAIT_S", PATIENCE_S)
    monkeypatch.setattr(f"{__name__}.LONG_S", PATIENCE_S)
    return pool()


def test_who_waits_gets_what_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, whoever came first, and without its having been idle."""
    idle = with_long_waits(monkeypatch)
    with ThreadPoolExecutor(2) as threads:
        assert idle.take(ROUTE) is None
        connection = FakeWire(ROUTE)
        first = taken(idle, threads)
        waits(idle)
        second = taken(idle, threads)
        waits(idle, 2)
        for got in (first, second):
            idle.put(connection, at_most_s=9)
            until(lambda got=got: got == [connection], what="it has come")  # type: ignore[misc]  # mypy knows no lambda's defaults
        idle.put(connection, at_most_s=9)
    assert idle.take(ROUTE) is connection


def test_who_waits_dials_where_the_connection_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exchange failed, or its receiver asked to close it."""
    idle = with_long_waits(monkeypatch)
    with ThreadPoolExecutor(1) as threads:
        assert idle.take(ROUTE) is None
        got = taken(idle, threads)
        waits(idle)
        idle.leave(ROUTE)
        until(lambda: got == [None], what="it is told")
    idle.leave(ROUTE)
    assert not idle._lanes  # noqa: SLF001 - nothing else tells that nothing is left


def test_what_has_ended_as_it_came_back_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is closed, and who waited dials."""
    idle = with_long_waits(monkeypatch)
    with ThreadPoolExecutor(1) as threads:
        assert idle.take(ROUTE) is None
        connection = FakeWire(ROUTE)
        connection.quiet = False
        got = taken(idle, threads)
        waits(idle)
        idle.put(connection, at_most_s=9)
        until(lambda: got == [None], what="it is told")
    assert connection.closed


def test_nobody_waits_longer_than_dialling_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was dialled at once is dialled at once again."""
    idle = with_long_waits(monkeypatch)
    with ThreadPoolExecutor(1) as threads:
        assert idle.take(ROUTE) is None
        idle.dialled(ROUTE, 0.0)
        assert threads.submit(idle.take, ROUTE, wait_s=PATIENCE_S).result(PATIENCE_S / 2) is None


def test_only_so_many_wait_for_one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two for each; the next one dials, and then there is room for two more."""
    idle = with_long_waits(monkeypatch)
    with ThreadPoolExecutor(4) as threads:
        assert idle.take(ROUTE) is None
        got = [taken(idle, threads) for _ in range(2)]
        waits(idle, 2)
        assert idle.take(ROUTE, wait_s=PATIENCE_S) is None
        got += [taken(idle, threads) for _ in range(2)]
        waits(idle, 4)
        for _ in range(4):
            idle.leave(ROUTE)
        until(lambda: got == [[None]] * 4, what="all are told")


def test_what_is_no_longer_used_is_forgotten() -> None:
    """Of routes that nobody uses nothing is kept, whichever way their last connection went."""
    idle = pool()
    for at_most_s in (9.0, 0.0):
        idle.take(ROUTE)
        idle.put(FakeWire(ROUTE), at_most_s=at_most_s)
        idle.take(ROUTE)
        idle.leave(ROUTE)
    assert not idle._lanes  # noqa: SLF001 - nothing else tells that nothing is left


def test_an_answer_that_closes_costs_nobody_his_wait(executor: WebhookExecutor) -> None:
    """Each POST has a connection of its own, and all arrive."""
    with Receiver(tls=True) as receiver, ThreadPoolExecutor(6) as threads:
        receiver.script("/", Answer(headers=(("Connection", "close"),)))
        webhook = a_webhook(url=receiver.url(host="localhost"), timeout_ms=30_000)
        assert all(threads.map(lambda _: succeeded(executor, webhook), range(30)))
        assert receiver.connections == 30
