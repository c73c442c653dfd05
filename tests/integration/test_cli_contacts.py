"""`webhooks … --contact` and `webhooks confirm-contact`, and what the commands show of a contact."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.settings import PREFIX
from tests.integration.rpc.known import code_of
from tests.integration.rpc.world import World
from tests.support.contacts import ADDRESS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A server that the environment names."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    with World() as running:
        monkeypatch.setenv(f"{PREFIX}SERVER", running.address)
        monkeypatch.setenv(f"{PREFIX}TOKEN", running.token)
        yield running


def called(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """Run a command that answers in JSON, and return that."""
    assert run(root, [*words, "--json"]) == 0, words
    shown: dict[str, Any] = json.loads(capsys.readouterr().out)
    return shown


def test_a_contact_is_named_confirmed_and_taken_away(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """By the commands that a mail names; another code is refused with one line."""
    url = "https://crm.example/"
    webhook = called(capsys, "webhooks", "add", url, "--name", "CRM", "--contact", ADDRESS, "--digest", "weekly")
    assert (webhook["contact"], webhook["digest"]) == (ADDRESS, "weekly")
    assert "contact_confirmed_at" not in webhook
    assert run(root, ["webhooks", "confirm-contact", "CRM", "AAAA-AAAA-AAAA"]) == 2
    assert "code: is not the one" in capsys.readouterr().err
    code = code_of(world, webhook["id"])
    assert called(capsys, "webhooks", "confirm-contact", "CRM", code)["contact_confirmed_at"]
    assert "contact" not in called(capsys, "webhooks", "update", "CRM", "--no-contact")
    assert run(root, ["webhooks", "update", "CRM", "--no-contact", "--contact", ADDRESS]) == 2
    assert "--no-contact can't be given together with --contact" in capsys.readouterr().err
