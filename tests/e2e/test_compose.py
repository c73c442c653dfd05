"""The system of ``compose.yaml``, as plain processes beside an embedded PostgreSQL and Valkey, delivers a webhook."""

from __future__ import annotations

import ast
import base64
import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import psycopg
import pytest
import requests
from psycopg.rows import dict_row
from sqlalchemy import make_url
from standardwebhooks import Webhook

from noteflow_hooks.client import connect
from noteflow_hooks.local.servers import EmbeddedValkey
from noteflow_hooks.local.stack.ports import free_address
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.signing import verify_signature
from tests.support.compose_file import read
from tests.support.compose_services import ComposedSystem
from tests.support.receiver import Receiver
from tests.support.visitor import Visitor
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.local.servers import EmbeddedPostgres
    from tests.support.receiver_connection import ReceivedRequest

VARIABLES: Final = {
    "POSTGRES_PASSWORD": "unused-postgres-password",
    "REDIS_PASSWORD": "unused-redis-password",
    "NOTEFLOW_HOOKS_SECRET_KEYS": base64.urlsafe_b64encode(bytes(range(32))).decode(),
    "FLOWER_USER": "operator",
    "FLOWER_PASSWORD": "flower-password-of-the-test",
    # The receiver is on loopback, which no endpoint may be on unless its network is named.
    "NOTEFLOW_HOOKS_EGRESS_ALLOW": "127.0.0.0/8",
}
LOGIN: Final = (VARIABLES["FLOWER_USER"], VARIABLES["FLOWER_PASSWORD"])
WORKERS: Final = {"worker@worker-1", "worker@worker-2"}
DISPATCH: Final = "noteflow.hooks.dispatch"
DELIVER: Final = "noteflow.hooks.deliver"


@dataclass(frozen=True, slots=True)
class Delivered:
    """A stopped meeting's webhook, and what the receiver got."""

    token: str
    webhook: pb.Webhook
    meeting: pb.Meeting
    request: ReceivedRequest


@pytest.fixture(scope="module")
def database(postgres: EmbeddedPostgres) -> str:
    """An empty database, which only the file's own `migrate` gives a schema."""
    url = make_url(postgres.url).set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE composed")
    return url.set(database="composed").render_as_string()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """An endpoint of somebody's, with TLS."""
    with Receiver(tls=True) as running:
        yield running


@pytest.fixture(scope="module")
def system(database: str, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposedSystem]:
    """All services as `docker compose up --scale worker=2` would run them, healthy."""
    composition = read(VARIABLES)
    lines = composition.spec["configs"]["redis"]["content"].splitlines()
    settings = dict(shlex.split(line) for line in lines if not line.startswith("#"))
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey"), settings=settings) as valkey:
        composed = ComposedSystem(
            composition,
            folder=tmp_path_factory.mktemp("composed"),
            replaced={
                "NOTEFLOW_HOOKS_DATABASE_URL": database,
                "NOTEFLOW_HOOKS_REDIS_URL": valkey.url,
                "NOTEFLOW_HOOKS_GRPC_BIND": "127.0.0.1:0",
                "NOTEFLOW_HOOKS_DASHBOARD_BIND": free_address(),
            },
            added={
                "NOTEFLOW_HOOKS_CA_BUNDLE": str(receiver.ca_pem),
                # Each container has a temporary folder of its own.
                "NOTEFLOW_HOOKS_RUN_DIR": str(tmp_path_factory.mktemp("run")),
            },
            scale={"worker": 2},
        )
        try:
            composed.start()
            until(
                lambda: flower(composed, "/api/workers?status=1") == dict.fromkeys(WORKERS, True),
                timeout_s=120,
                what=lambda: "\n".join(map(str, composed.running)),
            )
            yield composed
        finally:
            list(composed.stop())


