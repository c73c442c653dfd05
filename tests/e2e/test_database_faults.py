"""What becomes of PostgreSQL, of its rows and of the servers that write to it, and what must be true after it."""

from __future__ import annotations

import contextlib
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from typing import TYPE_CHECKING, Any, Final

import grpc
import psycopg
import pytest

from noteflow_hooks.local.stack.ports import free_address
from noteflow_hooks.local.stack.programs import SERVER
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.signing import verify_signature, verify_standard
from tests.support.blackhole_proxy import BlackholeProxy
from tests.support.extra_programs import started
from tests.support.receiver_connection import Answer
from tests.support.steady_publisher import posts, publish_request
from tests.support.stopwatch import answered_within
from tests.support.system_rig import SystemRig, a_path
from tests.support.waiting import PATIENCE_S, until
from tests.support.wire_client import WireClient
from tests.support.worker_programs import pooled_worker, wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What a client allows a call, whatever happens to the database.
DEADLINE_S: Final = 2.0
#: Statements of ours that wait for somebody's lock.
#: One of ours that waits for a lock of that process. Beside it sweeps may wait for each other, for a moment.
WAITING: Final = """
SELECT min(pid) FROM pg_stat_activity WHERE application_name ^@ 'noteflow-hooks' AND %s = ANY(pg_blocking_pids(pid))
"""
ALIVE: Final = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
#: The line that an endpoint's claims stand in.
LINE: Final = "SELECT pg_advisory_xact_lock(1852793958, hashtext(%s) & 63)"
#: Nothing is stored beside it, and all may be read.
WRITES_LOCKED: Final = "LOCK TABLE noteflow.webhook_events IN SHARE MODE"
TOUCH: Final = "UPDATE noteflow.webhook_deliveries SET claim_no = claim_no WHERE id = %s"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemRig]:
    with SystemRig(tmp_path_factory.mktemp("system"), deliver_chunk=10) as running:
        yield running


@pytest.fixture
def rig(system: SystemRig) -> Iterator[SystemRig]:
    with system.as_new_tenant() as tenant:
        yield tenant


@contextlib.contextmanager
def rival(rig: SystemRig) -> Iterator[psycopg.Connection]:
    """Offer a transaction that is never a deadlock's victim, and that is undone in the end."""
    with psycopg.connect(rig.system.database_url) as connection:
        connection.execute("SET LOCAL deadlock_timeout = '60 s'")
        yield connection
        connection.rollback()


def value(rig: SystemRig, statement: str, *given: object) -> Any:  # noqa: ANN401 - whatever the column holds
    [(found,)] = rig.database.execute(statement.encode(), given).fetchall()
    return found


def wait_for_a_waiting_statement(rig: SystemRig, other: psycopg.Connection) -> int:
    """Return the process of PostgreSQL's that waits."""
    found: list[int | None] = []

    def waits() -> bool:
        found.append(value(rig, WAITING, other.info.backend_pid))
        return found[-1] is not None

    until(waits, what="a statement of ours waits for the lock")
    return found[-1] or 0


def refusal(rig: SystemRig) -> grpc.StatusCode:
    """Return with what code an event is refused, within the client's deadline."""
    with pytest.raises(grpc.RpcError) as refused, answered_within(DEADLINE_S):
        rig.client.events.PublishEvent(publish_request(), timeout=PATIENCE_S)
    return refused.value.code()


def publish_keyed(rig: SystemRig, request: pb.PublishEventRequest) -> str:
    """Publish, patiently: the server may have been started a moment ago."""
    return rig.client.events.PublishEvent(request, timeout=PATIENCE_S, wait_for_ready=True).id


def events(rig: SystemRig, key: str) -> int:
    """Count the stored events of that idempotency key."""
    return int(value(rig, "SELECT count(*) FROM noteflow.webhook_events WHERE idempotency_key = %s", key))


@pytest.mark.parametrize(
    "mode",
    [pytest.param(signal.SIGINT, id="fast"), pytest.param(signal.SIGQUIT, id="immediate", marks=pytest.mark.chaos)],
)
def test_a_database_that_is_stopped_in_mid_delivery_costs_nothing(rig: SystemRig, mode: signal.Signals) -> None:
    """As ``pg_ctl stop -m`` does it. Answers that come while it is away are recorded; nothing is sent twice."""
    path = a_path()
    webhook = rig.webhook(path, timeout_ms=30_000)
    rig.receiver.hold()
    sent = {rig.publish() for _ in range(5)}
    rig.receiver.wait_for(5, path=path)
    rig.disconnect()
    os.kill(rig.pid("postgres"), mode)
    until(lambda: "postgres" not in rig.system.processes, what="PostgreSQL ends")
    rig.receiver.release()
    assert refusal(rig) is grpc.StatusCode.UNAVAILABLE
    rig.restart("postgres")
    deliveries = rig.settled(webhook, "succeeded", count=5)
    assert {each.attempt_count for each in deliveries} == {1}
    sent.add(publish_keyed(rig, publish_request()))
    rig.settled(webhook, "succeeded", count=6)
    assert posts(rig.receiver, path) == dict.fromkeys(sent, 1)


