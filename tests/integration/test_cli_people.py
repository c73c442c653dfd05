"""The command line as people use it: names and beginnings of ids, filters, questions, and what is erased."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.settings import PREFIX
from tests.integration.rpc.world import World
from tests.support.builders import a_payload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Command = Callable[..., tuple[int, str, str]]

URL = "https://hooks.example/"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A server over a store in memory, which the environment names."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    with World() as running:
        monkeypatch.setenv(f"{PREFIX}SERVER", running.address)
        monkeypatch.setenv(f"{PREFIX}TOKEN", running.token)
        yield running


@pytest.fixture
def command(world: World, capsys: pytest.CaptureFixture[str]) -> Command:  # noqa: ARG001 - it has to be there
    def call(*words: str) -> tuple[int, str, str]:
        code = run(root, words)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def read(command: Command, *words: str) -> Any:  # noqa: ANN401 - whatever JSON says
    code, printed, complaint = command(*words, "--json")
    assert (code, complaint) == (0, ""), words
    return json.loads(printed)


def published(command: Command, event_type: str = "meeting.completed", **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - a field's value
    payload = json.dumps(a_payload(**fields))
    event: dict[str, Any] = read(command, "events", "publish", event_type, "--payload", payload)
    return event


def test_an_endpoint_is_called_by_its_name(command: Command) -> None:
    """Wherever one is named, to look at as to change; its id is found in what is printed."""
    made = read(command, "webhooks", "add", URL, "--name", "CRM")
    assert read(command, "webhooks", "show", "CRM")["id"] == made["id"]
    assert read(command, "webhooks", "show", made["id"][:8])["id"] == made["id"]
    assert read(command, "webhooks", "update", "CRM", "--max-retries", "7")["max_retries"] == 7
    assert not read(command, "webhooks", "disable", "CRM")["enabled"]
    assert read(command, "webhooks", "pause", "CRM")["paused"]
    assert read(command, "webhooks", "rotate-secret", "CRM")["secret"] != made["secret"]
    assert read(command, "deliveries", "list", "--webhook", "CRM") == []
    assert read(command, "deliveries", "undelivered", "--webhook", "CRM") == []
    read(command, "webhooks", "enable", "CRM")
    assert read(command, "deliveries", "replay", "--webhook", "CRM", "--dry-run")["webhook_id"] == made["id"]
    assert read(command, "webhooks", "remove", "CRM")["id"] == made["id"]


def test_a_change_by_the_beginning_of_an_id_is_refused(command: Command) -> None:
    """Of endpoints, deliveries and replays; the refusal shows the whole one, and nothing has changed."""
    made = read(command, "webhooks", "add", URL, "--name", "CRM")
    for words in (["disable"], ["remove"], ["test"], ["update", "--name", "x"], ["rotate-secret"]):
        code, _, complaint = command("webhooks", words[0], made["id"][:8], *words[1:])
        assert (code, made["id"] in complaint) == (2, True), words
    code, _, complaint = command("deliveries", "replay", "--webhook", made["id"][:8])
    assert (code, "takes a whole id or a name" in complaint) == (2, True)
    assert read(command, "webhooks", "show", "CRM") == {k: v for k, v in made.items() if k != "secret"}


def test_a_name_that_fits_several_is_refused_with_them(command: Command) -> None:
    """Each with its whole id and its URL."""
    made = [read(command, "webhooks", "add", f"{URL}{path}", "--name", "Twin") for path in "ab"]
    for words in (
        ["webhooks", "show", "Twin"],
        ["webhooks", "remove", "Twin"],
        ["deliveries", "list", "--webhook", "Twin"],
    ):
        code, printed, complaint = command(*words)
        assert (code, printed) == (2, "")
        assert all(f"\n  {each['id']}  Twin  {each['url']}" in complaint for each in made)


def test_events_are_listed_by_what_they_are_about(command: Command) -> None:
    """By type, meeting and time."""
    one = published(command, meeting_id="m-7")
    two = published(command, "recording.started", meeting_id="m-7")
    published(command, meeting_id="m-8")

    def listed(*words: str) -> list[str]:
        return [each["id"] for each in read(command, "events", "list", *words)]

    assert listed("--meeting", "m-7") == [two["id"], one["id"]]
    assert listed("--event-type", "recording.started") == [two["id"]]
    assert (len(listed("--since", "1h")), listed("--until", "1h")) == (3, [])


def test_an_event_is_shown_with_its_payload_and_what_became_of_it(command: Command, world: World) -> None:
    """By the beginning of its id; programs get one object."""
    world.a_webhook(name="never asked", events=[])
    event = published(command, meeting_id="m-7")
    found = read(command, "events", "show", event["id"][:-3])
    assert {**event, "deliveries": [], "without_delivery": []} == found
    code, printed, _ = command("events", "show", event["id"])
    assert (code, "no deliveries" in printed) == (0, True)
    assert '"meeting_id": "m-7"' in printed


def test_an_erased_payload_is_called_that(command: Command) -> None:
    """In the list, and where the event is shown."""
    event = published(command, meeting_id="m-7")
    assert read(command, "events", "erase", "--meeting", "m-7")["events"] == 1
    _, printed, _ = command("events", "list")
    heads, row = (re.split(r" {2,}", line) for line in printed.splitlines())
    assert row[heads.index("PAYLOAD")] == "erased"
    _, printed, _ = command("events", "show", event["id"])
    assert "\npayload\nerased\n" in printed


def test_how_much_is_left_is_said(command: Command) -> None:
    """As the server counts it, with the filters."""
    for number in range(4):
        published(command, meeting_id=f"m-{number % 2}")
    assert command("events", "list", "--limit", "3")[2] == "3 of 4, the rest with --limit\n"
    assert command("events", "list", "--limit", "1", "--meeting", "m-1")[2] == "1 of 2, the rest with --limit\n"
    assert command("events", "list", "--limit", "4")[2] == ""


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["webhooks", "list"], "no endpoints yet; `noteflow-hooks webhooks add URL`"),
        (["deliveries", "list"], "no deliveries yet; `noteflow-hooks webhooks test NAME`"),
        (["deliveries", "list", "--status", "dead"], "no deliveries like that; `noteflow-hooks deliveries list`"),
        (["deliveries", "undelivered"], "nothing is undelivered; `noteflow-hooks deliveries list`"),
        (["deliveries", "replays"], "no replays yet; `noteflow-hooks deliveries replay --dry-run`"),
        (["events", "list"], "no events yet; `noteflow-hooks events publish TYPE"),
        (["events", "list", "--meeting", "m"], "no events like that; `noteflow-hooks events list`"),
    ],
)
def test_an_empty_list_names_the_next_command(command: Command, words: list[str], says: str) -> None:
    """And is an empty array for programs."""
    code, printed, complaint = command(*words)
    assert (code, printed, complaint.startswith(says)) == (0, "", True)
    assert read(command, *words) == []


@pytest.mark.parametrize(
    ("words", "question"),
    [
        (["webhooks", "remove", "CRM"], "Delete CRM and its secrets?"),
        (["events", "erase", "--meeting", "m-7"], "Erase the payloads of all events of meeting m-7, for good?"),
        (["deliveries", "replay", "--no-wait"], "Send everything that is dead or skipped again"),
    ],
)
def test_what_can_not_be_undone_is_asked_about_on_a_terminal(world: World, words: list[str], question: str) -> None:
    """No means that nothing happens; --yes asks nothing, and neither does anybody without a terminal."""
    world.a_webhook(name="CRM")
    before = state(world)
    code, shown = on_a_terminal(words, "n\n")
    assert (code, question in shown, "nothing was changed" in shown, state(world)) == (1, True, True, before)
    code, shown = on_a_terminal([*words, "--yes"], "")
    assert (code, question in shown) == (0, False)
    again = subprocess.run([*PROGRAM, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert question not in again.stderr


def test_yes_goes_on(world: World) -> None:
    """After the question."""
    world.a_webhook(name="CRM")
    code, shown = on_a_terminal(["webhooks", "remove", "CRM"], "y\n")
    assert (code, "removed" in shown, state(world)) == (0, True, (0, 0))


def test_a_replay_of_something_named_asks_nothing(world: World) -> None:
    """Whoever has narrowed it down has thought about it; a dry run changes nothing."""
    world.a_webhook(name="CRM")
    for words in (["--webhook", "CRM", "--no-wait"], ["--since", "1h", "--no-wait"], ["--dry-run"]):
        code, shown = on_a_terminal(["deliveries", "replay", *words], "")
        assert (code, "[y/N]" in shown) == (0, False), words


PROGRAM = [sys.executable, "-m", "noteflow_hooks.cli"]


def state(world: World) -> tuple[int, int]:
    """How many endpoints and replays there are."""
    webhooks = world.client.webhooks.ListWebhooks(pb.ListWebhooksRequest()).webhooks
    return len(webhooks), len(world.client.webhooks.ListReplays(pb.ListReplaysRequest()).replays)


def on_a_terminal(words: list[str], typed: str) -> tuple[int, str]:
    """Run a command on a terminal of its own, where this is typed; return its exit code and what it shows."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([*PROGRAM, *words], stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        os.write(ours, typed.encode())
        shown = b""
        while chunk := some(ours):
            shown += chunk
    os.close(ours)
    return process.returncode, shown.decode()


def some(terminal: int) -> bytes:
    """Return what the terminal shows next; nothing once nobody writes to it any more."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


@pytest.mark.parametrize("words", [["webhooks", "list"], ["events", "list"], ["deliveries", "replays"]])
def test_times_in_json_end_in_z(command: Command, world: World, words: list[str]) -> None:
    """All of them, at every depth; a payload's own text is as it was sent."""
    world.a_webhook()
    published(command)
    world.client.webhooks.ReplayDeliveries(pb.ReplayDeliveriesRequest())
    rows = [{name: value for name, value in row.items() if name != "payload"} for row in read(command, *words)]
    times = re.findall(r'"(\d{4}-\d\d-\d\dT[^"]*)"', json.dumps(rows))
    assert times
    assert all(each.endswith("Z") for each in times)
