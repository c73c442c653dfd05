"""A meeting's events in order, by real workers that are killed, to a receiver that fails."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import pytest

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.support.builders import a_payload
from tests.support.receiver_connection import Answer
from tests.support.system_rig import SystemRig, a_path, retry_while_unavailable
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.receiver_connection import ReceivedRequest

OK, FAILED = Answer(200), Answer(500)
FAILING: Final = 0.3


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemRig]:
    """Two workers, and a breaker that never opens."""
    with SystemRig(tmp_path_factory.mktemp("system"), workers=2, breaker_failures=0, retry_base_s=0.05) as running:
        yield running


class Failing:
    """A receiver that fails so many of its requests, by a hash of the event and of how often it came."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count: dict[str, int] = defaultdict(int)
        #: By meeting, the numbers of what was answered with success, each event once.
        self.ledger: dict[str, list[int]] = defaultdict(list)
        self._got: set[str] = set()

    def take(self, request: ReceivedRequest) -> Answer:
        """Answer, and note what was taken."""
        event_id, sequence = request.header("webhook-id") or "", request.header("X-NoteFlow-Sequence")
        with self._lock:
            self._count[event_id] += 1
            drawn = hashlib.sha256(f"{event_id} {self._count[event_id]}".encode()).digest()[0] / 256
            if drawn < FAILING:
                return FAILED
            if event_id not in self._got:
                self._got.add(event_id)
                self.ledger[json.loads(request.body)["meeting_id"]].append(int(sequence or 0))
        return OK

    @property
    def taken(self) -> int:
        return len(self._got)

    def has(self, count: int) -> bool:
        return self.taken > count


def publish(rig: SystemRig, meetings: list[str]) -> None:
    """Publish an event of each of these meetings in one call."""
    requests = [
        pb.PublishEventRequest(
            event_type="meeting.completed",
            payload_json=json.dumps(a_payload(meeting_id=each)),
            idempotency_key=uuid4().hex,
        )
        for each in meetings
    ]
    retry_while_unavailable(lambda: rig.client.events.PublishEvents(pb.PublishEventsRequest(requests=requests)))


def publish_rounds(rig: SystemRig, meetings: list[str], rounds: int) -> None:
    for _ in range(rounds):
        publish(rig, meetings)


def check(rig: SystemRig, *, events: int, meetings: int, kills: int) -> None:
    """Send so many events of so many meetings to two endpoints, one in order, while workers are killed."""
    path, failing = a_path(), Failing()
    rig.receiver.answer(path, failing.take)
    webhook = rig.webhook(path, ordering="per_meeting", max_retries=20)
    names = [f"m-{number}" for number in range(meetings)]
    with ThreadPoolExecutor(2) as pool:
        halves = [pool.submit(publish_rounds, rig, names, events // meetings // 2) for _ in range(2)]
        for number in range(kills):
            until(partial(failing.has, number * events // (kills + 1)), what="some have come", timeout_s=120)
            name = f"worker-{number % 2 + 1}"
            rig.kill(name)
            rig.restart(name)
        for each in halves:
            each.result(timeout=120)
    rig.settled(webhook, "succeeded", count=events, timeout_s=240)
    assert failing.taken == events
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in failing.ledger.values())


def test_each_meetings_ledger_rises_over_failures_and_killed_workers(rig: SystemRig) -> None:
    """120 events of 6 meetings, three in ten requests failing, two workers killed: nothing lost, each in its order."""
    check(rig, events=120, meetings=6, kills=2)


@pytest.mark.chaos
def test_a_thousand_events_of_fifty_meetings_go_in_order(rig: SystemRig) -> None:
    """The same, with six workers killed."""
    check(rig, events=1_000, meetings=50, kills=6)


class Paced:
    """A receiver that notes when each request came and was answered, by the event's title."""

    def __init__(self, pause_s: float) -> None:
        self._pause = pause_s
        self.came: dict[str, float] = {}
        self.answered: dict[str, float] = {}

    def take(self, request: ReceivedRequest) -> Answer:
        title = json.loads(request.body)["title"]
        self.came[title] = time.monotonic()
        threading.Event().wait(self._pause)
        self.answered[title] = time.monotonic()
        return OK


def test_the_next_one_comes_as_soon_as_its_head_is_settled(rig: SystemRig) -> None:
    """From the head's answer on, held against the way of an event from publishing to an endpoint without order."""
    ordered, free, rounds = Paced(0.1), Paced(0), 15
    paths = a_path(), a_path()
    rig.receiver.answer(paths[0], ordered.take)
    rig.receiver.answer(paths[1], free.take)
    webhooks = rig.webhook(paths[0], ordering="per_meeting"), rig.webhook(paths[1])
    published: dict[str, float] = {}
    for number in range(rounds):
        meeting_id = f"paced-{number}"
        rig.publish(meeting_id=meeting_id, title=f"{number} first")
        published[f"{number} second"] = time.monotonic()
        rig.publish(meeting_id=meeting_id, title=f"{number} second")
        until(lambda: len(ordered.answered) == 2 * (number + 1), what="both have come", timeout_s=60)  # noqa: B023 - called at once
    for each in webhooks:
        rig.settled(each, "succeeded", count=2 * rounds)
    handed_on = median(ordered.came[f"{n} second"] - ordered.answered[f"{n} first"] for n in range(rounds))
    arrived = median(free.came[title] - at for title, at in published.items())
    assert handed_on < 5 * arrived, f"{1000 * handed_on:.1f} ms, {1000 * arrived:.1f} ms"
