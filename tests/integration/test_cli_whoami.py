"""`whoami`: whose the token is, for people and for programs."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

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


def test_people_see_the_workspace_the_scopes_and_the_limits(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A line each; a token without an end says so."""
    assert run(root, ["whoami"]) == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line]
    said = {words[0]: words[-1] for words in lines}
    assert said["workspace_id"] == str(world.workspace_id)
    assert said["scopes"] == "manage,publish,read"
    assert said["expires_at"] == "never"
    assert said["max_page_size"] == "500"


def test_programs_get_one_object(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """With the limits in it, numbers as numbers."""
    assert run(root, ["whoami", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["workspace_id"] == str(world.workspace_id)
    assert found["limits"]["calls_per_s"] == 2000
    assert "expires_at" not in found
