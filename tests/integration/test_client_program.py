"""The documented program, against the wheel as it is published: what it does at a real server, and what mypy says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from noteflow_hooks.concurrency.bulkhead import Bulkhead
from noteflow_hooks.delivery.service import DeliveryService
from noteflow_hooks.delivery.tuning import BULKHEAD, DeliveryRules
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from noteflow_hooks.local.stack.ports import free_address
from noteflow_hooks.persistence.memory import InMemoryDeliveryStore
from noteflow_hooks.signing import verify_signature, verify_standard
from tests.integration.rpc.world import World
from tests.support.builders import EXACT
from tests.support.receiver import Receiver
from tests.support.waiting import PATIENCE_S
from tests.support.wake_ups import KeptWakeUps

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
#: What the program says once it is done for the first time.
DONE: Final = re.compile(r"registered (\S+) with the secret, which is shown once: (\S+)\npublished (\S+)\n")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of one's own."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment where the wheel is installed, as it is published, beside all that it needs."""
    folder = tmp_path_factory.mktemp("environment")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    venv.create(folder, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    # What is installed here, less this checkout: a path file in a folder that one names is not read.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's program, as it stands there."""
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "client.md").read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path_factory.mktemp("program") / "tell.py"
    path.write_text(code)
    return path


class Caller:
    """Runs the program, with nothing but the environment's interpreter."""

    def __init__(self, program: Path, python: Path) -> None:
        self._program = program
        self._python = python

    def start(self, server: str, token: str, url: str) -> subprocess.Popen[str]:
        """Start it."""
        return subprocess.Popen(
            [str(self._python), str(self._program), url],
            cwd=self._program.parent,
            env={"HOOKS_SERVER": server, "HOOKS_TOKEN": token},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, world: World, url: str) -> tuple[int, str]:
        """Run it to its end, and return its exit status and what it printed."""
        return ended(self.start(world.address, world.token, url))


@pytest.fixture
def caller(program: Path, python: Path) -> Caller:
    """What runs the program."""
    return Caller(program, python)


def ended(program: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for its end, and return its exit status and what it printed since; it has no errors to show."""
    out, err = program.communicate(timeout=2 * PATIENCE_S)
    assert err == ""
    return program.returncode, out


def test_what_it_publishes_arrives_signed_with_the_secret_that_it_was_told(caller: Caller, receiver: Receiver) -> None:
    """Once, though it is run twice: the endpoint is there already, and the key stands for the first event."""
    with World() as world:
        code, said = caller.run(world, receiver.url("/hooks"))
        found = DONE.fullmatch(said)
        assert (code, found is not None) == (0, True), said
        assert found is not None
        assert caller.run(world, receiver.url("/hooks")) == (0, f"published {found[3]}\n")
        assert len(world.announced) == len(world.events()) == 1
        deliver(world)
    [request] = receiver.requests
    assert (request.path, request.header("webhook-id") is not None) == ("/hooks", True)
    assert verify_standard(request.body, dict(request.headers), found[2])
    assert verify_signature(request.body, request.header("X-NoteFlow-Signature") or "", found[2])


def test_it_says_what_is_wrong_with_its_endpoint(caller: Caller) -> None:
    """The field and the problem, and no traceback."""
    with World() as world:
        code, said = caller.run(world, "ftp://receiver.example/")
        assert code == 1
        assert re.fullmatch(r"url: .+\n", said)
        assert world.events() == []


def test_it_waits_for_a_server_that_is_away(caller: Caller, receiver: Receiver) -> None:
    """And does the same in the end."""
    address = free_address()
    world = World(bind=address)
    program = caller.start(address, world.token, receiver.url())
    assert program.stdout is not None
    assert program.stdout.readline() == f"no server answers at {address}; again in 1 s\n"
    with world:
        code, said = ended(program)
    assert code == 0
    assert DONE.search(said)


def test_nothing_of_celery_or_sqlalchemy_comes_with_the_installed_client(python: Path) -> None:
    """Which is the wheel's own."""
    code = (
        "import sys, noteflow_hooks.client; print(noteflow_hooks.__file__);"
        "print(sorted({'celery', 'click', 'kombu', 'pydantic', 'sqlalchemy'} & set(sys.modules)))"
    )
    run = subprocess.run([str(python), "-I", "-c", code], capture_output=True, text=True, check=True)
    where, heavy = run.stdout.splitlines()
    assert Path(where).is_relative_to(python.parents[1])
    assert heavy == "[]"


def test_it_passes_the_strictest_types_against_the_installed_wheel(python: Path, program: Path) -> None:
    """The wheel says that it is typed, and its types are whole: what is wrong in a call is found."""
    assert mypy(python, program) == (0, "Success: no issues found in 1 source file\n")
    for wrong, why in {
        "connect(7, 'nfh_x')": 'Argument 1 to "connect" has incompatible type "int"; expected "str"',
        "client.events.PublishEvent(pb.ListEventsRequest())": 'incompatible type "ListEventsRequest"',
        "client.webhooks.GetWebhook(pb.GetWebhookRequest()).nmae": '"Webhook" has no attribute "nmae"',
        "client.events.PublishEvent(pb.PublishEventRequest(payload=1))": 'Unexpected keyword argument "payload"',
    }.items():
        path = program.with_name("wrong.py")
        path.write_text(f"{program.read_text()}\n{wrong}\n")
        code, said = mypy(python, path)
        assert (code, why in said) == (1, True), said


def mypy(python: Path, program: Path) -> tuple[int, str]:
    """Return mypy's exit status and what it says of a program in that environment, with no settings of ours."""
    settings = ["--strict", "--config-file=", "--python-executable", str(python), "--cache-dir", "cache"]
    run = subprocess.run(
        [sys.executable, "-m", "mypy", *settings, program.name],
        cwd=program.parent,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    return run.returncode, run.stdout


def deliver(world: World) -> None:
    """Do a worker's work for what was announced, with real requests to this machine."""
    rules = DeliveryRules(
        policy=EXACT,
        chunk=10,
        lease_slack=timedelta(seconds=10),
        countdown_max=timedelta(seconds=60),
        slow_after=timedelta(seconds=PATIENCE_S),
    )
    with closing(WebhookExecutor(EgressPolicy(allow_http_loopback=True))) as executor:
        store = InMemoryDeliveryStore(world.store)
        service = DeliveryService(store, executor.post, Bulkhead(2, tuning=BULKHEAD), rules=rules)
        service.dispatch_and_deliver(world.announced, wake_ups=KeptWakeUps())
        service.close()
