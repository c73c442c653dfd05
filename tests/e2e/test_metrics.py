"""What server and workers tell of themselves at `/metrics`, under each pool, with children that come and go."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Final

import psutil
import pytest

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.support.extra_programs import log_of, started
from tests.support.scraping import Scrape, address_in, scraped
from tests.support.server_group import RunningGroup
from tests.support.system_rig import SystemRig, a_path
from tests.support.waiting import until
from tests.support.worker_programs import pooled_worker

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENTS: Final = 12


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemRig]:
    """Offer a system each of whose processes answers at a port of its own."""
    with SystemRig(tmp_path_factory.mktemp("metrics"), metrics_bind="127.0.0.1:0") as running:
        running.webhook(a_path())
        yield running


def _scraped(rig: SystemRig, name: str) -> Scrape:
    return scraped(address_in(lambda: log_of(rig, name).read_text()))


def _attempts(rig: SystemRig) -> int:
    [(count,)] = rig.database.execute("SELECT count(*) FROM noteflow.webhook_attempts").fetchall()
    return int(count)


def _deliver(rig: SystemRig, count: int = EVENTS) -> None:
    wanted = _attempts(rig) + count
    for _ in range(count):
        rig.publish()
    until(lambda: _attempts(rig) == wanted, what=f"{count} attempts are recorded")


def test_a_server_counts_its_calls(rig: SystemRig) -> None:
    """By method and code, and how long they took; the wake-ups that it sent, and the tokens that it refused."""
    _deliver(rig, 3)
    with rig.connect("whk_nobody") as stranger, pytest.raises(Exception, match="UNAUTHENTICATED"):
        stranger.webhooks.ListWebhooks(pb.ListWebhooksRequest())

    def counted() -> bool:
        return _scraped(rig, "server").value("grpc_calls_total", code="UNAUTHENTICATED") == 1

    # A call is counted when it is over, and its caller may know of that before.
    until(counted, what="the refused call is counted")
    scrape = _scraped(rig, "server")
    assert scrape.value("grpc_calls_total", method="EventService/PublishEvent", code="OK") >= 3
    assert scrape.value("tokens_refused_total", reason="unknown") == 1
    assert scrape.value("grpc_call_duration_seconds_count") >= 3
    assert scrape.value("wake_ups_total", queue="dispatch", result="sent") >= 1


def test_one_process_with_many_posts_counts_each(rig: SystemRig) -> None:
    """Greenlets and threads: as many as there are rows of attempts, none of them under way at the end."""
    _deliver(rig)
    attempts, before = _attempts(rig), _scraped(rig, "worker-1")
    assert before.value("posts_total") == attempts
    assert before.value("post_places") == 100
    assert before.value("posts_under_way") == 0
    made, reused = (before.value("connections_total", how=how) for how in ("made", "reused"))
    assert (made >= 1, made + reused) == (True, attempts)
    assert 1 <= before.value("claim_lag_seconds_count") <= attempts
    rig.system.end_worker(1)
    command = pooled_worker("threads", "-c", "8", name="in-threads")
    with started(rig, "in-threads", command, metrics_bind="127.0.0.1:0"):
        _deliver(rig)
        scrape = _scraped(rig, "in-threads")
        assert scrape.value("posts_total") == EVENTS
        assert scrape.value("processes") == 1


def test_children_that_come_and_go_are_counted_by_their_worker(rig: SystemRig) -> None:
    """A child counts on where the one before it in its place has ended, by itself or by SIGKILL."""
    command = pooled_worker("prefork", "-c", "2", "--max-tasks-per-child", "3", name="in-children")
    with started(rig, "in-children", command, metrics_bind="127.0.0.1:0") as worker:
        for _ in range(2):
            _deliver(rig)
        assert worker.pid is not None
        first, *_ = psutil.Process(worker.pid).children()
        os.kill(first.pid, signal.SIGKILL)
        _deliver(rig)
        rig.redis.lpush("deliver", "no task")
        address = address_in(lambda: log_of(rig, "in-children").read_text())
        until(lambda: scraped(address).value("processes") == 3, what="a child takes the place of the one that ended")
        until(lambda: scraped(address).value("messages_dropped_total", reason="malformed") == 1, what="it is dropped")
        scrape = scraped(address)
        assert scrape.value("posts_total") == 3 * EVENTS
        assert scrape.value("posts_under_way") == 0
        assert 1 <= scrape.value("claim_lag_seconds_count") <= 3 * EVENTS
        with started(rig, "second", command, metrics_bind=address):
            log = log_of(rig, "second")
            until(lambda: " ready." in log.read_text(), what="the second worker is ready")
            until(lambda: "give each on this host a port of its own" in log.read_text(), what="it says so")
            assert "Traceback" not in log.read_text()


def test_the_servers_of_a_group_are_counted_together(rig: SystemRig) -> None:
    """Whoever is asked, the process that has started them answers for all; a dead one's calls stay counted."""
    with RunningGroup(rig, count=2, metrics_bind="127.0.0.1:0") as group:
        clients = group.connect_to_each()
        for client in clients.values():
            client.webhooks.WhoAmI(pb.WhoAmIRequest())
        address = address_in(group.log.read_text)
        assert scraped(address).value("grpc_calls_total", method="WebhookService/WhoAmI", code="OK") == 2
        dead = next(iter(clients))
        os.kill(dead, signal.SIGKILL)
        until(lambda: dead not in group.servers() and len(group.servers()) == 2, what="another one is started")
        assert scraped(address).value("grpc_calls_total", method="WebhookService/WhoAmI", code="OK") == 2
