"""The statements that write mails, for units of work and for workers, which have no ORM; and how rows are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from noteflow_hooks.domain.mails import Mail, MailKind, MailState

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: The columns, by the names that the value has for them.
MAIL_FIELDS: Final = tuple(Mail.__dataclass_fields__)
#: Those that a new mail brings along; the rest is the database's.
_WRITTEN: Final = ("id", "workspace_id", "webhook_id", "kind", "recipient", "recipient_digest", "about")
#: Ends those that wait about an endpoint, and forgets whom they were for.
FORGET: Final = (
    "UPDATE noteflow.webhook_mails SET state = 'given_up', ended_at = now(), next_attempt_at = NULL, recipient = NULL,"
    " error = :error WHERE webhook_id = :webhook_id AND state = 'waiting'"
)
#: A confirmation mail that has not gone makes way for the one that is asked for now.
FORGET_CONFIRMATION: Final = f"{FORGET} AND kind = 'confirmation'"
ADD: Final = f"""
INSERT INTO noteflow.webhook_mails ({", ".join(_WRITTEN)}) VALUES ({", ".join(f":{name}" for name in _WRITTEN)})
"""  # noqa: S608 - constants
_ADD: Final = text(ADD)


def params_of(mail: Mail) -> dict[str, Any]:
    """Return what :data:`ADD` takes."""
    return {name: getattr(mail, name) for name in _WRITTEN} | {"kind": mail.kind.value}


def add_mail(connection: Connection, mail: Mail | None) -> None:
    """Write a mail, if there is one, in a transaction without a unit of work."""
    if mail is not None:
        connection.execute(_ADD, params_of(mail))


def mail_of(row: Any, *, prefix: str = "") -> Mail:  # noqa: ANN401 - a row of whatever columns
    """Return the mail, of columns whose names begin with ``prefix``."""
    columns = {name: getattr(row, prefix + name) for name in MAIL_FIELDS}
    return Mail(**columns | {"kind": MailKind(columns["kind"]), "state": MailState(columns["state"])})
