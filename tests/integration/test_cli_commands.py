"""The commands that speak with a server, against a whole running system."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support import watching
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.cli.support.listing import listed
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.settings import PREFIX
from noteflow_hooks.signing import verify_standard
from tests.support.builders import a_payload
from tests.support.receiver_connection import Answer
from tests.support.system_rig import SystemRig, a_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from noteflow_hooks.client import Client

    #: Runs a command line and returns its exit code, what it printed, and what it complained of.
    Command = Callable[..., tuple[int, str, str]]

PAYLOAD = json.dumps(a_payload())


@pytest.fixture
def command(
    rig: SystemRig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    """The command line, with the system's server and a token for a workspace of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"{PREFIX}SERVER", rig.system.grpc)
    monkeypatch.setenv(f"{PREFIX}TOKEN", rig.token)

    def call(*words: str) -> tuple[int, str, str]:
        code = run(root, words)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def loaded(result: tuple[int, str, str]) -> Any:  # noqa: ANN401 - whatever JSON says
    code, printed, complaint = result
    assert (code, complaint) == (0, "")
    return json.loads(printed)


def added(command: Command, rig: SystemRig, *words: str) -> dict[str, Any]:
    webhook: dict[str, Any] = loaded(command("webhooks", "add", rig.receiver.url(a_path()), "--json", *words))
    return webhook


def test_an_endpoint_is_registered_for_the_four_meeting_events_and_signed(command: Command, rig: SystemRig) -> None:
    """What a newcomer means by `webhooks add URL`; the secret is shown then and never again."""
    webhook = added(command, rig)
    assert webhook["events"] == ["meeting.completed", "recording.started", "recording.stopped", "summary.generated"]
    assert webhook["secret"].startswith("whsec_")
    [listed_one] = loaded(command("webhooks", "list", "--json"))
    assert listed_one == {name: value for name, value in webhook.items() if name != "secret"}
    assert loaded(command("webhooks", "show", webhook["id"], "--json")) == listed_one


def test_an_endpoint_is_registered_as_it_is_described(command: Command, rig: SystemRig) -> None:
    """Each option is the field of its name."""
    words = [
        "--events",
        "webhook.failing, meeting.completed",
        "--name",
        "Mine",
        "--secret",
        "a-secret-of-mine-of-24-chars",
    ]
    webhook = added(command, rig, *words, "--timeout-ms", "500", "--max-retries", "7")
    assert webhook["events"] == ["meeting.completed", "webhook.failing"]
    assert (webhook["name"], webhook["secret_hint"]) == ("Mine", "hars")
    assert (webhook["timeout_ms"], webhook["max_retries"]) == (500, 7)
    assert not added(command, rig, "--unsigned")["signed"]


def test_an_endpoint_is_changed_where_something_is_given(command: Command, rig: SystemRig) -> None:
    """And nowhere else."""
    webhook = added(command, rig)
    changed = loaded(command("webhooks", "update", webhook["id"], "--events", "", "--max-retries", "1", "--json"))
    assert (changed["events"], changed["max_retries"], changed["name"]) == ([], 1, webhook["name"])
    assert not loaded(command("webhooks", "disable", webhook["id"], "--json"))["enabled"]
    assert loaded(command("webhooks", "enable", webhook["id"], "--json"))["enabled"]
    rotated = loaded(command("webhooks", "rotate-secret", webhook["id"], "--overlap-s", "60", "--json"))
    assert rotated["secret"] != webhook["secret"]
    assert "previous_secret_expires_at" in rotated


def test_an_endpoint_signs_with_a_key_pair(command: Command, rig: SystemRig) -> None:
    """Its public key is shown; it gets no secret that it doesn't need; what is rotated can be named."""
    webhook = added(command, rig, "--signing", "ed25519")
    assert webhook["public_key"].startswith("whpk_")
    assert "secret" not in webhook
    key = loaded(command("webhooks", "rotate-secret", webhook["id"], "--json"))
    assert "secret" not in key
    assert [each["public_key"] for each in key["previous_public_keys"]] == [webhook["public_key"]]
    both = loaded(command("webhooks", "update", webhook["id"], "--signing", "both", "--json"))
    assert (both["signing"], both["public_key"]) == ("both", key["public_key"])
    secret = loaded(command("webhooks", "rotate-secret", webhook["id"], "--what", "secret", "--json"))
    assert secret["secret"].startswith("whsec_")
    assert secret["public_key"] == key["public_key"]
    _, shown, _ = command("webhooks", "show", webhook["id"])
    assert key["public_key"] in shown
    assert command("webhooks", "test", webhook["id"])[0] == 0
    newest = rig.receiver.requests[-1]
    for each in (webhook["public_key"], key["public_key"], secret["secret"]):
        assert verify_standard(newest.body, dict(newest.headers), each)


