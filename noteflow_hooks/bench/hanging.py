"""How much hanging endpoints slow a healthy one: the healthy one's time from publish to receipt, as ratios.

It is run by itself: ``python -m noteflow_hooks.bench.hanging``. The whole system runs as processes on embedded servers;
the receiver is another process, on loopback. Each round measures without hanging endpoints first, then with them, so
that a busy machine slows both. It takes about two minutes and ends by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import psycopg

from noteflow_hooks import bootstrap
from noteflow_hooks.application.access import make_token, make_workspace
from noteflow_hooks.client import Client, connect
from noteflow_hooks.crypto import generate_key
from noteflow_hooks.domain.audit.entries import PROGRAM
from noteflow_hooks.local.stack import System
from noteflow_hooks.local.stack.environment import GivenSettings
from noteflow_hooks.local.stack.ports import free_address
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

#: Events to the healthy endpoint in one measurement, and how many a second.
EVENTS: Final = 300
RATE: Final = 50.0
BACKLOG: Final = 10_000
ENDPOINTS: Final = 100
_OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_PAYLOAD: Final = {"title": "t", "duration_seconds": 1.0, "segment_count": 1, "has_summary": True}


class Receiver:
    """Answers ``/ok`` at once, and never answers other paths; knows when each meeting's event came."""

    def __init__(self) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("spawn").Process(target=_receive, args=(theirs,), daemon=True)
        self._process.start()
        self.port: int = self._pipe.recv()

    def url(self, path: str) -> str:
        """Return the URL of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def arrivals(self) -> dict[str, float]:
        """Return when each meeting's event came, by the monotonic clock."""
        self._pipe.send(None)
        arrivals: dict[str, float] = self._pipe.recv()
        return arrivals

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()


def _receive(pipe: Connection) -> None:
    asyncio.run(_serve(pipe))


async def _serve(pipe: Connection) -> None:
    came: dict[str, float] = {}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                body = json.loads(await reader.readexactly(length))
                if not head.startswith(b"POST /ok"):
                    await asyncio.sleep(3600)
                came.setdefault(body["meeting_id"], time.monotonic())
                writer.write(_OK)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
    pipe.send(server.sockets[0].getsockname()[1])

    def tell() -> None:
        pipe.recv()
        pipe.send(came)

    asyncio.get_running_loop().add_reader(pipe.fileno(), tell)
    await asyncio.sleep(3600)


class Bench:
    """A running system and its receiver."""

    def __init__(self, stack: ExitStack, *, workers: int) -> None:
        self.receiver = Receiver()
        stack.callback(self.receiver.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="noteflow-bench-")))
        self.system = stack.enter_context(System(folder / "data", throwaway=True))
        settings = {
            "grpc_bind": free_address(),
            "secret_keys": generate_key(),
            "allow_http_loopback": True,
            "registrations_per_minute": 0,
            "token_calls_per_s": 0,
        }
        self.system.start(settings, workers=workers)
        self.client: Client = stack.enter_context(connect(self.system.grpc, self.system.identity.token))
        self.workspace_id = self.system.identity.workspace_id
        self._number = 0

    def register(self, path: str, event_type: str) -> str:
        """Register an endpoint and return its id."""
        request = pb.RegisterWebhookRequest(url=self.receiver.url(path), events=[event_type], generate_secret=True)
        return self.client.webhooks.RegisterWebhook(request).id

    @contextmanager
    def as_another_workspace(self) -> Iterator[None]:
        """Act for a new workspace while the block runs."""
        former = self.client, self.workspace_id
        store = bootstrap.store(GivenSettings(database_url=self.system.database_url))
        with store.units() as unit:
            workspace = make_workspace(unit, "another", by=PROGRAM)
            _, token = make_token(unit, workspace.id, name="bench", by=PROGRAM)
            unit.commit()
        store.close()
        with connect(self.system.grpc, token) as self.client:
            self.workspace_id = str(workspace.id)
            yield
        self.client, self.workspace_id = former

    def remove(self, webhook_ids: list[str]) -> None:
        """Remove endpoints again."""
        for webhook_id in webhook_ids:
            self.client.webhooks.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=webhook_id))

    def flood(self, event_type: str, count: int) -> None:
        """Commit so many events at once; the relay finds them."""
        with psycopg.connect(self.system.database_url) as connection:
            connection.execute(
                "INSERT INTO noteflow.webhook_events (workspace_id, event_type, payload, occurred_at)"
                " SELECT %s, %s, json_build_object('event', %s::text, 'meeting_id', 'flood'), now()"
                " FROM generate_series(1, %s)",
                [self.workspace_id, event_type, event_type, count],
            )

    def until_dispatched(self) -> None:
        """Wait until every event has its deliveries."""
        with psycopg.connect(self.system.database_url, autocommit=True) as connection:
            statement = "SELECT count(*) FROM noteflow.webhook_events WHERE dispatched_at IS NULL"
            while connection.execute(statement).fetchone() != (0,):
                time.sleep(0.1)

    def measure(self, meanwhile: Callable[[int], None] = lambda _: None) -> list[float]:
        """Publish at the rate and return each event's time from publish to receipt, in ms."""
        published: dict[str, float] = {}
        start = time.monotonic()
        for number in range(EVENTS):
            time.sleep(max(0.0, start + number / RATE - time.monotonic()))
            meanwhile(number)
            self._number += 1
            meeting_id = f"m-{self._number}"
            payload = json.dumps({**_PAYLOAD, "meeting_id": meeting_id})
            published[meeting_id] = time.monotonic()
            self.client.events.PublishEvent(
                pb.PublishEventRequest(event_type="meeting.completed", payload_json=payload)
            )
        return self._latencies(published)

    def _latencies(self, published: dict[str, float]) -> list[float]:
        ends_at = time.monotonic() + 60
        while True:
            came = self.receiver.arrivals()
            if published.keys() <= came.keys():
                return [(came[each] - at) * 1000 for each, at in published.items()]
            if time.monotonic() > ends_at:
                raise SystemExit(f"{len(published.keys() - came.keys())} events have not arrived within a minute")
            time.sleep(0.1)


