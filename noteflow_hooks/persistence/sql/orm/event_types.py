"""The workspaces' own event types."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from noteflow_hooks.domain.schema_bounds import SCHEMA_LIMIT_BYTES
from noteflow_hooks.persistence.sql.orm.base import NOW, Base, belongs_to


class EventTypeRow(Base):
    """A type of a workspace's own. Its schema is kept to the letter."""

    __tablename__ = "event_types"
    __table_args__ = (
        # rule of domain.event_types.check_custom_name
        CheckConstraint("noteflow.is_custom_type(name)", name="name"),
        # rule of domain.schema_bounds.SCHEMA_LIMIT_BYTES
        CheckConstraint(f"octet_length(schema) <= {SCHEMA_LIMIT_BYTES}", name="schema"),
    )

    workspace_id: Mapped[uuid.UUID] = belongs_to("workspaces.id", primary_key=True)
    # By the characters' codes: its order is then the same everywhere.
    name: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    schema: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="")
    example: Mapped[str | None]
    deprecated: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
