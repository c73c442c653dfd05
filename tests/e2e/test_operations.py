"""A new operator, who has ``docs/operations.md`` and nothing else: its commands are run, line by line."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final

import psutil
import psycopg
import pytest

from tests.quality.sources import ROOT
from tests.support.builders import a_payload
from tests.support.document_pages import Page, lines
from tests.support.machines import Machine
from tests.support.receiver_connection import Answer
from tests.support.steady_publisher import SteadyPublisher, posts
from tests.support.waiting import until
from tests.support.wheels import FOLDERS, build
from tests.support.wire_client import WireClient

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.machines import Said, Word

#: A check of `doctor` that gives up, as on a busy machine, leaves its connection to the collector of garbage.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

PAGE: Final = Page("operations")
STEPS: Final = PAGE.sections(level=3)
SET_UP: Final = PAGE.sections()["From an empty machine"]
BACKUP: Final = PAGE.opening("Backup")
WORKER: Final = "noteflow-hooks-worker@1"
#: Of the alerts' commands, what needs an exporter, which has tests of its own, or systemd itself.
NOT_HERE: Final = {"noteflow-hooks exporter", "curl http://127.0.0.1:9464/metrics", "timedatectl status"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("machine")


@pytest.fixture(scope="module")
def empty(folder: Path) -> Iterator[Machine]:
    """A machine with what `make release` built and what the page says to bring along."""
    with Machine(folder) as made:
        shutil.copytree(ROOT / "deploy", made.root / "deploy")
        shutil.copytree(ROOT / "requirements", made.root / "requirements")
        for distribution in FOLDERS:
            build(distribution, made.root / "dist")
        yield made


@pytest.fixture(scope="module")
def set_up(empty: Machine) -> list[Said]:
    """What the page's first part said, line by line."""
    words: dict[str, Word] = {
        "A-LONG-PASSWORD": "6c1f2a3b",
        "HOST": f"127.0.0.1:{empty.receiver.port}",
        "TOKEN": lambda said: found(r"nfh_\S+", said[-1].text),
    }
    # What `doctor` asks of a busy machine may take longer than it waits; the test asks once more.
    return empty.follow(SET_UP, words, fails="noteflow-hooks doctor")


@pytest.fixture
def machine(empty: Machine, set_up: list[Said]) -> Machine:
    """The machine on which all of that was done."""
    assert set_up
    return empty


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None, text
    return match[0]


def ours(machine: Machine, line: str) -> Any:  # noqa: ANN401 - JSON
    """Run a command of ours and return the JSON that it prints."""
    said = machine.run(f"noteflow-hooks {line} --json")
    assert said.code == 0, said
    return json.loads(said.text)


def publish(machine: Machine, key: str) -> str:
    """Publish an event under a key, and return its id."""
    payload = json.dumps(a_payload())
    return str(ours(machine, f"events publish meeting.completed --key {key} --payload '{payload}'")["id"])


def ended(machine: Machine, webhook: str, status: str, *, count: int) -> list[Any]:
    """Return an endpoint's deliveries of that status, newest first, once there are so many."""
    question = f"deliveries list --webhook {webhook} --status {status}"
    until(lambda: len(ours(machine, question)) >= count, what=f"{count} are {status}")
    return list(ours(machine, question))


def came_to_crm(machine: Machine) -> Counter[str]:
    """Return how often each event came to the first endpoint: where it was, or where it is once it was mended."""
    return posts(machine.receiver, "/hooks") + posts(machine.receiver, "/mended")


def database(machine: Machine) -> psycopg.Connection:
    return psycopg.connect(machine.database_url, autocommit=True)


def test_an_empty_machine_becomes_a_system_that_delivers(machine: Machine, set_up: list[Said]) -> None:
    """Each line of the page's first part does what it says; `doctor` finds nothing wrong, and a POST arrives."""
    assert "noteflow-hooks doctor" in {each.line for each in set_up}
    until(
        lambda: machine.run("noteflow-hooks doctor").code == 0, what=lambda: machine.run("noteflow-hooks doctor").text
    )
    installed = machine.root / "opt" / "noteflow-hooks" / "bin" / "noteflow-hooks"
    assert subprocess.run([installed, "--version"], capture_output=True, check=True).stdout
    file = machine.root / "etc" / "noteflow-hooks" / "environment"
    assert file.stat().st_mode & 0o777 == 0o600
    machine.follow(PAGE.sections()["Settings, before anything starts"])
    [request] = machine.receiver.wait_for(1, path="/hooks")
    assert request.header("X-NoteFlow-Event") == "webhook.test"


