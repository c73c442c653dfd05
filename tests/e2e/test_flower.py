"""What an operator sees in a real Flower over a real worker, and what it refuses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import requests

from noteflow_hooks.broker.names import DELIVER_TASK, DISPATCH_TASK, QUEUES
from tests.support.receiver_connection import Answer
from tests.support.system_evidence import Flower
from tests.support.system_rig import SystemRig
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator


#: What the page of tasks asks for, as its table does.
LISTED = "/tasks/datatable?draw=1&start=0&length=10&order[0][column]=0&order[0][dir]=asc&columns[0][data]=name"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemRig]:
    with SystemRig(tmp_path_factory.mktemp("flower")) as rig:
        yield rig


@pytest.fixture(scope="module")
def flower(rig: SystemRig) -> Iterator[Flower]:
    with Flower(rig, rig.folder / "flower.log", read_only="true") as flower:
        flower.wait()
        yield flower


def ask(flower: Flower, path: str, auth: tuple[str, str] | None = None, *, method: str = "GET") -> requests.Response:
    return requests.request(method, f"{flower.url}{path}", auth=auth, timeout=30)


@pytest.mark.parametrize("auth", [None, ("operator", "wrong")])
@pytest.mark.parametrize("path", ["/metrics", "/", "/tasks", "/broker", "/api/workers"])
def test_nothing_is_shown_without_the_login(flower: Flower, path: str, auth: tuple[str, str] | None) -> None:
    """Its figures name workers and tasks."""
    assert ask(flower, path, auth).status_code == 401


def test_metrics_are_answered_with_the_login(flower: Flower) -> None:
    """As Prometheus asks for them; and a probe, which has none, is told that Flower runs."""
    answer = ask(flower, "/metrics", Flower.login)
    assert (answer.status_code, "flower_events_total" in answer.text) == (200, True)
    assert ask(flower, "/healthcheck").text == "OK"


def test_the_list_of_tasks_shows_arguments_and_results(flower: Flower) -> None:
    """Beside name, state and times; Flower's own choice has neither."""
    columns = re.findall(r'<th data-column="(\w+)">', flower.page("/tasks"))
    assert columns[:4] == ["name", "args", "result", "state"]


def test_all_tasks_of_a_delivery_are_found_by_its_id_and_lead_back_to_it(flower: Flower, rig: SystemRig) -> None:
    """That of its first attempt, whose message named the event alone, and that of the retry: by page and by API.

    The rig's worker was started without `--events`: Flower has had it send them.
    """
    flower.wait_for_events()
    rig.receiver.script("/fails-once", Answer(500), Answer(200))
    webhook = rig.webhook("/fails-once")
    event_id = rig.publish()
    [delivery] = rig.settled(webhook, "succeeded")

    def found() -> dict[str, Any]:
        tasks = ask(flower, f"{LISTED}&search[value]={delivery.id}", Flower.login).json()["data"]
        return {each["name"]: each for each in tasks if each["result"]}

    until(lambda: found().keys() == {DISPATCH_TASK, DELIVER_TASK}, what="Flower finds both tasks")
    first, retry = found()[DISPATCH_TASK], found()[DELIVER_TASK]
    assert (event_id in first["args"], delivery.id in first["args"]) == (True, False)
    assert ask(flower, f"/api/tasks?search={delivery.id}", Flower.login).json().keys() >= {first["uuid"], retry["uuid"]}
    assert first["uuid"] in ask(flower, f"/api/tasks?search={event_id}", Flower.login).json()
    [back] = re.findall(r"[0-9a-f-]{36}", first["result"])
    assert rig.delivery(back).event_id == event_id


def test_the_brokers_page_shows_each_queue(flower: Flower) -> None:
    """With how many messages wait in it."""
    page = flower.page("/broker")
    counts = dict(re.findall(r'<tr id="([\w.]+)">\s*<td>[\w.]+</td>\s*<td[^>]*>(\d+)</td>', page))
    assert counts.keys() == set(QUEUES)


def test_read_only_hides_what_changes_workers_and_refuses_it(flower: Flower) -> None:
    """No button, and no way around it."""
    worker = flower.worker
    page = flower.page(f"/worker/{worker}")
    assert worker in page
    assert "Shut Down" not in page
    for path in (f"/api/worker/shutdown/{worker}", f"/api/task/async-apply/{DELIVER_TASK}"):
        assert ask(flower, path, Flower.login, method="POST").status_code == 403
