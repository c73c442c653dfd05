"""`audit list`: who changed what, for people and for programs."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.settings import PREFIX
from tests.integration.rpc.world import World

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


def called(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[str, str]:
    """Run a command, and return what it printed."""
    assert run(root, words) == code, words
    printed = capsys.readouterr()
    return printed.out, printed.err


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    """Return what `audit list` prints for programs."""
    rows: list[dict[str, Any]] = json.loads(called(capsys, "audit", "list", *words, "--json")[0])
    return rows


def test_an_empty_trail_says_so(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """And that there is none like that, where it was asked for some."""
    assert world.token
    assert called(capsys, "audit", "list") == (
        "",
        "no entries yet; whatever a token with manage changes is put on record\n",
    )
    assert called(capsys, "audit", "list", "--action", "webhook.deleted") == ("", "no such entries\n")
    assert listed(capsys) == []


def test_people_see_who_what_and_the_change(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Newest first, a field before and after; a token by its last characters."""
    webhook = world.a_webhook(name="CRM")
    called(capsys, "webhooks", "update", "CRM", "--max-retries", "7", "--name", "Sales")
    printed, _ = called(capsys, "audit", "list", "--wide")
    head, updated, registered = printed.splitlines()
    assert head.split()[:3] == ["AT", "WHO", "ACTION"]
    assert ("token …wxyz" in updated, "webhook.updated" in updated, webhook.id in updated) == (True, True, True)
    assert "name: CRM → Sales, max_retries: 3 → 7" in updated
    assert "url: https://receiver.example/…" in registered


def test_programs_get_old_and_new_as_objects(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """One array; what is not there is left out."""
    webhook = world.a_webhook(name="CRM")
    called(capsys, "webhooks", "remove", "CRM", "--yes")
    deleted, registered = listed(capsys)
    assert (deleted["action"], deleted["target_id"], deleted["old"]["name"]) == ("webhook.deleted", webhook.id, "CRM")
    assert ("new" in deleted, "old" in registered, registered["new"]["max_retries"]) == (False, False, 3)
    assert (deleted["actor_kind"], deleted["actor_hint"]) == ("token", "wxyz")


def test_the_list_is_narrowed_by_options(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """An endpoint goes by its name; what is deleted goes by its id."""
    first, second = world.a_webhook(name="One"), world.a_webhook(name="Two")
    called(capsys, "webhooks", "remove", "Two", "--yes")
    for words, count in (
        (("--webhook", "One"), 1),
        (("--target", second.id), 2),
        (("--target-kind", "meeting"), 0),
        (("--action", "webhook.deleted"), 1),
        (("--actor-kind", "system"), 0),
        (("--actor-kind", "token"), 3),
        (("--actor", listed(capsys)[0]["actor"]), 3),
        (("--since", "1h"), 3),
        (("--until", "1h"), 0),
        (("--limit", "2"), 2),
    ):
        assert len(listed(capsys, *words)) == count, words
    assert listed(capsys, "--webhook", "One")[0]["target_id"] == first.id


def test_two_targets_are_wrong_use(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """So is an action that there is none of; the line says which there are."""
    assert world.token
    _, said = called(capsys, "audit", "list", "--webhook", "A", "--target", "b", code=2)
    assert "--webhook and --target" in said
    _, said = called(capsys, "audit", "list", "--action", "eat", code=2)
    assert "webhook.registered" in said
