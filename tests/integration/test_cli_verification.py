"""`webhooks verify`, and what the commands show of an endpoint that has yet to answer."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.domain.verification import verified
from noteflow_hooks.settings import PREFIX
from tests.integration.rpc.world import World
from tests.support.builders import NOON

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NEW = "https://new.example/hooks"


@pytest.fixture(autouse=True)
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A server that requires verification, which the environment names."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    with World() as running:
        running.service.requires_verification = True
        monkeypatch.setenv(f"{PREFIX}SERVER", running.address)
        monkeypatch.setenv(f"{PREFIX}TOKEN", running.token)
        yield running


def called(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    """Run a command that answers in JSON, and return that."""
    assert run(root, [*words, "--json"]) == code, words
    shown: dict[str, Any] = json.loads(capsys.readouterr().out)
    return shown


def answer(world: World, webhook_id: str) -> None:
    with world.units() as unit:
        found = unit.webhooks.get_by_id(UUID(webhook_id), lock=True)
        assert found is not None
        unit.webhooks.update(verified(found, now=NOON))
        unit.commit()


def test_verify_exits_with_0_only_once_the_endpoint_has_answered(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before that it asks anew, and shows what came of it."""
    webhook = called(capsys, "webhooks", "add", "https://crm.example/", "--name", "CRM")
    assert "verified_at" not in webhook
    assert run(root, ["webhooks", "verify", "CRM", "--wait-s", "0"]) == 1
    printed = capsys.readouterr().out
    assert "not dispatched yet" in printed
    assert "verified     no\n" in printed
    answer(world, webhook["id"])
    assert called(capsys, "webhooks", "verify", "CRM")["webhook"]["verified_at"] == "2024-01-31T12:00:00Z"


def test_show_tells_where_an_endpoint_is_to_move(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside where it is."""
    webhook = called(capsys, "webhooks", "add", "https://crm.example/", "--name", "CRM")
    answer(world, webhook["id"])
    called(capsys, "webhooks", "update", "CRM", "--url", NEW)
    shown = called(capsys, "webhooks", "show", "CRM")
    assert (shown["url"], shown["pending_url"]) == ("https://crm.example/", NEW)
    assert called(capsys, "webhooks", "verify", "CRM", "--wait-s", "0", code=1)["event_id"]


def test_a_test_says_what_to_do_first(capsys: pytest.CaptureFixture[str]) -> None:
    """In one line."""
    called(capsys, "webhooks", "add", "https://crm.example/", "--name", "CRM")
    assert run(root, ["webhooks", "test", "CRM"]) == 1
    assert "webhooks verify" in capsys.readouterr().err
