"""What a mail says: plain text, with what happened, since when, and the way back.

Nothing of it is a secret: of an endpoint's URL there is the host, of its payloads nothing. What others wrote stays on
its line. A contact that has not confirmed reads nothing that a stranger could have chosen to say, but for a host.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from noteflow_hooks.domain.ids import ordered_id
from noteflow_hooks.domain.mails import MailKind
from noteflow_hooks.domain.urls import host_of
from noteflow_hooks.printable import escape, shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.domain.ports.mails import Letter

#: As much of an endpoint's name as a subject has room for.
_NAME_COLUMNS: Final = 60
_SUBJECTS: Final[Mapping[MailKind, str]] = {
    MailKind.CONFIRMATION: "Do you want mails about a webhook endpoint?",
    MailKind.FAILING: "The endpoint {name} keeps failing",
    MailKind.DISABLED: "The endpoint {name} was disabled",
    MailKind.CERTIFICATE: "The client certificate of the endpoint {name} ends soon",
    MailKind.DIGEST: "A week of the endpoint {name}",
}
_COMMAND: Final = "noteflow-hooks webhooks"
_TRIAL: Final = (
    "An operator of NoteFlow Hooks has had this mail sent, to see whether mails arrive:",
    "noteflow-hooks doctor --mail-to.",
    "",
    "If you know of none, somebody has mistaken your address for another one. Nothing follows.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Writes letters for one operator."""

    #: The name and the address that mails come from.
    sender: tuple[str, str]
    #: Where the dashboard is for its readers; None where nobody has said.
    dashboard: str | None = None

    def written(self, letter: Letter, *, now: datetime) -> EmailMessage:
        """Return the mail as it is sent."""
        subject = _SUBJECTS[letter.mail.kind].format(name=name_of(letter))
        # Of the row: a mail that a server passes on twice is one to its reader.
        message = self._begun(str(letter.mail.recipient), subject, key=letter.mail.id, now=now)
        message["List-Unsubscribe"] = self._unsubscribe(letter)
        message.set_content("\n".join([*_TEXTS[letter.mail.kind](self, letter), *self._foot(letter)]) + "\n")
        return message

    def trial(self, recipient: str, *, now: datetime) -> EmailMessage:
        """Return a mail that says that mails arrive: it is about no endpoint, and only an operator has it sent."""
        message = self._begun(recipient, "Mails of NoteFlow Hooks arrive", key=ordered_id(), now=now)
        message.set_content("\n".join(_TRIAL) + "\n")
        return message

    def page(self, letter: Letter, *, edits: bool = False) -> str:
        """Return where the endpoint's page, or its form, is on the dashboard."""
        path = f"/endpoints/{letter.webhook.id}{'/edit' if edits else ''}"
        return f"the dashboard's page {path}" if self.dashboard is None else self.dashboard.rstrip("/") + path

    def _begun(self, recipient: str, subject: str, *, key: UUID, now: datetime) -> EmailMessage:
        name, address = self.sender
        message = EmailMessage(policy=SMTP)
        message["From"] = f"{name} <{address}>"
        message["To"] = recipient
        message["Subject"] = subject
        message["Date"] = format_datetime(now)
        message["Message-ID"] = f"<{key}@{address.rpartition('@')[2].strip('[]')}>"
        message["Auto-Submitted"] = "auto-generated"
        message["X-Auto-Response-Suppress"] = "All"
        return message

    def _unsubscribe(self, letter: Letter) -> str:
        """Return the ways that a mail's reader is offered: a mail to the operator, and the form (RFC 2369, 3.2)."""
        asks = f"<mailto:{quote(self.sender[1], safe='@[]:.')}?subject=unsubscribe%20{letter.webhook.id}>"
        return asks if self.dashboard is None else f"<{self.page(letter, edits=True)}>, {asks}"

    def _foot(self, letter: Letter) -> list[str]:
        if letter.mail.kind is MailKind.CONFIRMATION:
            return []
        return [
            "",
            "-- ",
            "You get this as the endpoint's contact. To get no more of it:",
            f"  {_COMMAND} update {letter.webhook.id} --no-contact",
            f"or {self.page(letter, edits=True)}; or answer this mail, and the operator sees to it.",
        ]


def name_of(letter: Letter) -> str:
    """Return the endpoint's name on one line, as far as there is room.

    What looks like an encoded word is none any more: the library would decode it, line breaks included.
    """
    return shortened(escape(letter.webhook.name).replace("=?", "= ?"), _NAME_COLUMNS)


def _about(letter: Letter) -> list[str]:
    webhook = letter.webhook
    return [f"Endpoint:  {name_of(letter)}", f"Host:      {host_of(webhook.url)}", f"Id:        {webhook.id}", ""]


def _confirmation(writer: Writer, letter: Letter) -> list[str]:
    return [
        "Somebody has named this address as the contact of a webhook endpoint: it would hear when that keeps failing,",
        "when it is disabled, and before its client certificate ends.",
        "",
        f"Host:      {host_of(letter.webhook.url)}",
        f"Id:        {letter.webhook.id}",
        "",
        "If you want that, give this code back:",
        "",
        f"  {letter.code}",
        "",
        f"  {_COMMAND} confirm-contact {letter.webhook.id} {letter.code}",
        f"or on {writer.page(letter)}. It counts until {_moment(letter.code_ends_at)}.",
        "",
        "If you don't, do nothing: no other mail comes.",
    ]


def _failing(writer: Writer, letter: Letter) -> list[str]:
    return [
        *_about(letter),
        _reason(letter),
        "",
        "What was not delivered is sent again by itself while its attempts last. See how it fails, and try it:",
        f"  {_COMMAND} show {letter.webhook.id}",
        f"  {_COMMAND} test {letter.webhook.id}",
        f"or on {writer.page(letter)}.",
    ]


def _disabled(writer: Writer, letter: Letter) -> list[str]:
    key = letter.webhook.id
    return [
        *_about(letter),
        _reason(letter),
        "",
        "Nothing is sent to it until it is enabled. Once it is mended:",
        f"  {_COMMAND} enable {key}",
        f"  noteflow-hooks deliveries replay --webhook {key}",
        f"or on {writer.page(letter)}.",
    ]


def _certificate(writer: Writer, letter: Letter) -> list[str]:
    return [
        *_about(letter),
        _reason(letter),
        "",
        "Without a valid one the receiver refuses what is sent. Give it a new one:",
        f"  {_COMMAND} update {letter.webhook.id} --client-certificate FILE --client-key FILE",
        f"or on {writer.page(letter, edits=True)}.",
    ]


def _digest(writer: Writer, letter: Letter) -> list[str]:
    figures = json.loads(letter.mail.about)
    rows = [f"{f'{what}:':<{_WIDTH}}{value}" for what, value in figures]
    return [
        *_about(letter),
        *rows,
        "",
        f"More of it: {_COMMAND} show {letter.webhook.id}, noteflow-hooks stats --webhook {letter.webhook.id}",
        f"or {writer.page(letter)}.",
    ]


_WIDTH: Final = 24


def _reason(letter: Letter) -> str:
    return f"{escape(letter.mail.about).rstrip('.')}."


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M UTC}"


_TEXTS: Final[Mapping[MailKind, Callable[[Writer, Letter], list[str]]]] = {
    MailKind.CONFIRMATION: _confirmation,
    MailKind.FAILING: _failing,
    MailKind.DISABLED: _disabled,
    MailKind.CERTIFICATE: _certificate,
    MailKind.DIGEST: _digest,
}
