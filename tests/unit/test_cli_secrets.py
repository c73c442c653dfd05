"""Commands with secrets: no complaint repeats one, and the files that hold some are for their user alone."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

import pytest

from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import WRONG_USE, run
from noteflow_hooks.local.files import write_object, write_private
from noteflow_hooks.local.stack.home import Home
from noteflow_hooks.local.up_state import UpState
from tests.support.canary_secrets import CanarySecret, found, letters

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET: Final = letters()
ADD: Final = ("webhooks", "add", "https://a.example")
REMOTE: Final = ("--server", "127.0.0.1:1", "--token", SECRET)

pytestmark = pytest.mark.usefixtures("no_settings")


@pytest.mark.parametrize(
    "words",
    [
        (*ADD, "--secret", SECRET, "--unsigned"),
        (*ADD, "--secret", SECRET, "--timeout-ms", "9"),
        (*ADD, f"--secret={SECRET}", "--nonsense"),
        (*ADD, "--header", SECRET),
        ("webhooks", "add", "--header", f"X-A: {SECRET}"),
        ("webhooks", "update", "1", "--secret", SECRET),
        ("webhooks", "update", "1", f"--secret={SECRET}"),
        ("webhooks", "rotate-secret", "--secret", SECRET),
        ("webhooks", "rotate-secret", "1", SECRET),
        ("webhooks", "rotate-secret", "1", SECRET, SECRET),
        ("webhooks", "list", "--token", SECRET, "--nonsense"),
        ("webhooks", "list", f"--tokn={SECRET}"),
        ("webhooks", "list", "--token", f"{SECRET}ü", "--server", "127.0.0.1:1"),
        ("webhooks", "list", "--token", SECRET, "--server", "a"),
        ("--token", SECRET, "nonsense"),
        ("listen", "--secret", f"whsec_{SECRET}!"),
        ("listen", "--secret", SECRET, "--port", "x"),
    ],
    ids=range(17),
)
def test_a_complaint_repeats_no_secret(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever else is wrong with the line, or where on it the secret stands."""
    assert run(root, words) == WRONG_USE
    printed = capsys.readouterr()
    assert printed.err.startswith("noteflow-hooks: ")
    assert found([CanarySecret.of("secret", SECRET)], f"{printed.out}{printed.err}".encode()) == set()


def test_no_line_of_a_file_of_headers_is_repeated(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """It is told by its number."""
    (tmp_path / "headers").write_text(f"X-A: 1\n{SECRET}\n")
    assert run(root, [*ADD, "--headers-file", "headers"]) == WRONG_USE
    complaint = capsys.readouterr().err
    assert "line 2: 'Name: value' is needed" in complaint
    assert found([CanarySecret.of("value", SECRET)], complaint.encode()) == set()


@pytest.fixture
def generous() -> Iterator[None]:
    """A umask that takes no right away from anybody."""
    former = os.umask(0)
    yield
    os.umask(former)


def _rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("generous")
def test_files_with_secrets_are_for_this_user_alone(tmp_path: Path) -> None:
    """Whatever the umask says, and also where others could read the file that was there before."""
    path = tmp_path / "up.json"
    path.touch(mode=0o666)
    write_object(path, {"token": SECRET})
    write_private(tmp_path / "text", SECRET)
    UpState(tmp_path).secret_keys()
    assert {each.name: oct(_rights(each)) for each in tmp_path.iterdir()} == {
        "up.json": "0o600",
        "text": "0o600",
        "secret_keys": "0o600",
    }


@pytest.mark.usefixtures("generous")
def test_a_data_folder_is_for_this_user_alone(tmp_path: Path) -> None:
    """With its logs and what programs leave behind where they work; one that was there keeps its rights, they don't."""
    (tmp_path / "given").mkdir(mode=0o755)
    for name, rights in (("made", 0o700), ("given", 0o755)):
        home = Home(tmp_path / name)
        home.take()
        home.give_up()
        assert _rights(tmp_path / name) == rights
        assert {_rights(tmp_path / name / each) for each in ("logs", "run")} == {0o700}
