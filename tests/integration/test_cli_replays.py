"""The commands that send again, and that list what was not delivered, against a real gRPC server."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.maintenance.replays import advance_replays
from noteflow_hooks.persistence.memory import MemoryStore
from noteflow_hooks.settings import PREFIX
from tests.integration.rpc.world import World
from tests.support.builders import a_delivery, an_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    #: Runs a command line and returns its exit code, what it printed, and what it complained of.
    Command = Callable[..., tuple[int, str, str]]

REFUSED: dict[str, Any] = {
    "status": DeliveryStatus.DEAD,
    "next_attempt_at": None,
    "attempt_count": 3,
    "error_message": "HTTP 500",
}


@pytest.fixture
def world() -> Iterator[World]:
    """Offer a server over a store whose clock is a second further each time that it is asked: steps are always due."""
    moments = iter(datetime.now(UTC) + timedelta(seconds=each) for each in range(100_000))
    with World(store=MemoryStore(now=lambda: next(moments))) as running:
        yield running


@pytest.fixture
def command(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    """The command line, with the server and a token of its workspace."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"{PREFIX}SERVER", world.address)
    monkeypatch.setenv(f"{PREFIX}TOKEN", world.token)

    def call(*words: str) -> tuple[int, str, str]:
        code = run(root, words)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


