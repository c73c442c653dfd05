"""Rows that were changed by hand, past every check: they cost themselves, and no delivery beside them."""
# ruff: noqa: S608 - the statements are put together from this file's own texts

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import psycopg
import pytest

from noteflow_hooks.delivery.wake_ups import NoWakeUps
from noteflow_hooks.domain.paging import DeliveryFilter
from noteflow_hooks.domain.replays import Replay
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from noteflow_hooks.persistence.sql.engine import create_engine
from tests.support.builders import an_event
from tests.support.damaged_rows import DamagedRowsRig, make_lax
from tests.support.receiver import Receiver
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Engine

    from noteflow_hooks.local.servers import EmbeddedPostgres

#: What integer and smallint columns hold at the most.
MOST, MOST_SMALL = 2**31 - 1, 2**15 - 1
HURT: Final = "(SELECT id FROM noteflow.webhook_configs WHERE name = 'hurt')"


@pytest.fixture(scope="module")
def lax_database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A database of its own, whose tables take whatever their columns' types do."""
    name = f"damaged_{uuid4().hex}"
    with psycopg.connect(postgres.url.replace("+psycopg", ""), autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        url = postgres.url.replace("@/noteflow", f"@/{name}")
        make_lax(url)
        yield url
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def engine(lax_database: str) -> Iterator[Engine]:
    made = create_engine(lax_database, connections=12)
    yield made
    made.dispose()


@pytest.fixture(scope="module")
def executor() -> Iterator[WebhookExecutor]:
    made = WebhookExecutor(EgressPolicy(allow_http_loopback=True))
    yield made
    made.close()


@pytest.fixture
def world(lax_database: str, engine: Engine, executor: WebhookExecutor) -> Iterator[DamagedRowsRig]:
    with Receiver() as receiver:
        made = DamagedRowsRig(lax_database, engine, executor, receiver)
        yield made
        made.connection.close()


def config(changes: str) -> str:
    return f"UPDATE noteflow.webhook_configs SET {changes} WHERE name = 'hurt'"


def delivery(changes: str) -> str:
    return f"UPDATE noteflow.webhook_deliveries SET {changes} WHERE webhook_id = {HURT}"


def health(changes: str) -> str:
    return f"UPDATE noteflow.webhook_health SET {changes} WHERE webhook_id = {HURT}"


def event(changes: str) -> str:
    return f"UPDATE noteflow.webhook_events SET {changes}"


DEAD: Final = "dead"
SENT: Final = "succeeded"
#: What is done to the rows of one endpoint, once its delivery waits; how that ends, and a word of why.
DAMAGE: Final = [
    (config("url = 'http://receiver.example/'"), DEAD, "URL not allowed"),
    (config("url = 'https://127.0.0.1/'"), DEAD, "not allowed"),
    (config("url = 'https://169.254.169.254/latest'"), DEAD, "not allowed"),
    (config("url = 'https://['"), DEAD, "URL not allowed"),
    (config("url = 'https://[::1'"), DEAD, "URL not allowed"),
    (config("url = E'https://h.example/\\r\\nX: y'"), DEAD, "URL not allowed"),
    (config("url = E'https://h\\u2100.example/'"), DEAD, "URL not allowed"),
    (config("url = E'\\x1b[2J'"), DEAD, "URL not allowed"),
    (config("url = ''"), DEAD, "URL not allowed"),
    (config("url = repeat('x', 100000)"), DEAD, "URL not allowed"),
    (config("secret = 'garbage'"), DEAD, "No key decrypts the webhook's secret"),
    (config("secret = ''"), DEAD, "No key decrypts the webhook's secret"),
    (config("headers = 'garbage'"), DEAD, "No key decrypts the webhook's headers"),
    (config("header_names = ARRAY['X-Gone']"), DEAD, "No key decrypts the webhook's headers"),
    # Of no time the least is made, within which a slow machine may need some attempts.
    (config("timeout_ms = 0, max_retries = 20"), SENT, ""),
    (config("timeout_ms = -100000, max_retries = 20"), SENT, ""),
    (config(f"timeout_ms = {MOST}"), SENT, ""),
    (config("max_retries = 0"), SENT, ""),
    (config(f"max_retries = {-MOST}"), SENT, ""),
    (config("rate_limit_per_s = 0"), SENT, ""),
    (config("rate_limit_per_s = -1"), SENT, ""),
    (config("rate_limit_per_s = 'NaN'"), SENT, ""),
    (config("rate_limit_per_s = 'Infinity'"), SENT, ""),
    (config("max_concurrency = 0"), SENT, ""),
    (config(f"max_concurrency = {-MOST}"), SENT, ""),
    (config("events = ARRAY['nonsense']"), "skipped", "not subscribed"),
    (config("previous_secret_expires_at = 'infinity', previous_secret = 'garbage'"), SENT, ""),
    (config("created_at = '-infinity', updated_at = 'infinity'"), SENT, ""),
    (config("disabled_reason = E'\\x1b[2J'"), SENT, ""),
    (delivery(f"attempt_count = {MOST}"), SENT, ""),
    (delivery("attempt_count = -5"), SENT, ""),
    (delivery(f"budget_used = {MOST_SMALL}, interruptions = {MOST_SMALL}"), SENT, ""),
    (delivery("budget_used = -5, interruptions = -5"), SENT, ""),
    (delivery(f"claim_no = {MOST}"), SENT, ""),
    (delivery(f"claim_no = {-MOST}"), SENT, ""),
    (delivery("next_attempt_at = '-infinity'"), SENT, ""),
    (delivery("created_at = 'infinity'"), SENT, ""),
    (delivery("status_code = -1, duration_ms = -1, response_body = repeat('x', 100000)"), SENT, ""),
    (delivery("event_type = 'meeting.unknown'"), "skipped", "meeting.unknown not subscribed"),
    (delivery("event_type = E'x\\r\\nX-Forged: y'"), "skipped", "not subscribed"),
    (health(f"failures = {MOST}, opened = {MOST}, quick = {MOST}"), SENT, ""),
    (health("failures = -1, opened = -1, ramp = -1"), SENT, ""),
    (health("ramp = 0"), SENT, ""),
    (health("failing_since = '-infinity', last_failure_at = 'infinity'"), SENT, ""),
]


@pytest.mark.parametrize(("damage", "status", "word"), DAMAGE, ids=[damage[26:90] for damage, *_ in DAMAGE])
def test_a_damaged_row_ends_with_its_reason_and_the_others_flow(
    world: DamagedRowsRig, damage: str, status: str, word: str
) -> None:
    """It is sent where that makes sense, else dead or skipped; the endpoint beside it has its delivery at once."""
    ids = world.dispatched()
    world.connection.execute(damage)
    world.service.deliver(ids, wake_ups=NoWakeUps())
    fine = world.row("fine")
    assert fine is not None
    assert fine.status == SENT

    def settled() -> bool:
        world.work()
        row = world.row("hurt")
        return row is not None and row.status in {SENT, DEAD, "skipped"}

    until(settled, what="the damaged one has come to an end")
    hurt = world.row("hurt")
    assert hurt is not None
    assert (hurt.status, word in hurt.message) == (status, True), hurt
    # An attempt that ran out of time may have come to nobody.
    assert 1 <= len(world.receiver.requests) - (status == SENT) <= 1 + hurt.kinds.count("timeout")


@pytest.mark.parametrize("timeout_ms", [MOST, -MOST])
def test_a_lease_is_never_longer_than_the_longest_time_limit_nor_over_before_it_begins(
    world: DamagedRowsRig, timeout_ms: int
) -> None:
    """Else a worker that dies would hold the delivery for weeks, or it would be claimed again and again, unsent."""
    ids = world.dispatched()
    world.connection.execute(config(f"timeout_ms = {timeout_ms}"))
    assert len(world.store.claim(ids, limit=2, lease_slack=timedelta(0))) == 2
    [(shortest, longest)] = world.connection.execute(
        "SELECT min(lease_expires_at - claimed_at), max(lease_expires_at - claimed_at) FROM noteflow.webhook_deliveries"
    ).fetchall()
    assert timedelta(milliseconds=99) < shortest <= longest < timedelta(seconds=31)


#: As a worker leaves it that has died.
TAKEN: Final = "status = 'sending', delivered_at = NULL, lease_expires_at = now(), claimed_at = now()"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        (f"attempt_count = {MOST}, interruptions = {MOST_SMALL}", DEAD),
        ("attempt_count = -5", SENT),
        ("claimed_at = NULL", DEAD),
        ("claimed_at = '-infinity'", SENT),
        ("claimed_at = '1970-01-01'", SENT),
        ("attempt_count = 0", SENT),
        ("lease_expires_at = '-infinity'", SENT),
    ],
)
def test_a_delivery_in_an_impossible_state_is_taken_back_or_ended(
    world: DamagedRowsRig, changes: str, status: str
) -> None:
    """Its first attempt is on record; beside it, what a dead worker held of the other endpoint is taken back."""
    world.work()
    world.connection.execute(f"UPDATE noteflow.webhook_deliveries SET {TAKEN}")
    world.connection.execute(delivery(changes))

    def settled() -> bool:
        world.work()
        return {getattr(world.row(name), "status", None) for name in ("fine", "hurt")} <= {SENT, DEAD}

    until(settled, what="both have come to an end")
    fine, hurt = world.row("fine"), world.row("hurt")
    assert fine is not None
    assert (fine.status, fine.kinds) == (SENT, ["none", "interrupted", "none"])
    assert hurt is not None
    assert hurt.status == status


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ("event_type = 'meeting.unknown'", 0),
        ("event_type = E'x\\r\\nX-Forged: y'", 0),
        ("event_type = 'webhook.failing', payload = '{\"webhook_id\": \"\\u0000\"}'", 0),
        ("event_type = 'webhook.failing', payload = '{\"webhook_id\": \"\\ud800\"}'", 0),
        ("event_type = 'webhook.failing', payload = '[1, 2]'", 0),
        ("payload = '5'", 2),
        ("payload = json_build_object('x', repeat('y', 100000))", 2),
        ("payload = (repeat('[', 5000) || repeat(']', 5000))::json", 2),
        ("occurred_at = 'infinity', created_at = '-infinity'", 0),
        ("meeting_id = E'\\x1b[2J'", 2),
    ],
)
def test_a_damaged_event_holds_up_no_other(world: DamagedRowsRig, changes: str, count: int) -> None:
    """It goes out as it stands, or to nobody; the next event reaches both endpoints."""
    world.connection.execute(f"UPDATE noteflow.webhook_events SET {changes}")
    with world.unit() as unit:
        unit.events.append(an_event(workspace_id=world.workspace_id))
        unit.commit()

    def all_sent() -> bool:
        world.work()
        return len(world.receiver.requests) == count + 2

    until(all_sent, what="the other event has reached both")
    world.work()
    assert len(world.receiver.requests) == count + 2
    assert not any(each.header("x-forged") for each in world.receiver.requests)


