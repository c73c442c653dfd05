"""Every RPC there is, out of the proto's own descriptors, so that a new one is never forgotten."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import grpc

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: The status, its line, and the response where there is one.
Outcome: TypeAlias = tuple[grpc.StatusCode, str, Any]


@dataclass(frozen=True)
class Method:
    """One RPC of ours."""

    path: str
    name: str
    request: Any
    response: Any
    streamed: bool
    #: Whether it answers with a stream.
    streams: bool

    @property
    def id_fields(self) -> set[str]:
        """The fields of its request that name a thing; a request's own id names none."""
        names = {each.name for each in self.request.DESCRIPTOR.fields if each.name.endswith("_id")}
        return names - {"request_id"}


METHODS: Final = [
    Method(
        path=f"/{service.full_name}/{method.name}",
        name=method.name,
        request=getattr(pb, method.input_type.name),
        response=getattr(pb, method.output_type.name),
        streamed=method.client_streaming,
        streams=method.server_streaming,
    )
    for service in pb.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


class Caller:
    """Calls any method there is or isn't, with any message and metadata, and tells what came of it."""

    def __init__(self, channel: grpc.Channel, *metadata: tuple[str, str]) -> None:
        self._channel: Any = channel
        self._given: dict[str, Any] = {"metadata": metadata, "timeout": PATIENCE_S}

    def call(self, method: Method, **fields: Any) -> Outcome:  # noqa: ANN401 - its message's own
        """Return what a call with one message comes to; of a stream, its first answer."""
        message = method.request(**fields)
        codecs = (method.request.SerializeToString, method.response.FromString)
        if method.streamed:
            return _outcome(lambda: self._channel.stream_unary(method.path, *codecs)(iter([message]), **self._given))
        if method.streams:
            return _outcome(lambda: _first(self._channel.unary_stream(method.path, *codecs)(message, **self._given)))
        return _outcome(lambda: self._channel.unary_unary(method.path, *codecs)(message, **self._given))

    def refusals(self, path: str) -> set[tuple[grpc.StatusCode, str]]:
        """Return what an empty call of each of gRPC's four kinds is answered with."""
        channel, given = self._channel, self._given
        calls = (
            lambda: channel.unary_unary(path)(b"", **given),
            lambda: channel.stream_unary(path)(iter([b""]), **given),
            lambda: next(channel.unary_stream(path)(b"", **given)),
            lambda: next(channel.stream_stream(path)(iter([b""]), **given)),
        )
        return {_outcome(call)[:2] for call in calls}


@contextmanager
def calling(address: str, token: str | None = None) -> Iterator[Caller]:
    """Offer a caller, with that token or without one."""
    with grpc.insecure_channel(address) as channel:
        yield Caller(channel, *([] if token is None else [("authorization", f"Bearer {token}")]))


def _first(call: Any) -> Any:  # noqa: ANN401 - a call of gRPC's and its message
    try:
        return next(call)
    finally:
        call.cancel()


def _outcome(call: Callable[[], Any]) -> Outcome:
    try:
        return grpc.StatusCode.OK, "", call()
    except grpc.RpcError as error:
        return error.code(), error.details() or "", None
