"""The documented programs, with the wheel as it is published and nothing besides: what they do, and what mypy says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
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
from tests.support.bare_venv import make
from tests.support.builders import EXACT
from tests.support.receiver import Receiver
from tests.support.waiting import PATIENCE_S
from tests.support.wake_ups import KeptWakeUps
from tests.support.wheels import ROOT, build

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What the client says that it needs, with what grpcio needs; what its users run, and what types mypy has of all that.
NEEDED: Final = (
    *("googleapis-common-protos", "grpcio", "protobuf", "typing-extensions"),
    *("pip", "pytest", "iniconfig", "packaging", "pluggy", "pygments"),
    *("types-grpcio", "types-protobuf"),
)
#: What the program says once it is done for the first time.
DONE: Final = re.compile(r"registered (\S+) with the secret, which is shown once: (\S+)\npublished (\S+)\n")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of one's own."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has what the client says it needs, where pip has installed its wheel."""
    folder = tmp_path_factory.mktemp("environment")
    make(folder, NEEDED)
    wheel = build("noteflow-hooks-client", folder)
    # It finds all that the wheel needs, or fails.
    subprocess.run([folder / "bin" / "pip", "install", "--no-index", wheel], check=True, capture_output=True)
    return folder / "bin" / "python"


def programs() -> dict[str, str]:
    """Return the page's programs by what the page says that they are started as."""
    page = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
    found = re.findall(r"python (\w+\.py) .*?```python\n(.*?)```", page, re.DOTALL)
    return dict(found)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's first program, as it stands there; the other one is beside it."""
    folder = tmp_path_factory.mktemp("program")
    for name, code in programs().items():
        (folder / name).write_text(code)
    return folder / "tell.py"


class Caller:
    """Runs the program, with nothing but the environment's interpreter."""

    def __init__(self, program: Path, python: Path) -> None:
        self._program = program
        self._python = python

    def start(self, server: str, token: str, word: str, *, program: Path | None = None) -> subprocess.Popen[str]:
        """Start it, or another one beside it."""
        return subprocess.Popen(
            [str(self._python), str(program or self._program), word],
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
    """And does the same in the end, as if nothing had been."""
    address = free_address()
    world = World(bind=address)
    program = caller.start(address, world.token, receiver.url())
    with world:
        code, said = ended(program)
    assert code == 0
    assert DONE.fullmatch(said)


def test_a_server_announces_its_meetings_from_an_event_loop(caller: Caller, program: Path) -> None:
    """All at the same time, each once, however often it is run."""
    with World() as world:
        for _ in range(2):
            started = caller.start(world.address, world.token, "20", program=program.with_name("announce.py"))
            assert ended(started) == (0, "announced 20\n")
        assert sorted(event.meeting_id or "" for event in world.events()) == sorted(f"m-{each}" for each in range(20))


def test_nothing_of_celery_or_sqlalchemy_is_needed_by_the_installed_client(python: Path) -> None:
    """It is the wheel's own, and none of them is there."""
    code = (
        "import noteflow_hooks.client; from importlib.util import find_spec; print(noteflow_hooks.__file__);"
        "print([name for name in ('celery', 'click', 'kombu', 'pydantic', 'sqlalchemy') if find_spec(name)])"
    )
    run = subprocess.run([str(python), "-I", "-c", code], capture_output=True, text=True, check=True)
    where, heavy = run.stdout.splitlines()
    assert Path(where).is_relative_to(python.parents[1] / "lib")
    assert heavy == "[]"


def test_a_receiver_s_tests_need_the_wheel_and_pytest_alone(python: Path, tmp_path: Path) -> None:
    """As docs/testing.md has them: no server, and the fixtures are there without a word. A broken receiver fails."""
    page = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    for name, code in re.findall(r"\*(\w+\.py)\*.*?```python\n(.*?)```", page, re.DOTALL):
        (tmp_path / name).write_text(code)
    assert outcome_of(python, tmp_path) == (0, "15 passed")
    receiver = tmp_path / "receiver.py"
    whole = receiver.read_text()
    for part, broken, outcome in (
        ("verify_standard(body, headers, SECRET)", "True", "4 failed, 11 passed"),
        ("json.loads(body)", '{"event": "", "title": ""}', "10 failed, 5 passed"),
    ):
        receiver.write_text(whole.replace(part, broken))
        assert outcome_of(python, tmp_path) == (1, outcome)


def outcome_of(python: Path, folder: Path) -> tuple[int, str]:
    """Run the folder's tests with the environment's pytest; return its exit status and how many passed and failed."""
    run = subprocess.run(
        [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"],
        cwd=folder,
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return run.returncode, run.stdout.splitlines()[-1].partition(" in ")[0]


def test_it_passes_the_strictest_types_against_the_installed_wheel(python: Path, program: Path) -> None:
    """The wheel says that it is typed, and its types are whole: what is wrong in a call is found."""
    for each in programs():
        assert mypy(python, program.with_name(each)) == (0, "Success: no issues found in 1 source file\n")
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