def test_why_a_delivery_failed_is_found_mended_and_it_is_sent_again(machine: Machine) -> None:
    """The list leads to the delivery, which says what was answered, and once more it arrives, under its own id."""
    machine.receiver.script("/hooks", Answer(404, body=b"no such hook"))
    event = publish(machine, "to-fail")
    ended(machine, "CRM", "dead", count=1)
    words: dict[str, Word] = {
        "DELIVERY": lambda said: found(r"[0-9a-f]{8}-[0-9a-f-]{27}", said[0].text),
        "HOST": f"127.0.0.1:{machine.receiver.port}",
    }
    listed, shown, _ = machine.follow(STEPS["Find why one delivery failed"], words)
    delivery = found(r"[0-9a-f]{8}-[0-9a-f-]{27}", listed.text)
    assert "HTTP 404" in listed.text
    assert "no such hook" in shown.text
    machine.follow(STEPS["Mend the endpoint"], words)
    machine.follow(STEPS["Send it again"], {"DELIVERY": delivery})
    until(lambda: posts(machine.receiver, "/mended")[event] == 1, what="it arrives")
    until(lambda: "succeeded" in machine.run(f"noteflow-hooks deliveries show {delivery}").text, what="it is on record")


def test_an_hour_of_one_endpoint_is_sent_again(machine: Machine) -> None:
    """What it had got then, and nothing that came before or after."""
    ours(machine, f"webhooks add {machine.receiver.url('/erp')} --name ERP")
    for number in range(5):
        publish(machine, f"of-an-hour-{number}")
    sent = ended(machine, "ERP", "succeeded", count=5)
    ids = [each["id"] for each in sent]
    with database(machine) as connection:
        older = (
            "UPDATE noteflow.webhook_deliveries SET created_at = created_at - %s * interval '1 h' WHERE id = ANY(%s)"
        )
        connection.execute(older, [1.5, ids[:3]])
        connection.execute(older, [3, ids[3:4]])
    counted, _, listed = machine.follow(STEPS["Replay an hour of another endpoint"])
    assert "3" in counted.text
    assert "done" in listed.text
    until(lambda: posts(machine.receiver, "/erp").total() == 8, what="three arrive once more")
    came = posts(machine.receiver, "/erp")
    assert [came[each["event_id"]] for each in sent] == [2, 2, 2, 1, 1]


@pytest.mark.chaos
def test_workers_come_and_go_under_load(machine: Machine) -> None:
    """Three deliver where one did, and one again: each event once, and `doctor` names all three meanwhile."""
    with WireClient(machine.grpc, machine.setting("TOKEN")) as client:
        load = SteadyPublisher([client], per_s=30)
        with load.running():
            load.wait_for(5)
            _, doctor, _ = machine.follow(STEPS["Scale to three workers, and back"])
            load.wait_for(5)
    # On a busy machine one may answer too late, and is named all the same.
    assert {found(rf"worker-{number}@", doctor.text) for number in (1, 2, 3)}
    assert [each for each in machine.units.running if "worker" in each] == [WORKER]
    count = len(load.accepted)
    until(lambda: came_to_crm(machine).keys() >= set(load.accepted), what="all arrive")
    came = came_to_crm(machine)
    assert [came[each] for each in load.accepted] == [1] * count


@pytest.mark.chaos
def test_a_key_is_rotated_and_the_old_one_goes(machine: Machine) -> None:
    """While it all runs; afterwards the secrets are under the new one, and POSTs are signed."""
    old = machine.setting("SECRET_KEYS")
    said = machine.follow(STEPS["Rotate a key"])
    new = machine.setting("SECRET_KEYS")
    assert old not in new
    assert len(new) == len(old)
    assert [each.code for each in said if "keys check" in each.line] == [0, 0]
    event = publish(machine, "after-the-rotation")
    until(lambda: came_to_crm(machine)[event] == 1, what="it arrives")


