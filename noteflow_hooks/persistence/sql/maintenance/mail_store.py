"""The workers' half of the mails, in PostgreSQL. Who chooses a mail is alone in it, so that no limit is passed.

A transaction lasts as long as its statements: the mail server is never waited for in one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text
from typing_extensions import override

from noteflow_hooks.domain.mails import DAY, TOO_OLD, TRIED_FOR, UNKNOWN, Counted, MailState, choose
from noteflow_hooks.domain.ports.mails import Claimed, MailStore
from noteflow_hooks.persistence.sql.endpoint_row import EndpointRow
from noteflow_hooks.persistence.sql.mail_statements import MAIL_FIELDS, mail_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from sqlalchemy import Connection
    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.mails import Mail
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from noteflow_hooks.persistence.sql.converters import WebhookConverter

#: So many that are not sent after all are gone through by one call.
_EXAMINED: Final = 50
_COLUMNS: Final = ", ".join(MAIL_FIELDS)
_HAS_DUE: Final = text("""
SELECT EXISTS (SELECT FROM noteflow.webhook_mails WHERE state = 'waiting' AND next_attempt_at <= now())
    OR EXISTS (SELECT FROM noteflow.webhook_mails WHERE state = 'sending' AND lease_expires_at <= now())
""")
_HAS_DIGESTS: Final = text("SELECT EXISTS (SELECT FROM noteflow.webhook_configs WHERE digest_at <= now())")
#: One at a time chooses: two would count the same mails, and both send one more. It is held for milliseconds.
_ALONE: Final = text("SELECT pg_advisory_xact_lock(hashtext('noteflow.webhook_mails'))")
# rule of domain.mails.is_too_old
_END: Final = text(f"""
UPDATE noteflow.webhook_mails
SET state = 'given_up', ended_at = now(), next_attempt_at = NULL, lease_expires_at = NULL, recipient = NULL,
    error = CASE WHEN state = 'sending' THEN CAST(:unknown AS text) ELSE coalesce(error, CAST(:too_old AS text)) END
WHERE state = 'sending' AND lease_expires_at <= now()
   OR state = 'waiting' AND created_at <= now() - CAST(:tried_for AS interval)
RETURNING {_COLUMNS}
""")  # noqa: S608 - constants
_NEXT: Final = text(f"""
SELECT {_COLUMNS}, now() AS moment FROM noteflow.webhook_mails
WHERE state = 'waiting' AND next_attempt_at <= now()
ORDER BY next_attempt_at, id
LIMIT 1
FOR UPDATE
""")  # noqa: S608 - constants
#: By these names, since workers have none of the tables' classes.
_OWN_COLUMNS: Final = ", ".join(name for name in EndpointRow._fields if name != "version")
_ENDPOINT: Final = text(
    f"SELECT {_OWN_COLUMNS} FROM noteflow.webhook_configs WHERE id = :webhook_id AND deleted_at IS NULL"  # noqa: S608 - constants
)
_COUNTED: Final = text("""
SELECT count(*) AS number, min(sent_at) AS first FROM noteflow.webhook_mails
WHERE recipient_digest = :recipient_digest AND sent_at > now() - CAST(:day AS interval)
UNION ALL
SELECT count(*), min(sent_at) FROM noteflow.webhook_mails
WHERE workspace_id = :workspace_id AND sent_at > now() - CAST(:day AS interval)
""")
_CLAIM: Final = text(f"""
UPDATE noteflow.webhook_mails
SET state = 'sending', attempt_count = attempt_count + 1, sent_at = now(), next_attempt_at = NULL,
    lease_expires_at = now() + CAST(:lease AS interval)
