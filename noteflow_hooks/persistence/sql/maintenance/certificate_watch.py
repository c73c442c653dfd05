"""The endpoints whose client certificates end soon, in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text
from typing_extensions import override

from noteflow_hooks.domain.client_certificates import ClientTls, ending_words, expiring_event
from noteflow_hooks.domain.ids import ordered_id
from noteflow_hooks.domain.mails import MailKind, mail_to
from noteflow_hooks.domain.ports.certificates import CertificateWatch
from noteflow_hooks.persistence.sql.certificate_infos import infos_of
from noteflow_hooks.persistence.sql.contact_columns import contact_of
from noteflow_hooks.persistence.sql.mail_statements import add_mail

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy import Connection, Row
    from sqlalchemy.engine import Engine

#: Its rows are locked, so that two that look at once don't tell the same. The column's index has what is ahead alone.
_DUE = text("""
SELECT id, workspace_id, certificate_info, contact, digest, contact_asked_at, contact_confirmed_at, digest_at,
       now() AS moment
FROM noteflow.webhook_configs
WHERE certificate_warn_at <= now() AND deleted_at IS NULL
ORDER BY certificate_warn_at
LIMIT :limit
FOR NO KEY UPDATE SKIP LOCKED
""")
_NOTE = text("""
UPDATE noteflow.webhook_configs AS config SET certificate_warn_at = new.warn_at
FROM unnest(CAST(:ids AS uuid[]), CAST(:moments AS timestamptz[])) AS new (id, warn_at)
WHERE config.id = new.id
""")
#: The trigger heeds it until the transaction ends: no user has changed these endpoints.
_KEEP_UPDATED_AT = text("SELECT set_config('noteflow.reencrypting', 'on', true)")


class SqlAlchemyCertificateWatch(CertificateWatch):
    """The client certificates in PostgreSQL."""

    def __init__(self, engine: Engine, *, tells: bool = True) -> None:
        """Work through this engine; without ``tells``, as where webhooks are switched off, nothing is recorded."""
        self._engine = engine
        self._tells = tells

    @override
    def tell(self, *, limit: int) -> Sequence[UUID]:
        if not self._tells:
            return []
        with self._engine.begin() as connection:
            rows = connection.execute(_DUE, {"limit": limit}).all()
            return _recorded(connection, rows) if rows else []


def _recorded(connection: Connection, rows: Sequence[Row[tuple[object, ...]]]) -> list[UUID]:
    # Imported here: workers seldom need the tables' classes that come with it.
    from noteflow_hooks.persistence.sql.outbox import insert_event  # noqa: PLC0415 - as said

    event_ids: list[UUID] = []
    later = []
    for row in rows:
        info, _ = infos_of(row.certificate_info)
        later.append(ClientTls(info=info).warned(row.moment).warn_at)
        if info is not None:
            event = expiring_event(ordered_id(), row.workspace_id, row.id, info, row.moment)
            insert_event(connection, event)
            event_ids.append(event.id)
            words = ending_words(info, row.moment)
            about = mail_to(contact_of(row), row.workspace_id, row.id, MailKind.CERTIFICATE, words)
            add_mail(connection, about)
    connection.execute(_KEEP_UPDATED_AT)
    connection.execute(_NOTE, {"ids": [row.id for row in rows], "moments": later})
    return event_ids
