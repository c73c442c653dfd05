"""What stands in a queue and is no task ends no worker, and what it stood for is delivered all the same."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from celery import Celery

from noteflow_hooks.broker.names import QUEUES
from tests.support.poison_messages import NO_MESSAGE, POISON
from tests.support.system_rig import SystemRig, a_path
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The channel by which `celery inspect` and `celery control` speak to workers.
BROADCASTS: Final = "/0.celery.pidbox"


@contextlib.contextmanager
def same_worker(rig: SystemRig) -> Iterator[None]:
    """Expect the worker to live through the block, and to take messages afterwards."""
    before = rig.pid("worker-1")
    yield
    until(lambda: not any(rig.redis.llen(queue) for queue in QUEUES), what="all messages are consumed")
    with rig.as_new_tenant():
        webhook = rig.webhook(a_path())
        rig.publish()
        rig.settled(webhook, "succeeded")
    assert rig.pid("worker-1") == before


def test_poison_in_every_place_costs_no_delivery(rig: SystemRig) -> None:
    """Each message that a server or beat sent is stolen and poison put in its place; each event still comes once."""
    path = a_path()
    webhook = rig.webhook(path)
    with same_worker(rig), rig.frozen("worker-1"):
        events = {rig.publish() for _ in range(20)}
        until(lambda: rig.redis.llen("dispatch"), what="the wake-ups for them")
        for queue in QUEUES:
            rig.redis.delete(queue)
            rig.redis.lpush(queue, *POISON.values())
    rig.settled(webhook, "succeeded", count=len(events))
    received = [each.header("webhook-id") for each in rig.receiver.requests if each.path == path]
    assert len(received) == len(events)
    assert set(received) == events


def test_tasks_that_name_what_is_not_there_do_nothing(rig: SystemRig) -> None:
    """A delivery of nobody, one that was sent, and an event of nobody; then the sent one twenty times at once."""
    path = a_path()
    webhook = rig.webhook(path)
    rig.publish()
    [delivery] = rig.settled(webhook, "succeeded")
    with same_worker(rig):
        rig.wake("deliver", str(uuid4()), delivery.id)
        rig.wake("dispatch", str(uuid4()), delivery.event_id)
        for _ in range(20):
            rig.wake("deliver", delivery.id)
    assert rig.delivery(delivery.id) == delivery
    assert len([each for each in rig.receiver.requests if each.path == path]) == 1


def test_poison_that_is_broadcast_ends_no_worker(rig: SystemRig) -> None:
    """And an inspection is answered after it."""
    with same_worker(rig):
        for each in POISON.values():
            rig.redis.publish(BROADCASTS, each)
    with contextlib.closing(Celery(broker=rig.system.redis_url, set_as_current=False)) as app:
        until(lambda: app.control.ping(timeout=1), what="the worker answers")


def test_a_key_of_another_kind_in_a_queues_place_is_waited_for(rig: SystemRig) -> None:
    """The worker goes on once it is gone, without a new start."""
    with same_worker(rig):
        rig.redis.delete("deliver")
        rig.redis.set("deliver", "no list")
        until(lambda: "WRONGTYPE" in str(rig.redis.info("errorstats")), what="the worker has met it")
        rig.redis.lpush("dispatch", *NO_MESSAGE.values())
        rig.redis.delete("deliver")
