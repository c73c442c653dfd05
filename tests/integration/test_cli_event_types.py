"""The commands for event types, against a whole running system: an own type is put, published, and delivered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.domain.catalogue import CATALOGUE
from noteflow_hooks.settings import PREFIX
from tests.support.builders import a_payload
from tests.support.system_rig import SystemRig, a_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Command = Callable[..., tuple[int, str, str]]

NAME: Final = "custom.order_paid"
SCHEMA: Final = {"type": "object", "required": ["order"], "properties": {"order": {"required": ["id"]}}}
ORDER: Final = {"order": {"id": "o-17", "lines": [1, 2]}}


@pytest.fixture
def command(
    rig: SystemRig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    """The command line, in a folder with a schema, an example and nothing else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"{PREFIX}SERVER", rig.system.grpc)
    monkeypatch.setenv(f"{PREFIX}TOKEN", rig.token)
    (tmp_path / "order.json").write_text(json.dumps(SCHEMA))
    (tmp_path / "example.json").write_text(json.dumps(ORDER))

    def call(*words: str) -> tuple[int, str, str]:
        code = run(root, words)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def loaded(result: tuple[int, str, str]) -> Any:  # noqa: ANN401 - whatever JSON says
    code, out, err = result
    assert (code, err) == (0, "")
    return json.loads(out)


def test_types_lists_the_catalogue(command: Command) -> None:
    """As a table for people, and as one array for programs."""
    rows = loaded(command("events", "types", "--json"))
    assert [each["name"] for each in rows] == list(CATALOGUE)
    code, out, _ = command("events", "types")
    assert code == 0
    assert all(name in out for name in CATALOGUE)


def test_a_type_is_shown_with_its_schema_and_an_example(command: Command) -> None:
    """Readable, and whole as JSON."""
    code, out, _ = command("events", "types", "meeting.completed", "--payload-version", "1")
    assert code == 0
    assert '"const": "meeting.completed"' in out
    found = loaded(command("events", "types", "meeting.completed", "--json"))
    assert json.loads(found["schema"]) == CATALOGUE["meeting.completed"].schema(1)


def test_an_own_type_is_put_published_and_delivered(rig: SystemRig, command: Command) -> None:
    """To an endpoint that subscribes to it, with the version of its payload, and signed."""
    put = ("events", "put-type", NAME, "--schema", "order.json", "--description", "Paid.", "--example", "example.json")
    assert loaded(command(*put, "--json"))["schema"] == json.dumps(SCHEMA)
    path = a_path()
    url = rig.receiver.url(path)
    added = loaded(command("webhooks", "add", url, "--events", NAME, "--payload-version", "1", "--json"))
    assert (added["events"], added["payload_version"]) == ([NAME], 1)
    event = loaded(command("events", "publish", NAME, "--payload", json.dumps(ORDER), "--json"))
    [request] = rig.receiver.wait_for(1, path=path)
    assert request.body.decode() == event["payload"]
    headers = dict(request.headers)
    assert (headers["X-NoteFlow-Event"], headers["X-NoteFlow-Payload-Version"]) == (NAME, "1")
    code, _, err = command("events", "publish", NAME, "--payload", '{"order": {}}')
    assert (code, "payload_json.order.id: is missing" in err) == (2, True)


def test_an_own_type_is_removed(command: Command) -> None:
    """After which it can't be published."""
    command("events", "put-type", NAME, "--schema", "order.json")
    assert loaded(command("events", "delete-type", NAME, "--yes", "--json")) == {"name": NAME, "removed": True}
    code, _, err = command("events", "publish", NAME, "--payload", json.dumps(ORDER))
    assert (code, "can't be published" in err) == (2, True)
    code, _, err = command("events", "delete-type", NAME, "--yes")
    assert (code, "no event type" in err) == (1, True)


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (("events", "types", "no.such"), 1, "no event type 'no.such'"),
        (("events", "types", "--payload-version", "1"), 2, "goes with a TYPE"),
        (("events", "put-type", NAME), 2, "Missing option '--schema'"),
        (
            ("events", "put-type", NAME, "--schema", "nowhere.json"),
            1,
            "nowhere.json can't be read: No such file or directory\n",
        ),
        (("events", "put-type", NAME, "--schema", "."), 1, ". can't be read: Is a directory\n"),
        (("events", "put-type", "order", "--schema", "order.json"), 2, "'order' is no name for a type of your own"),
        (("events", "publish", "no.such", "--payload", "{}"), 2, "'no.such' is none of"),
        (("webhooks", "add", "https://h.example/", "--payload-version", "2"), 2, "1<=x<=1"),
        (("webhooks", "add", "https://receiver.example/", "--events", "custom.none"), 2, "can't be subscribed to"),
    ],
    ids=range(9),
)
def test_what_is_wrong_is_said_in_a_line(command: Command, words: tuple[str, ...], code: int, complaint: str) -> None:
    """With the exit code of a failure, or of wrong use."""
    found, _, err = command(*words)
    assert (found, complaint in err) == (code, True), err


def test_a_line_of_a_file_may_be_of_an_own_type(command: Command, tmp_path: Path) -> None:
    """Each line names its type."""
    command("events", "put-type", NAME, "--schema", "order.json")
    lines = [
        {"event_type": NAME, "payload": ORDER},
        {"event_type": "meeting.completed", "payload": a_payload()},
    ]
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, lines)))
    rows = loaded(command("events", "publish", "--lines", "events.jsonl", "--json"))
    assert [row["event"]["event_type"] for row in rows] == [NAME, "meeting.completed"]
