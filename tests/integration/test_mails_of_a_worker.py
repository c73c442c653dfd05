"""A worker's parts with a mail server: from PostgreSQL to a mailbox, and nothing of it without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from noteflow_hooks import bootstrap
from noteflow_hooks.crypto import generate_key
from noteflow_hooks.domain.mails import confirmation_of
from noteflow_hooks.settings import Settings
from tests.support.builders import a_webhook, a_workspace
from tests.support.contacts import ADDRESS, a_contact
from tests.support.smtp_receiver import SmtpReceiver
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_worker_mails_what_waits_and_says_who_it_is(
    clean_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender and the dashboard are the settings'; one without `SMTP_URL` leaves the mail."""
    monkeypatch.chdir(tmp_path)
    given: dict[str, Any] = {
        "database_url": clean_database,
        "redis_url": "redis://127.0.0.1:1/0",
        "secret_keys": generate_key(),
    }
    store = bootstrap.store(Settings(**given))
    with store.units() as unit:
        workspace = unit.access.create_workspace(a_workspace())
        webhook = unit.webhooks.create(a_webhook(workspace_id=workspace.id, contact=a_contact()))
        mail = confirmation_of(webhook, before=None)
        assert mail is not None
        unit.mails.add(mail)
        unit.commit()
    store.close()
    silent = bootstrap.worker(Settings(**given), lambda _: None)
    assert not silent.send_mails()
    assert silent.write_digests() == 0
    silent.close()
    with SmtpReceiver() as receiver:
        mailing: dict[str, Any] = {
            "smtp_url": f"smtp://127.0.0.1:{receiver.port}",
            "mail_from": "Ops <hooks@example.com>",
        }
        worker = bootstrap.worker(
            Settings(**given, **mailing, dashboard_url="https://hooks.example.com"), lambda _: None
        )
        assert worker.send_mails()
        until(lambda: receiver.received, what="the mail")
        worker.close()
    [received] = receiver.received
    assert (received.sender, received.recipient) == ("hooks@example.com", ADDRESS)
    assert received.message["From"] == "Ops <hooks@example.com>"
    assert f"https://hooks.example.com/endpoints/{webhook.id}" in received.text
