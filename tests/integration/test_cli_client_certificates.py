"""`webhooks add|update` with a client certificate, its key and authorities, out of files."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.settings import PREFIX
from tests.integration.rpc.world import World
from tests.support.client_certificates import Issuer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOT: Final = Issuer.root()
PAIR: Final = ROOT.pair(name="CRM")
FILES: Final = ("--client-certificate", "client.pem", "--client-key", "client.key")


@pytest.fixture(autouse=True)
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A server over a store in memory, which the environment names; the files lie in the working directory."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("client.pem", PAIR.certificate), ("client.key", PAIR.key), ("ca.pem", ROOT.pem)):
        (tmp_path / name).write_text(text)
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
    assert PAIR.key.splitlines()[1] not in printed.out + printed.err
    return printed.out, printed.err


def added(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    printed, _ = called(capsys, "webhooks", "add", "https://crm.example/", "--name", "CRM", "--json", *words)
    shown: dict[str, Any] = json.loads(printed)
    return shown


def updated(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(called(capsys, "webhooks", "update", "CRM", "--json", *words)[0])
    return shown


def test_files_are_sent_and_what_they_say_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """For programs, and for people; the key is in neither."""
    made = added(capsys, *FILES, "--server-ca", "ca.pem")
    assert made["client_certificate_info"]["subject"] == "CN=CRM"
    assert [each["subject"] for each in made["server_ca_info"]] == ["CN=Root"]
    printed, _ = called(capsys, "webhooks", "show", "CRM")
    assert "CN=CRM" in printed


def test_the_key_may_come_by_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that it need lie in no file."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PAIR.key.encode())))
    made = added(capsys, "--client-certificate", "client.pem", "--client-key", "-")
    assert made["client_certificate_info"]["issuer"] == "CN=Root"


def test_they_are_set_later_and_taken_away(capsys: pytest.CaptureFixture[str]) -> None:
    """Each by itself; the key goes with its certificate."""
    added(capsys)
    assert "client_certificate_info" in updated(capsys, *FILES, "--server-ca", "ca.pem")
    bare = updated(capsys, "--no-client-certificate")
    assert ("client_certificate_info" in bare, len(bare["server_ca_info"])) == (False, 1)
    assert updated(capsys, "--no-server-ca")["server_ca_info"] == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--client-certificate", "missing.pem", "--client-key", "client.key"), 2, "can't read 'missing.pem'"),
        (("--server-ca", "/dev/null"), 2, "it is empty"),
        (("--client-certificate", "client.pem"), 2, "client_key: is needed too"),
        (("--client-certificate", "client.key", "--client-key", "client.key"), 2, "client_certificate: has something"),
    ],
)
def test_what_is_wrong_is_said(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, said: str
) -> None:
    """By the command where it can't read a file, by the server where it may not have what is in it."""
    assert said in called(capsys, "webhooks", "add", "https://crm.example/", *words, code=code)[1]


def test_giving_and_taking_away_at_once_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody means both."""
    _, said = called(capsys, "webhooks", "update", "CRM", "--no-server-ca", "--server-ca", "ca.pem", code=2)
    assert "--no-server-ca can't be given together with --server-ca" in said
