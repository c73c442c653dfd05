"""Workspaces and the tokens that open them."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ARRAY, CheckConstraint, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from noteflow_hooks.persistence.sql.orm.base import NOW, Base, belongs_to, key


class WorkspaceRow(Base):
    """A tenant."""

    __tablename__ = "workspaces"

    id: Mapped[uuid.UUID] = key()
    name: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ApiTokenRow(Base):
    """A token's record: its hash, never itself."""

    __tablename__ = "api_tokens"
    __table_args__ = (
        CheckConstraint(
            "scopes <@ ARRAY['manage', 'publish', 'read']::text[] AND cardinality(scopes) > 0", name="scopes"
        ),
    )

    id: Mapped[uuid.UUID] = key()
    workspace_id: Mapped[uuid.UUID] = belongs_to("workspaces.id", index=True)
    name: Mapped[str] = mapped_column(String(255))
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    hint: Mapped[str] = mapped_column(String(8))
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{manage,publish,read}'"))
    expires_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
