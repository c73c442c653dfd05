"""When the tasks that beat calls last ran."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from noteflow_hooks.persistence.sql.orm.base import NOW, Base


class TaskRunRow(Base):
    """When a task that beat calls last ran to its end, and when the last of those that did had begun."""

    __tablename__ = "task_runs"

    name: Mapped[str] = mapped_column(primary_key=True)
    began_at: Mapped[datetime] = mapped_column(server_default=NOW)
    ended_at: Mapped[datetime] = mapped_column(server_default=NOW)
