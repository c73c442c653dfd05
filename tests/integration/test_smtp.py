"""The mail server, over real sockets and TLS: what it takes, and what its refusals mean for a mail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.cli.doctor.findings import State, looked
from noteflow_hooks.cli.doctor.mails import server_checks
from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.domain.mails import MailKind
from noteflow_hooks.errors import MailRefusedError, MailServerError, MailUnknownError
from noteflow_hooks.mail.smtp import SmtpServer
from noteflow_hooks.mail.smtp_url import SmtpAddress
from noteflow_hooks.settings import Settings
from tests.support.certificates import authority, authority_pem, self_signed_context, server_context
from tests.support.contacts import ADDRESS
from tests.support.letters import WRITER, letter
from tests.support.smtp_receiver import HANG_UP, SmtpReceiver

if TYPE_CHECKING:
    from noteflow_hooks.cli.doctor.findings import Verdict

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


def settings_of(receiver: SmtpReceiver | None) -> Settings:
    url = None if receiver is None else f"smtp://127.0.0.1:{receiver.port}"
    return Settings(_env_file=None, smtp_url=url, mail_from="Hooks <hooks@example.com>")


def examined(receiver: SmtpReceiver | None) -> Verdict:
    """Return what `doctor --mail-to` finds of the mail server."""
    [check] = server_checks(settings_of(receiver), mail_to="ops@example.com")
    return looked(check)


def test_an_operator_can_have_a_mail_sent_to_try_the_settings() -> None:
    """One mail, from whom the settings say, about no endpoint; the answer does not repeat the whole address."""
    with SmtpReceiver() as receiver:
        found = examined(receiver)
    [mail] = receiver.received
    assert (found.state, "o…@example.com" in found.found) == (State.OK, True)
    assert (mail.sender, mail.recipient) == ("hooks@example.com", "ops@example.com")
    assert mail.message["Subject"] == "Mails of NoteFlow Hooks arrive"
    assert "noteflow-hooks doctor --mail-to" in mail.text


@pytest.mark.parametrize(
    "answers",
    [{"MAIL": "550 no such sender"}, {"RCPT": "550 nobody of that name"}, {"DATA": "451 later"}, {".": HANG_UP}],
    ids=["sender", "recipient", "later", "no answer"],
)
def test_a_mail_that_was_asked_for_and_did_not_go_is_a_failure(answers: dict[str, str]) -> None:
    """Whatever it failed by; who only has the connection looked at is warned, since deliveries flow all the same."""
    with SmtpReceiver(answers=answers) as receiver:
        found = examined(receiver)
        [check] = server_checks(settings_of(receiver))
        assert looked(check).state is State.OK
    assert found.state is State.FAILED
    assert "no mail was sent" in found.found


def test_without_a_mail_server_none_can_be_asked_for() -> None:
    """It says which setting is missing; where nobody asks for a mail, there is nothing to look at."""
    assert "NOTEFLOW_HOOKS_SMTP_URL is not set" in examined(None).found
    assert server_checks(settings_of(None)) == []


def test_an_address_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is looked at, and none of it is repeated."""
    assert run(root, ["doctor", "--mail-to", "canary at example"]) != 0
    said = capsys.readouterr().err
    assert "--mail-to" in said
    assert "canary" not in said
