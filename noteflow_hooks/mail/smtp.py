"""The operator's mail server, by SMTP. What it says of a mail decides whether that may ever be sent again."""

from __future__ import annotations

import smtplib
import socket
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from email.policy import SMTP as SMTP_POLICY
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from noteflow_hooks.domain.contacts import masked_address
from noteflow_hooks.domain.ports.mails import Connection, MailServer
from noteflow_hooks.errors import MailRefusedError, MailServerError, MailUnknownError
from noteflow_hooks.printable import escape

if TYPE_CHECKING:
    from email.message import EmailMessage
    from pathlib import Path

    from noteflow_hooks.domain.ports.mails import Letter
    from noteflow_hooks.mail.letters import Writer
    from noteflow_hooks.mail.smtp_url import SmtpAddress

#: How long each answer is waited for.
TIMEOUT_S: Final = 20.0
_REPLY_CHARACTERS: Final = 200
#: From here on a server refuses for good (RFC 5321, 4.2.1), and below it for now.
_FOR_GOOD: Final = 500
_GO_ON: Final = 354
_TAKEN: Final = range(200, 300)


class SmtpServer(MailServer):
    """The operator's mail server."""

    def __init__(
        self, address: SmtpAddress, writer: Writer, *, ca_bundle: Path | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        """``ca_bundle`` is trusted beside the system's authorities."""
        self._address = address
        self._writer = writer
        self._ca_bundle = ca_bundle
        self._timeout_s = timeout_s

    def send_trial(self, recipient: str) -> None:
        """Send a mail that is about no endpoint; raise what connecting and sending raise."""
        connection = self.connect()
        try:
            connection.send_text(self._writer.trial(recipient, now=datetime.now(UTC)), recipient)
        finally:
            connection.close()

    @override
    def connect(self) -> _SmtpConnection:
        try:
            return _SmtpConnection(self._logged_in(), self._writer)
        except smtplib.SMTPResponseException as error:
            raise MailServerError(f"{self._address}: {_reply(error.smtp_code, error.smtp_error)}") from None
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise MailServerError(f"{self._address}: {_named(error)}") from None

    def _logged_in(self) -> smtplib.SMTP:
        at = self._address
        if at.is_tls:
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(at.host, at.port, timeout=self._timeout_s, context=self._context())
        else:
            smtp = smtplib.SMTP(at.host, at.port, timeout=self._timeout_s)
        try:
            smtp.ehlo_or_helo_if_needed()
            if at.starts_tls:
                smtp.starttls(context=self._context())
                smtp.ehlo_or_helo_if_needed()
            if at.user is not None and at.password is not None:
                smtp.login(at.user, at.password)
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._ca_bundle is not None:
            context.load_verify_locations(self._ca_bundle)
        return context


class _SmtpConnection(Connection):
    def __init__(self, smtp: smtplib.SMTP, writer: Writer) -> None:
        self._smtp = smtp
        self._writer = writer

    @override
    def send(self, letter: Letter) -> None:
        self.send_text(self._writer.written(letter, now=datetime.now(UTC)), str(letter.mail.recipient))

    def send_text(self, message: EmailMessage, recipient: str) -> None:
        """Send a mail as it is written; raise what ``send`` raises."""
        text = message.as_bytes(policy=SMTP_POLICY)
        try:
            self._smtp.rset()
            # Whom it is from is ours, and no fault of this mail.
            _check(self._smtp.mail(self._writer.sender[1]), recipient, is_ours=True)
            _check(self._smtp.rcpt(recipient), recipient)
            code, words = self._smtp.docmd("DATA")
            if code != _GO_ON:
                _check((code, words), recipient)
        except (OSError, smtplib.SMTPException) as error:
            raise MailServerError(_named(error)) from None
        self._hand_over(text, recipient)

    def _hand_over(self, text: bytes, recipient: str) -> None:
        """Send the text and wait for the answer to it: without one, nobody knows whether it was taken."""
        try:
            self._smtp.send(_stuffed(text) + b".\r\n")
            answer = self._smtp.getreply()
        except (OSError, smtplib.SMTPException) as error:
            raise MailUnknownError(_named(error)) from None
        _check(answer, recipient)

    @override
    def close(self) -> None:
        with suppress(OSError, smtplib.SMTPException):
            self._smtp.quit()
        self._smtp.close()


def _stuffed(text: bytes) -> bytes:
    """Return the text with a second dot where a line begins with one, and its last line ended (RFC 5321, 4.5.2)."""
    lines = text.removesuffix(b"\r\n").split(b"\r\n")
    return b"".join(b"." * line.startswith(b".") + line + b"\r\n" for line in lines)


def _check(answer: tuple[int, bytes], recipient: str, *, is_ours: bool = False) -> None:
    code, words = answer
    if code in _TAKEN:
        return
    # Servers repeat the address in their refusals.
    reason = _reply(code, words).replace(recipient, masked_address(recipient))
    if code >= _FOR_GOOD and not is_ours:
        raise MailRefusedError(reason)
    raise MailServerError(reason)


def _reply(code: int, words: bytes | str) -> str:
    text = words.decode("ascii", "replace") if isinstance(words, bytes) else words
    return f"{code} {escape(text.replace(chr(10), ' '))}"[:_REPLY_CHARACTERS]


def _named(error: Exception) -> str:
    if isinstance(error, TimeoutError | socket.timeout):
        return "no answer in time"
    detail = getattr(error, "strerror", None) or getattr(error, "verify_message", None) or str(error)
    return f"{type(error).__name__}: {escape(str(detail))}"[:_REPLY_CHARACTERS]