@pytest.fixture
def looks(world: World, monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What happens each time that a waiting command sleeps; after that, the workers take one step of one delivery."""
    left: list[Callable[[], object]] = []

    def instead_of_sleeping(_: float) -> None:
        if left:
            left.pop(0)()
        else:
            advance_replays(world.units, limit=1, within=timedelta(seconds=0.1), monotonic=iter([0, 0, 1]).__next__)

    monkeypatch.setattr("noteflow_hooks.cli.support.following.time.sleep", instead_of_sleeping)
    return left


def loaded(result: tuple[int, str, str]) -> Any:  # noqa: ANN401 - whatever JSON says
    code, printed, _ = result
    assert code == 0
    return json.loads(printed)


def deliver(world: World, webhook_id: str, count: int = 1, **fields: Any) -> list[str]:  # noqa: ANN401 - a delivery's fields
    """Store so many dispatched events, each with a delivery."""
    made = []
    with world.units() as unit:
        for _ in range(count):
            event = unit.events.append(an_event(workspace_id=world.workspace_id))
            delivery = a_delivery(webhook_id=UUID(webhook_id), event_id=event.id, **fields)
            made.append(str(unit.webhooks.add_delivery(delivery).id))
        unit.commit()
    return made


@pytest.mark.usefixtures("looks")
def test_a_replay_is_waited_for_and_shown(command: Command, world: World) -> None:
    """Its way on stderr, a line now and then; in the end what it came to."""
    deliver(world, world.a_webhook().id, 3, **REFUSED)
    code, printed, progress = command("deliveries", "replay", "--rate-per-s", "50", "--json")
    replay = json.loads(printed)
    assert (code, replay["state"], replay["matched"], replay["sent"]) == (0, "done", 3, 3)
    assert replay["rate_per_s"] == 50
    assert progress.splitlines() == [
        f"replay {replay['id']} is running: 0 of 3 made due",
        f"replay {replay['id']} is done: 3 of 3 made due",
    ]
    assert re.search(r"^state +done$", command("deliveries", "replay")[1], re.MULTILINE)


def test_a_replay_s_options_are_its_filters(command: Command, world: World) -> None:
    """Each is the field of its name; a dry run begins nothing."""
    webhook = world.a_webhook()
    deliver(world, webhook.id, 2, **REFUSED)
    options = [
        *("--webhook", webhook.id, "--event-type", "meeting.completed", "--status", "dead"),
        *("--since", "1h", "--until", "2999-01-01", "--dry-run", "--json"),
    ]
    counted = loaded(command("deliveries", "replay", *options))
    assert (counted["id"], counted["state"], counted["matched"]) == ("", "dry_run", 2)
    assert (counted["webhook_id"], counted["event_type"], counted["status"]) == (
        webhook.id,
        "meeting.completed",
        "dead",
    )
    assert "created_after" in counted
    assert loaded(command("deliveries", "replay", "--until", "1h", "--dry-run", "--json"))["matched"] == 0
    assert loaded(command("deliveries", "replays", "--json")) == []


def test_a_replay_need_not_be_waited_for(command: Command, world: World) -> None:
    """It is listed, looked at, and ended by its id."""
    deliver(world, world.a_webhook().id, 3, **REFUSED)
    begun = loaded(command("deliveries", "replay", "--no-wait", "--json"))
    assert begun["state"] == "running"
    [listed] = loaded(command("deliveries", "replays", "--json"))
    assert listed == begun == loaded(command("deliveries", "replay-status", begun["id"], "--json"))
    assert "MATCHED" in command("deliveries", "replays")[1]
    assert loaded(command("deliveries", "replay-cancel", begun["id"], "--json"))["state"] == "cancelled"
    code, _, complaint = command("deliveries", "replay-cancel", begun["id"])
    assert (code, complaint.count("\n")) == (1, 1)
    assert "is cancelled" in complaint


def test_an_interrupted_wait_leaves_the_replay_running(
    command: Command, world: World, looks: list[Callable[[], object]]
) -> None:
    """And says how to end it."""
    deliver(world, world.a_webhook().id, 3, **REFUSED)

    def interrupt() -> None:
        raise KeyboardInterrupt

    looks.append(interrupt)
    code, printed, complaint = command("deliveries", "replay")
    [replay] = loaded(command("deliveries", "replays", "--json"))
    assert (code, printed, replay["state"]) == (130, "", "running")
    last = complaint.strip().splitlines()[-1]
    assert last.startswith(f"replay {replay['id']} goes on; to end it: ")
    assert last.endswith(f" deliveries replay-cancel {replay['id']}")


def test_a_replay_that_somebody_else_ends_has_failed(
    command: Command, world: World, looks: list[Callable[[], object]]
) -> None:
    """By the exit status; what it came to is shown all the same."""
    deliver(world, world.a_webhook().id, 3, **REFUSED)

    def cancel() -> None:
        with world.units() as unit:
            [replay] = unit.replays.list_page(world.workspace_id, limit=2)
            unit.replays.cancel(world.workspace_id, replay.id)
            unit.commit()

    looks.append(cancel)
    code, printed, _ = command("deliveries", "replay", "--json")
    assert (code, json.loads(printed)["state"]) == (1, "cancelled")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["replay", "--status", "pending"], 2, "'pending' is not one of 'dead', 'skipped', 'succeeded'"),
        (["replay", "--rate-per-s", "0"], 2, "0 is not in the range 0.1<=x<=10000"),
        (["replay", "--webhook", "x"], 1, "no webhook 'x' here"),
        (["replay", "--since", "1h", "--until", "2h"], 2, "created_after: must be before created_before"),
        (["replay-status", "x"], 2, "replay: 'x' is no id, and none begins so"),
        (["undelivered", "--event-type", "x"], 2, "event_type: 'x' is not allowed here; allowed: meeting.completed"),
    ],
)
def test_what_is_refused_is_one_line(command: Command, words: list[str], code: int, says: str) -> None:
    """It names what was given and what is allowed."""
    ended, printed, complaint = command("deliveries", *words)
    assert (ended, printed, complaint.count("\n")) == (code, "", 1)
    assert says in complaint


def test_the_eleventh_replay_is_refused_in_one_line(command: Command) -> None:
    """With the limit."""
    for _ in range(10):
        loaded(command("deliveries", "replay", "--no-wait", "--json"))
    code, printed, complaint = command("deliveries", "replay")
    assert (code, printed, complaint.count("\n")) == (1, "", 1)
    assert "at most 10 may" in complaint


def test_the_undelivered_are_listed_with_their_reasons(command: Command, world: World) -> None:
    """For people as a table, and as one array for programs."""
    webhook, other = world.a_webhook(events=[]), world.a_webhook(events=[])
    [dead] = deliver(world, webhook.id, **REFUSED)
    deliver(world, other.id, **REFUSED)
    rows = loaded(command("deliveries", "undelivered", "--json"))
    assert [each["status"] for each in rows] == ["dead", "undispatched", "dead", "undispatched"]
    assert [each["delivery_id"] for each in rows if each.get("webhook_id") == webhook.id] == [dead]
    [row] = loaded(command("deliveries", "undelivered", "--webhook", webhook.id, "--json"))
    assert (row["delivery_id"], row["reason"], row["attempt_count"]) == (dead, "HTTP 500", 3)
    assert len(loaded(command("deliveries", "undelivered", "--limit", "1", "--json"))) == 1
    assert loaded(command("deliveries", "undelivered", "--event-type", "recording.started", "--json")) == []
    _, table, _ = command("deliveries", "undelivered")
    assert "Waits to be matched with the workspace's endpoints" in table
    assert "HTTP 500" in table


def test_a_list_of_deliveries_says_why_each_waits(command: Command, world: World) -> None:
    """In words, where a pending one had nothing to say, and to which endpoint it goes, by that one's name."""
    webhook = world.a_webhook(name="Billing")
    deliver(world, webhook.id)
    _, table, _ = command("deliveries", "list")
    assert "REASON" in table
    assert "Billing" in table
    assert "Due; waits for a worker" in table
    [row] = loaded(command("deliveries", "list", "--json"))
    assert "redeliveries" not in row


def test_a_delivery_is_shown_with_each_time_that_it_was_sent_again(command: Command, world: World) -> None:
    """Beside its attempts; one that was not says nothing of it."""
    [delivery_id] = deliver(world, world.a_webhook().id, **REFUSED)
    assert "sent again" not in command("deliveries", "show", delivery_id)[1]
    _, printed, _ = command("deliveries", "retry", delivery_id)
    assert "redeliveries" not in printed
    assert "Due, as was asked for" in printed
    _, printed, _ = command("deliveries", "show", delivery_id)
    assert "sent again\nREQUESTED AT" in printed
    [again] = loaded(command("deliveries", "show", delivery_id, "--json"))["redeliveries"]
    assert (again["previous_status"], again["after_attempt"]) == ("dead", 3)