def test_a_database_without_a_free_connection_refuses_and_loses_nothing(rig: SystemRig) -> None:
    """Others hold every one of them: calls are refused at once, results wait, and all goes on by itself after."""
    path = a_path()
    webhook = rig.webhook(path, timeout_ms=30_000)
    rig.receiver.hold()
    sent = {rig.publish() for _ in range(3)}
    rig.receiver.wait_for(3, path=path)
    rig.disconnect()
    with every_connection(rig):
        rig.receiver.release()
        refused = {refusal(rig) for _ in range(3)}
    assert refused <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}
    deliveries = rig.settled(webhook, "succeeded", count=3)
    assert {each.attempt_count for each in deliveries} == {1}
    sent.add(publish_keyed(rig, publish_request()))
    rig.settled(webhook, "succeeded", count=4)
    assert posts(rig.receiver, path) == dict.fromkeys(sent, 1)


@contextlib.contextmanager
def every_connection(rig: SystemRig) -> Iterator[None]:
    """Hold all that the database has, those of the system too, which are cut."""
    with contextlib.ExitStack() as held:
        first = held.enter_context(psycopg.connect(rig.system.database_url, autocommit=True))
        [(most,)] = first.execute("SELECT current_setting('max_connections')::integer").fetchall()
        ours = 1
        while ours < most:
            try:
                held.enter_context(psycopg.connect(rig.system.database_url, autocommit=True))
                ours += 1
            except psycopg.OperationalError:
                first.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ^@ 'noteflow-hooks'"
                )
        yield


def test_a_result_whose_statement_is_a_deadlocks_victim_is_recorded_all_the_same(rig: SystemRig) -> None:
    """A second connection crosses it; the result is stored at the second try, and nothing is sent again."""
    path = a_path()
    webhook, before = rig.webhook(path, timeout_ms=30_000), deadlocks(rig)
    rig.receiver.hold()
    event_id = rig.publish()
    rig.receiver.wait_for(1, path=path)
    [delivery] = rig.deliveries(webhook)
    with rival(rig) as other:
        other.execute(
            "INSERT INTO noteflow.webhook_attempts (delivery_id, attempt_number, started_at, duration_ms)"
            " VALUES (%s, 1, now(), 0)",
            [delivery.id],
        )
        rig.receiver.release()
        wait_for_a_waiting_statement(rig, other)
        other.execute(TOUCH, [delivery.id])
    [recorded] = rig.settled(webhook, "succeeded")
    assert [(each.attempt_number, each.status_code) for each in recorded.attempts] == [(1, 200)]
    assert posts(rig.receiver, path) == {event_id: 1}
    until(lambda: deadlocks(rig) > before, what="PostgreSQL has counted a deadlock")


@pytest.mark.chaos
def test_a_claim_that_is_a_deadlocks_victim_is_made_again(rig: SystemRig) -> None:
    """The second attempt of a delivery stands in its endpoint's line while somebody crosses it; it is made once."""
    path = a_path()
    rig.receiver.script(path, Answer(500), Answer(200))
    webhook, before = rig.webhook(path, timeout_ms=30_000), deadlocks(rig)
    rig.receiver.hold()
    event_id = rig.publish()
    rig.receiver.wait_for(1, path=path)
    [delivery] = rig.deliveries(webhook)
    with rival(rig) as other:
        other.execute(LINE, [webhook.id])
        rig.receiver.release()
        wait_for_a_waiting_statement(rig, other)
        other.execute(TOUCH, [delivery.id])
    [recorded] = rig.settled(webhook, "succeeded")
    assert [each.status_code for each in recorded.attempts] == [500, 200]
    assert posts(rig.receiver, path) == {event_id: 2}
    until(lambda: deadlocks(rig) > before, what="PostgreSQL has counted a deadlock")


def deadlocks(rig: SystemRig) -> int:
    return int(value(rig, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))