@pytest.mark.chaos
def test_a_frozen_worker_is_found_and_replaced(machine: Machine) -> None:
    """`doctor`, `health` and `ps` each point at it; what it held is delivered by its successor."""
    frozen = psutil.Process(machine.units.pid(WORKER))
    frozen.suspend()
    event = publish(machine, "beside-a-frozen-worker")
    asked = "noteflow-hooks health --worker worker-1 --alive --within 2"
    until(lambda: machine.run(asked).code == 1, what="it is seen")
    doctor, _, listed, _ = machine.follow(STEPS["Find a worker that stands still"], fails="noteflow-hooks")
    assert doctor.code == 1
    assert "connected and silent: worker-1@" in doctor.text
    assert re.search(rf"^ *{frozen.pid} +T", listed.text, re.MULTILINE), listed.text
    assert machine.units.pid(WORKER) != frozen.pid
    until(
        lambda: event in {each["event_id"] for each in ended(machine, "CRM", "succeeded", count=1)}, what="it is sent"
    )


@pytest.mark.chaos
def test_a_release_comes_and_goes(machine: Machine) -> None:
    """By the page's commands, one release standing for both; that its order loses nothing is `test_upgrade`'s."""
    link = machine.root / "opt" / "noteflow-hooks"
    machine.follow(PAGE.opening("Upgrade"), fails="noteflow-hooks doctor")
    assert link.readlink().name == "noteflow-hooks-0.2.0"
    machine.follow(STEPS["Back to the release before"], fails="noteflow-hooks doctor")
    assert link.readlink().name == "noteflow-hooks-0.1.0"
    event = publish(machine, "after-the-way-back")
    until(lambda: came_to_crm(machine)[event] == 1, what="it arrives")


@pytest.mark.chaos
def test_each_command_of_the_alerts_pages_does_its_work(machine: Machine) -> None:
    """As it stands there; what `doctor` or `health` finds is theirs to say."""
    asked = {line for text in Page("alerts").sections().values() for line in lines(text)} - NOT_HERE
    may_fail = ("noteflow-hooks doctor", "noteflow-hooks health")
    said = [machine.run(line) for line in sorted(asked)]
    assert [each for each in said if each.code != 0 and not each.line.startswith(may_fail)] == []


@pytest.mark.chaos
def test_a_restore_repeats_what_had_not_ended_and_loses_what_came_since(machine: Machine) -> None:
    """Both counted: under their old ids, and gone until their publisher calls again under its keys."""
    ours(machine, f"webhooks add {machine.receiver.url('/restored')} --name RESTORED")
    before = [publish(machine, f"before-{number}") for number in range(3)]
    ended(machine, "RESTORED", "succeeded", count=3)
    ours(machine, "webhooks pause RESTORED")
    waiting = [publish(machine, f"waiting-{number}") for number in range(4)]
    ended(machine, "RESTORED", "pending", count=4)
    machine.follow(BACKUP)
    ours(machine, "webhooks resume RESTORED")
    ended(machine, "RESTORED", "succeeded", count=7)
    since = [publish(machine, f"since-{number}") for number in range(5)]
    ended(machine, "RESTORED", "succeeded", count=12)
    assert posts(machine.receiver, "/restored").total() == 12
    machine.follow(STEPS["Restore"], fails="noteflow-hooks doctor")
    ours(machine, "webhooks resume RESTORED")
    ended(machine, "RESTORED", "succeeded", count=7)
    kept = {each["event_id"] for each in ours(machine, "deliveries list --webhook RESTORED")}
    assert kept == {*before, *waiting}
    came = posts(machine.receiver, "/restored")
    assert {each: came[each] for each in kept} == dict.fromkeys(before, 1) | dict.fromkeys(waiting, 2)
    again = [publish(machine, f"since-{number}") for number in range(5)]
    assert not set(again) & set(since)
    assert publish(machine, "before-0") == before[0]
    ended(machine, "RESTORED", "succeeded", count=12)
    assert posts(machine.receiver, "/restored").total() == 12 + len(waiting) + len(since)


def test_each_step_of_the_page_is_followed_here() -> None:
    """A step that nobody follows could say anything."""
    code = (ROOT / "tests" / "e2e" / "test_operations.py").read_text()
    assert [name for name, text in STEPS.items() if lines(text) and f'STEPS["{name}"]' not in code] == []