@pytest.fixture(scope="module")
def delivered(system: ComposedSystem, receiver: Receiver) -> Delivered:
    """A meeting, stopped over gRPC, whose event has reached an endpoint of its workspace."""
    token = a_token(system)
    with connect(system.addresses["server"], token) as client:
        webhook = client.webhooks.RegisterWebhook(
            pb.RegisterWebhookRequest(
                url=receiver.url("/hooks/private-path?key=private-query", host="localhost"),
                events=["meeting.completed"],
                generate_secret=True,
            )
        )
        meeting = client.meetings.CreateMeeting(pb.CreateMeetingRequest(title="A private title"))
        client.meetings.StopMeeting(pb.StopMeetingRequest(meeting_id=meeting.id))
    (request,) = receiver.wait_for(1)
    return Delivered(token, webhook, meeting, request)


def a_token(system: ComposedSystem) -> str:
    """Make a workspace and a token as an operator does."""
    workspace = json.loads(system.run("server", "noteflow-hooks", "workspaces", "create", "Composed", "--json"))
    made = system.run("server", "noteflow-hooks", "tokens", "create", "--workspace", workspace["id"], "--json")
    return str(json.loads(made)["token"])


def ask_flower(system: ComposedSystem, path: str, auth: tuple[str, str] | None) -> requests.Response:
    """Return its answer, whatever that is."""
    return requests.get(f"http://{system.addresses['flower']}{path}", auth=auth, timeout=30)


def page(system: ComposedSystem, path: str) -> str:
    """Return a page of Flower's as one sees it who is logged in."""
    answer = ask_flower(system, path, LOGIN)
    assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
    return answer.text


def flower(system: ComposedSystem, path: str) -> Any:  # noqa: ANN401 - JSON
    """Return what Flower's API answers."""
    return json.loads(page(system, path))


def finished(system: ComposedSystem, *names: str) -> dict[str, dict[str, Any]]:
    """Return the tasks of those names that Flower shows as done, by their ids."""
    tasks: dict[str, dict[str, Any]] = flower(system, "/api/tasks?state=SUCCESS")
    return {key: each for key, each in tasks.items() if each["name"] in names}


def test_a_stopped_meeting_reaches_its_endpoint(delivered: Delivered) -> None:
    """One signed POST comes, and both signatures fit its body."""
    request, secret = delivered.request, delivered.webhook.secret
    body = json.loads(request.body)
    assert (body["event"], body["meeting_id"]) == ("meeting.completed", delivered.meeting.id)
    assert verify_signature(request.body, request.header("X-NoteFlow-Signature") or "", secret)
    assert Webhook(secret).verify(request.body, dict(request.headers)) == body


def test_the_delivery_is_on_record(delivered: Delivered, database: str) -> None:
    """Its row says succeeded after one attempt, and the endpoint got the ten attempts that the file asks for."""
    query = """
        SELECT d.status, d.status_code, d.attempt_count, d.delivered_at IS NOT NULL AS is_delivered, w.max_retries
        FROM noteflow.webhook_deliveries d JOIN noteflow.webhook_configs w ON w.id = d.webhook_id
        WHERE d.id = %s AND d.status <> 'sending'
    """
    with psycopg.connect(database, autocommit=True, row_factory=dict_row) as connection:
        delivery_id = delivered.request.header("X-NoteFlow-Delivery")
        until(
            lambda: connection.execute(query, [delivery_id]).fetchone(),
            timeout_s=120,
            what=lambda: "the delivery's result was not recorded",
        )
        row = connection.execute(query, [delivery_id]).fetchone()
    expected = {"status": "succeeded", "status_code": 200, "attempt_count": 1, "is_delivered": True}
    assert row == {**expected, "max_retries": 10}


def test_the_dashboard_shows_what_was_delivered(system: ComposedSystem, delivered: Delivered) -> None:
    """To whoever has a token of the workspace, on a page of its own."""
    visitor = Visitor(int(system.addresses["dashboard"].rpartition(":")[2]))
    assert visitor.sign_in(a_token(system)).status == 303
    assert visitor.get(f"/endpoints/{delivered.webhook.id}").status == 404
    visitor = Visitor(visitor.port)
    visitor.sign_in(delivered.token)
    until(lambda: "Delivered" in visitor.get("/deliveries").text, what="it is shown as delivered")


