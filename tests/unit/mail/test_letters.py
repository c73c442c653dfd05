"""What a mail says: what happened and the way back, no secret, and no header that others could write."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING, Any, cast

import pytest

from noteflow_hooks.domain.mails import MailKind
from tests.support.contacts import ADDRESS
from tests.support.letters import KEY, WRITER, letter

if TYPE_CHECKING:
    from noteflow_hooks.domain.ports.mails import Letter
    from noteflow_hooks.mail.letters import Writer


def read(written: Letter, writer: Writer = WRITER) -> Any:  # noqa: ANN401 - the standard library's own message
    """Return the mail as its reader's program has it."""
    raw = writer.written(written, now=datetime.now(UTC)).as_bytes()
    assert b"\n" not in raw.replace(b"\r\n", b"")
    return message_from_bytes(raw, policy=cast("Any", default))


@pytest.mark.parametrize("kind", list(MailKind))
def test_each_mail_says_the_way_back_and_no_secret(kind: MailKind) -> None:
    """By command and by page; of the URL there is the host."""
    message = read(letter(kind))
    text = message.get_content()
    assert (message["To"], message["From"]) == (ADDRESS, "NoteFlow Hooks <hooks@example.com>")
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "text/plain"
    assert "noteflow-hooks webhooks " in text
    assert f"https://hooks.example/endpoints/{KEY}" in text
    assert "crm.example" in text
    assert "hunter2" not in message.as_string()


def test_each_kind_says_what_to_do() -> None:
    """The command that mends it."""
    wanted = {
        MailKind.CONFIRMATION: f"webhooks confirm-contact {KEY} ABCD-EFGH-JKMN",
        MailKind.FAILING: f"webhooks test {KEY}",
        MailKind.DISABLED: f"webhooks enable {KEY}",
        MailKind.CERTIFICATE: f"webhooks update {KEY} --client-certificate FILE --client-key FILE",
        MailKind.DIGEST: "Delivered:              1,234",
    }
    for kind, words in wanted.items():
        assert words in read(letter(kind)).get_content()


def test_a_mails_reader_is_offered_to_leave() -> None:
    """By a header that programs know, and in words; a confirmation needs neither, since no other mail comes."""
    message = read(letter(MailKind.FAILING))
    assert message["List-Unsubscribe"].split() == [
        f"<https://hooks.example/endpoints/{KEY}/edit>,",
        f"<mailto:hooks@example.com?subject=unsubscribe%20{KEY}>",
    ]
    assert f"webhooks update {KEY} --no-contact" in message.get_content()
    plain = read(letter(MailKind.FAILING), replace(WRITER, dashboard=None))
    assert plain["List-Unsubscribe"].strip().startswith("<mailto:hooks@example.com?")
    assert f"the dashboard's page /endpoints/{KEY}" in plain.get_content()


@pytest.mark.parametrize(
    "name", ["a\r\nBcc: x@evil.example", "a\nb", "a\u2028b\u0085c", "\x00", "=?utf-8?q?a=0ab?=", "é" * 255]
)
def test_no_name_begins_a_header(name: str) -> None:
    """Whatever stands in it, the mail has the headers of every other one, and its name one line."""
    message, usual = read(letter(MailKind.FAILING, name=name)), read(letter(MailKind.FAILING))
    assert sorted(message.keys()) == sorted([*usual.keys()])
    assert "\n" not in message["Subject"]
    assert "evil.example" not in str(message["Bcc"])
    assert len(message.get_content().splitlines()) == len(usual.get_content().splitlines())


def test_a_confirmation_says_nothing_that_its_endpoints_owner_has_chosen() -> None:
    """But for the host: who names a stranger's address must not write to it."""
    message = read(letter(MailKind.CONFIRMATION, name="You have won, see evil.example"))
    assert "won" not in message.as_string()


def test_a_reason_stays_on_its_line() -> None:
    """Some of it are a vendor's words."""
    text = read(letter(MailKind.FAILING, about="a\r\nb: c")).get_content()
    assert "a\\r\\nb: c." in text
