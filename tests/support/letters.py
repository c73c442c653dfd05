"""What mails are made of, for tests."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

from noteflow_hooks.domain.mails import MailKind, mail_about
from noteflow_hooks.domain.ports.mails import Letter
from noteflow_hooks.mail.letters import Writer
from tests.support.builders import NOON, a_webhook
from tests.support.contacts import a_confirmed_contact, a_contact

KEY = UUID("0192f3c1-5b1e-7c42-9d0a-3f6e1c2b7a90")
WRITER = Writer(sender=("NoteFlow Hooks", "hooks@example.com"), dashboard="https://hooks.example/")
FIGURES = json.dumps([("Delivered", "1,234"), ("Skipped", "0")])


def letter(kind: MailKind, about: str = "Every attempt since noon has failed", **overrides: Any) -> Letter:  # noqa: ANN401 - an endpoint's fields
    """Return what a mail of that kind is made of."""
    contact = a_contact(asked_at=NOON) if kind is MailKind.CONFIRMATION else a_confirmed_contact()
    webhook = replace(a_webhook(id=KEY, name="CRM", url="https://crm.example/hooks?token=hunter2"), **overrides)
    webhook = replace(webhook, contact=contact)
    mail = mail_about(webhook, kind, FIGURES if kind is MailKind.DIGEST else about)
    assert mail is not None
    code: dict[str, Any] = {"code": "ABCD-EFGH-JKMN", "code_ends_at": NOON} if kind is MailKind.CONFIRMATION else {}
    return Letter(mail=mail, webhook=webhook, **code)