def test_a_type_that_would_end_a_header_is_not_sent_though_it_is_subscribed(world: DamagedRowsRig) -> None:
    """Rows of both kinds were changed; a type that merely is unknown, as a newer release's would be, goes out."""
    types = ["E'x\\r\\nX-Forged: y'", "E'x\\r\\n y'", "'meeting.unknown'"]
    world.connection.execute(config(f"events = ARRAY[{', '.join(types)}]"))
    for each in types:
        with world.unit() as unit:
            made = unit.events.append(an_event(workspace_id=world.workspace_id))
            unit.commit()
        world.connection.execute(f"UPDATE noteflow.webhook_events SET event_type = {each} WHERE id = %s", [made.id])
    until(lambda: world.work() and len(world.receiver.requests) == 2, what="the two that may go")
    world.work()
    assert {each.header("x-noteflow-event") for each in world.receiver.requests} == {
        "meeting.completed",
        "meeting.unknown",
    }


def test_text_that_is_no_json_never_becomes_a_payload(world: DamagedRowsRig) -> None:
    """The column's type refuses it, whoever writes."""
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        world.connection.execute("UPDATE noteflow.webhook_events SET payload = 'no json'")


@pytest.mark.parametrize("rate", ["'Infinity'", "'NaN'", "0", "-1"])
def test_a_replay_at_an_impossible_rate_goes_on_at_a_possible_one(world: DamagedRowsRig, rate: str) -> None:
    """It is done in the end, and the sweep's other work with it."""
    world.connection.execute(config("enabled = false"))
    until(lambda: world.work() and world.row("hurt") is not None, what="one is skipped")
    world.connection.execute(config("enabled = true"))
    with world.unit() as unit:
        replay = unit.replays.create(Replay.create(world.workspace_id, DeliveryFilter(), rate_per_s=100))
        unit.commit()
    world.connection.execute(
        f"UPDATE noteflow.webhook_replays SET rate_per_s = {rate}, paced_at = paced_at - interval '20 s'"
    )
    until(lambda: world.work() and len(world.receiver.requests) == 2, what="it was sent again")
    assert replay.matched == 1
