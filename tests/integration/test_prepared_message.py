"""Messages that are prepared and pushed past kombu: byte for byte what Celery and kombu would have put there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from celery import Celery
from kombu import Exchange, Queue
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from noteflow_hooks.broker.kombu_internals import shown_arguments
from noteflow_hooks.broker.names import DISPATCH_QUEUE, DISPATCH_TASK
from noteflow_hooks.broker.publisher import QueueSender
from noteflow_hooks.broker.redis_link import RedisLink
from noteflow_hooks.redis_url import RedisAddress
from tests.support.waiting import until
from workers.messages import problem_with

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def broker(redis_url: str) -> Iterator[Redis]:
    """The broker, with an empty queue."""
    with Redis.from_url(redis_url) as client:
        client.delete(DISPATCH_QUEUE)
        yield client
        client.delete(DISPATCH_QUEUE)


def pushed(broker: Redis) -> bytes:
    """Take the message that is there."""
    [raw] = broker.lrange(DISPATCH_QUEUE, 0, -1)
    broker.delete(DISPATCH_QUEUE)
    assert isinstance(raw, bytes)
    return raw


def without_ids(raw: bytes) -> tuple[str, dict[str, Any]]:
    """Return the text with what differs from message to message replaced, and all that it says."""
    message, text = json.loads(raw), raw.decode()
    text = text.replace(json.dumps(message["headers"]["argsrepr"]), '"…"')
    for each in (message["headers"]["id"], message["properties"]["delivery_tag"], message["properties"]["reply_to"]):
        text = text.replace(each, "…")
    return text, message


@pytest.mark.parametrize("count", [1, 2, 50, 51, 500])
def test_a_prepared_message_is_the_one_that_kombu_sends(redis_url: str, broker: Redis, count: int) -> None:
    """But for how many of the arguments are shown, of which Celery shows fewer."""
    ids, address = [str(uuid4()) for _ in range(count)], RedisAddress.parse(redis_url)
    assert QueueSender(address, task=DISPATCH_TASK, queue=DISPATCH_QUEUE).send(ids) == 1
    ours = pushed(broker)
    with Celery("test", set_as_current=False, **address.celery_options) as app:
        app.conf.task_queues = [Queue(DISPATCH_QUEUE, Exchange(""), routing_key=DISPATCH_QUEUE)]
        app.conf.task_ignore_result = True
        app.send_task(DISPATCH_TASK, args=[ids], queue=DISPATCH_QUEUE)
    theirs = pushed(broker)
    assert without_ids(ours)[0] == without_ids(theirs)[0]
    assert json.loads(ours)["headers"]["argsrepr"] == shown_arguments(ids)
    assert problem_with(ours) is None


def test_two_prepared_messages_are_two_tasks(redis_url: str, broker: Redis) -> None:
    """Each has an id and a tag of its own."""
    sender = QueueSender(RedisAddress.parse(redis_url), task=DISPATCH_TASK, queue=DISPATCH_QUEUE)
    found = []
    for _ in range(2):
        sender.send([str(uuid4())])
        found.append(without_ids(pushed(broker))[1])
    assert len({each["headers"]["id"] for each in found}) == 2
    assert len({each["properties"]["delivery_tag"] for each in found}) == 2
    assert all(each["headers"]["root_id"] == each["properties"]["correlation_id"] for each in found)


def test_a_kept_connection_that_has_ended_is_made_anew(redis_url: str, broker: Redis) -> None:
    """As after a restart of Redis while nothing was sent: the first message after it is not lost."""
    link = RedisLink(RedisAddress.parse(redis_url))
    assert link.push(DISPATCH_QUEUE, "one") == 1
    own = max((each["id"] for each in broker.client_list() if each["cmd"] == "lpush"), key=int)
    broker.client_kill_filter(_id=own)
    until(lambda: own not in [each["id"] for each in broker.client_list()], what="the connection is gone")
    assert link.push(DISPATCH_QUEUE, "two") == 2
    assert link.length(DISPATCH_QUEUE) == 2
    link.close()


def test_a_push_is_begun_over_a_connection_that_is_there(redis_url: str, broker: Redis) -> None:
    """Before the first one there is none, and nothing is sent. Its answer is waited for by itself."""
    link = RedisLink(RedisAddress.parse(redis_url))
    assert link.begin_push(DISPATCH_QUEUE, "none") is None
    assert link.push(DISPATCH_QUEUE, "one") == 1
    answer = link.begin_push(DISPATCH_QUEUE, "two")
    until(lambda: broker.llen(DISPATCH_QUEUE) == 2, what="it is there without anybody's waiting for the answer")
    assert answer is not None
    assert answer() == 2
    link.close()


def test_a_begun_push_over_a_connection_that_has_ended_is_made_anew(redis_url: str, broker: Redis) -> None:
    """It may have been sent into a connection that Redis had closed: whoever waits for its answer sends it again."""
    link = RedisLink(RedisAddress.parse(redis_url))
    assert link.push(DISPATCH_QUEUE, "one") == 1
    own = max((each["id"] for each in broker.client_list() if each["cmd"] == "lpush"), key=int)
    broker.client_kill_filter(_id=own)
    until(lambda: own not in [each["id"] for each in broker.client_list()], what="the connection is gone")
    answer = link.begin_push(DISPATCH_QUEUE, "two")
    assert answer is not None
    assert answer() == 2
    link.close()


def test_a_full_queue_is_looked_at_by_the_thread(redis_url: str, broker: Redis) -> None:
    """Who announces puts nothing into it."""
    sender = QueueSender(RedisAddress.parse(redis_url), task=DISPATCH_TASK, queue=DISPATCH_QUEUE, full=2)
    sender.send([str(uuid4())])
    answer = sender.begin([str(uuid4())])
    assert answer is not None
    assert answer() == 2
    assert sender.begin([str(uuid4())]) is None
    assert broker.llen(DISPATCH_QUEUE) == 2


def test_a_redis_that_is_away_is_tried_once() -> None:
    """A new connection that is refused is not made again at once."""
    with pytest.raises(RedisConnectionError):
        RedisLink(RedisAddress.parse("redis://127.0.0.1:1/0")).push("dispatch", "one")
