"""WatchDeliveries over the real PostgreSQL: what is told, to whom, from when on, and what ends it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import grpc
import pytest

from noteflow_hooks.application.watching import look
from noteflow_hooks.domain.deliveries import Settlement
from noteflow_hooks.errors import Reason
from noteflow_hooks.rpc.interceptors.limits import CallerLimits
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.watching import watcher as watcher_module
from noteflow_hooks.rpc.watching import watches as watches_module
from tests.integration.rpc.sqlworld import connected, world_over
from tests.integration.rpc.watched import SLACK, Stage, Watch, watching
from tests.integration.rpc.world import World, refused
from tests.support.builders import EXACT, a_failure, an_attempt_result, an_event
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import PATIENCE_S, until
from tests.support.wire_client import WireClient

if TYPE_CHECKING:
    from collections.abc import Iterator


OFTEN: Final[dict[str, Any]] = {"look_every": timedelta(seconds=0.05)}
WITHIN_S: Final = 5.0


@pytest.fixture
def stage(clean_database: str) -> Iterator[Stage]:
    """Offer a server that looks often."""
    with world_over(clean_database, **OFTEN) as world:
        made = Stage(world, clean_database)
        yield made
        made.close()


def test_a_delivery_is_told_when_it_is_made_and_whenever_an_attempt_has_ended(stage: Stage) -> None:
    """As it is then, with the reason why it is not delivered; the first message says that the watch has begun."""
    with watching(stage.world.client) as watch:
        assert not watch.messages[0].HasField("delivery")
        assert watch.messages[0].HasField("at")
        made = stage.deliver()
        watch.wait_for((made, "pending", 0))
        stage.attempt(UUID(made), a_failure())
        watch.wait_for((made, "pending", 0), (made, "pending", 1))
        stage.attempt(UUID(made), a_failure())
        watch.wait_for((made, "pending", 0), (made, "pending", 1), (made, "dead", 2))
        last = watch.messages[-1].delivery
        assert (last.error_kind, last.reason) == ("status", "Max retries exceeded: HTTP 500")
        assert not last.payload
        assert sum(each.missed for each in watch.messages) == 0


def test_what_changes_twice_between_two_looks_is_told_once(clean_database: str) -> None:
    """As it is by then."""
    with world_over(clean_database, look_every=timedelta(seconds=1.5)) as world:
        stage = Stage(world, clean_database)
        with watching(world.client) as watch:
            made = stage.deliver(an_attempt_result())
            until(lambda: watch.told, what="it is told")
            assert watch.told[-1] == (made, "succeeded", 1)
            assert len(watch.told) <= 2
        stage.close()


def test_another_workspace_is_told_nothing_of_it(stage: Stage) -> None:
    """Whatever it asks for, its own alone come."""
    with stage.world.stranger() as stranger, watching(stranger) as theirs, watching(stage.world.client) as ours:
        by_id = {"webhook_id": stage.webhook.id}
        with watching(stranger, **by_id) as named:
            made = stage.deliver(an_attempt_result())
            ours.wait_until_told(made, "succeeded", 1)
            # Both have been told up to there by then.
            stage.deliver(an_attempt_result())
            until(lambda: len({each[0] for each in ours.told}) == 2, what="the next one is told")
            assert theirs.told == named.told == []


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({"status": "dead"}, 1),
        ({"statuses": ["dead", "succeeded"]}, 2),
        ({"error_kind": "status"}, 2),
        ({"status_code": 200}, 1),
        ({"meeting_id": "m-2"}, 1),
        ({"meeting_id": "m-3"}, 0),
        ({"event_type": "summary.generated"}, 0),
        ({"webhook_id": str(UUID(int=1))}, 0),
        ({"id_prefix": "f"}, 0),
    ],
)
def test_only_what_meets_the_filters_is_told(stage: Stage, fields: dict[str, Any], count: int) -> None:
    """By its state as it is told: one that comes to meet them is told then."""
    with watching(stage.world.client) as all_of_it, watching(stage.world.client, **fields) as watch:
        dead = stage.deliver(meeting_id="m-1")
        for attempts, status in ((1, "pending"), (2, "dead")):
            stage.attempt(UUID(dead), a_failure())
            all_of_it.wait_until_told(dead, status, attempts)
        sent = stage.deliver(an_attempt_result(), meeting_id="m-2")
        all_of_it.wait_until_told(sent, "succeeded", 1)
        # Whoever watches was told of the same look by then, or is about to be.
        until(lambda: len(set(watch.told)) >= count, what="it is told")
        assert set(watch.told) <= set(all_of_it.told)
        # A look may come while an attempt is under way, too.
        ended = {each[1:] for each in watch.told if each[1] != "sending" and (each[1] != "pending" or each[2])}
        assert len(ended) == count


def test_one_that_waits_and_is_skipped_is_told_so(stage: Stage) -> None:
    """Without an attempt: its endpoint was deleted."""
    with watching(stage.world.client) as watch:
        made = stage.deliver()
        watch.wait_for((made, "pending", 0))
        stage.world.client.webhooks.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=stage.webhook.id))
        watch.wait_for((made, "pending", 0), (made, "skipped", 0))


def test_a_heartbeat_comes_where_nothing_else_does(clean_database: str) -> None:
    """And says up to when everything was told."""
    with (
        world_over(clean_database, watch_heartbeat=timedelta(seconds=0.1), **OFTEN) as world,
        watching(world.client) as watch,
    ):
        until(lambda: len(watch.messages) >= 4, what="there are heartbeats")
        moments = [each.at.ToDatetime(tzinfo=UTC) for each in watch.messages]
        assert moments == sorted(moments)
        assert moments[-1] > moments[0]
        assert watch.told == []


def test_a_watch_goes_on_behind_another_one_and_leaves_out_nothing(clean_database: str) -> None:
    """Also where the server was killed in between: what happened meanwhile comes first."""
    with world_over(clean_database, **OFTEN) as world:
        stage = Stage(world, clean_database)
        with watching(world.client) as watch:
            before = stage.deliver(an_attempt_result())
            watch.wait_until_told(before, "succeeded", 1)
            at = watch.messages[-1].at
        token = world.token
        retried = stage.deliver(a_failure())
    stage.attempt(UUID(retried), a_failure())
    with world_over(clean_database, **OFTEN) as successor:
        client = WireClient(successor.address, token)
        with watching(client, since=at) as watch:
            watch.wait_until_told(retried, "dead", 2)
            assert watch.messages[0].at == at
            assert (before, "succeeded", 1) in watch.told
        client.close()
    stage.close()


def test_a_watch_begins_ten_minutes_ago_at_the_most(stage: Stage) -> None:
    """What is older is in the list; a time that is still to come is now."""
    now = datetime.now(UTC)
    long_ago: dict[str, Any] = {"since": now - timedelta(minutes=11)}
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "since", "10 minutes"):
        next(stage.world.client.webhooks.WatchDeliveries(pb.WatchDeliveriesRequest(**long_ago)))
    with watching(stage.world.client, since=now + timedelta(days=1)) as watch:
        made = stage.deliver()
        watch.wait_for((made, "pending", 0))


def test_what_commits_late_is_told_late_and_not_left_out(stage: Stage) -> None:
    """Others' changes wait with it, since they are told in the order of time."""
    with connected(stage.url) as connection, watching(stage.world.client) as watch:
        stage.deliver()
        until(lambda: watch.told, what="the first one is told")
        late = uuid4()
        with connection.transaction():
            connection.execute(
                "INSERT INTO noteflow.delivery_queue (id, workspace_id, webhook_id, event_id, event_type, status,"
                " next_attempt_at) SELECT %s, workspace_id, webhook_id, gen_random_uuid(), event_type, 'pending', now()"
                " FROM noteflow.delivery_queue LIMIT 1",
                [late],
            )
            looks = stage.world.in_loop(_looks_so_far(stage))
            until(lambda: stage.world.in_loop(_looks_so_far(stage)) >= looks + 5, what="it was looked again")
            assert len(watch.told) == 1
        until(lambda: (str(late), "pending", 0) in watch.told, what="it is told")


