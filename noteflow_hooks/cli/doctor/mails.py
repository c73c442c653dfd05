"""Mails to endpoints' contacts: whether they go, and whether the mail server takes any."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from noteflow_hooks.cli.doctor.findings import Check, Verdict, failed, ok, seconds, warning
from noteflow_hooks.domain.contacts import masked_address

if TYPE_CHECKING:
    from noteflow_hooks.parts import DiagnosticParts
    from noteflow_hooks.persistence.sql.maintenance.mail_diagnostics import Mails
    from noteflow_hooks.settings import Settings

#: A mail that waits for longer is refused, or nobody sends any.
_LATE: Final = timedelta(minutes=5)
#: How long the mail server is waited for.
_TIMEOUT_S: Final = 3.0
_SEE: Final = "see NOTEFLOW_HOOKS_SMTP_URL of the workers, and their logs (docs/notifications.md)"


def checks(settings: Settings, parts: DiagnosticParts) -> list[Check]:
    """Return the check of what is stored, which needs the schema."""
    is_set = settings.smtp_url is not None
    look = Check(
        "mails",
        lambda: mails(parts.system.mails(), is_set=is_set),
        remedy="see the log of PostgreSQL",
        needs=("postgres", "schema"),
    )
    return [look]


def server_checks(settings: Settings, *, mail_to: str | None = None) -> list[Check]:
    """Return the check of the mail server, where the settings name one, or a mail is to be sent by it."""
    if settings.smtp is None and mail_to is None:
        return []
    return [Check("smtp", lambda: _server(settings, mail_to), remedy=_SEE)]


def mails(found: Mails, *, is_set: bool) -> Verdict:
    """Judge what waits, and what was given up in the last day."""
    longest = found.longest if found.longest is not None else timedelta(0)
    numbers = {
        "waiting": found.waiting,
        "longest_seconds": longest.total_seconds(),
        "sent_today": found.sent_today,
        "given_up_today": found.given_up_today,
    }
    text = f"{found.waiting} mails wait"
    if found.longest is not None:
        text += f", the first for {seconds(found.longest)}"
    text += f"; {found.sent_today} were sent and {found.given_up_today} given up in the last day"
    if found.error:
        text += f"; the last one failed with: {found.error}"
    if found.waiting and not is_set:
        return warning(f"{text}; NOTEFLOW_HOOKS_SMTP_URL is not set here", _SEE, numbers)
    return warning(text, _SEE, numbers) if longest > _LATE or found.given_up_today else ok(text, numbers)


def _server(settings: Settings, mail_to: str | None) -> Verdict:
    # Imported here: most commands send no mail.
    from noteflow_hooks.errors import MailError  # noqa: PLC0415 - as said
    from noteflow_hooks.mail.letters import Writer  # noqa: PLC0415 - as said
    from noteflow_hooks.mail.smtp import SmtpServer  # noqa: PLC0415 - as said
    from noteflow_hooks.mail.smtp_url import sender_of  # noqa: PLC0415 - as said

    address = settings.smtp
    if address is None:
        return failed("no mail can be sent: NOTEFLOW_HOOKS_SMTP_URL is not set here", _SEE)
    writer = Writer(sender=sender_of(settings.mail_from, address))
    server = SmtpServer(address, writer, ca_bundle=settings.ca_bundle, timeout_s=_TIMEOUT_S)
    try:
        if mail_to is None:
            server.connect().close()
            return ok(f"{address} answers")
        server.send_trial(mail_to)
    except MailError as error:
        # Deliveries flow all the same; but a mail that was asked for has not gone.
        return warning(str(error), _SEE) if mail_to is None else failed(f"no mail was sent: {error}", _SEE)
    return ok(f"{address} has taken a mail to {masked_address(mail_to)}")
