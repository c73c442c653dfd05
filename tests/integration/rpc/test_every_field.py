"""Each field of each method's message, walked by the descriptors, holds one nasty value after the other.

What is refused is refused as the caller's mistake and stores nothing; what passes could be stored.
"""
# ruff: noqa: S608 - the statement is put together from this file's own names

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import grpc
import psycopg
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.known import known_values
from tests.integration.rpc.test_fuzz import ALLOWED, METHODS
from tests.support.fuzzing import NASTY_TEXT, NOT_UTF8, SEVERAL, nasty_values
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor, MethodDescriptor
    from google.protobuf.message import Message

    from tests.integration.rpc.world import World

OK: Final = grpc.StatusCode.OK
INVALID: Final = grpc.StatusCode.INVALID_ARGUMENT
_TEXT, _NESTED = FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_MESSAGE
#: What stands where bytes that are no text shall be; of three bytes, like those.
_MARK: Final = "\u2603"
_TABLES: Final = (
    "event_types",
    "webhook_configs",
    "webhook_events",
    "webhook_replays",
    "meetings",
    "segments",
    "summaries",
)
Path = tuple[FieldDescriptor, ...]


@pytest.fixture(scope="module")
def known(stored_world: World) -> dict[str, list[Any]]:
    return known_values(stored_world)


def paths(kind: Descriptor, before: Path = ()) -> Iterator[Path]:
    """Yield the way to each field that holds no message."""
    for field in kind.fields:
        if field.type == _NESTED and field.message_type is not None:
            yield from paths(field.message_type, (*before, field))
        else:
            yield (*before, field)


def made(kind: Descriptor, known: dict[str, list[Any]]) -> Message:
    """Return a message that the server would take."""
    message = message_factory.GetMessageClass(kind)()
    for field in kind.fields:
        if field.name in known and not (field.has_presence and field.name == "secret"):
            value = known[field.name][0]
            if field.is_repeated:
                getattr(message, field.name).append(value)
            else:
                setattr(message, field.name, value)
    return message


def with_value(kind: Descriptor, known: dict[str, list[Any]], path: Path, value: Any) -> Message:  # noqa: ANN401 - each field has its own type
    """Return the same with that value at the path's end; of a repeated field's, it is all."""
    message = made(kind, known)
    field, *rest = path
    if rest and field.message_type is not None:
        inner = with_value(field.message_type, known, tuple(rest), value)
        if field.is_repeated:
            getattr(message, field.name).append(inner)
        else:
            getattr(message, field.name).CopyFrom(inner)
    elif field.is_repeated:
        del getattr(message, field.name)[:]
        getattr(message, field.name).extend(value if isinstance(value, list) else [value])
    else:
        setattr(message, field.name, value)
    return message


class Calls:
    """Calls one method with raw bytes, and looks at the rows around it."""

    def __init__(self, world: World, method: MethodDescriptor, database: psycopg.Connection) -> None:
        self._metadata = [("authorization", f"Bearer {world.token}")]
        self._workspace = {"id": world.workspace_id}
        self._database = database
        self._channel = grpc.insecure_channel(world.address)
        path = f"/{method.containing_service.full_name}/{method.name}"
        make = self._channel.stream_unary if method.client_streaming else self._channel.unary_unary
        self._call: Any = partial(_first, self._channel.unary_stream(path)) if method.server_streaming else make(path)
        self._streams = method.client_streaming

    def code(self, data: bytes) -> grpc.StatusCode:
        """Return how the server answers; what it refuses must leave the rows as they are."""
        before = self._rows()
        try:
            self._call(iter([data]) if self._streams else data, metadata=self._metadata, timeout=PATIENCE_S)
        except grpc.RpcError as error:
            assert self._rows() == before
            code: grpc.StatusCode = error.code()
            return code
        return OK

    def _rows(self) -> list[Any]:
        counts = ", ".join(f"(SELECT count(*) FROM noteflow.{table})" for table in _TABLES)
        return self._database.execute(f"SELECT {counts}").fetchall()

    def close(self) -> None:
        self._channel.close()


def _first(make: Any, data: bytes, **given: Any) -> None:  # noqa: ANN401 - gRPC's own
    call = make(data, **given)
    try:
        next(call)
    finally:
        call.cancel()


@pytest.fixture
def calls(request: pytest.FixtureRequest, stored_world: World, database_url: str) -> Iterator[Calls]:
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        made = Calls(stored_world, request.param, connection)
        yield made
        made.close()


@pytest.mark.parametrize(
    ("calls", "method"), [(each, each) for each in METHODS], indirect=["calls"], ids=[each.name for each in METHODS]
)
def test_every_field_of_the_method_takes_any_value_or_refuses_it(
    calls: Calls, method: MethodDescriptor, known: dict[str, list[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """Text of every kind, bytes that are no text, numbers at and past their ends, and fields with very many entries."""
    faults: list[tuple[str, str, grpc.StatusCode]] = []
    with caplog.at_level(logging.ERROR):
        for path in paths(method.input_type):
            name = ".".join(field.name for field in path)
            for value in nasty_values(path[-1]):
                data = with_value(method.input_type, known, path, value).SerializeToString()
                code = calls.code(data)
                if code not in ALLOWED:
                    faults.append((name, ascii(value)[:60], code))
            if path[-1].type == _TEXT:
                data = with_value(method.input_type, known, path, _MARK).SerializeToString()
                codes = {calls.code(data.replace(_MARK.encode(), bad)) for bad in NOT_UTF8}
                assert codes == {INVALID}, name
    assert faults == []
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR] == []


def test_the_walk_meets_every_kind_of_field() -> None:
    """So many fields, of the kinds that the messages have; none is a map or an enum, which protobuf has too."""
    fields = [path[-1] for method in METHODS for path in paths(method.input_type)]
    assert len(fields) > 80
    kinds = {field.type for field in fields}
    assert {_TEXT, FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_BOOL} <= kinds
    assert FieldDescriptor.TYPE_ENUM not in kinds
    assert any(field.is_repeated for field in fields)
    assert len(NASTY_TEXT) > 20
    assert SEVERAL == 100_000
    assert pb.DESCRIPTOR.name == "noteflow/v1/noteflow.proto"
