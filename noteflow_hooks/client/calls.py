"""What each call gets on its way: the token, a deadline, a key, and errors of the project's own where it fails.

gRPC's interceptors could do it, and take 30 µs of every call; these stand between a stub and its channel, and take 1,
and 7 more for a key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from noteflow_hooks.client.answers import translated
from noteflow_hooks.client.retrying import keyer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta

    from noteflow_hooks.errors import NoteFlowHooksError


@dataclass(frozen=True, slots=True)
class Manner:
    """How a client calls. gRPC's own call credentials can't be used: it refuses them on a channel without TLS."""

    #: Named where it doesn't answer.
    server: str
    token: str
    #: How long a call may take that names no timeout; a stream may take any time.
    timeout: timedelta
    #: Whether calls that may be made again get a key where they need one.
    has_keys: bool = True

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return what goes with every call."""
        return (("authorization", f"Bearer {self.token}"),)

    def keyer(self, path: str) -> Callable[[Any], Any] | None:
        """Return what gives a request its key; None where it needs none."""
        return keyer(path) if self.has_keys else None

    def translated(self, error: grpc.RpcError) -> NoteFlowHooksError:
        """Return the error as one of ours."""
        return translated(error, self.server)


class Calls:
    """A channel, as stubs take one."""

    def __init__(self, channel: grpc.Channel, manner: Manner) -> None:
        self._channel = channel
        self._manner = manner

    def unary_unary(self, method: str, *codec: Any, **more: Any) -> Unary:  # noqa: ANN401 - passed on as it is
        """Return a method that takes a message and gives one."""
        return Unary(self._channel.unary_unary(method, *codec, **more), self._manner, key=self._manner.keyer(method))

    def unary_stream(self, method: str, *codec: Any, **more: Any) -> Streaming:  # noqa: ANN401 - as above
        """Return a method that takes a message and gives many."""
        return Streaming(self._channel.unary_stream(method, *codec, **more), self._manner)

    def stream_unary(self, method: str, *codec: Any, **more: Any) -> Unary:  # noqa: ANN401 - as above
        """Return a method that takes many messages and gives one."""
        return Unary(self._channel.stream_unary(method, *codec, **more), self._manner, is_stream=True)


class Prepared:
    """What the methods of both kinds of channel give to a call."""

    __slots__ = ("_call", "_key", "_manner", "_metadata", "_timeout_s")

    def __init__(
        self,
        call: Any,  # noqa: ANN401 - of either kind
        manner: Manner,
        *,
        key: Callable[[Any], Any] | None = None,
        is_stream: bool = False,
    ) -> None:
        self._call = call
        self._manner = manner
        self._metadata = manner.metadata()
        self._timeout_s = None if is_stream else manner.timeout.total_seconds()
        self._key = key

    def started(self, start: Callable[..., Any], request: object, timeout: float | None, more: dict[str, Any]) -> Any:  # noqa: ANN401 - as gRPC has it
        """Start a call with the token, a deadline and a key."""
        metadata = more.pop("metadata", None)
        return start(
            request if self._key is None else self._key(request),
            timeout=self._timeout_s if timeout is None else timeout,
            metadata=self._metadata if metadata is None else (*metadata, *self._metadata),
            **more,
        )


class Unary(Prepared):
    """A method that gives one message; gRPC's own, but for what :class:`Prepared` gives and for the errors."""

    __slots__ = ()

    def __call__(self, request: object, timeout: float | None = None, **more: Any) -> Any:  # noqa: ANN401 - as gRPC has it
        """Call, and return the answer."""
        try:
            return self.started(self._call, request, timeout, more)
        except grpc.RpcError as error:
            raise self._manner.translated(error) from error

    def with_call(self, request: object, timeout: float | None = None, **more: Any) -> Any:  # noqa: ANN401 - as above
        """Call, and return the answer and gRPC's call."""
        try:
            return self.started(self._call.with_call, request, timeout, more)
        except grpc.RpcError as error:
            raise self._manner.translated(error) from error

    def future(self, request: object, timeout: float | None = None, **more: Any) -> Future:  # noqa: ANN401 - as above
        """Call, and return at once."""
        return Future(self.started(self._call.future, request, timeout, more), self._manner)


class Streaming(Prepared):
    """A method that gives many messages."""

    __slots__ = ()

    def __init__(self, call: Any, manner: Manner) -> None:  # noqa: ANN401 - as above
        super().__init__(call, manner, is_stream=True)

    def __call__(self, request: object, timeout: float | None = None, **more: Any) -> Stream:  # noqa: ANN401 - as above
        """Call, and return what yields the messages."""
        return Stream(self.started(self._call, request, timeout, more), self._manner)


class Stream:
    """A stream of answers: gRPC's own, but for the errors."""

    def __init__(self, call: Any, manner: Manner) -> None:  # noqa: ANN401 - as above
        self._call = call
        self._manner = manner

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a call has
        return getattr(self._call, name)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:  # noqa: ANN401 - any RPC's message
        try:
            return next(self._call)
        except grpc.RpcError as error:
            raise self._manner.translated(error) from error


class Future:
    """A call that was not waited for: gRPC's own, but for the errors."""

    def __init__(self, call: Any, manner: Manner) -> None:  # noqa: ANN401 - as above
        self._call = call
        self._manner = manner

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a call has
        return getattr(self._call, name)

    def result(self, timeout: float | None = None) -> Any:  # noqa: ANN401 - any RPC's message
        """Return the answer, waiting so many seconds at the most, or raise why there is none."""
        try:
            return self._call.result(timeout)
        except grpc.RpcError as error:
            raise self._manner.translated(error) from error

    def exception(self, timeout: float | None = None) -> Exception | None:
        """Return why there is no answer, waiting so many seconds at the most; None where there is one."""
        error: Exception | None = self._call.exception(timeout)
        if not isinstance(error, grpc.RpcError):
            return error
        ours = self._manner.translated(error)
        ours.__cause__ = error
        return ours

    def add_done_callback(self, fn: Callable[[Any], None]) -> None:
        """Call ``fn`` with this future, not with gRPC's, once it is done."""
        self._call.add_done_callback(lambda _: fn(self))
