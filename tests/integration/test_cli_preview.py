"""`webhooks preview`: the request that would be made, for people and for programs."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.settings import PREFIX
from tests.integration.rpc.world import World
from tests.support.builders import a_payload

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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
def event_id(world: World) -> str:
    payload = json.dumps(a_payload(title="\x1b[31mred"))
    request = pb.PublishEventRequest(event_type="meeting.completed", payload_json=payload)
    return world.client.events.PublishEvent(request).id


def called(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[str, str]:
    """Run a command, and return what it printed."""
    assert run(root, ("webhooks", "preview", *words)) == code, words
    printed = capsys.readouterr()
    return printed.out, printed.err


def test_people_see_headers_and_body(world: World, event_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The endpoint by its name, and the event by its id's beginning; what would steer a terminal is written out."""
    world.a_webhook(name="CRM", generate_secret=True, format="cloudevents-binary")
    printed, _ = called(capsys, event_id[:13], "--webhook", "CRM")
    head, _, body = printed.partition("\n\n")
    assert f"ce-id: {event_id}" in head.splitlines()
    assert "webhook-signature: [redacted]" in head.splitlines()
    assert json.loads(body)["meeting_id"] == "m-1"
    assert "\x1b" not in printed


def test_programs_get_one_object(event_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the body as the very text that would be sent."""
    shown = json.loads(called(capsys, event_id, "--format", "standard", "--json")[0])
    assert shown["format"] == "standard"
    assert json.loads(shown["body"])["type"] == "meeting.completed"
    assert {"name": "Content-Type", "value": "application/json"} in shown["headers"]


@pytest.mark.parametrize("words", [(), ("--webhook", "CRM", "--format", "standard")])
def test_one_of_the_two_has_to_be_named(
    event_id: str, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    """Neither both of them nor none."""
    _, complaint = called(capsys, event_id, *words, code=2)
    assert "one of --webhook and --format must be given, and not both" in complaint
