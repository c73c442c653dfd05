"""The commands' filters: what they ask the server for, and what they say where there is nothing like that."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.skipping import SkipReason
from noteflow_hooks.settings import PREFIX
from tests.integration.rpc.world import World
from tests.support.builders import a_delivery, an_event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb


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


def stored(world: World, webhook: pb.Webhook, meeting_id: str, **columns: Any) -> tuple[str, str]:  # noqa: ANN401 - a delivery's fields
    """Store a delivery of an event of that meeting; return its id and the event's."""
    with world.units() as unit:
        event = unit.events.append(an_event(workspace_id=world.workspace_id, meeting_id=meeting_id))
        given = {"next_attempt_at": None} | columns
        made = unit.webhooks.add_delivery(a_delivery(webhook_id=UUID(webhook.id), event_id=event.id, **given))
        unit.commit()
    return str(made.id), str(event.id)


def ids(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """Return the ids of what a command lists."""
    assert run(root, [*words, "--json"]) == 0, capsys.readouterr().err
    return [row["id"] for row in json.loads(capsys.readouterr().out)]


def test_deliveries_are_listed_by_every_option(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Several states, an event by the beginning of its id, a meeting, and how the last attempt ended."""
    webhook = world.a_webhook()
    dead, event = stored(
        world, webhook, "m-1", status=DeliveryStatus.DEAD, attempt_count=1, error_kind="status", status_code=404
    )
    skipped, _ = stored(world, webhook, "m-2", status=DeliveryStatus.SKIPPED, skip_reason=SkipReason.GIVEN_UP)
    held, _ = stored(world, webhook, "m-3", held=True)
    for words, expected in (
        (["--held"], [held]),
        (["--not-held", "--status", "dead"], [dead]),
        (["--status", "dead", "--status", "skipped"], [skipped, dead]),
        (["--status", "skipped"], [skipped]),
        (["--event", event], [dead]),
        (["--meeting", "m-2"], [skipped]),
        (["--error-kind", "status"], [dead]),
        (["--status-code", "404"], [dead]),
        (["--status-code", "500"], []),
        (["--skip-reason", "given_up"], [skipped]),
        (["--skip-reason", "gone"], []),
        (["--id-prefix", dead], [dead]),
    ):
        assert ids(capsys, "deliveries", "list", *words) == expected, words
    assert run(root, ["deliveries", "list", "--error-kind", "dns"]) == 0
    assert "no deliveries like that" in capsys.readouterr().err


def test_a_replay_takes_them_too_and_asks_before_it_sends_everything(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a filter it needs no asking."""
    webhook = world.a_webhook()
    stored(world, webhook, "m-1", status=DeliveryStatus.DEAD, attempt_count=1, error_kind="timeout")
    assert run(root, ["deliveries", "replay", "--error-kind", "timeout", "--no-wait", "--json"]) == 0
    begun = json.loads(capsys.readouterr().out)
    assert (begun["matched"], begun["error_kind"]) == (1, "timeout")
    assert run(root, ["deliveries", "replay", "--event", "0192", "--no-wait"]) == 1
    assert "no event" in capsys.readouterr().err


def test_endpoints_and_meetings_are_listed_by_state_and_text(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """And it is said where there is none like that."""
    webhook, meeting = world.a_webhook(name="CRM"), world.a_meeting("Weekly")
    assert ids(capsys, "webhooks", "list", "--state", "healthy", "--text", "crm") == [webhook.id]
    assert ids(capsys, "meetings", "list", "--state", "active", "--text", "week", "--since", "1h") == [meeting.id]
    for words, said in (
        (["webhooks", "list", "--state", "paused"], "no endpoints like that"),
        (["meetings", "list", "--text", "budget"], "no meetings like that"),
    ):
        assert run(root, words) == 0
        assert said in capsys.readouterr().err