async def _looks_so_far(stage: Stage) -> int:
    return stage.world._server._watches._looks  # noqa: SLF001 - how often it has looked is nobody's business but a test's


def test_a_slow_reader_s_memory_is_bounded_and_what_it_misses_is_counted(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was told, and what the last messages say was missed, are together all that happened."""
    monkeypatch.setattr(watcher_module, "WAITING", 10)
    count = 400
    call: Any = stage.world.client.webhooks.WatchDeliveries(pb.WatchDeliveriesRequest(status="succeeded"))
    next(call)
    with watching(stage.world.client, status="succeeded", webhook_id=stage.webhook.id) as quick:
        for _ in range(count // 20):
            _succeed_together(stage, 20, body="x" * 4000)
        made = stage.deliver(an_attempt_result())
        quick.wait_until_told(made, "succeeded", 1)
    told = missed = 0
    for message in call:
        missed += message.missed
        told += 1
        if message.delivery.id == made:
            break
    assert told + missed == count + 1
    assert missed > 0
    call.cancel()


def _succeed_together(stage: Stage, count: int, *, body: str) -> None:
    with stage.world.units() as unit:
        for _ in range(count):
            unit.events.append(an_event(workspace_id=stage.world.workspace_id))
        unit.commit()
    stage.store.dispatch([], limit=100)
    claims = stage.store.claim([], limit=count, lease_slack=SLACK).claims
    result = an_attempt_result(response_body=body)
    stage.store.settle(
        [
            Settlement(each.delivery.attempted(result, max_retries=2, policy=EXACT, draw=0.5)[0], attempt=result)
            for each in claims
        ]
    )


def test_a_revoked_token_s_watch_ends_within_five_seconds(stage: Stage) -> None:
    """Others go on."""
    token, record = stage.world.another_token()
    client = WireClient(stage.world.address, token)
    with watching(client) as watch, watching(stage.world.client) as other:
        stage.world.revoke(record.id)
        with Stopwatch() as taken:
            until(lambda: watch.error, what="it has ended")
        assert taken.seconds < WITHIN_S
        assert watch.error is not None
        assert watch.error.code() is grpc.StatusCode.UNAUTHENTICATED
        made = stage.deliver()
        other.wait_for((made, "pending", 0))
    client.close()


def test_a_server_that_stops_ends_its_watches_and_says_how_to_go_on(clean_database: str) -> None:
    """UNAVAILABLE, at once."""
    with world_over(clean_database, **OFTEN) as world, watching(world.client) as watch:
        with Stopwatch() as taken:
            world.stop()
        until(lambda: watch.error, what="it has ended")
        assert taken.seconds < WITHIN_S
        assert watch.error is not None
        assert watch.error.code() is grpc.StatusCode.UNAVAILABLE
        assert "since" in (watch.error.details() or "")


def test_a_workspace_has_so_many_watches_and_no_more(clean_database: str) -> None:
    """One that ends makes room; another workspace has its own, and other calls are none."""
    with world_over(clean_database, limits=CallerLimits(watches_per_workspace=2), **OFTEN) as world:
        assert world.client.webhooks.WhoAmI(pb.WhoAmIRequest()).limits.open_watches == 2
        with watching(world.client), world.stranger() as stranger, watching(stranger):
            with watching(world.client):
                with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "2 watches"):
                    next(world.client.webhooks.WatchDeliveries(pb.WatchDeliveriesRequest()))
                world.client.webhooks.ListDeliveries(pb.ListDeliveriesRequest())
            until(lambda: _can_watch(world), what="there is room again")
    assert Reason.TOO_MANY_CALLS


def _can_watch(world: World) -> bool:
    call: Any = world.client.webhooks.WatchDeliveries(pb.WatchDeliveriesRequest())
    try:
        next(call)
    except grpc.RpcError:
        return False
    call.cancel()
    return True


def test_one_look_serves_all_who_watch_and_none_is_made_where_nobody_does(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many they are, of however many workspaces."""
    looks: list[int] = []
    known = look

    def counted(unit: Any, workspace_ids: Any, **given: Any) -> Any:  # noqa: ANN401 - its own
        looks.append(len(workspace_ids))
        return known(unit, workspace_ids, **given)

    monkeypatch.setattr(watches_module, "look", counted)
    with stage.world.stranger() as stranger, watching(stranger), watching(stage.world.client) as first:
        others = [Watch(stage.world.client) for _ in range(8)]
        for each in others:
            each.wait_until_begun()
        looks.clear()
        made = stage.deliver()
        for each in (first, *others):
            each.wait_for((made, "pending", 0))
        assert set(looks) == {2}
        for each in others:
            each.close()
    until(lambda: stage.world.in_loop(_nobody(stage)), what="nobody watches any more")
    looks.clear()
    stage.world.a_meeting()
    stage.world.in_loop(stage.world._server._watches.look())  # noqa: SLF001 - the look that comes every second
    assert looks == []


async def _nobody(stage: Stage) -> bool:
    return not stage.world._server._watches._watchers  # noqa: SLF001 - as above


def test_a_filter_that_can_t_be_is_refused(stage: Stage) -> None:
    """As by the list."""
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "error_kind", "status_code"):
        next(stage.world.client.webhooks.WatchDeliveries(pb.WatchDeliveriesRequest(error_kind="late", status_code=1)))
    never: dict[str, Any] = {"since": {"seconds": 10**15}}
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "since"):
        next(stage.world.client.webhooks.WatchDeliveries(pb.WatchDeliveriesRequest(**never)))


