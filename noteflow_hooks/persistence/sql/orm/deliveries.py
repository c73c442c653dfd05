"""Deliveries, those that wait apart from those that are settled, and the attempts of each."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Index,
    Integer,
    SmallInteger,
    String,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from noteflow_hooks.domain.attempts import RESPONSE_KEPT_BYTES, SUCCESS, ErrorKind
from noteflow_hooks.domain.deliveries import FINAL_STATUSES, DeliveryStatus
from noteflow_hooks.domain.skipping import SkipReason
from noteflow_hooks.persistence.sql.conditions import one_of, within
from noteflow_hooks.persistence.sql.orm.base import NOW, Base, belongs_to, ordered_key


class _DeliveryColumns:
    """The columns of a delivery, wherever it stands.

    What they name is not checked row by row: triggers remove the deliveries of an event or an endpoint that is deleted.
    """

    id: Mapped[uuid.UUID] = ordered_key()
    workspace_id: Mapped[uuid.UUID]
    webhook_id: Mapped[uuid.UUID]
    event_id: Mapped[uuid.UUID]
    event_type: Mapped[str]
    status: Mapped[str] = mapped_column(String(16), server_default="pending")
    status_code: Mapped[int | None] = mapped_column(Integer)
    response_body: Mapped[str | None]
    error_message: Mapped[str | None]
    attempt_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    duration_ms: Mapped[int | None] = mapped_column(Integer)
    next_attempt_at: Mapped[datetime | None]
    lease_expires_at: Mapped[datetime | None]
    claimed_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    budget_used: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    interruptions: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    claim_no: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    #: While it is pending: it is throttled, and waits for its endpoint's scheduling slot. Other claims don't see it.
    held: Mapped[bool] = mapped_column(server_default=text("false"))
    #: Somebody asked for this very attempt: it goes past the endpoint's breaker, pause and limits.
    forced: Mapped[bool] = mapped_column(server_default=text("false"))
    #: Why it is skipped, where it is.
    skip_reason: Mapped[str | None]
    #: Whether it passes its endpoint's filter without asking (again), or is to be asked about whatever was attempted.
    passes_filter: Mapped[bool | None]
    #: The meeting in whose order it stands, and its number there; NULL where its endpoint keeps no order.
    ordered_meeting: Mapped[str | None]
    sequence: Mapped[int | None] = mapped_column(BigInteger)
    gap: Mapped[int | None] = mapped_column(Integer)
    out_of_order: Mapped[bool | None]
    #: By what its attempts are rendered, from its first claim on; NULL for the usual.
    rendering: Mapped[str | None]
    #: The batch that it is part of, or was part of when it was settled; and how many may share its next one.
    batch_id: Mapped[uuid.UUID | None]
    batch_limit: Mapped[int | None] = mapped_column(SmallInteger)
    #: What made the last attempt fail, where it did.
    error_kind: Mapped[str | None] = mapped_column(String(32))
    #: When it came among the settled, which the database notes of itself; whatever is in the queue has none.
    settled_at: Mapped[datetime | None]


def _failures(table: str, *, counts: bool) -> tuple[Index, ...]:
    """Return the indexes by which failures are listed: what succeeds at once is in neither, and written as before.

    Where it ``counts`` they have the columns beside them that are asked for with them: no row is looked at to count.
    """
    return tuple(
        Index(
            f"ix_{table}_{column}",
            "workspace_id",
            column,
            text("created_at DESC"),
            text("id DESC"),
            postgresql_where=text(condition),
            postgresql_include=beside if counts else [],
        )
        for column, condition, beside in (
            ("error_kind", "error_kind IS NOT NULL", ["status", "status_code"]),
            ("status_code", "status <> 'succeeded' AND status_code IS NOT NULL", ["error_kind"]),
        )
    )


#: By what the undelivered are told apart: counted without a look at their rows, of which each stands by itself.
_TOLD_APART: Final = ["status", "skip_reason", "error_kind"]


class WebhookDeliveryRow(_DeliveryColumns, Base):
    """One event for one endpoint; what is asked of this table has the rows of ``delivery_queue``, too.

    What it holds itself is settled, but for what a former release's worker has made or somebody has changed by hand:
    that is moved by the sweep, and found by the partial indexes.
    """

    __tablename__ = "webhook_deliveries"
    settled_at: Mapped[datetime | None] = mapped_column(server_default=text("clock_timestamp()"))

    __table_args__ = (
        # rule of domain.deliveries.DeliveryStatus
        CheckConstraint(one_of("status", DeliveryStatus), name="status"),
        CheckConstraint("(status = 'pending') = (next_attempt_at IS NOT NULL)", name="next_attempt_at"),
        CheckConstraint(
            "(status = 'sending') = (lease_expires_at IS NOT NULL) AND (status = 'sending') = (claimed_at IS NOT NULL)",
            name="lease",
        ),
        CheckConstraint(
            "(status = 'succeeded') = (delivered_at IS NOT NULL)"
            # rule of domain.attempts.SUCCESS
            f" AND (status <> 'succeeded' OR {within('status_code', SUCCESS)})",
            name="succeeded",
        ),
        CheckConstraint(
            "attempt_count >= 0 AND claim_no >= 0 AND budget_used >= 0 AND interruptions >= 0", name="counts"
        ),
        # rule of domain.skipping.SkipReason
        CheckConstraint(f"skip_reason IS NULL OR {one_of('skip_reason', SkipReason)}", name="skip_reason"),
        UniqueConstraint("event_id", "webhook_id"),
        # What claims top themselves up with, and the sweep looks for.
        Index(
            "ix_webhook_deliveries_due",
            "next_attempt_at",
            "id",
            postgresql_where=text("status = 'pending' AND NOT held"),
        ),
        Index("ix_webhook_deliveries_leased", "lease_expires_at", postgresql_where=text("status = 'sending'")),
        # An endpoint's scheduling slot claims the throttled ones; its end skips all.
        Index(
            "ix_webhook_deliveries_waiting",
            "held",
            "webhook_id",
            "next_attempt_at",
            postgresql_where=text("status = 'pending'"),
        ),
        # What counts against an endpoint's cap.
        Index("ix_webhook_deliveries_sending", "webhook_id", postgresql_where=text("status = 'sending'")),
        Index(
            "ix_webhook_deliveries_undelivered",
            "workspace_id",
            text("created_at DESC"),
            text("id DESC"),
            postgresql_where=text("status <> 'succeeded'"),
            postgresql_include=_TOLD_APART,
        ),
        # Without what filters hold back, which may be most of what is skipped.
        Index(
            "ix_webhook_deliveries_owed",
            "workspace_id",
            text("created_at DESC"),
            text("id DESC"),
            postgresql_where=text("status <> 'succeeded' AND skip_reason IS DISTINCT FROM 'filtered'"),
            postgresql_include=_TOLD_APART,
        ),
        # What is to be counted; those that succeed are counted by their attempts. Its condition is that of no list, so
        # that none is led to it.
        Index("ix_webhook_deliveries_settled_at", "settled_at", postgresql_where=text("status IN ('dead', 'skipped')")),
        # Whether a batch is still named.
        Index("ix_webhook_deliveries_batch_id", "batch_id", postgresql_where=text("batch_id IS NOT NULL")),
        Index(
            "ix_webhook_deliveries_workspace_id_created_at_id",
            "workspace_id",
            text("created_at DESC"),
            text("id DESC"),
        ),
        Index(
            "ix_webhook_deliveries_webhook_id_created_at_id",
            "webhook_id",
            text("created_at DESC"),
            text("id DESC"),
        ),
        *_failures("webhook_deliveries", counts=True),
        # Dead ones among a million that a filter has skipped; and next to none, so that those of the queue are listed
        # without a look at what has settled.
        *(
            Index(
                f"ix_webhook_deliveries_{name}",
                "workspace_id",
                text("created_at DESC"),
                text("id DESC"),
                postgresql_where=text(condition),
            )
            for name, condition in (("dead", "status = 'dead'"), ("unsettled", "status IN ('pending', 'sending')"))
        ),
    )


class DeliveryQueueRow(_DeliveryColumns, Base):
    """A delivery that waits or is under way. The table inherits from ``webhook_deliveries``, columns and checks.

    One that somebody else has settled in its place is moved on by the sweep.
    """

    __tablename__ = "delivery_queue"
    __table_args__ = (
        UniqueConstraint("event_id", "webhook_id"),
        # What of a meeting is still to go to an endpoint that gets it in order.
        Index(
            "ix_delivery_queue_ordered",
            "webhook_id",
            "ordered_meeting",
            "sequence",
            postgresql_where=text("ordered_meeting IS NOT NULL"),
        ),
        # What claims top themselves up with, and the sweep looks for.
        Index("ix_delivery_queue_due", "next_attempt_at", postgresql_where=text("status = 'pending' AND NOT held")),
        # An endpoint's scheduling slot claims the throttled ones; its end skips all.
        Index(
            "ix_delivery_queue_waiting",
            "held",
            "webhook_id",
            "next_attempt_at",
            postgresql_where=text("status = 'pending'"),
        ),
        # What counts against an endpoint's cap. The sweep goes through all of them: they are as many as POSTs.
        Index("ix_delivery_queue_sending", "webhook_id", postgresql_where=text("status = 'sending'")),
        # The batches of an endpoint, and the members of a batch.
        Index(
            "ix_delivery_queue_batched", "webhook_id", "next_attempt_at", postgresql_where=text("batch_id IS NOT NULL")
        ),
        Index("ix_delivery_queue_batch_id", "batch_id", postgresql_where=text("batch_id IS NOT NULL")),
        Index("ix_delivery_queue_settled", "id", postgresql_where=text(one_of("status", sorted(FINAL_STATUSES)))),
        Index("ix_delivery_queue_workspace_id_created_at_id", "workspace_id", text("created_at DESC"), text("id DESC")),
        Index("ix_delivery_queue_webhook_id_created_at_id", "webhook_id", text("created_at DESC"), text("id DESC")),
        *_failures("delivery_queue", counts=False),
    )


def table_of(status: DeliveryStatus) -> type[WebhookDeliveryRow | DeliveryQueueRow]:
    """Return the table that a delivery of this status belongs into."""
    return WebhookDeliveryRow if status in FINAL_STATUSES else DeliveryQueueRow


class WebhookAttemptRow(Base):
    """One POST on record."""

    __tablename__ = "webhook_attempts"
    __table_args__ = (
        UniqueConstraint("delivery_id", "attempt_number"),
        Index("ix_webhook_attempts_started_at", "started_at"),
        Index("ix_webhook_attempts_batch_id", "batch_id", postgresql_where=text("batch_id IS NOT NULL")),
        CheckConstraint("attempt_number >= 1 AND duration_ms >= 0", name="counts"),
        # rule of domain.attempts.RESPONSE_KEPT_BYTES
        CheckConstraint(f"octet_length(response_body) <= {RESPONSE_KEPT_BYTES}", name="response_body"),
        # rule of domain.attempts.ErrorKind
        CheckConstraint(one_of("error_kind", ErrorKind), name="error_kind"),
    )

    id: Mapped[uuid.UUID] = ordered_key()
    delivery_id: Mapped[uuid.UUID]
    attempt_number: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[datetime]
    duration_ms: Mapped[int] = mapped_column(Integer)
    status_code: Mapped[int | None] = mapped_column(Integer)
    response_body: Mapped[str | None]
    error_kind: Mapped[str | None] = mapped_column(String(32))
    error_message: Mapped[str | None]
    #: Sent a second time, over a new connection: the kept one had ended before any byte of an answer.
    redialled: Mapped[bool] = mapped_column(server_default=text("false"))
    #: The batch whose POST it was.
    batch_id: Mapped[uuid.UUID | None]
    #: See :mod:`persistence.sql.attempts`: NULL for the usual times, empty for times that are not known.
    times: Mapped[list[int | None] | None] = mapped_column(ARRAY(SmallInteger), server_default=text("'{}'"))
    request_headers: Mapped[str | None]
    response_headers: Mapped[str | None]


class HeaderFormRow(Base):
    """What many attempts' headers have in common; attempts name it by its id, and none is asked for when it goes."""

    __tablename__ = "header_forms"

    #: Made of what it holds.
    id: Mapped[str] = mapped_column(String, primary_key=True)
    #: Names with values, or the numbers of blanks, as JSON.
    lines: Mapped[str]
    #: The day on which a worker last used it, or a moment of it.
    used_at: Mapped[datetime] = mapped_column(server_default=NOW)


class WebhookBatchRow(Base):
    """Which deliveries are one POST, from its first attempt on. It goes once no delivery names it."""

    __tablename__ = "webhook_batches"
    __table_args__ = (
        Index("ix_webhook_batches_created_at_id", "created_at", "id"),
        CheckConstraint("cardinality(members) BETWEEN 1 AND 100", name="members"),
    )

    id: Mapped[uuid.UUID] = ordered_key()
    webhook_id: Mapped[uuid.UUID] = belongs_to("webhook_configs.id", index=True)
    #: The deliveries, in their order.
    members: Mapped[list[uuid.UUID]] = mapped_column(ARRAY(Uuid))
    #: Format, version of payloads and the renderer's number, by which all of its attempts are rendered.
    rendering: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
