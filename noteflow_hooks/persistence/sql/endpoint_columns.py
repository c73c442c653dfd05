"""An endpoint's columns in statements past SQLAlchemy, alone and beside its health's."""

from __future__ import annotations

from typing import Final

from noteflow_hooks.persistence.sql.converters import HEALTH_FIELDS, HEALTH_PREFIX
from noteflow_hooks.persistence.sql.orm import WebhookConfigRow

_NAMES: Final = [each.name for each in WebhookConfigRow.__table__.columns]
CONFIG_COLUMNS: Final = ", ".join(_NAMES)
#: Of the tables ``config`` and ``health``; health's are called as :data:`HEALTH_PREFIX` says.
WITH_HEALTH: Final = ", ".join(
    [f"config.{name}" for name in _NAMES] + [f"health.{name} AS {HEALTH_PREFIX}{name}" for name in HEALTH_FIELDS]
)
