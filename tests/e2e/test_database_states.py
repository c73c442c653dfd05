"""What PostgreSQL refuses for now, by its SQLSTATEs: calls are UNAVAILABLE, results wait, nothing goes out twice."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

import grpc
import psycopg
import pytest
from psycopg import sql

from tests.support.extra_programs import log_of
from tests.support.steady_publisher import posts, publish_request
from tests.support.system_rig import SystemRig, a_path
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Each class that passes by itself, in the states that we know it by.
STATES: Final = [
    *("08000", "08003", "08006", "08P01", "25006", "25P03", "26000", "40001", "40P01", "42P05", "53100", "53200"),
    *("53300", "53400", "55000", "55P03", "57014", "57P01", "57P02", "57P03", "57P04", "57P05", "58030"),
]
#: Refuses events and attempts with the state that stands in the table, and counts how often: a sequence isn't undone.
TROUBLE: Final = """
CREATE TABLE public.trouble (state text);
CREATE SEQUENCE public.refused;
CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM public.trouble) THEN
        PERFORM nextval('public.refused');
        RAISE EXCEPTION 'not now' USING ERRCODE = (SELECT state FROM public.trouble);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER trouble BEFORE INSERT ON noteflow.webhook_events FOR EACH ROW EXECUTE FUNCTION public.refuse();
CREATE TRIGGER trouble BEFORE INSERT ON noteflow.webhook_attempts FOR EACH ROW EXECUTE FUNCTION public.refuse();
"""
CUT: Final = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ^@ 'noteflow-hooks'"
#: How many POSTs are under way when the failover comes.
IN_FLIGHT: Final = 10


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemRig]:
    with SystemRig(tmp_path_factory.mktemp("system"), deliver_chunk=10) as running:
        with psycopg.connect(running.system.database_url) as connection:
            connection.execute(TROUBLE)
        yield running


@pytest.fixture
def rig(system: SystemRig) -> Iterator[SystemRig]:
    with system.as_new_tenant() as tenant:
        yield tenant


@contextlib.contextmanager
def trouble(rig: SystemRig, state: str) -> Iterator[None]:
    """Have the database refuse with that state for as long as the block runs."""
    rig.database.execute("INSERT INTO public.trouble VALUES (%s)", [state])
    try:
        yield
    finally:
        rig.database.execute("DELETE FROM public.trouble")


def refused(rig: SystemRig) -> int:
    [(count,)] = rig.database.execute("SELECT last_value FROM public.refused").fetchall()
    return int(count)


def refusal(rig: SystemRig) -> grpc.StatusCode:
    """Return with what code an event is refused."""
    with pytest.raises(grpc.RpcError) as caught:
        rig.client.events.PublishEvent(publish_request(), timeout=PATIENCE_S)
    code: grpc.StatusCode = caught.value.code()
    return code


@pytest.mark.parametrize("state", STATES)
def test_what_passes_by_itself_refuses_calls_and_lets_results_wait(rig: SystemRig, state: str) -> None:
    """In the server and in the worker: UNAVAILABLE, one POST, one attempt on record."""
    path = a_path()
    webhook = rig.webhook(path, timeout_ms=30_000)
    rig.receiver.hold()
    event_id = rig.publish()
    rig.receiver.wait_for(1, path=path)
    with trouble(rig, state):
        assert refusal(rig) is grpc.StatusCode.UNAVAILABLE
        before = refused(rig)
        rig.receiver.release()
        until(lambda: refused(rig) > before, what="the result is refused")
    [delivery] = rig.settled(webhook, "succeeded")
    assert (delivery.attempt_count, posts(rig.receiver, path)) == (1, {event_id: 1})


def test_a_failover_to_read_only_and_back_costs_nothing(rig: SystemRig) -> None:
    """Sessions that began while it took no writes are given up by themselves: nobody ends them once it takes some."""
    path = a_path()
    webhook = rig.webhook(path, timeout_ms=30_000)
    rig.receiver.hold()
    sent = {rig.publish() for _ in range(IN_FLIGHT)}
    rig.receiver.wait_for(IN_FLIGHT, path=path)
    log = log_of(rig, "worker-1")
    said = log.read_text().count("wait for the database")
    with read_only(rig):
        rig.receiver.release()
        assert {refusal(rig) for _ in range(3)} == {grpc.StatusCode.UNAVAILABLE}
        until(lambda: log.read_text().count("wait for the database") > said, what="results wait")
    deliveries = rig.settled(webhook, "succeeded", count=IN_FLIGHT)
    assert {each.attempt_count for each in deliveries} == {1}
    assert posts(rig.receiver, path) == dict.fromkeys(sent, 1)
    rig.client.events.PublishEvent(publish_request(), timeout=PATIENCE_S)


@contextlib.contextmanager
def read_only(rig: SystemRig) -> Iterator[None]:
    """Have all sessions from now on take no writes, and end those of before, as a primary that becomes a standby."""
    with psycopg.connect(rig.system.database_url, autocommit=True) as own:
        change = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}")
        name = sql.Identifier(own.info.dbname)
        own.execute(change.format(name, sql.Literal("on")))
        own.execute(CUT)
        try:
            yield
        finally:
            own.execute(change.format(name, sql.Literal("off")))