def test_a_server_killed_before_the_commit_has_stored_nothing(rig: SystemRig) -> None:
    """PostgreSQL drops what it has not begun; the same key, published again, makes one event and one delivery."""
    path, request = a_path(), publish_request()
    webhook = rig.webhook(path)
    with rival(rig) as other:
        other.execute(WRITES_LOCKED)
        call = rig.client.events.PublishEvent.future(request)
        waiting = wait_for_a_waiting_statement(rig, other)
        with server_restarted_after(rig):
            rig.kill("server")
            assert call.exception() is not None
            # Sooner than its statement_timeout ends it, in 20 s.
            until(lambda: value(rig, ALIVE, waiting) == 0, what="the dead server's statement ends", timeout_s=10)
    assert events(rig, request.idempotency_key) == 0
    event_id = publish_keyed(rig, request)
    rig.settled(webhook, "succeeded")
    assert (events(rig, request.idempotency_key), posts(rig.receiver, path)) == (1, {event_id: 1})


@pytest.mark.chaos
def test_a_server_killed_while_its_statement_is_carried_out_stores_one_event(rig: SystemRig) -> None:
    """The caller sees an error, of an event that is stored; under the same key he is told its id."""
    path, request = a_path(), publish_request()
    webhook = rig.webhook(path)
    with rival(rig) as other, server_restarted_after(rig):
        other.execute(WRITES_LOCKED)
        call = rig.client.events.PublishEvent.future(request)
        wait_for_a_waiting_statement(rig, other)
        with rig.frozen("server"):
            other.rollback()
            until(lambda: events(rig, request.idempotency_key) == 1, what="the event is stored")
            rig.kill("server")
        assert call.exception() is not None
    stored = value(rig, "SELECT id FROM noteflow.webhook_events WHERE idempotency_key = %s", request.idempotency_key)
    assert publish_keyed(rig, request) == str(stored)
    rig.settled(webhook, "succeeded")
    assert (events(rig, request.idempotency_key), posts(rig.receiver, path)) == (1, {str(stored): 1})


@contextlib.contextmanager
def server_restarted_after(rig: SystemRig) -> Iterator[None]:
    """Start the server again that the block kills, for the tests that come after a failure too."""
    try:
        yield
    finally:
        if "server" not in rig.system.processes:
            rig.restart("server")
        rig.client.events.ListEvents(pb.ListEventsRequest(), wait_for_ready=True, timeout=PATIENCE_S)


def test_an_event_whose_reply_was_lost_is_not_stored_twice(rig: SystemRig) -> None:
    """A proxy swallows the reply and cuts: the retry is told the same id; another body under that key is refused."""
    path, request = a_path(), publish_request()
    webhook = rig.webhook(path)
    with BlackholeProxy(rig.system.grpc) as proxy, WireClient(proxy.address, rig.token) as client:
        client.events.ListEvents(pb.ListEventsRequest())
        proxy.swallow()
        call = client.events.PublishEvent.future(request)
        until(lambda: events(rig, request.idempotency_key) == 1, what="the event is stored")
        proxy.cut()
        assert call.code() is grpc.StatusCode.UNAVAILABLE
        event_id = client.events.PublishEvent(request, wait_for_ready=True, timeout=PATIENCE_S).id
        with pytest.raises(grpc.RpcError) as refused:
            client.events.PublishEvent(publish_request(request.idempotency_key, title="Another"))
    assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS
    rig.settled(webhook, "succeeded")
    assert (events(rig, request.idempotency_key), posts(rig.receiver, path)) == (1, {event_id: 1})


@pytest.mark.chaos
def test_fifty_publishers_of_one_key_at_two_servers_make_one_event(rig: SystemRig) -> None:
    """Each over a connection of its own, every other one to a second server; all are told the same id."""
    path, request, address = a_path(), publish_request(), free_address()
    webhook = rig.webhook(path)

    def publish(server: str) -> str:
        with WireClient(server, rig.token) as client:
            return client.events.PublishEvent(request, timeout=PATIENCE_S, wait_for_ready=True).id

    with started(rig, "server-2", SERVER, grpc_bind=address), ThreadPoolExecutor(50) as publishers:
        wait_until_ready(rig, "server-2")
        servers = cycle([rig.system.grpc, address])
        told = set(publishers.map(publish, [next(servers) for _ in range(50)]))
    [delivery] = rig.settled(webhook, "succeeded")
    assert (told, events(rig, request.idempotency_key)) == ({delivery.event_id}, 1)
    assert posts(rig.receiver, path) == {delivery.event_id: 1}


#: What is done to an endpoint's row by hand, and the class of error that its delivery ends with.
DAMAGE: Final = [
    ("url = 'https://169.254.169.254/latest'", "address_not_allowed"),
    ("url = 'https://['", "address_not_allowed"),
    ("secret = 'garbage'", "secret_unavailable"),
    ("headers = 'garbage', header_names = ARRAY['X-Key']", "secret_unavailable"),
]


