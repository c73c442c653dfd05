"""`listen --forward-to`, `trigger`, `deliveries diagnose` and `deliveries curl`, against a server of this process."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from noteflow_hooks.cli.commands import trigger as trigger_command
from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.cli.support.forwarding import Forwarding
from noteflow_hooks.cli.support.made_meetings import hold, plan
from noteflow_hooks.cli.support.receiver import Received, Receiver
from noteflow_hooks.client.causes import WAITS, advice, ended
from noteflow_hooks.domain.access import Scope
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.settings import PREFIX
from noteflow_hooks.signing import generate_secret, verify_signature, verify_standard
from tests.integration.dashboard.sample import fill, publish, work
from tests.integration.rpc.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    #: Runs a command line and returns its exit code, what it printed, and what it complained of.
    Command = Callable[..., tuple[int, str, str]]

SECRET = generate_secret()


@pytest.fixture(scope="module")
def server() -> Iterator[World]:
    """Offer a server that looks often, over a store in memory."""
    with World(look_every=timedelta(seconds=0.05)) as made:
        yield made


@pytest.fixture
def command(
    server: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    """The command line, with that server and a token for a workspace of its own."""
    server.token, server.workspace_id = server.make_token()
    server.client.close()
    server.client = type(server.client)(server.address, server.token)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"{PREFIX}SERVER", server.address)
    monkeypatch.setenv(f"{PREFIX}TOKEN", server.token)

    def call(*words: str) -> tuple[int, str, str]:
        code = run(root, words)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def answering(status: int, received: list[Received]) -> Callable[[Received], int]:
    """Return what answers so, and keeps what has come."""

    def answer(each: Received) -> int:
        received.append(each)
        return status

    return answer


def trigger(command: Command, *words: str) -> list[dict[str, Any]]:
    code, printed, complaint = command("trigger", *words, "--json")
    assert (code, complaint) == (0, "")
    rows: list[dict[str, Any]] = json.loads(printed)
    return rows


def payload(server: World, event_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        server.client.events.GetEvent(pb.GetEventRequest(event_id=event_id)).event.payload
    )
    return found


def listened(monkeypatch: pytest.MonkeyPatch, *, then: Callable[[], object], count: int) -> None:
    """Have `listen` do that once it has begun, and end after so many events."""
    seen: list[object] = []
    known = Forwarding.take

    def take(self: Any, message: Any, server: Any) -> bool:  # noqa: ANN401 - its own
        if not seen:
            then()
        seen.append(message)
        goes_on = known(self, message, server)
        if sum(each.HasField("event") for each in seen) >= count:  # type: ignore[attr-defined]  # messages
            raise KeyboardInterrupt
        return goes_on

    monkeypatch.setattr(Forwarding, "take", take)


def test_events_are_posted_from_here_and_the_server_writes_nothing(
    command: Command, server: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signed with a secret of one's own, with a header of one's own; each with the answer's status."""
    received: list[Received] = []
    meeting = plan("recording.started", {"title": "Weekly"})
    listened(monkeypatch, then=lambda: hold(server.client, meeting), count=2)  # type: ignore[arg-type]  # its services are a client's
    with Receiver(answering(202, received)) as receiver:
        words = ["--forward-to", receiver.url, "--secret", SECRET, "--header", "X-Own: yes", "--format", "json"]
        code, printed, welcome = command("listen", *words, "--events", "recording.started,meeting.completed")
    assert code == 0
    rows = [json.loads(each) for each in printed.splitlines()]
    assert [(each["event_type"], each["status_code"]) for each in rows] == [
        ("recording.started", 202),
        ("meeting.completed", 202),
    ]
    assert receiver.url in welcome
    assert SECRET not in welcome
    for each in received:
        assert verify_signature(each.body, each.headers["x-noteflow-signature"], SECRET)
        assert verify_standard(each.body, each.headers, SECRET)
        assert (each.headers["x-own"], json.loads(each.body)["title"]) == ("yes", "Weekly")
    tables = server.store.tables
    own = {each.id for each in server.events()}
    assert not [each for each in tables.deliveries.values() if each.event_id in own]
    audited = server.client.audit.ListAuditEntries(pb.ListAuditEntriesRequest()).audit_entries
    assert not audited


