"""Whoever opens Flower can shut workers down: what we show starts it on loopback, and with a login."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SHOWN = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/**/*.md"),
    *(ROOT / name for name in ("Makefile", "Dockerfile", ".env.example")),
    *(path for path in (ROOT / "scripts").iterdir() if path.is_file()),
]
#: A command that starts it, to the end of its line or of its quotation.
COMMAND = re.compile(r"^.*\bcelery\b[^\n`]*\bflower\b[^\n`]*", re.MULTILINE)


def commands() -> list[tuple[str, str]]:
    return [(path.name, found) for path in SHOWN for found in COMMAND.findall(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("name", "command"), commands())
def test_a_command_that_we_show_listens_on_loopback_with_a_login(name: str, command: str) -> None:
    """Flower's own default is every address, and nobody asked who they are."""
    assert "--address=127.0.0.1" in command, name
    assert re.search(r"FLOWER_BASIC_AUTH=\S+:\S+ ", command), name


def test_there_is_a_command_to_look_at() -> None:
    """Else the above would hold of nothing."""
    assert "your-own-servers.md" in dict(commands())


def test_compose_publishes_it_on_loopback_with_a_login() -> None:
    """In its container it listens for the host alone."""
    services: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    found = [each for each in services.values() if "flower" in (each.get("command") or [])]
    assert [each["environment"]["FLOWER_READ_ONLY"] for each in found] == ["true", "false"]
    for each in found:
        assert all(port.startswith("127.0.0.1:") for port in each["ports"])
        assert re.search(r"FLOWER_USER:\?.*:.*FLOWER_PASSWORD:\?", each["environment"]["FLOWER_BASIC_AUTH"])
