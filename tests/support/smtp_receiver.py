"""A mail server for tests, of a few lines: real SMTP over a socket, with TLS, a login, and answers that can be set."""

from __future__ import annotations

import base64
import socket
import threading
from contextlib import closing, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING, Any, Final, Self, cast

if TYPE_CHECKING:
    import ssl
    from email.message import EmailMessage
    from types import TracebackType

_PATIENCE_S: Final = 10.0
#: In place of an answer the connection is closed.
HANG_UP: Final = ""


@dataclass(frozen=True)
class Received:
    """One mail that was taken."""

    sender: str
    recipient: str
    raw: bytes
    is_encrypted: bool

    @property
    def message(self) -> EmailMessage:
        """The mail as its reader's program has it."""
        return cast("EmailMessage", message_from_bytes(self.raw, policy=cast("Any", default)))

    @property
    def text(self) -> str:
        """What its reader reads."""
        return str(self.message.get_content())


@dataclass
class SmtpReceiver:
    """Listens on loopback while it is open; a thread for each connection."""

    #: The certificate, for TLS from the start or by STARTTLS.
    context: ssl.SSLContext | None = None
    is_tls: bool = False
    #: Who may log in, as user and password; without it nobody is asked.
    login: tuple[str, str] | None = None
    #: What is answered in place of the usual, by the command's first word; ``.`` for the end of the text.
    answers: dict[str, str] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    connections: int = 0

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take no more connections, the one included that is being waited for."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._socket.getsockname()[1]
        return port

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            connection.settimeout(_PATIENCE_S)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with closing(_Session(self, connection)) as session, suppress(OSError, EOFError):
            # Its client leaves, or does not trust the certificate.
            session.run()


class _Session:
    def __init__(self, server: SmtpReceiver, connection: socket.socket) -> None:
        self._server = server
        self._use(connection, encrypted=False)
        self._sender = self._recipient = ""

    def close(self) -> None:
        self._lines.close()
        self._connection.close()

    def _use(self, connection: socket.socket, *, encrypted: bool) -> None:
        self._connection, self._lines, self._is_encrypted = connection, connection.makefile("rb"), encrypted

    def _encrypt(self) -> None:
        assert self._server.context is not None
        self._use(self._server.context.wrap_socket(self._connection, server_side=True), encrypted=True)

    def run(self) -> None:
        if self._server.is_tls:
            self._encrypt()
        self._say(self._server.answers.get("HELLO", "220 test"))
        while True:
            line = self._lines.readline().decode().strip()
            if not line:
                raise EOFError
            word = line.split()[0].upper()
            if word in self._server.answers and word != ".":
                self._say(self._server.answers[word])
            else:
                getattr(self, f"_{word.lower()}")(line)

    def _say(self, answer: str) -> None:
        if answer == HANG_UP:
            raise EOFError
        self._connection.sendall(answer.encode() + b"\r\n")

    def _ehlo(self, _: str) -> None:
        offers = ["test"]
        if self._server.context is not None and not self._is_encrypted:
            offers.append("STARTTLS")
        if self._server.login is not None:
            offers.append("AUTH PLAIN")
        self._say("\r\n".join([*(f"250-{each}" for each in offers), "250 8BITMIME"]))

    def _starttls(self, _: str) -> None:
        self._say("220 go on")
        self._encrypt()

    def _auth(self, line: str) -> None:
        _, user, password = base64.b64decode(line.split()[2]).decode().split("\0")
        self._server.logins.append((user, password))
        self._say("235 welcome" if (user, password) == self._server.login else f"535 no such user {user}")

    def _rset(self, _: str) -> None:
        self._say("250 ok")

    def _mail(self, line: str) -> None:
        self._sender = line.partition("<")[2].partition(">")[0]
        self._say("250 ok")

    def _rcpt(self, line: str) -> None:
        self._recipient = line.partition("<")[2].partition(">")[0]
        self._say("250 ok")

    def _data(self, _: str) -> None:
        self._say("354 go on")
        lines: list[bytes] = []
        while (line := self._lines.readline()) != b".\r\n":
            if not line:
                raise EOFError
            lines.append(line.removeprefix(b"."))
        answer = self._server.answers.get(".", "250 taken")
        if answer.startswith("2") or answer == HANG_UP:
            mail = Received(self._sender, self._recipient, b"".join(lines), self._is_encrypted)
            self._server.received.append(mail)
        self._say(answer)

    def _quit(self, _: str) -> None:
        self._say("221 bye")
        raise EOFError
