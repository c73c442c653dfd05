"""The endpoints whose client certificates end soon, in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from typing_extensions import override

from noteflow_hooks.domain.client_certificates import ending_words, expiring_event
from noteflow_hooks.domain.mails import MailKind, mail_about
from noteflow_hooks.domain.ports.certificates import CertificateWatch
from noteflow_hooks.persistence.memory.mails import add_mail

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from noteflow_hooks.domain.webhooks import WebhookConfig
    from noteflow_hooks.persistence.memory.store import MemoryStore


class InMemoryCertificateWatch(CertificateWatch):
    """The client certificates in memory."""

    def __init__(self, store: MemoryStore) -> None:
        """Work on this store."""
        self._store = store

    @override
    def tell(self, *, limit: int) -> Sequence[UUID]:
        event_ids: list[UUID] = []
        with self._store.transaction() as session:
            now = session.now()
            for webhook in [each for each in session.tables.webhooks.values() if _is_due(each, now)][:limit]:
                session.tables.webhooks[webhook.id] = replace(webhook, tls=webhook.tls.warned(now))
                if webhook.tls.info is not None:
                    event = expiring_event(uuid4(), webhook.workspace_id, webhook.id, webhook.tls.info, now)
                    session.tables.events[event.id] = replace(event, created_at=now)
                    event_ids.append(event.id)
                    add_mail(session, mail_about(webhook, MailKind.CERTIFICATE, ending_words(webhook.tls.info, now)))
        return event_ids


def _is_due(webhook: WebhookConfig, now: datetime) -> bool:
    warn_at = webhook.tls.warn_at
    return webhook.deleted_at is None and warn_at is not None and warn_at <= now
