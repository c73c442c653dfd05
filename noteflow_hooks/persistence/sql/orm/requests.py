"""Requests under ids of their callers' choice."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from noteflow_hooks.persistence.sql.orm.base import NOW, Base, belongs_to


class RequestIdRow(Base):
    """A request that may be repeated. It names what it made; no answer is stored."""

    __tablename__ = "request_ids"
    __table_args__ = (
        UniqueConstraint("workspace_id", "request_id"),
        # What retention walks.
        Index("ix_request_ids_created_at", "created_at", "id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    workspace_id: Mapped[uuid.UUID] = belongs_to("workspaces.id")
    request_id: Mapped[str] = mapped_column(String(64))
    method: Mapped[str]
    token_id: Mapped[uuid.UUID]
    digest: Mapped[bytes]
    target_id: Mapped[uuid.UUID | None]
    secret_id: Mapped[uuid.UUID | None]
    secret_hint: Mapped[str] = mapped_column(String(4), server_default="")
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
