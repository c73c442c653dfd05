"""The wheel, as it is published: a program that uses its client runs, and passes the strictest types."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
PROGRAM: Final = """\
import os

from noteflow_hooks.client import connect
from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

with connect(os.environ["HOOKS_SERVER"], os.environ["HOOKS_TOKEN"]) as client:
    webhook = client.webhooks.RegisterWebhook(
        pb.RegisterWebhookRequest(url="https://hooks.example/noteflow", name="CRM", events=["recording.started"])
    )
    name: str = webhook.name
    try:
        event = client.events.PublishEvent(
            pb.PublishEventRequest(
                event_type="recording.started", payload_json='{"meeting_id": "m-1", "title": "Weekly"}'
            )
        )
        print("published", event.id, "for", name)
    except InvalidInputError as error:
        print("refused:", error.field)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel, built without a network; what it needs comes from our own environment."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    [wheel], [packages] = folder.glob("*.whl"), (folder / "venv").glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    (packages / "needed.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return folder / "venv"


@pytest.fixture
def world() -> Iterator[World]:
    with World() as running:
        yield running


def test_a_program_registers_and_publishes(installed: Path, world: World, tmp_path: Path) -> None:
    """With the installed client, and nothing of Celery or SQLAlchemy."""
    (tmp_path / "tell.py").write_text(
        f"{PROGRAM}\nimport sys, noteflow_hooks\nprint(noteflow_hooks.__file__)\n"
        "print(sorted({'celery', 'kombu', 'sqlalchemy', 'pydantic'} & set(sys.modules)))\n"
    )
    server = {"HOOKS_SERVER": world.address, "HOOKS_TOKEN": world.token}
    env = {"PATH": os.environ["PATH"], **server}
    ended = subprocess.run(
        [installed / "bin" / "python", "tell.py"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert ended.stderr == ""
    published, where, heavy = ended.stdout.splitlines()
    assert published.endswith(" for CRM")
    assert (Path(where).is_relative_to(installed), heavy) == (True, "[]")
    assert world.event_types() == ["recording.started"]
    assert len(world.client.webhooks.ListWebhooks(pb.ListWebhooksRequest()).webhooks) == 1


@pytest.mark.parametrize(
    ("wrong", "complaint"), [("", "Success: no issues found"), ("client = connect(7)\n", "incompatible type")]
)
def test_a_program_is_held_to_the_installed_types(installed: Path, tmp_path: Path, wrong: str, complaint: str) -> None:
    """The wheel says that it is typed, and mypy --strict finds what is wrong and nothing else."""
    (tmp_path / "tell.py").write_text(f"{PROGRAM}{wrong}")
    python = f"--python-executable={installed / 'bin' / 'python'}"
    check = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path / 'cache'}", python]
    ended = subprocess.run([*check, "tell.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert complaint in ended.stdout
    assert (ended.returncode == 0) == (not wrong)
