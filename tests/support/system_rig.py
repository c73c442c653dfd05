"""The whole system as processes, a receiver with TLS, and what tests do to them: publish, look, freeze, kill."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeVar
from uuid import uuid4

import grpc
import psutil
import psycopg
import redis
from celery import Celery

from noteflow_hooks import bootstrap
from noteflow_hooks.application.access import make_token, make_workspace
from noteflow_hooks.crypto import generate_key
from noteflow_hooks.local.stack import System
from noteflow_hooks.local.stack.environment import GivenSettings
from noteflow_hooks.local.stack.ports import free_address
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.support.builders import BY, a_payload
from tests.support.clusters import put_cluster
from tests.support.receiver import Receiver
from tests.support.stopwatch import answered_within
from tests.support.waiting import PATIENCE_S, until
from tests.support.wire_client import WireClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

T = TypeVar("T")

#: Short periods, by settings alone, so that faults heal while a test looks on.
QUICK: Final[dict[str, Any]] = {
    "relay_every_s": 0.5,
    "relay_after_s": 0.5,
    "sweep_every_s": 0.5,
    "lease_slack_s": 1,
    "retry_base_s": 0.2,
    "retry_jitter": 0,
}


class SystemRig:
    """A running system and a receiver; use it as a context manager."""

    #: Whether its database is a copy, which has the newest schema, or is made by what `bootstrap.migrate` is by then.
    is_copied: ClassVar = True

    def __init__(self, folder: Path, *, workers: int = 1, **settings: Any) -> None:  # noqa: ANN401 - settings of any type
        self.receiver = Receiver(tls=True)
        self.folder = folder
        self._database: psycopg.Connection | None = None
        self.system = System(folder)
        self._workers = workers
        self._settings = {
            "grpc_bind": free_address(),
            "secret_keys": generate_key(),
            "egress_allow": "127.0.0.1/32",
            "ca_bundle": self.receiver.ca_pem,
            # Tests ask for more in a minute than a customer does.
            "registrations_per_minute": 0,
            "token_calls_per_s": 0,
            **QUICK,
            **settings,
        }

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            if self.is_copied:
                put_cluster(self.folder / "postgres")
            stack.enter_context(self.receiver)
            stack.enter_context(self.system)
            self.system.start(self._settings, workers=self._workers)
            self.token = self.system.identity.token
            self.client = stack.enter_context(self.connect(self.token))
            stack.callback(self.disconnect)
            self.redis = stack.enter_context(redis.Redis.from_url(self.system.redis_url))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def connect(self, token: str) -> WireClient:
        """Return a client with that token."""
        return WireClient(self.system.grpc, token)

    @contextlib.contextmanager
    def as_new_tenant(self) -> Iterator[Self]:
        """Act for a workspace of its own, in which nobody else registers endpoints, for as long as the block runs."""
        former = self.client, self.token
        self.token = self.new_workspace()
        try:
            with self.connect(self.token) as self.client:
                yield self
        finally:
            # Also where the block raises: whoever comes next would call by a connection that is closed.
            self.client, self.token = former

    @property
    def settings(self) -> dict[str, Any]:
        """What the programs were told, by the settings' names."""
        urls = {"database_url": self.system.database_url, "redis_url": self.system.redis_url}
        return {**self._settings, **urls}

    def webhook(self, path: str = "/hooks", **overrides: Any) -> pb.Webhook:  # noqa: ANN401 - a request's fields
        """Register an endpoint at that path of the receiver, with a secret of its own; once, if tried again, too."""
        fields = {"url": self.receiver.url(path), "events": ["meeting.completed"], "generate_secret": True}
        request = pb.RegisterWebhookRequest(**{**fields, "request_id": uuid4().hex, **overrides})
        return retry_while_unavailable(lambda: self.client.webhooks.RegisterWebhook(request))

    @property
    def database(self) -> psycopg.Connection:
        """A connection to the database, in which each statement is a transaction."""
        if self._database is None or self._database.closed:
            self._database = psycopg.connect(self.system.database_url, autocommit=True)
        return self._database

    def disconnect(self) -> None:
        """Let go of the connection to the database; the next use makes a new one."""
        if self._database is not None:
            self._database.close()

    def open_stream(self, meeting_id: str) -> Stream:
        """Begin to record a meeting."""
        return Stream(self.client, meeting_id)

    def publish(self, **overrides: Any) -> str:  # noqa: ANN401 - a payload's fields
        """Publish one ``meeting.completed`` and return the event's id."""
        payload = json.dumps(a_payload(**overrides))
        request = pb.PublishEventRequest(
            event_type="meeting.completed", payload_json=payload, idempotency_key=uuid4().hex
        )
        return retry_while_unavailable(lambda: self.client.events.PublishEvent(request)).id

    def meeting(self) -> str:
        """Create a meeting and return its id."""
        return retry_while_unavailable(
            lambda: self.client.meetings.CreateMeeting(pb.CreateMeetingRequest(title="Weekly"))
        ).id

    def stop_meeting(self, meeting_id: str, *, within_s: float = PATIENCE_S) -> pb.Meeting:
        """Stop it; fail where the answer, whatever it is, takes longer."""
        with answered_within(within_s):
            return self.client.meetings.StopMeeting(pb.StopMeetingRequest(meeting_id=meeting_id), timeout=PATIENCE_S)

    def deliveries(self, webhook: pb.Webhook) -> list[pb.Delivery]:
        """Return an endpoint's deliveries, newest first, each with its attempts."""
        request = pb.ListDeliveriesRequest(webhook_id=webhook.id, page_size=500)
        listed = retry_while_unavailable(lambda: self.client.webhooks.ListDeliveries(request))
        return [self.delivery(each.id) for each in listed.deliveries]

    def delivery(self, delivery_id: str) -> pb.Delivery:
        """Return a delivery with its attempts."""
        request = pb.GetDeliveryRequest(delivery_id=delivery_id)
        return retry_while_unavailable(lambda: self.client.webhooks.GetDelivery(request))

    def settled(
        self, webhook: pb.Webhook, status: str, *, count: int = 1, timeout_s: float = PATIENCE_S
    ) -> list[pb.Delivery]:
        """Return an endpoint's deliveries once so many have that status."""
        statement = "SELECT count(*) FROM noteflow.webhook_deliveries WHERE webhook_id = %s AND status = %s"

        def reached() -> bool:
            [(found,)] = self.database.execute(statement, [webhook.id, status]).fetchall()
            return bool(found >= count)

        until(reached, what=f"{count} deliveries {status}", timeout_s=timeout_s)
        return self.deliveries(webhook) if count <= 500 else []

    def pid(self, name: str) -> int:
        """Return the process id of a part of the system."""
        return self.system.processes[name]

    @contextlib.contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Stop a part of the system, with all its children, as a debugger would, for as long as the block runs."""
        family = self.family(name)
        for process in family:
            process.suspend()
        try:
            yield
        finally:
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()

    def kill(self, name: str) -> None:
        """End a part of the system with all its children, without a word of warning."""
        for process in self.family(name):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        until(lambda: name not in self.system.processes, what=f"{name} ends")

    def family(self, name: str) -> list[psutil.Process]:
        """Return a part's process and all that it has started."""
        # Not the process group: PostgreSQL's processes lead one each.
        leader = psutil.Process(self.pid(name))
        return [leader, *leader.children(recursive=True)]

    def restart(self, name: str) -> None:
        """Start a part again that was killed, under its old address."""
        next(part for part in self.system.parts if part.name == name).start()

    def remove_webhooks(self) -> None:
        """Remove all endpoints of its workspace, so that none of their deliveries goes on."""
        listed = retry_while_unavailable(
            lambda: self.client.webhooks.ListWebhooks(pb.ListWebhooksRequest(page_size=500))
        )
        for each in listed.webhooks:
            self.client.webhooks.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=each.id))

    def messages(self) -> int:
        """Return how many messages were ever put into a queue."""
        commands = self.redis.info("commandstats")
        assert isinstance(commands, dict)
        return int(commands.get("cmdstat_lpush", {"calls": 0})["calls"])

    def wake(self, queue: str, *ids: str) -> None:
        """Put one message with these ids into a queue."""
        app = Celery(broker=self.system.redis_url, set_as_current=False)
        app.send_task(f"noteflow.hooks.{queue}", args=[list(ids)], queue=queue, ignore_result=True)
        app.close()

    def new_workspace(self) -> str:
        """Make another workspace and return a token for it."""
        store = bootstrap.store(GivenSettings(database_url=self.system.database_url))
        with store.units() as unit:
            workspace = make_workspace(unit, "another", by=BY)
            _, token = make_token(unit, workspace.id, name="test", by=BY)
            unit.commit()
        store.close()
        return token

    def publish_many(self, count: int, *, webhook_workspace: str) -> None:
        """Commit that many events with one statement, behind the server's back: nobody announces them."""
        self.database.execute(
            "INSERT INTO noteflow.webhook_events (workspace_id, event_type, payload, occurred_at)"
            " SELECT %s, 'meeting.completed', json_build_object('event', 'meeting.completed', 'n', n), now()"
            " FROM generate_series(1, %s) AS n",
            [webhook_workspace, count],
        )


class RigFromScratch(SystemRig):
    """One whose database is made anew."""

    is_copied = False


class Stream:
    """An audio stream that has sent its first second and then stays open."""

    def __init__(self, client: WireClient, meeting_id: str) -> None:
        self._ended = threading.Event()
        self.call = client.meetings.StreamAudioSegments.future(self._chunks(meeting_id))

    def end(self) -> None:
        """Vanish without a word."""
        self.call.cancel()
        self._ended.set()

    def _chunks(self, meeting_id: str) -> Iterator[pb.StreamAudioSegmentsRequest]:
        audio_format = pb.AudioFormat(sample_rate=8000, bytes_per_sample=2)
        yield pb.StreamAudioSegmentsRequest(meeting_id=meeting_id, audio=bytes(16_000), format=audio_format)
        self._ended.wait()


def retry_while_unavailable(call: Callable[[], T]) -> T:
    """Call, and again where the server found its database silent, as it does after a pause of the machine."""
    ends_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            return call()
        except grpc.RpcError as error:
            if "does not answer in time" not in (error.details() or "") or time.monotonic() > ends_at:
                raise


def a_path() -> str:
    """Return a path of the receiver that no other test uses."""
    return f"/{uuid4().hex}"