def test_rows_that_nobody_can_make_sense_of_end_with_a_reason_and_the_others_flow(rig: SystemRig) -> None:
    """URLs, secrets and headers changed by hand, and an event of an unknown type, beside an endpoint that is well."""
    worker_pid, path = rig.pid("worker-1"), a_path()
    fine = rig.webhook(path)
    hurt = [rig.webhook(a_path(), max_retries=1) for _ in DAMAGE]
    for webhook, (changes, _) in zip(hurt, DAMAGE, strict=True):
        statement = f"UPDATE noteflow.webhook_configs SET {changes} WHERE id = %s"  # noqa: S608 - of this file's own
        rig.database.execute(statement.encode(), [webhook.id])
    rig.database.execute(
        "INSERT INTO noteflow.webhook_events (workspace_id, event_type, payload, occurred_at)"
        " VALUES (%s, 'meeting.unknown', '{}', now())",
        [fine.workspace_id],
    )
    event_id = rig.publish()
    rig.settled(fine, "succeeded")
    for webhook, (_, kind) in zip(hurt, DAMAGE, strict=True):
        [dead] = rig.settled(webhook, "dead")
        assert [each.error_kind for each in dead.attempts] == [kind]
    assert posts(rig.receiver, path) == {event_id: 1}
    assert rig.pid("worker-1") == worker_pid


def test_what_changes_between_the_queue_and_the_post_counts(rig: SystemRig) -> None:
    """Deleted, disabled and unsubscribed endpoints get nothing; a new URL and a new secret are the ones that count."""
    names = ("deleted", "disabled", "unsubscribed", "moved", "rotated", "same")
    paths = {name: a_path() for name in names}
    webhooks = {name: rig.webhook(paths[name]) for name in names}
    hooks, new_path = rig.client.webhooks, a_path()
    dispatcher = pooled_worker("gevent", "-c", "4", "-Q", "dispatch,maintenance", name="dispatcher")
    with rig.frozen("worker-1"), started(rig, "dispatcher", dispatcher):
        rig.publish()
        until(lambda: len(waiting(rig, webhooks["same"])) == len(names), what="all deliveries wait")
        hooks.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=webhooks["deleted"].id))
        update(rig, webhooks["disabled"], enabled=False)
        update(rig, webhooks["unsubscribed"], events=["recording.started"])
        update(rig, webhooks["moved"], url=rig.receiver.url(new_path))
        rotated = hooks.RotateWebhookSecret(pb.RotateWebhookSecretRequest(webhook_id=webhooks["rotated"].id))
    until(lambda: not waiting(rig, webhooks["same"]), what="no delivery waits any more")
    found = {name: outcome(rig, webhook) for name, webhook in webhooks.items()}
    sent, skipped = ("succeeded", 1), ("skipped", 0)
    assert found == dict(zip(names, [skipped] * 3 + [sent] * 3, strict=True))
    came = {name: len(posts(rig.receiver, path)) for name, path in {**paths, "new": new_path}.items()}
    assert {name for name, count in came.items() if count} == {"new", "rotated", "same"}
    [request] = rig.receiver.wait_for(1, path=paths["rotated"])
    assert verify_signature(request.body, request.header("X-NoteFlow-Signature") or "", rotated.secret)
    for secret in (rotated.secret, webhooks["rotated"].secret):
        assert verify_standard(request.body, dict(request.headers), secret)


def waiting(rig: SystemRig, webhook: pb.Webhook) -> list[tuple[Any, ...]]:
    """Return the deliveries of the endpoint's workspace that are not settled."""
    statement = """
        SELECT delivery.id FROM noteflow.webhook_deliveries AS delivery
        JOIN noteflow.webhook_events AS event ON event.id = delivery.event_id
        WHERE event.workspace_id = %s AND status IN ('pending', 'sending')
    """
    return rig.database.execute(statement, [webhook.workspace_id]).fetchall()


def outcome(rig: SystemRig, webhook: pb.Webhook) -> tuple[str, int]:
    """Return how an endpoint's only delivery stands, and after how many attempts; of a deleted one, too."""
    statement = "SELECT status, attempt_count FROM noteflow.webhook_deliveries WHERE webhook_id = %s"
    [(status, attempts)] = rig.database.execute(statement, [webhook.id]).fetchall()
    return status, attempts


def update(rig: SystemRig, webhook: pb.Webhook, **changes: Any) -> None:  # noqa: ANN401 - a request's fields
    request = pb.UpdateWebhookRequest(webhook_id=webhook.id, **changes)
    request.update_mask.paths.extend(changes)
    rig.client.webhooks.UpdateWebhook(request)
