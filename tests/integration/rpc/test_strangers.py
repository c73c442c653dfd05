"""Strangers who hold health checks open: they are refused by their address, and this machine's probe is answered."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from ipaddress import ip_network
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from noteflow_hooks.rpc.interceptors import strangers
from noteflow_hooks.rpc.interceptors.limits import CallerLimits
from noteflow_hooks.rpc.server.probe import check_serving
from tests.integration.rpc.world import World, eventually
from tests.support.http2 import HEADERS, PING, PREFACE, SETTINGS, RawConnection, frame, head, message, settings
from tests.support.waiting import PATIENCE_S

#: How an answer's last head begins that is no refusal: literals of HPACK, which need no table.
OK = b"grpc-status\x010"
CHECK = "/grpc.health.v1.Health/Check"


@pytest.fixture
def _only_one_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the rest of the loopback network play other machines."""
    monkeypatch.setattr(strangers, "LOOPBACK", (ip_network("127.0.0.1/32"),))


def _connection(stack: ExitStack, world: World, source: str) -> RawConnection:
    """Connect from that address."""
    host, _, port = world.address.rpartition(":")
    opened = stack.enter_context(
        socket.create_connection((host, int(port)), timeout=PATIENCE_S, source_address=(source, 0))
    )
    connection = RawConnection(opened)
    connection.send(PREFACE, settings())
    next(each for each in connection.frames() if each.kind == SETTINGS)
    connection.send(frame(SETTINGS, flags=1))
    return connection


def _hold_checks(stack: ExitStack, world: World, *, source: str, count: int) -> None:
    """Begin so many checks from that address whose message never comes."""
    connection = _connection(stack, world, source)
    connection.send(*(head(CHECK, token="-", stream=1 + 2 * each) for each in range(count)), frame(PING, bytes(8)))
    next(each for each in connection.frames() if each.kind == PING)


def _answer(world: World, *, source: str) -> bytes:
    """Make one whole check from that address, and return the heads of its answer."""
    with ExitStack() as stack:
        connection, said = _connection(stack, world, source), b""
        connection.send(head(CHECK, token="-"), message())
        for each in connection.frames():
            said += each.payload if each.kind == HEADERS else b""
            if b"grpc-status" in said:
                break
        return said


@pytest.mark.usefixtures("_only_one_is_here")
def test_a_local_probe_is_answered_while_strangers_hold_500_checks_open() -> None:
    """Fifty from each of ten addresses, which is all that strangers may have together."""
    with World(limits=CallerLimits(calls_of_a_stranger_per_s=0)) as world, ExitStack() as stack:
        for number in range(10):
            _hold_checks(stack, world, source=f"127.0.1.{number + 1}", count=50)
        eventually(lambda: b"at most 500 calls of this method" in _answer(world, source="127.0.2.1"))
        check_serving(world.address, timeout_s=PATIENCE_S)
        world.a_meeting()


@pytest.mark.usefixtures("_only_one_is_here")
def test_one_address_has_its_own_share_and_others_are_answered() -> None:
    """Whoever holds more than that is refused, and nobody else for it."""
    with World(limits=CallerLimits(calls_of_a_stranger=3, calls_of_a_stranger_per_s=0)) as world, ExitStack() as stack:
        _hold_checks(stack, world, source="127.0.1.1", count=4)
        eventually(lambda: b"at most 3 calls of this method from one address" in _answer(world, source="127.0.1.1"))
        assert OK in _answer(world, source="127.0.1.2")


@pytest.mark.usefixtures("_only_one_is_here")
def test_who_calls_too_often_is_told_so_and_this_machine_never_is() -> None:
    """By the address."""
    with World(limits=CallerLimits(calls_of_a_stranger_per_s=1)) as world:
        eventually(lambda: b"at most 1 calls without a token a second" in _answer(world, source="127.0.1.1"))
        assert OK in _answer(world, source="127.0.1.2")
        for _ in range(20):
            check_serving(world.address, timeout_s=PATIENCE_S)


def test_health_and_watch_are_answered_as_ever(world: World) -> None:
    """Each handler takes a stream now, of which a caller sends one message."""
    with grpc.insecure_channel(world.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        assert stub.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()
