"""Trace the way of one event through the code: each file and function in order, and how often it changes files.

PostgreSQL and Valkey are the embedded ones, the receiver is an HTTP server on loopback, and the worker's code runs
here, in this process. A first event is delivered untraced, so that what is made once (connections, the worker's parts,
the endpoint as it was read) is not counted. Then these are counted:

- **The worker's way**: from the task `dispatch`, called with a committed event's id, until its delivery is settled and
  the task has returned; the shortest of three.
- **The server's way**: from the unit of work that records an event until it is committed and handed to the publisher's
  thread. It is counted separately.

A step is a call of a function, or the resumption of a generator, in a file of `noteflow_hooks/` or `workers/`.
Successive steps in one file are one stay there; when the next step is in another file, that is a change of file. So a
return alone does not count, but the next call that the caller makes does. Steps are counted thread by thread, threads
in the order of their first step, so that the count is the same in every run. Everything else (Celery, SQLAlchemy,
generated methods of dataclasses) is ignored.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
from collections import Counter
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID, uuid4

from noteflow_hooks import bootstrap
from noteflow_hooks.bench.tenants import Tenants
from noteflow_hooks.crypto import generate_key
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.meetings import Meeting, MeetingState
from noteflow_hooks.domain.paging import DeliveryFilter
from noteflow_hooks.local.servers import EmbeddedPostgres, EmbeddedValkey
from noteflow_hooks.local.stack.environment import GivenSettings, variables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

ROOT: Final = Path(bootstrap.__file__).resolve().parent.parent
_OURS: Final = (f"{ROOT}{os.sep}noteflow_hooks{os.sep}", f"{ROOT}{os.sep}workers{os.sep}")
#: The limits for the worker's way.
MOST_FILES: Final = 25
MOST_CHANGES: Final = 60
#: So many events are traced one after another, and the shortest way is told: on a busy machine a connection is asked
#: whether it lives, or dialled anew, between two of them.
_TIMES: Final = 3


class Step(NamedTuple):
    """One step of the way."""

    file: str
    function: str


class Way:
    """The steps of one event, thread by thread."""

    def __init__(self) -> None:
        self._threads: dict[int, list[Step]] = {}
        self._is_watched = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Trace this thread, and threads that begin meanwhile, while the block runs."""
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Record the steps while the block runs."""
        self._is_watched = True
        try:
            yield
        finally:
            self._is_watched = False

    def taken(self) -> Way:
        """Return what was recorded until now, and begin anew."""
        way = Way()
        way._threads, self._threads = self._threads, {}
        return way

    @property
    def files(self) -> Mapping[str, int]:
        """The number of stays in each file."""
        return Counter(stay[0].file for stay in self.stays())

    @property
    def changes(self) -> int:
        """How often the next step is in another file."""
        return len(self.stays()) - 1

    def stays(self) -> list[list[Step]]:
        """Return the steps, grouped by stays in one file."""
        steps = [step for own in self._threads.values() for step in own]
        return [list(stay) for _, stay in groupby(steps, key=lambda step: step.file)]

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if self._is_watched and event == "call" and code.co_filename.startswith(_OURS):
            step = Step(str(Path(code.co_filename).relative_to(ROOT)), code.co_qualname)
            self._threads.setdefault(threading.get_ident(), []).append(step)


class Stage:
    """The servers, a receiver, and an endpoint with a subscription."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        settings: dict[str, Any] = {
            "database_url": stack.enter_context(EmbeddedPostgres(folder / "postgres")).url,
            "redis_url": stack.enter_context(EmbeddedValkey(folder / "valkey")).url,
            "secret_keys": generate_key(),
            "allow_http_loopback": True,
            "egress_allow": "127.0.0.1/32",
        }
        self._settings = GivenSettings(**settings)
        # The worker's code reads its settings when it is imported.
        os.environ.update(variables(settings))
        bootstrap.migrate(self._settings)
        self._tenants = Tenants(self._settings)
        stack.callback(self._tenants.close)
        self._workspace_id = self._tenants.make([stack.enter_context(_receiver())]).workspace_id
        self._server = bootstrap.server(self._settings)
        self._store = bootstrap.store(self._settings)
        stack.callback(self._server.close)
        stack.callback(self._store.close)

    def publish(self) -> UUID:
        """Record an event as the server does and announce it; no worker is there to take the message."""
        service = self._server.webhook_service
        if service is None:
            raise SystemExit("the server records no events")
        meeting = Meeting(uuid4(), self._workspace_id, "Weekly", MeetingState.COMPLETED, created_at=datetime.now(UTC))
        with self._server.units() as unit:
            event_id = service.trigger_meeting_completed(meeting, unit)
            unit.commit()
        if event_id is None:
            raise SystemExit("the event was not recorded")
        return event_id

    def check_is_settled(self, event_id: UUID) -> None:
        """Exit if the event's delivery did not succeed."""
        with self._store.units() as unit:
            page = unit.deliveries.list_page(self._workspace_id, DeliveryFilter(), limit=10)
        if [each.status for each in page if each.event_id == event_id] != [DeliveryStatus.SUCCEEDED]:
            raise SystemExit("the event was not delivered")


class _Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """Print nothing but the ways."""


@contextmanager
def _receiver() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def trace() -> tuple[Way, Way]:
    """Return the server's way and the worker's of one event."""
    servers, workers = Way(), Way()
    with ExitStack() as stack:
        stage = Stage(stack, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        stage.publish()
        with servers.installed(), servers.watched():
            event_id = stage.publish()
        from workers import tasks  # noqa: PLC0415 - it reads its settings when it is imported

        stack.callback(tasks.close)
        with workers.installed():
            # The first event makes what is made once, and the threads that POST.
            tasks.dispatch([str(event_id)])
            ways = [_watched(stage, workers, dispatch=tasks.dispatch) for _ in range(_TIMES)]
    return servers, min(ways, key=lambda way: way.changes)


def _watched(stage: Stage, workers: Way, *, dispatch: Callable[[list[str]], object]) -> Way:
    """Return the way of one more event."""
    event_id = stage.publish()
    with workers.watched():
        dispatch([str(event_id)])
    stage.check_is_settled(event_id)
    return workers.taken()


def show(name: str, way: Way, *, briefly: bool) -> None:
    """Print a way: each stay with its functions in order, and the sums."""
    print(f"# {name}")
    for stay in () if briefly else way.stays():
        print(stay[0].file)
        for step in stay:
            print(f"    {step.function}")
    print(f"{len(way.files)} files, {way.changes} changes of file")


def main() -> None:
    """Trace an event; exit with status 1 if the worker's way is over its limits."""
    parser = argparse.ArgumentParser(description="Trace the way of one event through the code.")
    parser.add_argument("--brief", action="store_true", help="print the sums only")
    briefly: bool = parser.parse_args().brief
    servers, workers = trace()
    show("the server's way: recorded and announced", servers, briefly=briefly)
    show("the worker's way: from dispatch to the settled row", workers, briefly=briefly)
    if len(workers.files) > MOST_FILES or workers.changes > MOST_CHANGES:
        sys.exit(f"the worker's way may be {MOST_FILES} files and {MOST_CHANGES} changes of file")


if __name__ == "__main__":
    main()