WHERE id = :id
RETURNING {_COLUMNS}
""")  # noqa: S608 - constants
_POSTPONE: Final = text("UPDATE noteflow.webhook_mails SET next_attempt_at = :until WHERE id = :id")
_GIVE_UP: Final = text("""
UPDATE noteflow.webhook_mails
SET state = 'given_up', ended_at = now(), next_attempt_at = NULL, recipient = NULL, error = :error
WHERE id = :id
""")
#: What a claim ends with, only while it is still the claim's own.
_OWN: Final = "WHERE id = :id AND state = 'sending' AND attempt_count = :attempt_count RETURNING id"
_SENT: Final = text(f"""
UPDATE noteflow.webhook_mails
SET state = 'sent', ended_at = now(), lease_expires_at = NULL, recipient = NULL, error = NULL
{_OWN}
""")  # noqa: S608 - constants
_PUT_BACK: Final = text(f"""
UPDATE noteflow.webhook_mails
SET state = 'waiting', next_attempt_at = now() + CAST(:wait AS interval), lease_expires_at = NULL, sent_at = NULL,
    error = :error
{_OWN}
""")  # noqa: S608 - constants
_END_CLAIM: Final = text(f"""
UPDATE noteflow.webhook_mails
SET state = 'given_up', ended_at = now(), lease_expires_at = NULL, recipient = NULL, error = :error,
    sent_at = CASE WHEN :is_unknown THEN sent_at END
{_OWN}
""")  # noqa: S608 - constants


_END_PARAMS: Final = {"unknown": UNKNOWN, "too_old": TOO_OLD, "tried_for": TRIED_FOR}


class SqlAlchemyMailStore(MailStore):
    """The mails in PostgreSQL."""

    def __init__(self, engine: Engine, converter: WebhookConverter) -> None:
        """Work through this engine; ``converter`` makes endpoints of rows."""
        self._engine = engine
        self._alone = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._converter = converter

    @override
    def has_due(self) -> bool:
        with self._alone.connect() as connection:
            return bool(connection.execute(_HAS_DUE).scalar_one())

    @override
    def has_digests(self) -> bool:
        with self._alone.connect() as connection:
            return bool(connection.execute(_HAS_DIGESTS).scalar_one())

    @override
    def claim(self, *, lease: timedelta) -> tuple[Claimed | None, Sequence[Mail]]:
        with self._engine.begin() as connection:
            connection.execute(_ALONE)
            ended = connection.execute(_END, _END_PARAMS).all()
            given_up = [mail_of(row) for row in ended]
            for _ in range(_EXAMINED):
                row = connection.execute(_NEXT).one_or_none()
                if row is None:
                    break
                mail, webhook = mail_of(row), self._endpoint(connection, row.webhook_id)
                chosen = choose(mail, webhook, _counted(connection, mail), now=row.moment)
                if chosen.given_up is not None:
                    connection.execute(_GIVE_UP, {"id": mail.id, "error": chosen.given_up})
                    given_up.append(replace(mail, state=MailState.GIVEN_UP, error=chosen.given_up, recipient=None))
                elif chosen.until is not None:
                    connection.execute(_POSTPONE, {"id": mail.id, "until": chosen.until})
                elif webhook is not None:
                    claimed = connection.execute(_CLAIM, {"id": mail.id, "lease": lease}).one()
                    return Claimed(mail_of(claimed), webhook), given_up
        return None, given_up

    @override
    def note_sent(self, mail: Mail) -> bool:
        return self._end(_SENT, mail)

    @override
    def put_back(self, mail: Mail, error: str, *, wait: timedelta) -> bool:
        return self._end(_PUT_BACK, mail, error=error, wait=wait)

    @override
    def give_up(self, mail: Mail, error: str, *, is_unknown: bool) -> bool:
        return self._end(_END_CLAIM, mail, error=error, is_unknown=is_unknown)

    def _endpoint(self, connection: Connection, webhook_id: UUID) -> WebhookConfig | None:
        row = connection.execute(_ENDPOINT, {"webhook_id": webhook_id}).one_or_none()
        return None if row is None else self._converter.config_to_domain(row)

    def _end(self, statement: Any, mail: Mail, **params: Any) -> bool:  # noqa: ANN401 - each has its own
        own = {"id": mail.id, "attempt_count": mail.attempt_count}
        with self._alone.connect() as connection:
            return connection.execute(statement, own | params).one_or_none() is not None


def _counted(connection: Connection, mail: Mail) -> Counted:
    params = {"recipient_digest": mail.recipient_digest, "workspace_id": mail.workspace_id, "day": DAY}
    address, workspace = connection.execute(_COUNTED, params).all()
    first: datetime | None = address.first
    return Counted(address.number, first, workspace.number, workspace.first)