def one_hanging(bench: Bench) -> tuple[list[float], list[float]]:
    """Measure without hanging endpoints, then with one and a backlog for it."""
    quiet = bench.measure()
    hanging = bench.register("/hang", "recording.started")
    bench.flood("recording.started", BACKLOG)
    bench.until_dispatched()
    measured = bench.measure()
    bench.remove([hanging])
    return quiet, measured


def a_fifth_hanging(bench: Bench) -> tuple[list[float], list[float]]:
    """Measure with 100 endpoints that get five events a second each, then with 20 of them hanging."""
    quiet = _hundred(bench, hanging=0)
    return quiet, _hundred(bench, hanging=ENDPOINTS // 5)


def a_flood(bench: Bench) -> tuple[list[float], list[float]]:
    """Measure alone, then while another workspace's backlog of 20,000 deliveries goes to 20 endpoints."""
    quiet = bench.measure()
    with bench.as_another_workspace():
        for _ in range(20):
            bench.register("/ok", "recording.started")
        bench.flood("recording.started", 1_000)
    return quiet, bench.measure()


def _hundred(bench: Bench, *, hanging: int) -> list[float]:
    paths = ["/hang"] * hanging + ["/ok"] * (ENDPOINTS - 1 - hanging)
    webhooks = [bench.register(path, "recording.started") for path in paths]

    def meanwhile(number: int) -> None:
        if number % 10 == 0:
            payload = json.dumps({"title": "t", "meeting_id": "all"})
            request = pb.PublishEventRequest(event_type="recording.started", payload_json=payload)
            bench.client.events.PublishEvent(request)

    measured = bench.measure(meanwhile)
    bench.remove(webhooks)
    return measured


def _p(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


def _row(name: str, quiet: list[float], measured: list[float]) -> dict[str, Any]:
    return {
        "scenario": name,
        "quiet_p50_ms": round(_p(quiet, 50), 1),
        "quiet_p95_ms": round(_p(quiet, 95), 1),
        "p50_ms": round(_p(measured, 50), 1),
        "p95_ms": round(_p(measured, 95), 1),
        "max_ms": round(max(measured), 1),
        "p95_ratio": round(_p(measured, 95) / _p(quiet, 95), 2),
    }


def main() -> None:
    """Run the rounds and print a line of JSON for each, then the medians of the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    ratios: dict[str, list[float]] = {}
    with ExitStack() as stack:
        bench = Bench(stack, workers=arguments.workers)
        bench.register("/ok", "meeting.completed")
        bench.measure()
        for _ in range(arguments.rounds):
            for scenario in (one_hanging, a_fifth_hanging, a_flood):
                row = _row(scenario.__name__, *scenario(bench))
                ratios.setdefault(scenario.__name__, []).append(row["p95_ratio"])
                click.echo(json.dumps(row))
    for name, found in ratios.items():
        click.echo(f"{name}: median p95 ratio {statistics.median(found)} of {len(found)} rounds")


if __name__ == "__main__":
    main()
