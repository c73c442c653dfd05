"""h11 and httptools: they only parse, so they read from the same connection as our own reader."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from noteflow_hooks.executor.http.faults import ExchangeError, protocol
from noteflow_hooks.executor.http.reply import BODY_LIMIT, HEAD_LIMIT
from scripts.http_parsers.client import Answer, OverWire, first_of, head_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from noteflow_hooks.executor.http.stream import Deadline
    from scripts.http_parsers.client import Place

_SWITCHING: Final = 101
_FINAL: Final = 200


class H11(OverWire):
    """h11, which also checks what is sent."""

    def __init__(self, place: Place, deadline: Deadline) -> None:
        super().__init__(place, deadline)
        # Imported by name: it is in no lock file, since the project does not use it.
        self.h11: Any = import_module("h11")
        self.state = self.h11.Connection(self.h11.CLIENT, max_incomplete_event_size=HEAD_LIMIT)

    @override
    def post(self, target: str, headers: Mapping[str, str], body: bytes, deadline: Deadline) -> Answer:
        if self.state.our_state is self.h11.DONE:
            self.state.start_next_cycle()
        request = self.h11.Request(method="POST", target=target, headers=list(headers.items()))
        data, end = self.h11.Data(data=body), self.h11.EndOfMessage()
        self.send(b"".join(map(self.state.send, (request, data, end))), deadline)
        try:
            return _H11Answer(self, next(each for each in self.events() if type(each) is self.h11.Response))
        except self.h11.RemoteProtocolError as error:
            raise self.no_head() from error

    def events(self) -> Iterator[Any]:
        """Yield each event; read more when it is needed."""
        while True:
            event = self.state.next_event()
            if event is self.h11.NEED_DATA:
                self.state.receive_data(self.came())
                continue
            if type(event) is self.h11.InformationalResponse:
                self.head_start = self.received - len(self.state.trailing_data[0])
            yield event


class _H11Answer(Answer):
    def __init__(self, client: H11, head: Any) -> None:  # noqa: ANN401 - h11's, which is not installed
        self._client = client
        self._head = head
        self.status: int = head.status_code

    @override
    def header(self, name: str) -> str | None:
        return first_of(self._head.headers, name)

    @override
    def read_body(self, *, keep: int) -> bytes:
        kept, size, h11 = b"", 0, self._client.h11
        with suppress(h11.RemoteProtocolError, ExchangeError, OSError):
            for event in self._client.events():
                if type(event) is not h11.Data or size > BODY_LIMIT:
                    break
                size += len(event.data)
                kept += event.data[: keep - len(kept)]
        return kept

    @property
    @override
    def is_reusable(self) -> bool:
        state, done = self._client.state, self._client.h11.DONE
        return state.our_state is state.their_state is done and not any(state.trailing_data)


class Httptools(OverWire, Answer):
    """llhttp, Node's parser, through httptools, which calls the methods ``on_...``."""

    def __init__(self, place: Place, deadline: Deadline) -> None:
        super().__init__(place, deadline)
        self._httptools: Any = import_module("httptools")
        self._parser = self._httptools.HttpResponseParser(self)
        self._restart()

    def _restart(self) -> None:
        self.status: int = 0
        self.body = bytearray()
        self.is_complete = self.is_surplus = self.is_over = self.is_persistent = False
        self._headers: list[tuple[bytes, bytes]] = []

    @override
    def post(self, target: str, headers: Mapping[str, str], body: bytes, deadline: Deadline) -> Answer:
        self._restart()
        self.send(head_of(target, headers) + body, deadline)
        while not self.status:
            if self.head_size > HEAD_LIMIT:
                raise protocol("head too large")
            if not self.feed():
                raise self.no_head()
        return self

    def feed(self) -> bool:
        """Read and parse more; tell whether there may be still more."""
        if self.is_over or not (data := self.came()):
            return False
        try:
            self._parser.feed_data(data)
        except self._httptools.HttpParserUpgrade:
            self.is_over = True
        except self._httptools.HttpParserError:
            # After a complete head, this ends the body.
            self.is_over = True
            return bool(self.status)
        return True

    def on_message_begin(self) -> None:
        """Begin with another answer: an interim one, the final one or a surplus one."""
        self.is_surplus = self.is_complete
        self._headers_of_this: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._headers_of_this.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Take the head if it is the final one."""
        if sum(len(name) + len(value) + len(": \r\n") for name, value in self._headers_of_this) > HEAD_LIMIT:
            # This ends the parser, like a malformed answer.
            raise protocol("head too large")
        status = self._parser.get_status_code()
        if not self.status and (status >= _FINAL or status == _SWITCHING):
            self.status, self._headers = status, self._headers_of_this
            self.is_persistent = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        """Take some of the body."""
        if not self.is_complete:
            self.body += body

    def on_message_complete(self) -> None:
        """Note the end of an answer."""
        self.is_complete = bool(self.status)
        self.head_start = self.received

    @override
    def header(self, name: str) -> str | None:
        return first_of(self._headers, name)

    @override
    def read_body(self, *, keep: int) -> bytes:
        with suppress(ExchangeError, OSError):
            # All bytes count, not the body's alone: extensions and trailers have no limit of their own.
            limit = self.received + BODY_LIMIT
            while not self.is_complete and self.received < limit and self.feed():
                pass
        return bytes(self.body[:keep])

    @property
    @override
    def is_reusable(self) -> bool:
        return self.is_complete and self.is_persistent and not (self.is_surplus or self.is_over)
