"""The mails to endpoints' contacts."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, Index, Integer, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from noteflow_hooks.domain.mails import MailKind, MailState
from noteflow_hooks.persistence.sql.conditions import one_of
from noteflow_hooks.persistence.sql.orm.base import NOW, Base, belongs_to, ordered_key


class WebhookMailRow(Base):
    """A mail. Its address goes once it has ended; what stands for the address stays as long as the row."""

    __tablename__ = "webhook_mails"
    __table_args__ = (
        # rule of domain.mails.MailKind
        CheckConstraint(one_of("kind", MailKind), name="kind"),
        # rule of domain.mails.MailState
        CheckConstraint(one_of("state", MailState), name="state"),
        CheckConstraint("(recipient IS NULL) = (state IN ('sent', 'given_up'))", name="recipient"),
        CheckConstraint("(next_attempt_at IS NOT NULL) = (state = 'waiting')", name="next_attempt_at"),
        CheckConstraint("(lease_expires_at IS NOT NULL) = (state = 'sending')", name="lease_expires_at"),
        Index("ix_webhook_mails_next_attempt_at", "next_attempt_at", postgresql_where=text("state = 'waiting'")),
        Index("ix_webhook_mails_lease_expires_at", "lease_expires_at", postgresql_where=text("state = 'sending'")),
        # By which the mails of a day are counted.
        Index(
            "ix_webhook_mails_recipient_digest",
            "recipient_digest",
            "sent_at",
            postgresql_where=text("sent_at IS NOT NULL"),
        ),
        Index("ix_webhook_mails_workspace_id", "workspace_id", "sent_at"),
        Index("ix_webhook_mails_webhook_id", "webhook_id", "created_at", "id"),
        # What retention walks.
        Index("ix_webhook_mails_created_at", "created_at", "id"),
    )

    id: Mapped[uuid.UUID] = ordered_key()
    workspace_id: Mapped[uuid.UUID] = belongs_to("workspaces.id")
    webhook_id: Mapped[uuid.UUID] = belongs_to("webhook_configs.id")
    kind: Mapped[str]
    recipient: Mapped[str | None]
    recipient_digest: Mapped[bytes]
    about: Mapped[str] = mapped_column(Text, server_default="")
    state: Mapped[str] = mapped_column(Text, server_default=MailState.WAITING)
    attempt_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    next_attempt_at: Mapped[datetime | None] = mapped_column(server_default=NOW)
    lease_expires_at: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    error: Mapped[str | None]
