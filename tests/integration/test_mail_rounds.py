"""Rounds of mails, to a real mail server: each goes once, and a server that is away is told of."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from noteflow_hooks.concurrency.outage import Outage
from noteflow_hooks.domain.contacts import Digest
from noteflow_hooks.domain.mails import MailKind, MailState, confirmation_of, mail_about
from noteflow_hooks.mail.codes import KeyedContactCodes
from noteflow_hooks.mail.smtp import SmtpServer
from noteflow_hooks.mail.smtp_url import SmtpAddress
from noteflow_hooks.maintenance.digests import write_digests
from noteflow_hooks.maintenance.mails import MailRounds
from noteflow_hooks.persistence.memory import InMemoryMailStore, InMemoryUnitOfWork, MemoryStore
from tests.support.builders import a_webhook, a_workspace
from tests.support.contacts import ADDRESS, a_confirmed_contact, a_contact
from tests.support.letters import WRITER
from tests.support.smtp_receiver import HANG_UP, SmtpReceiver
from tests.support.waiting import until

if TYPE_CHECKING:
    import pytest

    from noteflow_hooks.domain.contacts import Contact
    from noteflow_hooks.domain.mails import Mail
    from noteflow_hooks.domain.webhooks import WebhookConfig

CODES: Final = KeyedContactCodes([bytes(32)])


class Post:
    """A store in memory with a workspace, and rounds to a mail server on loopback; the clock goes on by hand."""

    def __init__(self, port: int) -> None:
        self.store = MemoryStore(now=lambda: datetime.now(UTC) + self.later)
        self.later = timedelta(0)
        self.monotonic_s = 0.0
        with InMemoryUnitOfWork(self.store) as unit:
            self.workspace = unit.access.create_workspace(a_workspace())
            unit.commit()
        self.rounds = MailRounds(
            InMemoryMailStore(self.store),
            SmtpServer(SmtpAddress.parse(f"smtp://127.0.0.1:{port}"), WRITER, timeout_s=5),
            CODES,
            outage=Outage("the mail server", safe="mails wait", quiet_s=0.0, monotonic=lambda: self.monotonic_s),
            monotonic=lambda: self.monotonic_s,
        )

    def webhook(self, contact: Contact, *, mails: int = 0) -> WebhookConfig:
        """Store an endpoint and what is to be mailed about it: its confirmation, or so many that it fails."""
        with InMemoryUnitOfWork(self.store) as unit:
            webhook = unit.webhooks.create(a_webhook(workspace_id=self.workspace.id, contact=contact))
            for mail in [confirmation_of(webhook, before=None)] + [
                mail_about(webhook, MailKind.FAILING, "it fails") for _ in range(mails)
            ]:
                if mail is not None:
                    unit.mails.add(mail)
            unit.commit()
        return webhook

    def mails(self, webhook: WebhookConfig) -> list[Mail]:
        """Return the mails about an endpoint."""
        with InMemoryUnitOfWork(self.store) as unit:
            return list(unit.mails.list_of(webhook.id))


def test_a_confirmation_carries_the_code_that_confirms() -> None:
    """Once: a second round has nothing to send."""
    with SmtpReceiver() as receiver:
        post = Post(receiver.port)
        webhook = post.webhook(a_contact())
        assert [post.rounds.send_due() for _ in range(2)] == [1, 0]
    [mail] = receiver.received
    assert webhook.contact is not None
    assert mail.recipient == ADDRESS
    assert CODES.code(webhook.id, ADDRESS, webhook.contact.asked_at) in mail.text
    assert [each.state for each in post.mails(webhook)] == [MailState.SENT]


def test_all_that_is_due_goes_over_one_connection_in_a_thread_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    """A look returns at once, and begins nothing where nothing is due, or after the end."""
    caplog.set_level(logging.INFO)
    with SmtpReceiver() as receiver:
        post = Post(receiver.port)
        assert not post.rounds.look()
        webhook = post.webhook(a_confirmed_contact(), mails=3)
        assert post.rounds.look()
        until(lambda: all(each.state is MailState.SENT for each in post.mails(webhook)), what="three mails")
        post.rounds.close()
        post.webhook(a_confirmed_contact(), mails=1)
        assert not post.rounds.look()
    assert (receiver.connections, len(receiver.received)) == (1, 3)
    assert ADDRESS not in caplog.text
    assert caplog.text.count("sent: failing of webhook") == 3


def test_a_server_that_is_away_is_told_of_once_and_left_alone_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    """Its mails wait, with the reason, and go when it is back."""
    with SmtpReceiver(answers={"HELLO": "421 closing"}) as receiver:
        post = Post(receiver.port)
        webhook = post.webhook(a_confirmed_contact(), mails=2)
        assert post.rounds.send_due() == 0
        assert not post.rounds.look()
        [first, second] = post.mails(webhook)
        assert first.error is not None
        assert "421 closing" in first.error
        assert (first.state, first.sent_at, second.attempt_count) == (MailState.WAITING, None, 0)
        post.monotonic_s += 11
        assert post.rounds.send_due() == 0
        receiver.answers.clear()
        post.later += timedelta(minutes=5)
        post.monotonic_s += 100
        assert post.rounds.send_due() == 2
    warnings = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert "the mail server refuses: 127.0.0.1" in warnings[0]
    assert "the mail server answers again" in warnings[1]


def test_an_address_that_is_refused_is_given_up_and_the_next_mail_goes(caplog: pytest.LogCaptureFixture) -> None:
    """With a line that names the mail and repeats no address."""
    with SmtpReceiver(answers={"RCPT": f"550 <{ADDRESS}> no such user"}) as receiver:
        post = Post(receiver.port)
        webhook = post.webhook(a_confirmed_contact(), mails=2)
        assert post.rounds.send_due() == 0
    assert receiver.connections == 1
    assert [each.state for each in post.mails(webhook)] == [MailState.GIVEN_UP] * 2
    assert "is given up: failing of webhook" in caplog.text
    assert ADDRESS not in caplog.text


def test_what_may_have_been_sent_is_never_sent_again(caplog: pytest.LogCaptureFixture) -> None:
    """As where the server hangs up on the whole text."""
    with SmtpReceiver(answers={".": HANG_UP}) as receiver:
        post = Post(receiver.port)
        webhook = post.webhook(a_confirmed_contact(), mails=1)
        assert post.rounds.send_due() == 0
        receiver.answers.clear()
        post.later += timedelta(hours=1)
        assert post.rounds.send_due() == 0
    assert len(receiver.received) == 1
    [mail] = post.mails(webhook)
    assert str(mail.error).startswith("it may have been sent: ")
    assert "it may have been sent" in caplog.text


def test_a_digest_has_a_weeks_figures() -> None:
    """It is written once, and sent as any other mail."""
    with SmtpReceiver() as receiver:
        post = Post(receiver.port)
        due = a_confirmed_contact(digest=Digest.WEEKLY, digest_at=datetime.now(UTC) - timedelta(hours=1))
        webhook = post.webhook(due)
        post.webhook(replace(due, digest_at=datetime.now(UTC) + timedelta(days=1)))
        units = lambda: InMemoryUnitOfWork(post.store)  # noqa: E731 - one line that says it
        assert [write_digests(units, limit=9) for _ in range(2)] == [1, 0]
        assert post.rounds.send_due() == 1
    [mail] = post.mails(webhook)
    assert dict(json.loads(mail.about))["Delivered"] == "0"
    text = receiver.received[0].text
    assert "Delivered:" in text
    assert f"webhooks show {webhook.id}" in text
