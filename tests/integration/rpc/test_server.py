"""The server itself: health, reflection, its address, errors of its own, and how it ends."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING, Any, Final, Never

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from noteflow_hooks.concurrency.outage import DATABASE
from noteflow_hooks.errors import SettingsError
from noteflow_hooks.persistence.memory import InMemoryUnitOfWork, MemoryStore
from noteflow_hooks.rpc.server.health import LOOK_EVERY, REFUSED
from noteflow_hooks.rpc.server.options import ServerOptions
from noteflow_hooks.rpc.server.serve import serve
from noteflow_hooks.rpc.server.server import HooksServer
from tests.integration.rpc.world import LOOPBACK, World, refused
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

SERVING: Final = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING
NO_TOKEN = grpc.StatusCode.UNAUTHENTICATED


def test_health_needs_no_token(world: World) -> None:
    """The whole server and each service are SERVING, until the server stops."""
    with grpc.insecure_channel(world.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        for name in ("", "noteflow.v1.MeetingService", "noteflow.v1.WebhookService"):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("needs_database", [False, True], ids=["by itself", "with its database"])
def test_health_is_that_of_the_database_by_choice(*, needs_database: bool) -> None:
    """NOT_SERVING once it has refused for ten seconds, and SERVING again when it answers."""
    with World(needs_database=needs_database) as world, grpc.insecure_channel(world.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)

        def answer() -> object:
            return stub.Check(health_pb2.HealthCheckRequest()).status

        looks = LOOK_EVERY.total_seconds()
        DATABASE.refused("gone")
        assert DATABASE.since is not None
        assert not seen(lambda: answer() != SERVING, within_s=2 * looks)
        DATABASE.since -= REFUSED.total_seconds()
        assert (
            seen(lambda: answer() == NOT_SERVING, within_s=5 * looks if needs_database else 2 * looks) is needs_database
        )
        DATABASE.since = None
        assert seen(lambda: answer() == SERVING, within_s=30)


def seen(check: Callable[[], bool], *, within_s: float) -> bool:
    """Tell whether it becomes so within that time."""
    try:
        until(check, what="it", timeout_s=within_s)
    except AssertionError:
        return False
    return True


def test_a_watcher_hears_that_the_server_stops(world: World) -> None:
    """NOT_SERVING comes before the connection ends."""
    with grpc.insecure_channel(world.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        # The watch itself is a call that only its end ends.
        world.stop(grace_s=2)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING


def test_reflection_is_there_only_where_it_is_switched_on(world: World) -> None:
    """And then it needs no token."""
    with World(reflection=True) as open_world, grpc.insecure_channel(open_world.address) as channel:
        services = ProtoReflectionDescriptorDatabase(channel).get_services()
        assert {"noteflow.v1.EventService", "grpc.health.v1.Health"} <= set(services)
    with grpc.insecure_channel(world.address) as channel, refused(NO_TOKEN):
        ProtoReflectionDescriptorDatabase(channel).get_services()


def test_an_error_of_our_own_says_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    """INTERNAL with a fixed line; the traceback is in the log."""

    class Broken(InMemoryUnitOfWork):
        @property
        def webhooks(self) -> Never:
            raise ValueError("a secret of the house")

    with (
        World(units=lambda store: lambda: Broken(store)) as world,
        refused(grpc.StatusCode.INTERNAL, "internal error; the server's log says more"),
    ):
        world.a_webhook()
    assert "a secret of the house" in caplog.text


def test_an_address_in_use_is_one_clear_line(world: World) -> None:
    """It names the address; two servers never share a port."""
    with pytest.raises(SettingsError, match=re.escape(world.address)):
        World(bind=world.address).__enter__()


def test_a_server_in_the_foreground_ends_with_sigterm() -> None:
    """It says when it is ready, and returns."""
    store = MemoryStore()
    server = HooksServer(lambda: InMemoryUnitOfWork(store), None, ServerOptions(bind=LOOPBACK))
    addresses: list[str] = []

    def ready(address: str) -> None:
        addresses.append(address)
        os.kill(os.getpid(), signal.SIGTERM)

    serve(server, ready=ready)
    assert addresses[0].startswith("127.0.0.1:")