def test_a_secret_in_the_environment_is_none_of_a_key_pair_s_matter(
    command: Command, rig: SystemRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is for those that sign with one."""
    monkeypatch.setenv("WEBHOOK_SECRET", "a-secret-of-the-environment")
    webhook = added(command, rig, "--signing", "ed25519")
    assert (webhook["secret_hint"], "secret" in webhook) == ("", False)
    assert "secret" not in loaded(command("webhooks", "rotate-secret", webhook["id"], "--what", "key", "--json"))


def test_who_signs_with_nothing_names_nothing_to_sign_with(command: Command) -> None:
    """One of the two was not meant."""
    code, _, complaint = command("webhooks", "add", "https://a.example/", "--unsigned", "--signing", "both")
    assert code == 2
    assert "--unsigned can't be given together with --signing" in complaint


def test_an_endpoint_is_told_more_and_less(command: Command, rig: SystemRig) -> None:
    """Headers by name alone, limits and a pause; each can be taken back."""
    words = ["--header", "Authorization: Bearer c4n4ry", "--rate-limit-per-s", "2.5", "--max-concurrency", "4"]
    webhook = added(command, rig, *words)
    assert (webhook["header_names"], webhook["rate_limit_per_s"], webhook["max_concurrency"]) == (
        ["Authorization"],
        2.5,
        4,
    )
    assert "c4n4ry" not in json.dumps(webhook)
    change = ["webhooks", "update", webhook["id"], "--json"]
    changed = loaded(command(*change, "--header", "X-A: 1", "--header", "X-B: 2", "--no-rate-limit"))
    assert (changed["header_names"], changed["max_concurrency"]) == (["X-A", "X-B"], 4)
    assert "rate_limit_per_s" not in changed
    changed = loaded(command(*change, "--no-headers", "--no-max-concurrency", "--rate-limit-per-s", "1"))
    assert (changed["header_names"], changed["rate_limit_per_s"]) == ([], 1)
    assert "max_concurrency" not in changed


def test_an_endpoint_is_paused_and_resumed(command: Command, rig: SystemRig) -> None:
    """The list says so, and since when."""
    webhook = added(command, rig)
    assert "paused_at" in loaded(command("webhooks", "pause", webhook["id"], "--json"))
    _, printed, _ = command("webhooks", "list")
    heads, row = (dict(enumerate(line.split())) for line in printed.splitlines())
    [place] = [index for index, head in heads.items() if head == "PAUSED"]
    assert row[place] == "yes"
    resumed = loaded(command("webhooks", "resume", webhook["id"], "--json"))
    assert (resumed["paused"], "paused_at" in resumed) == (False, False)


def test_a_removed_endpoint_is_gone(command: Command, rig: SystemRig) -> None:
    """For every command."""
    webhook = added(command, rig)
    assert command("webhooks", "remove", webhook["id"]) == (0, f"removed {webhook['id']}\n", "")
    assert command("webhooks", "show", webhook["id"]) == (
        1,
        "",
        f"noteflow-hooks: webhook_id: no webhook {webhook['id']} in this workspace\n",
    )
    assert loaded(command("webhooks", "list", "--json")) == []


def test_a_test_says_whether_it_arrived(command: Command, rig: SystemRig) -> None:
    """By its exit code too."""
    path = a_path()
    [webhook_id] = [rig.webhook(path, max_retries=1).id]
    code, printed, _ = command("webhooks", "test", webhook_id)
    assert code == 0
    assert "succeeded" in printed
    rig.receiver.script(path, Answer(500))
    assert command("webhooks", "test", webhook_id, "--json")[0] == 1


def test_a_triggered_event_goes_to_its_endpoint_alone_and_its_failure_is_explained(
    command: Command, rig: SystemRig
) -> None:
    """By a real worker, whatever the endpoint subscribes to."""
    path = a_path()
    webhook, other = rig.webhook(path, events=["recording.started"], max_retries=1), rig.webhook(a_path())
    rig.receiver.script(path, Answer(404))
    words = ["summary.generated", "--set", "title=Trial", "--webhook", webhook.id]
    [made] = loaded(command("trigger", *words, "--json"))
    [dead] = rig.settled(webhook, "dead")
    assert (dead.event_id, dead.event_type) == (made["event_id"], "summary.generated")
    assert rig.deliveries(other) == []
    [request] = rig.receiver.wait_for(1, path=path)
    assert json.loads(request.body)["title"] == "Trial"
    told = loaded(command("deliveries", "diagnose", dead.id, "--json"))
    assert (told["state"], "HTTP 404" in told["why"][0]) == ("Given up", True)
    assert "knows no such path" in told["why"][2]


def test_a_published_event_is_delivered_listed_and_sent_again(command: Command, rig: SystemRig) -> None:
    """The way of an operator through the commands."""
    path = a_path()
    webhook = rig.webhook(path)
    event = loaded(command("events", "publish", "meeting.completed", "--payload", PAYLOAD, "--key", "k-1", "--json"))
    again = loaded(command("events", "publish", "meeting.completed", "--payload", PAYLOAD, "--key", "k-1", "--json"))
    assert again["id"] == event["id"]
    [delivery] = rig.settled(webhook, "succeeded")
    filters = ["--webhook", webhook.id, "--status", "succeeded", "--event-type", "meeting.completed", "--since", "1h"]
    [row] = loaded(command("deliveries", "list", *filters, "--json"))
    assert (row["id"], row["event_id"], row["attempt_count"]) == (delivery.id, event["id"], 1)
    assert "attempts" not in row
    assert loaded(command("deliveries", "list", "--until", "1h", "--json")) == []
    assert loaded(command("deliveries", "retry", delivery.id, "--json"))["status"] == "pending"
    assert len(rig.receiver.wait_for(2, path=path)) == 2


def test_a_delivery_is_shown_with_its_payload_and_attempts(command: Command, rig: SystemRig) -> None:
    """For people, and as one object for programs."""
    path = a_path()
    webhook = rig.webhook(path)
    rig.publish(title="\x1b[31mred")
    [delivery] = rig.settled(webhook, "succeeded")
    _, printed, _ = command("deliveries", "show", delivery.id)
    assert '"title": "\\u001b[31mred"' in printed
    assert "ATTEMPT NUMBER" in printed
    assert "REDIALLED" in printed
    assert "\x1b" not in printed
    shown = loaded(command("deliveries", "show", delivery.id, "--json"))
    [attempt] = shown["attempts"]
    assert (attempt["status_code"], attempt["redialled"]) == (200, False)
    assert attempt["wait_ms"] + attempt.get("connect_ms", 0) <= attempt["duration_ms"]
    names = [each["name"] for each in attempt["request_headers"]]
    assert names == [name for name, _ in rig.receiver.wait_for(1, path=path)[0].headers]
    assert {"name": "Content-Length", "value": "2"} in attempt["response_headers"]
    assert "WAIT MS" in printed
    assert f"X-NoteFlow-Delivery: {delivery.id}" in printed


def test_a_delivery_that_went_in_a_batch_names_it(command: Command, rig: SystemRig) -> None:
    """Itself, and each of its attempts; one that went alone has no such column."""
    alone = rig.webhook(a_path())
    rig.publish()
    [delivery] = rig.settled(alone, "succeeded")
    assert "BATCH ID" not in command("deliveries", "show", delivery.id)[1]
    added = loaded(
        command("webhooks", "add", rig.receiver.url(a_path()), "--batch-max", "2", "--batch-partial", "--json")
    )
    rig.publish()
    [delivery] = rig.settled(pb.Webhook(id=added["id"]), "succeeded")
    _, printed, _ = command("deliveries", "show", delivery.id)
    assert "BATCH ID" in printed
    assert printed.count(delivery.batch_id) == 4
    shown = loaded(command("deliveries", "show", delivery.id, "--json"))
    assert {shown["batch_id"], *(each["batch_id"] for each in shown["attempts"])} == {delivery.batch_id}


def test_the_payload_may_come_from_standard_input(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it would be too long, or too secret, for a command line."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PAYLOAD.encode())))
    assert loaded(command("events", "publish", "meeting.completed", "--payload", "-", "--json"))["meeting_id"] == "m-1"
    [event] = loaded(command("events", "list", "--json"))
    assert event["event_type"] == "meeting.completed"


def test_many_events_come_from_lines(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file or of standard input; each that is refused is named by its line, and the others are stored."""
    lines = [
        {"event_type": "meeting.completed", "payload": json.loads(PAYLOAD), "idempotency_key": "line-1"},
        {"payload": {"meeting_id": "m-2"}},
        {"payload": {"meeting_id": "m-3", "title": "Third"}},
    ]
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(["", *map(json.dumps, lines), ""]))
    code, printed, complaint = command("events", "publish", "recording.started", "--lines", str(file), "--json")
    first, second, third = json.loads(printed)
    assert (first["event"]["event_type"], third["event"]["event_type"]) == ("meeting.completed", "recording.started")
    assert second == {"line": 3, "error": "payload_json.title: is missing"}
    assert code == 1
    assert complaint.splitlines()[0] == "line 3: payload_json.title: is missing"
    assert "1 of 3 events were not stored" in complaint
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(lines[0]).encode())))
    assert command("events", "publish", "--lines", "-") == (0, "1 event stored\n", "")
    assert len(loaded(command("events", "list", "--json"))) == 2


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2 is not JSON"),
        ("[]", "line 2 is no JSON object"),
        ('{"payload": {}}', "line 2 needs event_type, text"),
        ('{"event_type": "meeting.completed", "payload": "{}"}', "line 2 needs payload, a JSON object"),
        ('{"event_type": "meeting.completed", "payload": {}, "key": "k"}', "line 2 names 'key', which is none of"),
    ],
)
def test_of_lines_that_can_t_be_read_none_is_published(command: Command, tmp_path: Path, line: str, says: str) -> None:
    """Not even those before it."""
    file = tmp_path / "events.jsonl"
    good = {"event_type": "meeting.completed", "payload": json.loads(PAYLOAD)}
    file.write_text(f"{json.dumps(good)}\n{line}")
    code, printed, complaint = command("events", "publish", "--lines", str(file))
    assert (code, printed, complaint.count("\n")) == (1, "", 1)
    assert says in complaint
    assert "nothing was published" in complaint
    assert loaded(command("events", "list", "--json")) == []


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["events", "publish", "--lines", "-", "--key", "k"], 2, "leave out --payload and --key"),
        (["events", "publish", "meeting.completed"], 2, "give a TYPE and its --payload, or --lines"),
        (["events", "publish", "--lines", "/no/such"], 1, "/no/such can't be read"),
        (["webhooks", "show", "x"], 1, "no webhook 'x' here"),
        (["webhooks", "add", "ftp://a.example"], 2, "url: must start with https://"),
        (["webhooks", "add", "https://a.example", "--events", "x"], 2, "events: 'x' can't be subscribed to; allowed:"),
        (["webhooks", "add", "https://10.0.0.1/"], 2, "url: address not allowed"),
        (["webhooks", "add", "https://a.example", "--header", "Host: x"], 2, "headers: 'Host' can't be set; not allow"),
        (
            ["webhooks", "add", "https://a.example", "--header", "X-A:"],
            2,
            "headers: the value of 'X-A' has 0 characters",
        ),
        (["webhooks", "add", "https://a.example", "--rate-limit-per-s", "nan"], 2, "rate_limit_per_s: is nan; allowed"),
        (["events", "publish", "meeting.completed", "--payload", "{}"], 2, "meeting_id: is missing"),
        (["webhooks", "list", "--token", "nfh_x"], 1, "a valid token is needed, in --token or NOTEFLOW_HOOKS_TOKEN"),
        (["webhooks", "list", "--server", "127.0.0.1:9"], 1, "no server answers at 127.0.0.1:9"),
    ],
)
def test_what_the_server_refuses_is_one_line(command: Command, words: list[str], code: int, says: str) -> None:
    """The server's own, which names the field; a value that is not allowed is wrong use."""
    ended, printed, complaint = command(*words)
    assert (ended, printed, complaint.count("\n")) == (code, "", 1)
    assert says in complaint


