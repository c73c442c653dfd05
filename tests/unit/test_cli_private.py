"""What another user could have put into the data folder is refused, in one line, and nothing goes to where it leads."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from noteflow_hooks.cli.demo.places import demo_folder
from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support import remote
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.settings import PREFIX

#: Any user but this one.
OTHER = 54_321
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's files")


@pytest.fixture(autouse=True)
def data_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The data folder of a running `up`, and the caller's own token in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(f"{PREFIX}TOKEN", "the-callers-own")
    folder = tmp_path / ".noteflow-hooks"
    folder.mkdir(mode=0o700)
    up = {"grpc": "127.0.0.1:7", "token": "t", "database_url": "postgresql://u@127.0.0.1:7/x"}
    (folder / "up.json").write_text(json.dumps(up))
    return folder


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Where tokens went."""
    went: list[tuple[str, ...]] = []

    def connect(*address: str, **_: object) -> None:
        went.append(address)
        raise UnavailableError("not called")

    monkeypatch.setattr(remote, "connect", connect)
    return went


def another_users_file(folder: Path) -> None:
    os.chown(folder / "up.json", OTHER, OTHER)


def another_users_folder(folder: Path) -> None:
    os.chown(folder, OTHER, OTHER)


def a_file_that_others_write(folder: Path) -> None:
    (folder / "up.json").chmod(0o666)


def a_folder_that_others_write(folder: Path) -> None:
    folder.chmod(0o777)


def a_group_that_writes(folder: Path) -> None:
    folder.chmod(0o770)


def a_linked_file(folder: Path) -> None:
    (folder / "up.json").rename(folder / "elsewhere")
    (folder / "up.json").symlink_to(folder / "elsewhere")


def a_pipe(folder: Path) -> None:
    (folder / "up.json").unlink()
    os.mkfifo(folder / "up.json")


def another_users_link(folder: Path) -> None:
    folder.rename(folder.with_name("real"))
    folder.symlink_to(folder.with_name("real"))
    os.chown(folder, OTHER, OTHER, follow_symlinks=False)


PLANTED = [
    pytest.param(another_users_file, f"up.json belongs to user {OTHER}, and this is user", marks=needs_root),
    pytest.param(another_users_folder, f".noteflow-hooks belongs to user {OTHER}, and this is user", marks=needs_root),
    pytest.param(another_users_link, f".noteflow-hooks belongs to user {OTHER}, and this is user", marks=needs_root),
    (a_file_that_others_write, "up.json can be changed by other users (mode 0666): chmod go-w it"),
    (a_folder_that_others_write, ".noteflow-hooks can be changed by other users (mode 0777): chmod go-w it"),
    (a_group_that_writes, ".noteflow-hooks can be changed by other users (mode 0770): chmod go-w it"),
    (a_linked_file, "up.json can't be trusted or read: it is a link"),
    (a_pipe, "up.json is no plain file: remove it"),
]


@pytest.mark.parametrize(("plant", "says"), PLANTED)
@pytest.mark.parametrize("line", ["webhooks list", "workspaces list", "doctor"])
def test_a_planted_up_file_gets_no_token(
    plant: object, says: str, line: str, called: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever could write it would decide where the caller's token goes, and which database is worked on."""
    assert callable(plant)
    plant(Path(".noteflow-hooks").absolute())
    assert run(root, line.split()) == 1
    printed = capsys.readouterr()
    assert says in printed.err
    assert (printed.out, printed.err.count("\n"), called) == ("", 1, [])


def test_a_folder_of_ours_behind_a_link_of_ours_is_taken(data_dir: Path, called: list[tuple[str, ...]]) -> None:
    """As where data lies on another disk."""
    data_dir.rename(data_dir.with_name("real"))
    data_dir.symlink_to(data_dir.with_name("real"))
    run(root, ["webhooks", "list"])
    assert called == [("127.0.0.1:7", "the-callers-own")]


@pytest.mark.parametrize(
    ("plant", "says"),
    [
        pytest.param(another_users_folder, f"belongs to user {OTHER}, and this is user", marks=needs_root),
        (a_folder_that_others_write, "can be changed by other users (mode 0777): chmod go-w it"),
        (lambda folder: (folder / "run").mkdir() or (folder / "run").chmod(0o777), "run can be changed by other users"),
        (lambda folder: (folder / "logs").mkdir() or (folder / "logs").chmod(0o777), "logs can be changed by other"),
    ],
)
def test_up_takes_no_folder_that_others_may_change(
    plant: object, says: str, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the setting; nothing is started, and nothing of it is read."""
    assert callable(plant)
    plant(data_dir)
    assert run(root, ["up"]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(f"noteflow-hooks: {PREFIX}DATA_DIR is '.noteflow-hooks': ")
    assert says in printed.err
    assert (printed.out, printed.err.count("\n")) == ("", 1)


@pytest.mark.parametrize("name", ["state.json", "secret_keys"])
def test_up_reads_nothing_that_others_may_change(
    name: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither an address and a token, nor the key of all secrets."""
    monkeypatch.setattr("noteflow_hooks.local.stack.System.start", lambda *_, **__: pytest.fail("started"))
    (data_dir / name).write_text("{}")
    (data_dir / name).chmod(0o666)
    assert run(root, ["up"]) == 1
    assert f"{name} can be changed by other users (mode 0666): chmod go-w it" in capsys.readouterr().err


def test_a_demo_removes_nothing_behind_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link in the system's temporary folder leads elsewhere."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "precious").mkdir()
    link = tmp_path / "noteflow-demo-planted"
    link.symlink_to(tmp_path / "precious")
    os.utime(link, (0, 0), follow_symlinks=False)
    with demo_folder():
        pass
    assert (tmp_path / "precious").is_dir()
    assert not (tmp_path / "precious" / "lock").exists()


@needs_root
def test_an_env_file_of_another_user_names_no_server(
    called: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The caller's token would go there."""
    (tmp_path / ".env").write_text(f"{PREFIX}SERVER=127.0.0.1:7\n")
    run(root, ["webhooks", "list"])
    os.chown(tmp_path / ".env", OTHER, OTHER)
    assert run(root, ["webhooks", "list"]) == 1
    assert f".env belongs to user {OTHER}" in capsys.readouterr().err
    assert len(called) == 1


def test_an_env_file_that_everybody_may_change_names_no_server(
    called: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As above."""
    (tmp_path / ".env").write_text(f"{PREFIX}SERVER=127.0.0.1:7\n")
    (tmp_path / ".env").chmod(0o666)
    assert run(root, ["webhooks", "list"]) == 1
    assert ".env can be changed by everybody (mode 0666): chmod o-w it" in capsys.readouterr().err
    assert called == []