@pytest.mark.parametrize("auth", [None, ("operator", "wrong"), ("someone", VARIABLES["FLOWER_PASSWORD"])])
@pytest.mark.parametrize("path", ["/", "/api/workers", "/api/tasks", "/workers", "/tasks"])
def test_flower_shows_nothing_without_its_password(
    system: ComposedSystem, path: str, auth: tuple[str, str] | None
) -> None:
    """Pages and API alike ask for the user and password of the file."""
    assert ask_flower(system, path, auth).status_code == 401


@pytest.mark.usefixtures("delivered")
def test_flower_shows_the_work_as_done(system: ComposedSystem) -> None:
    """The event's dispatch, which sends its last chunk itself, is there: ids as arguments, counts and ids as result."""
    until(
        lambda: bool(finished(system, DISPATCH)),
        timeout_s=120,
        what=lambda: str(flower(system, "/api/tasks")),
    )
    # Others may be there: the relay's and the sweep's wake-ups, which find nothing left to do.
    results = {
        (each["name"], ast.literal_eval(each["result"]).partition(";")[0])
        for each in finished(system, DISPATCH, DELIVER).values()
    }
    assert (DISPATCH, "1 deliveries: 1 succeeded") in results
    for task in finished(system, DISPATCH, DELIVER).values():
        (ids,) = ast.literal_eval(task["args"])
        assert [str(UUID(each)) for each in ids] == ids
        assert task["kwargs"] == "{}"


def test_flower_knows_no_address_secret_or_payload(system: ComposedSystem, delivered: Delivered) -> None:
    """Whatever Flower can be asked, its answers hold neither what was sent, nor where to, nor anybody's password."""
    until(lambda: "1 succeeded" in page(system, "/api/tasks"), timeout_s=120, what=lambda: "Flower shows no delivery")
    tasks = [f"/{kind}/{key}" for key in finished(system, DISPATCH, DELIVER) for kind in ("task", "api/task/info")]
    workers = [f"/worker/{name}" for name in sorted(WORKERS)]
    shown = "".join(page(system, each) for each in ("/api/tasks", "/api/workers?refresh=1", *workers, *tasks))
    environment = system.composition.services["worker"].environment | dict(system.replaced)
    redis_url = make_url(environment["NOTEFLOW_HOOKS_REDIS_URL"])
    private = [
        "private-path",
        "private-query",
        "A private title",
        delivered.webhook.secret,
        VARIABLES["NOTEFLOW_HOOKS_SECRET_KEYS"],
        VARIABLES["FLOWER_PASSWORD"],
        environment["NOTEFLOW_HOOKS_DATABASE_URL"],
        str(redis_url.password),
    ]
    assert all(each in shown for each in (*WORKERS, DELIVER, "1 succeeded"))
    assert [each for each in private if each in shown] == []


@pytest.mark.parametrize("task", ["noteflow.hooks.relay", "noteflow.hooks.sweep"])
def test_beat_has_lost_work_looked_for(system: ComposedSystem, task: str) -> None:
    """With nobody asking, a worker runs the relay and the sweep."""
    until(lambda: finished(system, task), timeout_s=120, what=lambda: "\n".join(map(str, system.running)))


def test_every_process_ends_when_it_is_told_to(system: ComposedSystem) -> None:
    """After SIGTERM each exits with 0 within its grace, and leaves no process behind."""
    # The last test here, since it ends what the others use.
    ended = [(running.log_path.stem, code, left, str(running)) for running, code, left in system.stop()]
    expected = {"server-1", "worker-1", "worker-2", "beat-1", "dashboard-1", "flower-1", "migrate-1"}
    assert {name for name, *_ in ended} == expected
    assert [(name, code, left, log) for name, code, left, log in ended if code != 0 or left] == []