def test_lists_go_on_over_pages(rig: SystemRig) -> None:
    """Up to the limit, or to the end."""
    for _ in range(3):
        rig.publish()
    asked: list[int] = []

    def two_a_page(request: pb.ListEventsRequest) -> pb.ListEventsResponse:
        asked.append(request.page_size)
        request.page_size = min(request.page_size, 2)
        return rig.client.events.ListEvents(request)

    assert len(listed(two_a_page, pb.ListEventsRequest(), field="events").rows) == 3
    assert len(listed(two_a_page, pb.ListEventsRequest(), field="events", limit=3).rows) == 3
    assert len(listed(two_a_page, pb.ListEventsRequest(), field="events", limit=1).rows) == 1
    assert asked == [500, 500, 3, 1, 1]


def test_tail_prints_changes_until_it_is_interrupted(
    command: Command, rig: SystemRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line for each; what was there before stays unsaid."""
    webhook = rig.webhook(a_path())
    rig.publish()
    [before] = rig.settled(webhook, "succeeded")
    begun: list[object] = []

    def take(self: Any, message: pb.WatchDeliveriesResponse, server: Client) -> bool:  # noqa: ANN401 - the watch
        known(self, message, server)
        if not begun:
            begun.append(message)
            rig.publish()
        if message.delivery.status == "succeeded":
            raise KeyboardInterrupt
        return True

    known = watching._Watch.take  # noqa: SLF001 - where its messages come
    monkeypatch.setattr(watching._Watch, "take", take)  # noqa: SLF001 - as above
    code, printed, _ = command("deliveries", "tail", "--webhook", webhook.id, "--json")
    assert code == 0
    *_, row = [json.loads(each) for each in printed.splitlines()]
    assert row["status"] == "succeeded"
    assert str(before.id) not in printed