def test_an_endpoint_s_events_come_in_its_format_and_from_a_time_on(
    command: Command, server: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what it subscribes to; the secret that is made is shown."""
    server.a_webhook(name="CRM", events=["summary.generated"], format="cloudevents")
    [*_, made] = [each for each in trigger(command, "summary.generated") if each["event_type"] == "summary.generated"]
    received: list[Received] = []
    listened(monkeypatch, then=lambda: None, count=1)
    with Receiver(answering(200, received)) as receiver:
        code, printed, _ = command("listen", "--forward-to", receiver.url, "--webhook", "CRM", "--since", "5m")
    assert code == 0
    welcome, line = printed.splitlines()
    assert "CRM" in welcome
    assert "whsec_" in welcome
    assert made["event_id"] in line
    assert json.loads(received[0].body)["type"].endswith("summary.generated")


def test_what_cannot_be_forwarded_is_refused_by_its_option_before_anything_is_said(command: Command) -> None:
    """As wrong use, in one line; nothing says that it forwards."""
    for words, named in (
        (("--events", "meeting.gone"), "--events: has 'meeting.gone'; allowed are"),
        (("--events", " , "), "--events: names no type"),
        (("--header", "webhook-id: 1"), "--header: 'webhook-id' can't be set"),
        (("--since", "9999-01-01T00:00:00Z"), "--since: lies ahead"),
    ):
        code, printed, complaint = command("listen", "--forward-to", "http://localhost:1/", *words)
        assert (code, printed, complaint.count("\n")) == (2, "", 1), complaint
        assert complaint.startswith(f"noteflow-hooks: {named}")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--forward-to", "http://localhost:1/", "--port", "1"), "--port"),
        (("--forward-to", "http://localhost:1/", "--status", "204"), "--status"),
        (("--events", "meeting.completed"), "--events"),
        (("--format", "json"), "--format"),
        (("--header", "A: b"), "--header"),
    ],
)
def test_options_of_the_two_halves_of_listen_do_not_go_together(
    command: Command, words: tuple[str, ...], named: str
) -> None:
    """Wrong use, and which one it is."""
    code, _, complaint = command("listen", *words)
    assert (code, named in complaint) == (2, True)


def test_a_trigger_holds_a_real_meeting_that_says_what_was_set(command: Command, server: World) -> None:
    """All its events come, as of any meeting."""
    words = ["title=Weekly", "duration_seconds=12.5", "segment_count=4", "has_summary=true"]
    made = trigger(command, "meeting.completed", *(word for each in words for word in ("--set", each)))
    kinds = ["recording.started", "recording.stopped", "summary.generated", "meeting.completed"]
    assert sorted(each["event_type"] for each in made) == sorted(kinds)
    [completed] = [each for each in made if each["event_type"] == "meeting.completed"]
    said = payload(server, completed["event_id"])
    expected = {"title": "Weekly", "duration_seconds": 12.5, "segment_count": 4, "has_summary": True}
    assert expected.items() <= said.items()
    assert said["meeting_id"] == completed["meeting_id"]


def test_a_trigger_is_repeated_at_a_pace_and_for_one_endpoint_alone(command: Command, server: World) -> None:
    """With what was set; of that endpoint's own alone, whatever it subscribes to."""
    webhook = server.a_webhook(events=["recording.started"])
    words = ["--set", "title=Trial", "--webhook", webhook.id, "--count", "3", "--rate", "200"]
    made = trigger(command, "summary.generated", *words)
    events = [server.client.events.GetEvent(pb.GetEventRequest(event_id=each["event_id"])).event for each in made]
    assert len({each.meeting_id for each in events}) == 3
    assert {each.target_webhook_id for each in events} == {webhook.id}
    assert {json.loads(each.payload)["title"] for each in events} == {"Trial"}
    [test] = trigger(command, "webhook.test", "--webhook", webhook.id)
    assert test["event_type"] == "webhook.test"


def test_what_was_made_before_a_trigger_failed_is_told(
    command: Command, server: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one array, too; the failure is a line beside it."""
    held: list[str] = []

    def hold_once(client: Any, what: Any) -> str:  # noqa: ANN401 - a client and a plan
        if held:
            raise UnavailableError("no server answers")
        held.append(hold(client, what))
        return held[0]

    monkeypatch.setattr(trigger_command, "hold", hold_once)
    code, printed, complaint = command("trigger", "recording.started", "--count", "2", "--json")
    assert (code, complaint) == (1, "noteflow-hooks: no server answers\n")
    assert {each["meeting_id"] for each in json.loads(printed)} == set(held)
    assert len(server.events()) == len(json.loads(printed))


def test_a_type_of_one_s_own_is_published_from_its_example(command: Command, server: World) -> None:
    """What is set takes its place, as JSON where it is that; the list has it with the others."""
    schema = json.dumps({"type": "object", "properties": {"total": {"type": "number"}}})
    example = json.dumps({"total": 1, "currency": "EUR"})
    request = pb.PutEventTypeRequest(name="custom.order_paid", schema=schema, example=example)
    server.client.events.PutEventType(request)
    [made] = trigger(command, "custom.order_paid", "--set", "total=9.5", "--set", "note=paid")
    assert {"total": 9.5, "currency": "EUR", "note": "paid"}.items() <= payload(server, made["event_id"]).items()
    listed = trigger(command, "--list")
    assert [each["name"] for each in listed] == [
        "meeting.completed", "recording.started", "recording.stopped", "summary.generated", "webhook.test",
        "custom.order_paid",
    ]  # fmt: skip
    assert "duration_seconds" in listed[0]["set"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ((), "TYPE"),
        (("meeting.started",), "custom.<name>"),
        (("webhook.test",), "--webhook"),
        (("meeting.completed", "--set", "title"), "NAME=VALUE"),
        (("meeting.completed", "--set", "color=red"), "color"),
        (("meeting.completed", "--set", "duration_seconds=nan"), "duration_seconds"),
        (("meeting.completed", "--set", "segment_count=many"), "segment_count"),
        (("summary.generated", "--set", "key_points_count=-1"), "key_points_count"),
    ],
)
def test_what_can_t_be_triggered_is_refused_before_anything_is_made(
    command: Command, server: World, words: tuple[str, ...], named: str
) -> None:
    """Wrong use, and what is allowed."""
    code, _, complaint = command("trigger", *words)
    assert (code, named in complaint) == (2, True)
    assert not server.client.meetings.ListMeetings(pb.ListMeetingsRequest()).meetings


def test_a_trigger_asks_first_unless_the_server_is_that_of_up(
    command: Command, server: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Or --yes answers; a no makes nothing."""
    monkeypatch.setattr("noteflow_hooks.cli.support.asking._somebody_is_there", lambda: True)
    asked: list[str] = []
    monkeypatch.setattr("click.confirm", lambda question, **_: asked.append(question))
    code, _, complaint = command("trigger", "recording.started")
    assert (code, "nothing was changed" in complaint) == (1, True)
    assert server.address in asked[0]
    assert not server.client.meetings.ListMeetings(pb.ListMeetingsRequest()).meetings
    assert command("trigger", "recording.started", "--yes")[0] == 0
    folder = tmp_path / ".noteflow-hooks"
    folder.mkdir()
    (folder / "up.json").write_text(json.dumps({"grpc": server.address, "token": server.token}))
    assert command("trigger", "recording.started")[0] == 0
    assert len(asked) == 1


def test_a_diagnosis_says_what_happened_why_and_what_to_do(command: Command, server: World) -> None:
    """In the words of the dashboard, with the commands that do it."""
    made = fill(server)
    request = pb.ListDeliveriesRequest(webhook_id=made["broken"].id, status="dead")
    [dead, *_] = server.client.webhooks.ListDeliveries(request).deliveries
    code, printed, _ = command("deliveries", "diagnose", dead.id)
    assert code == 0
    meant, mend = advice(dead.error_kind, dead.status_code)
    over = ended(dead.error_message, dead.error_kind, dead.status_code)
    for each in ("Given up", made["broken"].name, meant, mend, over, f"deliveries retry {dead.id}"):
        assert each in printed
    code, printed, _ = command("deliveries", "diagnose", dead.id, "--json")
    told = json.loads(printed)
    assert told["todo"] == [mend, "Then send it again."]
    [well, *_] = server.client.webhooks.ListDeliveries(pb.ListDeliveriesRequest(status="succeeded")).deliveries
    told = json.loads(command("deliveries", "diagnose", well.id, "--json")[1])
    assert (told["state"], told["why"], told["todo"]) == ("Delivered", [], ["Nothing."])
    assert not [each for each in told["commands"] if "retry" in each]


def test_a_delivery_that_waits_for_its_endpoint_says_how_to_end_that(command: Command, server: World) -> None:
    """With the command that does it."""
    paused = server.a_webhook()
    server.client.webhooks.UpdateWebhook(
        pb.UpdateWebhookRequest(webhook_id=paused.id, update_mask=FieldMask(paths=["paused"]), paused=True)
    )
    publish(server)
    work(server)
    [waiting] = server.client.webhooks.ListDeliveries(pb.ListDeliveriesRequest()).deliveries
    told = json.loads(command("deliveries", "diagnose", waiting.id, "--json")[1])
    assert (told["state"], told["todo"]) == ("Waits", [WAITS["paused"]])
    assert told["commands"][0].endswith(f"webhooks resume {paused.id}")


def test_a_delivery_as_curl_is_the_dashboard_s_script(command: Command, server: World) -> None:
    """It holds neither URL nor secret; with a token that may only read, the payload is the body."""
    made = fill(server)
    request = pb.ListDeliveriesRequest(webhook_id=made["well"].id)
    [delivery, *_] = server.client.webhooks.ListDeliveries(request).deliveries
    code, script, _ = command("deliveries", "curl", delivery.id)
    assert code == 0
    assert 'curl --request POST "$URL"' in script
    assert "openssl dgst -sha256" in script
    assert made["well"].url not in script
    token, _ = server.another_token(scopes=frozenset({Scope.READ}))
    code, plain, _ = command("deliveries", "curl", delivery.id, "--token", token)
    assert (code, UUID(delivery.id).hex in plain.replace("-", "")) == (0, True)