def test_who_comes_in_the_midst_of_a_look_misses_nothing(clean_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for the look's end, and begins there: that look knows nothing of its workspace."""
    is_looking, may_go_on = threading.Event(), threading.Event()

    def held_up(unit: Any, workspace_ids: Any, **given: Any) -> Any:  # noqa: ANN401 - its own
        is_looking.set()
        assert may_go_on.wait(PATIENCE_S)
        return look(unit, workspace_ids, **given)

    # In threads, so that nothing but the look is held up.
    with world_over(clean_database, in_loop=False, **OFTEN) as world, world.stranger() as stranger:
        stage = Stage(world, clean_database)
        with watching(stranger):
            monkeypatch.setattr(watches_module, "look", held_up)
            assert is_looking.wait(PATIENCE_S)
            late = Watch(world.client)
            made = stage.deliver()
            may_go_on.set()
            late.wait_until_begun()
            after = stage.deliver()
            late.wait_until_told(after, "pending", 0)
            begun = late.messages[0].at.ToDatetime(tzinfo=UTC)
            # What was made after the moment that it says it begins at is told.
            made_at = world.client.webhooks.GetDelivery(pb.GetDeliveryRequest(delivery_id=made)).created_at
            assert ((made, "pending", 0) in late.told) == (made_at.ToDatetime(tzinfo=UTC) >= begun)
            late.close()
        stage.close()
