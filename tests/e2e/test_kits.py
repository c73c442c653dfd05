"""The receiver kits of Python and Node, as their page shows them, get what the system really sends."""

from __future__ import annotations

import re
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import uvicorn

from tests.support.kits import KITS, Place, check_receiver, copy, delivered_by, example, node, program
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.kits import Delivered
    from tests.support.system_rig import SystemRig

_FETCH: Final = """
import { createServer } from "node:http";
import hooks from "./hooks.mjs";
createServer(async (request, response) => {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  const body = ["GET", "HEAD"].includes(request.method) ? undefined : Buffer.concat(pieces);
  const headers = Object.entries(request.headers).filter(([name]) => !["connection", "expect"].includes(name));
  const answer = await hooks.fetch(new Request("http://localhost/hooks", { method: request.method, headers, body }));
  response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text());
}).listen(process.env.PORT);
"""


@pytest.fixture(scope="module")
def delivered(system: SystemRig) -> Iterator[Delivered]:
    """Have the system deliver once, for all receivers."""
    with system.as_new_tenant() as tenant:
        yield delivered_by(tenant)
        tenant.remove_webhooks()


class Printed:
    """What a program in this process prints, and whether it has to wait."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._flows = threading.Event()
        self._flows.set()

    def __call__(self, *words: object, flush: bool) -> None:
        assert flush
        self._flows.wait()
        self.lines.append(" ".join(map(str, words)))

    def place(self, port: int) -> Place:
        """Return it as a place."""
        return Place(port, lambda: self.lines, self._flows.clear, self._flows.set)


@pytest.fixture
def app_of(monkeypatch: pytest.MonkeyPatch, delivered: Delivered) -> Any:  # noqa: ANN401 - a function
    """Run an example of the page in this process: return its app, and what it prints."""
    monkeypatch.syspath_prepend(str(KITS / "python"))
    monkeypatch.setenv("WEBHOOK_SECRETS", delivered.secrets)

    def run(heading: str) -> tuple[Any, Printed]:
        printed = Printed()
        names: dict[str, Any] = {"print": printed}
        exec(compile(example(heading), heading, "exec"), names)  # noqa: S102 - the page's own program
        return names["app"], printed

    return run


@contextmanager
def served_by_uvicorn(app: Any) -> Iterator[int]:  # noqa: ANN401 - an ASGI application
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="auto"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started, what="uvicorn listens")
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


class Quiet(WSGIRequestHandler):
    """wsgiref's handler, which writes no line of a request."""

    def log_message(self, *_: Any) -> None: ...  # noqa: ANN401 - as its base has it


@contextmanager
def served_by_wsgiref(app: Any) -> Iterator[int]:  # noqa: ANN401 - a WSGI application
    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_the_asgi_example_takes_what_was_delivered(app_of: Any, delivered: Delivered) -> None:  # noqa: ANN401 - a function
    """Under uvicorn, which says to it how it begins, too."""
    app, printed = app_of("ASGI")
    with served_by_uvicorn(app) as port:
        check_receiver(printed.place(port), delivered)


def test_the_wsgi_example_takes_what_was_delivered(app_of: Any, delivered: Delivered) -> None:  # noqa: ANN401 - a function
    """Under the standard library's server."""
    app, printed = app_of("WSGI")
    with served_by_wsgiref(app) as port:
        check_receiver(printed.place(port), delivered)


@pytest.mark.parametrize("heading", ["node:http", "fetch"])
def test_node_takes_what_was_delivered(heading: str, tmp_path: Path, delivered: Delivered) -> None:
    """By its own server, and by requests as fetch has them."""
    copy("node", tmp_path)
    (tmp_path / "hooks.mjs").write_text(example(heading))
    (tmp_path / "fetch.mjs").write_text(_FETCH)
    started = "fetch.mjs" if heading == "fetch" else "hooks.mjs"
    with program([node(), started], tmp_path, delivered) as place:
        check_receiver(place, delivered)


def test_the_node_kit_holds_what_its_own_tests_say() -> None:
    """Vectors, and what a receiver does with events: by node's own runner."""
    done = subprocess.run([node(), "--test", str(KITS / "node")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^# pass [1-9]", done.stdout, re.MULTILINE), done.stdout
