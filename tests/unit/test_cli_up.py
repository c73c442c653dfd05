"""What `up` refuses before it starts anything: its data folder, what it has kept there, and where it would listen."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.local.children.process import FolderLock
from noteflow_hooks.local.stack.ports import free_address
from noteflow_hooks.settings import PREFIX

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("no_settings")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of an `up` that must not come so far that it starts anything."""

    def start(*_: object, **__: object) -> None:
        raise UnavailableError("started")

    monkeypatch.setattr("noteflow_hooks.local.stack.System.start", start)
    monkeypatch.setenv(f"{PREFIX}DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def refusal_of_up(capsys: pytest.CaptureFixture[str]) -> str:
    """What `up` says when it starts nothing."""
    assert run(root, ["up"]) == 1
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    return printed.err.removeprefix("noteflow-hooks: ").rstrip()


def test_up_says_at_once_that_it_starts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It takes seconds until there is more to say."""
    assert run(root, ["up"]) == 1
    assert capsys.readouterr().out.startswith("starting PostgreSQL")
    assert folder.is_dir()


def test_a_data_folder_that_is_none_is_named_with_its_setting(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what is there instead."""
    folder.touch()
    assert refusal_of_up(capsys) == f"{PREFIX}DATA_DIR is '{folder}': {folder} is no folder"


def test_a_data_folder_that_can_not_be_made_is_named_with_its_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the reason: nobody can make a folder there."""
    monkeypatch.setenv(f"{PREFIX}DATA_DIR", "/proc/x")
    assert refusal_of_up(capsys).startswith(f"{PREFIX}DATA_DIR is '/proc/x': /proc/x can't be made or used: ")


def test_a_data_folder_in_use_is_named_with_its_setting(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Since that is what one changes."""
    folder.mkdir()
    lock = FolderLock(folder)
    lock.acquire()
    assert refusal_of_up(capsys).endswith(f"or name another folder in {PREFIX}DATA_DIR")
    lock.release()


@pytest.mark.parametrize(
    ("name", "held", "says"),
    [
        ("secret_keys", b"", "secret_keys holds no key any more"),
        ("secret_keys", b"short", "secret_keys holds no key any more"),
        ("secret_keys", b"\xff", "secret_keys holds no key any more"),
        ("state.json", b'{"grpc": "x"}', "state.json holds 'x' as grpc, which is not HOST:PORT"),
        ("state.json", b'{"grpc": 7}', "state.json holds no grpc"),
    ],
)
def test_what_up_has_kept_and_is_damaged_is_named(
    name: str, held: bytes, says: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything starts."""
    folder.mkdir()
    (folder / name).write_bytes(held)
    assert f"{folder}/{says}" in refusal_of_up(capsys)


@pytest.mark.usefixtures("folder")
def test_an_address_where_up_can_not_listen_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here, and not in the log of a server that dies."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv(f"{PREFIX}GRPC_BIND", bind)
        assert refusal_of_up(capsys) == (f"{PREFIX}GRPC_BIND is '{bind}': can't listen there: Address already in use")
    monkeypatch.setenv(f"{PREFIX}GRPC_BIND", "192.0.2.1:7000")
    assert refusal_of_up(capsys).startswith(f"{PREFIX}GRPC_BIND is '192.0.2.1:7000': can't listen there: ")


@pytest.mark.usefixtures("folder")
def test_up_listens_where_this_machine_alone_reaches_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It speaks no TLS, also where the settings have a certificate for `serve`; plaintext must be asked for."""
    monkeypatch.setenv(f"{PREFIX}GRPC_BIND", f"0.0.0.0:{free_address().rpartition(':')[2]}")
    monkeypatch.setenv(f"{PREFIX}GRPC_TLS_CERT", "/none")
    assert "others than this machine may reach that, and `up` speaks no TLS" in refusal_of_up(capsys)
    monkeypatch.setenv(f"{PREFIX}GRPC_INSECURE_PLAINTEXT", "true")
    assert run(root, ["up"]) == 1
    assert capsys.readouterr().err == "noteflow-hooks: started\n"
