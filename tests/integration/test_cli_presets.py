"""`webhooks add|update` with a chat's URL, which is a credential: out of standard input, and never printed."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.domain.options import Format
from noteflow_hooks.domain.presets import PRESETS
from noteflow_hooks.settings import PREFIX
from tests.integration.rpc.world import World
from tests.support.builders import PRESET_URLS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SLACK: Final = PRESET_URLS[Format.SLACK]


@pytest.fixture(autouse=True)
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A server over a store in memory, which the environment names."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    with World() as running:
        monkeypatch.setenv(f"{PREFIX}SERVER", running.address)
        monkeypatch.setenv(f"{PREFIX}TOKEN", running.token)
        yield running


def say(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Have standard input say that."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def printed(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    """Run a command, and return all that it prints, in which nothing of a URL is."""
    assert run(root, [str(each) for each in words]) == code
    said = capsys.readouterr()
    for form in PRESETS:
        assert PRESET_URLS[form].rpartition("/")[2] not in said.out + said.err
    assert "CANARY" not in said.out + said.err
    return said.out + said.err


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """Run a command, and return the JSON that it prints."""
    found: dict[str, Any] = json.loads(printed(capsys, *words, "--json"))
    return found


@pytest.mark.parametrize("form", PRESETS)
def test_a_url_is_read_from_standard_input_and_not_printed(
    form: Format, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By none of the commands that show endpoints; and no secret is made."""
    monkeypatch.setenv("WEBHOOK_SECRET", "a-secret-of-somebody-s-environment")
    say(monkeypatch, f"{PRESET_URLS[form]}\n")
    made = shown(capsys, "webhooks", "add", "-", "--format", form, "--name", "chat")
    assert (made["format"], made["url"]) == (form, f"https://{PRESET_URLS[form].split('/')[2]}/…")
    assert not made.get("secret")
    assert not made.get("signed")
    for words in (("webhooks", "list"), ("webhooks", "show", "chat"), ("audit", "list")):
        assert PRESET_URLS[form].split("/")[2] in printed(capsys, *words, "--json")
        printed(capsys, *words)


def test_a_changed_url_is_read_so_too(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And as an argument, as any other."""
    printed(capsys, "webhooks", "add", SLACK, "--format", "slack", "--name", "chat")
    other = "https://hooks.slack.com/services/T1/B1/CANARY-other"
    say(monkeypatch, other)
    shown(capsys, "webhooks", "update", "chat", "--url", "-")
    with world.units() as unit:
        [stored] = unit.webhooks.get_all_enabled()
    assert stored.address == other


def test_what_is_refused_is_said_without_the_url(capsys: pytest.CaptureFixture[str]) -> None:
    """With what is allowed."""
    said = printed(capsys, "webhooks", "add", SLACK, "--format", "teams", code=2)
    assert "*.api.powerplatform.com" in said
    said = printed(capsys, "webhooks", "add", SLACK, "--format", "slack", "--generate-secret", code=2)
    assert "secret" in said
    said = printed(capsys, "webhooks", "add", "https://hooks.slack.com/…", "--format", "slack", code=2)
    assert "give the whole one" in said


def test_an_empty_standard_input_is_no_url(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong use, before anything is asked of a server."""
    say(monkeypatch, "\n")
    assert "it is empty" in printed(capsys, "webhooks", "add", "-", "--format", "slack", code=2)
