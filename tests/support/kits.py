"""The receiver kits as tests run them: the page's examples as programs, and requests that really were sent."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import shutil
import subprocess
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from noteflow_hooks.local.stack.ports import free_address
from tests.quality.sources import ROOT
from tests.support.challenges import a_challenge
from tests.support.document_pages import Page
from tests.support.system_rig import a_path
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.system_rig import SystemRig

#: The kits' folder.
KITS: Final = ROOT / "kits"
#: The vectors that hold for all of them.
VECTORS: Final[list[dict[str, Any]]] = json.loads((ROOT / "conformance" / "vectors.json").read_text("utf-8"))["vectors"]
#: An event of every type, signed by a secret and by a key pair, for all of them, too.
SAMPLES: Final[list[dict[str, Any]]] = json.loads((ROOT / "conformance" / "samples.json").read_text("utf-8"))["vectors"]
#: As much as is written to a pipe that nobody reads before the next write waits.
_PIPE_BYTES: Final = 4096


def copy(language: str, folder: Path) -> None:
    """Copy the files of a kit that is to lie beside a program."""
    for path in (KITS / language).glob("noteflow[-_]*"):
        shutil.copy(path, folder)


def example(heading: str) -> str:
    """Return the program that stands under that heading of the page."""
    page = Page("kits")
    text = {**page.sections(), **page.sections(level=3)}[heading]
    return text.partition("\n```")[2].partition("\n")[2].partition("\n```")[0] + "\n"


@dataclass(frozen=True)
class Sent:
    """A request that was sent, or one that is made of it."""

    headers: dict[str, str]
    body: bytes
    method: str = "POST"

    @property
    def line(self) -> str:
        """How the examples' lines begin that print its event."""
        return f"{self.headers['X-NoteFlow-Event']} {self.headers['webhook-id']} "

    def but(self, **changed: str) -> Sent:
        """Return it with other headers; a name has ``_`` for ``-``, and an empty value leaves it out."""
        headers = self.headers | {name.replace("_", "-"): value for name, value in changed.items()}
        return replace(self, headers={name: value for name, value in headers.items() if value})


@dataclass(frozen=True)
class Delivered:
    """What the system sent: signed by a secret, and by a key pair."""

    secret: str
    public_key: str
    by_secret: Sent
    by_key: Sent

    @property
    def secrets(self) -> str:
        """What the examples are told in WEBHOOK_SECRETS."""
        return f"{self.secret},{self.public_key}"


def delivered_by(rig: SystemRig) -> Delivered:
    """Have the system deliver to two endpoints."""
    by_secret, by_key = a_path(), a_path()
    shared = rig.webhook(by_secret)
    first = _sent(rig, by_secret)
    paired = rig.webhook(by_key, signing="ed25519", generate_secret=False)
    return Delivered(shared.secret, paired.public_key, first, _sent(rig, by_key))


def _sent(rig: SystemRig, path: str) -> Sent:
    rig.publish()
    came = rig.receiver.wait_for(1, path=path)[0]
    return Sent(dict(came.headers), came.body)


