"""The mail server, over real sockets and TLS: what it takes, and what its refusals mean for a mail."""

from __future__ import annotations

import pytest

from noteflow_hooks.domain.mails import MailKind
from noteflow_hooks.errors import MailRefusedError, MailServerError, MailUnknownError
from noteflow_hooks.mail.smtp import SmtpServer
from noteflow_hooks.mail.smtp_url import SmtpAddress
from tests.support.certificates import authority, authority_pem, self_signed_context, server_context
from tests.support.contacts import ADDRESS
from tests.support.letters import WRITER, letter
from tests.support.smtp_receiver import HANG_UP, SmtpReceiver

LETTER = letter(MailKind.FAILING)
LOGIN = ("ops@example.com", "p@ss/word")


def server(url: str) -> SmtpServer:
    return SmtpServer(SmtpAddress.parse(url), WRITER, ca_bundle=authority_pem(), timeout_s=5)


def sent(receiver: SmtpReceiver, scheme: str = "smtp", login: str = "") -> None:
    connection = server(f"{scheme}://{login}localhost:{receiver.port}").connect()
    try:
        connection.send(LETTER)
    finally:
        connection.close()


def test_a_mail_arrives_as_it_was_written() -> None:
    """With its envelope, and over one connection as many as there are."""
    with SmtpReceiver() as receiver:
        connection = server(f"smtp://127.0.0.1:{receiver.port}").connect()
        for _ in range(2):
            connection.send(LETTER)
        connection.close()
    assert receiver.connections == 1
    [first, second] = receiver.received
    assert (first.sender, first.recipient) == ("hooks@example.com", ADDRESS)
    assert first.raw.splitlines()[-1:] == second.raw.splitlines()[-1:]
    assert "Every attempt since noon has failed." in first.text
    assert first.message["Message-ID"] == f"<{LETTER.mail.id}@example.com>"


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
def test_tls_goes_before_the_password(scheme: str) -> None:
    """From the start, or by STARTTLS; the certificate is checked against the operator's authority."""
    context = server_context(authority(), ("localhost",))
    with SmtpReceiver(context, is_tls=scheme == "smtps", login=LOGIN) as receiver:
        sent(receiver, scheme, "ops%40example.com:p%40ss%2Fword@")
    assert receiver.logins == [LOGIN]
    assert [each.is_encrypted for each in receiver.received] == [True]


def test_a_server_that_can_not_be_trusted_gets_no_password() -> None:
    """A certificate of nobody's, no STARTTLS where it is asked for, and a login that is refused."""
    receiver = SmtpReceiver(self_signed_context("localhost"), is_tls=True, login=LOGIN)
    with receiver, pytest.raises(MailServerError, match=r"self.signed"):
        sent(receiver, "smtps", "u:hunter2@")
    with SmtpReceiver(login=LOGIN) as plain:
        with pytest.raises(MailServerError, match="STARTTLS"):
            sent(plain, "smtp+starttls", "u:hunter2@")
        assert plain.logins == []
        with pytest.raises(MailServerError, match="535") as refused:
            sent(plain, "smtp", "u:hunter2@")
    assert "hunter2" not in str(refused.value)
    assert receiver.logins == []
    assert [*receiver.received, *plain.received] == []


@pytest.mark.parametrize(
    ("word", "answer", "error"),
    [
        ("HELLO", "554 go away", MailServerError),
        ("HELLO", HANG_UP, MailServerError),
        ("EHLO", "421 too busy", MailServerError),
        # Whom it is from is the operator's, and no fault of this mail.
        ("MAIL", "550 no such sender", MailServerError),
        ("MAIL", HANG_UP, MailServerError),
        ("RCPT", "451 greylisted", MailServerError),
        ("RCPT", f"550 5.1.1 <{ADDRESS}>: no such user", MailRefusedError),
        ("DATA", "452 disk full", MailServerError),
        ("DATA", "554 no", MailRefusedError),
        ("DATA", HANG_UP, MailServerError),
        (".", "451 later", MailServerError),
        (".", "554 looks like spam", MailRefusedError),
        # It may have been taken.
        (".", HANG_UP, MailUnknownError),
    ],
)
def test_what_an_answer_means(word: str, answer: str, error: type[Exception]) -> None:
    """Whether a mail may be tried again, never, or is never to be sent because it may have been."""
    answers = {word: answer} | ({"HELO": answer} if word == "EHLO" else {})
    with SmtpReceiver(answers=answers) as receiver, pytest.raises(error) as refused:
        sent(receiver)
    assert ADDRESS not in str(refused.value)


def test_nobody_who_listens_is_a_refusal_of_the_server() -> None:
    """Named by host and port."""
    with SmtpReceiver() as receiver:
        port = receiver.port
    with pytest.raises(MailServerError, match=f"127.0.0.1:{port}: ConnectionRefusedError"):
        server(f"smtp://127.0.0.1:{port}").connect()
