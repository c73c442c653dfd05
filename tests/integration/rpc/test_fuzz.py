"""Thousands of calls by chance: every one is answered with a code that says whose fault it is; the server lives."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.known import known_values
from tests.integration.rpc.world import UNLIMITED, World
from tests.support.fuzzing import Fuzzer
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor, MethodDescriptor

METHODS: Final = [
    method for service in pb.DESCRIPTOR.services_by_name.values() for method in service.methods_by_name.values()
]
#: How many calls are under way at once.
_AT_ONCE: Final = 64
#: How many meetings streams record; no other call knows them, so that none is stopped.
_RECORDED: Final = 20
#: How likely a call has a good token.
_WITH_TOKEN: Final = 0.95
_CODE: Final = grpc.StatusCode
#: What a caller did wrong, or may not do now. UNAVAILABLE, UNKNOWN and INTERNAL would be the server's own fault.
ALLOWED: Final = frozenset(
    {
        _CODE.OK,
        _CODE.INVALID_ARGUMENT,
        _CODE.NOT_FOUND,
        _CODE.ALREADY_EXISTS,
        _CODE.FAILED_PRECONDITION,
        _CODE.RESOURCE_EXHAUSTED,
        _CODE.UNAUTHENTICATED,
    }
)


class Caller:
    """Makes calls by chance. Seed and number make a call what it is, but for the ids that the server gave."""

    def __init__(self, world: World, *, seed: int) -> None:
        self._world = world
        self._seed = seed
        self._known = known_values(world)
        self._recorded = [world.a_meeting().id for _ in range(_RECORDED)]
        self.codes: Counter[tuple[str, grpc.StatusCode]] = Counter()
        #: What no caller's mistake explains: the calls' numbers, methods and codes.
        self.faults: list[tuple[int, str, grpc.StatusCode]] = []

    def run(self, count: int) -> None:
        """Make so many calls."""
        asyncio.run(self._run(count))

    async def _run(self, count: int) -> None:
        address = self._world.address
        async with grpc.aio.insecure_channel(address) as channel:
            with grpc.insecure_channel(address) as streams:
                waiting = iter(range(count))

                async def call_on() -> None:
                    for number in waiting:
                        method = METHODS[number % len(METHODS)]
                        self._note(number, method.name, await self._call(number, method, channel, streams))

                await asyncio.gather(*(call_on() for _ in range(_AT_ONCE)))

    def _note(self, number: int, method: str, code: grpc.StatusCode) -> None:
        self.codes[method, code] += 1
        if code not in ALLOWED:
            self.faults.append((number, method, code))

    async def _call(
        self, number: int, method: MethodDescriptor, channel: grpc.aio.Channel, streams: grpc.Channel
    ) -> grpc.StatusCode:
        chance = random.Random(f"{self._seed} {number}")
        path, metadata = f"/{method.containing_service.full_name}/{method.name}", self._metadata(chance)
        if method.client_streaming:
            messages = self._messages(chance, method.input_type)
            return await asyncio.to_thread(_stream, streams.stream_unary(path), messages, metadata)
        # It waits as long as it is asked to.
        timeout_s = 1 if method.name in ("TestWebhook", "VerifyWebhook") else PATIENCE_S
        data = Fuzzer(chance, known=self._known).payload(method.input_type)
        if method.server_streaming:
            return await _first(channel.unary_stream(path), data, metadata)
        make: Any = channel.unary_unary(path)
        code: grpc.StatusCode = await make(data, metadata=metadata, timeout=timeout_s).code()
        return _CODE.OK if timeout_s == 1 and code is _CODE.DEADLINE_EXCEEDED else code

    def _messages(self, chance: random.Random, kind: Descriptor) -> list[bytes]:
        """Return what a stream sends: about one meeting, in one format, for the most part."""
        meeting_id = chance.choice(self._recorded)
        one: dict[str, list[Any]] = {"meeting_id": [meeting_id], "sample_rate": [1000], "channels": [1]}
        fuzzer = Fuzzer(chance, known=self._known | one | {"bytes_per_sample": [1]})
        return [fuzzer.payload(kind) for _ in range(chance.randint(0, 4))]

    def _metadata(self, chance: random.Random) -> list[tuple[str, str | bytes]]:
        bearer = f"Bearer {self._world.token}" if chance.random() < _WITH_TOKEN else _printable(chance)
        extra: list[tuple[str, str | bytes]] = [
            (f"x-{chance.randint(0, 99)}", _printable(chance)) for _ in range(chance.randint(0, 2))
        ]
        return [("authorization", bearer), ("noise-bin", chance.randbytes(chance.randint(0, 50))), *extra]


async def _first(make: Any, data: bytes, metadata: Any) -> grpc.StatusCode:  # noqa: ANN401 - gRPC's own
    """Return what a call that answers with a stream comes to, or that its first answer has come."""
    call = make(data, metadata=metadata, timeout=PATIENCE_S)
    try:
        await call.read()
    except grpc.aio.AioRpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    call.cancel()
    return _CODE.OK


def _stream(call: Any, messages: list[bytes], metadata: Any) -> grpc.StatusCode:  # noqa: ANN401 - gRPC's own
    # Not with grpc.aio, whose client calls it INTERNAL where it writes to a call that has been answered.
    try:
        call(iter(messages), metadata=metadata, timeout=PATIENCE_S)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return _CODE.OK


def _printable(chance: random.Random) -> str:
    return "".join(chr(chance.randint(32, 126)) for _ in range(chance.randint(1, 60))).strip() or "-"


@contextmanager
def _over_postgres(url: str) -> Iterator[World]:
    engine = create_engine(url, connections=4, wait_s=PATIENCE_S)
    with World(over=partial(SqlAlchemyUnitOfWork, engine, SecretBox([bytes(32)])), limits=UNLIMITED) as running:
        yield running
    engine.dispose()


def _check(world: World, *, seed: int, count: int, caplog: pytest.LogCaptureFixture) -> None:
    caller = Caller(world, seed=seed)
    with caplog.at_level(logging.ERROR):
        caller.run(count)
    assert caller.faults == []
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
    # Not all were refused out of hand.
    assert len({method for method, code in caller.codes if code is _CODE.OK}) > len(METHODS) // 2
    with grpc.insecure_channel(world.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert world.client.meetings.GetMeeting(pb.GetMeetingRequest(meeting_id=world.a_meeting().id)).title == "Weekly"


@pytest.mark.parametrize(("seed", "count"), [(1, 2000), pytest.param(2, 6750, marks=pytest.mark.chaos)])
def test_no_bytes_are_answered_as_a_fault_of_the_servers(
    caplog: pytest.LogCaptureFixture, seed: int, count: int
) -> None:
    """Noise, damaged messages and nasty values for every method: each is refused or done, and a good call goes on."""
    with World(limits=UNLIMITED) as world:
        _check(world, seed=seed, count=count, caplog=caplog)


def test_nor_does_the_database_see_what_it_can_not_store(clean_database: str, caplog: pytest.LogCaptureFixture) -> None:
    """The same over PostgreSQL, which takes fewer texts and numbers than Python has."""
    with _over_postgres(clean_database) as world:
        _check(world, seed=3, count=1250, caplog=caplog)
