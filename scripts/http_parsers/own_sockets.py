"""``http.client`` and urllib3 unchanged, with sockets of their own and a timeout for each wait.

``http.client`` is here twice: the other one reads from the same connection as our own reader.
"""

from __future__ import annotations

import http.client
from contextlib import suppress
from typing import TYPE_CHECKING, cast

import urllib3
import urllib3.connection
from typing_extensions import override

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.executor.http.faults import ExchangeError, protocol
from noteflow_hooks.executor.http.inbox import Inbox
from noteflow_hooks.executor.http.reply import BODY_LIMIT
from scripts.http_parsers.client import PIECE, Answer, Client, OverWire

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from noteflow_hooks.executor.http.stream import Deadline
    from noteflow_hooks.executor.http.wire import Wire
    from scripts.http_parsers.client import Place


class _Socket:
    """The project's connection with as much of a socket's interface as ``http.client`` needs."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def sendall(self, data: bytes) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            self._wire.sendall(data)

    def makefile(self, _mode: str) -> Inbox:
        return Inbox(self._wire.recv_into)

    def close(self) -> None:
        """Do nothing: whoever made the connection closes it."""


class HttpClientOverWire(OverWire):
    """``http.client`` reading from the project's connection."""

    def __init__(self, place: Place, deadline: Deadline) -> None:
        super().__init__(place, deadline)
        self._connection = http.client.HTTPConnection(place.host, place.port)
        self._connection.auto_open = 0

    @override
    def post(self, target: str, headers: Mapping[str, str], body: bytes, deadline: Deadline) -> Answer:
        self.wire.stream.deadline = deadline
        self._connection.sock = cast("socket.socket", _Socket(self.wire))
        return _posted(self._connection, target, headers, body)


class HttpClient(Client):
    """``http.client`` unchanged."""

    def __init__(self, place: Place, deadline: Deadline) -> None:
        timeout = deadline.remaining()
        self._connection: http.client.HTTPConnection
        if place.context is not None:
            self._connection = http.client.HTTPSConnection(
                place.host, place.port, timeout=timeout, context=place.context
            )
        else:
            self._connection = http.client.HTTPConnection(place.host, place.port, timeout=timeout)
        self._connection.connect()

    @override
    def post(self, target: str, headers: Mapping[str, str], body: bytes, deadline: Deadline) -> Answer:
        del deadline  # each wait has a timeout, but their sum has none
        return _posted(self._connection, target, headers, body)

    @override
    def close(self) -> None:
        self._connection.close()


class _HttpClientAnswer(Answer):
    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self._answer = answer
        self.status = answer.status

    @override
    def header(self, name: str) -> str | None:
        return next(iter(self._answer.headers.get_all(name, [])), None)

    @override
    def read_body(self, *, keep: int) -> bytes:
        kept, size = b"", 0
        with suppress(http.client.HTTPException, ExchangeError, OSError):
            while self._answer.length != 0 and size < BODY_LIMIT and (piece := self._answer.read1(PIECE)):
                size += len(piece)
                kept += piece[: keep - len(kept)]
            if self._answer.length == 0:
                # read() notes the end; read1() does not.
                self._answer.read()
        return kept

    @property
    @override
    def is_reusable(self) -> bool:
        return self._answer.isclosed() and not self._answer.will_close


class Urllib3(Client):
    """urllib3's connection unchanged, without a pool; it reads with ``http.client``."""

    def __init__(self, place: Place, deadline: Deadline) -> None:
        timeout = deadline.remaining()
        self._connection: urllib3.connection.HTTPConnection
        if place.context is not None:
            self._connection = urllib3.connection.HTTPSConnection(
                place.host, place.port, timeout=timeout, ssl_context=place.context
            )
        else:
            self._connection = urllib3.connection.HTTPConnection(place.host, place.port, timeout=timeout)
        try:
            self._connection.connect()
        except urllib3.exceptions.NewConnectionError as error:
            raise ExchangeError(ErrorKind.CONNECT, "no connection") from error

    @override
    def post(self, target: str, headers: Mapping[str, str], body: bytes, deadline: Deadline) -> Answer:
        del deadline  # as above
        with suppress(BrokenPipeError, ConnectionResetError):
            self._connection.request("POST", target, body, headers, preload_content=False, decode_content=False)
        try:
            return _Urllib3Answer(self._connection.getresponse())
        except http.client.RemoteDisconnected as error:
            raise ExchangeError(ErrorKind.CONNECT, "closed") from error
        except (http.client.HTTPException, urllib3.exceptions.HTTPError) as error:
            raise protocol("no head") from error

    @override
    def close(self) -> None:
        self._connection.close()


class _Urllib3Answer(Answer):
    def __init__(self, answer: urllib3.response.HTTPResponse) -> None:
        self._answer = answer
        self.status = answer.status

    @override
    def header(self, name: str) -> str | None:
        return next(iter(self._answer.headers.getlist(name)), None)

    @override
    def read_body(self, *, keep: int) -> bytes:
        kept, size = b"", 0
        with suppress(urllib3.exceptions.HTTPError, http.client.HTTPException, OSError):
            while size < BODY_LIMIT and (piece := self._answer.read1(PIECE, decode_content=False)):
                size += len(piece)
                kept += piece[: keep - len(kept)]
        return kept

    @property
    @override
    def is_reusable(self) -> bool:
        read = self._answer._original_response  # noqa: SLF001 - its pool looks at the same
        return read is not None and read.isclosed() and not read.will_close


def _posted(
    connection: http.client.HTTPConnection, target: str, headers: Mapping[str, str], body: bytes
) -> _HttpClientAnswer:
    try:
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", target, body, dict(headers))
        return _HttpClientAnswer(connection.getresponse())
    except http.client.RemoteDisconnected as error:
        raise ExchangeError(ErrorKind.CONNECT, "closed") from error
    except http.client.HTTPException as error:
        raise protocol("no head") from error
