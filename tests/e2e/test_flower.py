"""What an operator sees in a real Flower over a real worker, and what it refuses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import requests

from noteflow_hooks.broker.names import DELIVER_TASK, QUEUES
from tests.support.system_evidence import Flower
from tests.support.system_rig import SystemRig

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def flower(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flower]:
    folder = tmp_path_factory.mktemp("flower")
    with SystemRig(folder) as rig, Flower(rig, folder / "flower.log", read_only="true") as flower:
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


def test_the_brokers_page_shows_each_queue(flower: Flower) -> None:
    """With how many messages wait in it."""
    page = flower.page("/broker")
    counts = dict(re.findall(r'<tr id="([\w.]+)">\s*<td>[\w.]+</td>\s*<td[^>]*>(\d+)</td>', page))
    assert counts.keys() == set(QUEUES)


def test_read_only_hides_what_changes_workers_and_refuses_it(flower: Flower) -> None:
    """No button, and no way around it."""
    [worker] = [name for name in ask(flower, "/api/workers", Flower.login).json() if name.startswith("worker-1")]
    page = flower.page(f"/worker/{worker}")
    assert worker in page
    assert "Shut Down" not in page
    for path in (f"/api/worker/shutdown/{worker}", f"/api/task/async-apply/{DELIVER_TASK}"):
        assert ask(flower, path, Flower.login, method="POST").status_code == 403
