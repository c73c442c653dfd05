"""The client for programs: what it raises where, and a program of the README's that passes the strictest types."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import traceback
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from noteflow_hooks.client import connect, pb
from noteflow_hooks.errors import InvalidInputError, NotFoundError, UnauthenticatedError, UnavailableError
from noteflow_hooks.local.stack.ports import free_address
from tests.integration.rpc.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
NEVER = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with World() as running:
        yield running


def test_an_error_is_raised_by_the_call_that_failed(world: World) -> None:
    """Inside the block, where it can be handled and the next call made; its traceback ends there."""
    with connect(world.address, world.token) as client:
        with pytest.raises(NotFoundError, match=f"no webhook {NEVER}") as caught:
            client.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id=NEVER))  # this very line
        lines = [each.line or "" for each in traceback.extract_tb(caught.value.__traceback__)]
        assert "# this very line" in lines[0]
        with pytest.raises(InvalidInputError) as refused:
            client.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id="x"))
        assert refused.value.field == "webhook_id"
        assert list(client.webhooks.ListWebhooks(pb.ListWebhooksRequest()).webhooks) == []
    with pytest.raises(UnauthenticatedError), connect(world.address, "nfh_x") as client:
        client.events.ListEvents(pb.ListEventsRequest())
    with pytest.raises(UnavailableError, match="no server answers at"), connect(free_address(), "t") as client:
        client.events.ListEvents(pb.ListEventsRequest())


def test_an_error_of_the_block_is_its_own(world: World) -> None:
    """Leaving the block turns nothing into something else."""
    with pytest.raises(ZeroDivisionError), connect(world.address, world.token):
        raise ZeroDivisionError


def test_an_error_still_has_grpcs_code(world: World) -> None:
    """And what the answer says to programs, for who wants more than the line; of a future, too."""
    with connect(world.address, world.token) as client:
        request = pb.GetWebhookRequest(webhook_id="x")
        with pytest.raises(grpc.RpcError) as caught:
            client.webhooks.GetWebhook.future(request).result()
    assert isinstance(caught.value, InvalidInputError)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "grpc-status-details-bin" in dict(caught.value.trailing_metadata())  # type: ignore[arg-type]  # its stubs have no pairs


def test_no_error_names_an_option_of_the_command_line() -> None:
    """A program has none."""
    for path in (ROOT / "noteflow_hooks" / "client").glob("*.py"):
        assert not re.search(r"--[a-z]|NOTEFLOW_HOOKS_", path.read_text(encoding="utf-8")), path


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as it is published and unpacked into a folder of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The README's program."""
    [code] = re.findall(r"```python\n(import os\n.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    path = tmp_path_factory.mktemp("program") / "tell.py"
    path.write_text(code)
    return path


def test_the_readmes_program_registers_and_publishes(installed: Path, program: Path, world: World) -> None:
    """Run against the installed wheel, with nothing of Celery or SQLAlchemy."""
    code = (
        f"import runpy, sys; runpy.run_path({str(program)!r}, run_name='__main__');"
        "import noteflow_hooks; print(noteflow_hooks.__file__);"
        "print(sorted({'celery', 'kombu', 'sqlalchemy', 'pydantic'} & set(sys.modules)))"
    )
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(installed),
        "HOOKS_SERVER": world.address,
        "HOOKS_TOKEN": world.token,
    }
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=program.parent, env=env, capture_output=True, text=True, check=False
    )
    assert ended.stderr == ""
    *_, where, heavy = ended.stdout.splitlines()
    assert (where, heavy) == (str(installed / "noteflow_hooks" / "__init__.py"), "[]")
    assert world.event_types() == ["recording.started"]
    assert len(world.client.webhooks.ListWebhooks(pb.ListWebhooksRequest()).webhooks) == 1


def test_the_readmes_program_passes_the_strictest_types(installed: Path, program: Path) -> None:
    """The wheel says that it is typed, and its types are whole."""
    assert (installed / "noteflow_hooks" / "py.typed").is_file()
    check = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(program.parent / "cache")]
    env = {"PATH": os.environ["PATH"], "MYPYPATH": str(installed)}
    ended = subprocess.run(
        [*check, str(program)], cwd=program.parent, env=env, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "Success: no issues found in 1 source file\n")
    program.with_name("wrong.py").write_text(program.read_text() + "\nclient = connect(7)\n")
    wrong = subprocess.run(
        [*check, "wrong.py"], cwd=program.parent, env=env, capture_output=True, text=True, check=False
    )
    assert "incompatible type" in wrong.stdout