@dataclass
class Place:
    """Where a receiver listens, and what it prints."""

    port: int
    printed: Callable[[], list[str]]
    hold: Callable[[], None]
    release: Callable[[], None]
    path: str = "/hooks"

    def post(self, sent: Sent) -> tuple[int, dict[str, Any]]:
        """Send it; return the status and the JSON that came back, empty where none did."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            headers = {
                name: value for name, value in sent.headers.items() if name.lower() not in ("host", "content-length")
            }
            connection.request(sent.method, self.path, sent.body, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        with suppress(ValueError):
            return answer.status, json.loads(text or b"{}")
        return answer.status, {}

    def is_verified(self, secret: str) -> bool:
        """Have the executor ask it with a challenge."""
        executor = WebhookExecutor(EgressPolicy(allow_http_loopback=True))
        result = executor.post(a_challenge(f"http://127.0.0.1:{self.port}{self.path}", secret))
        executor.close()
        return result.succeeded


def check_receiver(place: Place, delivered: Delivered) -> None:
    """Hold a receiver to what the page says of all of them."""
    first, second = delivered.by_secret, delivered.by_key
    # What handles it stands still, and the answer comes all the same.
    place.hold()
    assert place.post(first) == (204, {})
    place.release()
    assert [place.post(each)[0] for each in (second, first, second)] == [204] * 3
    assert place.is_verified(delivered.secret)
    for wrong, reason in _wrong(first, second):
        assert place.post(wrong) == (401, {"error": reason})
    assert place.post(Sent(first.headers, b"", method="GET"))[0] in (404, 405)
    assert _refuses(place, replace(first, body=bytes((1 << 20) + 1)))
    lines = place.printed
    until(lambda: len(lines()) >= 2, what="two events are handled")
    assert sorted(each[: len(first.line)] for each in lines()) == sorted([first.line, second.line])


def _wrong(first: Sent, second: Sent) -> list[tuple[Sent, str]]:
    changed = bytes([*first.body[:-2], first.body[-2] ^ 1, first.body[-1]])
    return [
        (replace(first, body=changed), "no_match"),
        (replace(second, body=second.body + b" "), "no_match"),
        (second.but(webhook_signature=first.headers["webhook-signature"]), "no_match"),
        (first.but(webhook_signature=""), "missing_header"),
        (first.but(webhook_id="a.b"), "malformed_header"),
        (first.but(webhook_timestamp="1614265330"), "too_old"),
        (second.but(webhook_timestamp=str(2**33)), "too_new"),
    ]


def _refuses(place: Place, sent: Sent) -> bool:
    """Tell whether it is refused; a server may also hang up before all of it has come."""
    try:
        return place.post(sent)[0] == 413
    except OSError:
        return True


@contextmanager
def program(
    command: list[str], folder: Path, delivered: Delivered, *, path: str = "/hooks", **env: str
) -> Iterator[Place]:
    """Run a receiver, with ``{port}`` in its command for the port; it prints to a pipe that holds little."""
    port = int(free_address().rpartition(":")[2])
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    env = os.environ | {"PORT": str(port), "WEBHOOK_SECRETS": delivered.secrets} | env
    told = [each.replace("{port}", str(port)) for each in command]
    log = (folder / "log").open("w+b")
    running = subprocess.Popen(told, cwd=folder, env=env, stdout=writer, stderr=log)
    pipe = _Pipe(reader, writer)
    try:
        until(lambda: _listens(port) or running.poll() is not None, what=f"{told[0]} listens")
        assert running.poll() is None, (folder / "log").read_text("utf-8")
        yield Place(port, pipe.lines, pipe.fill, pipe.drain, path)
    finally:
        running.terminate()
        running.wait()
        os.close(writer)
        pipe.end()
        log.close()


def _listens(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.connect()
    except OSError:
        return False
    finally:
        connection.close()
    return True


class _Pipe:
    """What a program prints to; full, its next line has to wait."""

    def __init__(self, reader: int, writer: int) -> None:
        self._reader, self._writer, self._written = reader, writer, b""
        self._flows, self._stands = threading.Event(), threading.Event()
        self._flows.set()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def fill(self) -> None:
        self._flows.clear()
        os.write(self._writer, b"\n")  # the last that is read
        self._stands.wait()
        # Opened anew, so that only we write without waiting.
        own = os.open(f"/proc/self/fd/{self._writer}", os.O_WRONLY | os.O_NONBLOCK)
        with suppress(BlockingIOError):
            while os.write(own, b"\n" * _PIPE_BYTES):
                pass
        os.close(own)

    def drain(self) -> None:
        self._flows.set()

    def lines(self) -> list[str]:
        return [line for line in self._written.decode("utf-8").splitlines() if line]

    def end(self) -> None:
        self._flows.set()
        self._thread.join()
        os.close(self._reader)

    def _read(self) -> None:
        while piece := os.read(self._reader, _PIPE_BYTES):
            self._written += piece
            if not self._flows.is_set():
                self._stands.set()
                self._flows.wait()


def node() -> str:
    """Return where node is. Where it is missing the test skips; with CI set, which has one, it fails."""
    found = shutil.which("node")
    if found is None and "CI" not in os.environ:
        pytest.skip("there is no node on this machine")
    assert found is not None, "there is no node on this machine"
    return found
