"""The mails to endpoints' contacts, in a unit of work in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from typing_extensions import override

from noteflow_hooks.domain.mails import MailKind
from noteflow_hooks.domain.ports.mails import MailOutbox
from noteflow_hooks.persistence.sql.endpoint_columns import CONFIG_COLUMNS
from noteflow_hooks.persistence.sql.mail_statements import ADD, FORGET_CONFIRMATION, MAIL_FIELDS, mail_of, params_of
from noteflow_hooks.persistence.sql.wire import Statement

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from noteflow_hooks.domain.mails import Mail
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from noteflow_hooks.persistence.sql.converters import WebhookConverter
    from noteflow_hooks.persistence.sql.work import Work

_ADD: Final = Statement(ADD)
_FORGET_CONFIRMATION: Final = Statement(FORGET_CONFIRMATION)
_LAST_CONFIRMATION: Final = Statement(
    "SELECT state = 'given_up' AS is_given_up FROM noteflow.webhook_mails"
    " WHERE webhook_id = :webhook_id AND kind = 'confirmation' ORDER BY created_at DESC, id DESC LIMIT 1",
    reads=True,
)
_OF: Final = Statement(
    f"SELECT {', '.join(MAIL_FIELDS)} FROM noteflow.webhook_mails"  # noqa: S608 - constants
    " WHERE webhook_id = :webhook_id ORDER BY created_at, id",
    reads=True,
)
_DUE_DIGESTS: Final = Statement(
    f"SELECT {CONFIG_COLUMNS}, now() AS moment FROM noteflow.webhook_configs"  # noqa: S608 - constants
    " WHERE digest_at <= now() AND deleted_at IS NULL ORDER BY digest_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED"
)
_NEXT_DIGESTS: Final = Statement("""
UPDATE noteflow.webhook_configs AS config SET digest_at = new.digest_at
FROM unnest(CAST(:ids AS uuid[]), CAST(:moments AS timestamptz[])) AS new (id, digest_at)
WHERE config.id = new.id
""")
#: The trigger heeds it until the transaction ends: no user has changed these endpoints.
_KEEP_UPDATED_AT: Final = Statement("SELECT set_config('noteflow.reencrypting', 'on', true)")


class SqlAlchemyMailOutbox(MailOutbox):
    """The mails in PostgreSQL."""

    def __init__(self, work: Work, converter: WebhookConverter) -> None:
        """Do it in that work."""
        self._work = work
        self._converter = converter

    @override
    def add(self, mail: Mail) -> None:
        if mail.kind is MailKind.CONFIRMATION:
            self._work.ask(_FORGET_CONFIRMATION, webhook_id=mail.webhook_id, error="another one was asked for")
        self._work.ask(_ADD, **params_of(mail))

    @override
    def was_confirmation_given_up(self, webhook_id: UUID) -> bool:
        rows = self._work.ask(_LAST_CONFIRMATION, webhook_id=webhook_id).all()
        return bool(rows and rows[0].is_given_up)

    @override
    def take_digests(self, *, limit: int) -> Sequence[WebhookConfig]:
        rows = self._work.ask(_DUE_DIGESTS, limit=limit).all()
        if not rows:
            return []
        webhooks = [self._converter.config_to_domain(row) for row in rows]
        following = [
            each.contact.after_digest(now=row.moment).digest_at if each.contact is not None else None
            for row, each in zip(rows, webhooks, strict=True)
        ]
        self._work.ask(_KEEP_UPDATED_AT)
        self._work.ask(_NEXT_DIGESTS, ids=[each.id for each in webhooks], moments=following)
        return webhooks

    @override
    def list_of(self, webhook_id: UUID) -> Sequence[Mail]:
        return [mail_of(row) for row in self._work.ask(_OF, webhook_id=webhook_id).all()]
