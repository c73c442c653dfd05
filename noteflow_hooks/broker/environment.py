"""What Celery reads in the environment in place of our settings, and is refused therefore."""

from __future__ import annotations

import os
from typing import Final

from noteflow_hooks.errors import SettingsError

#: Read by Celery itself; each would replace the broker, its TLS, or all settings of the app without a word.
REPLACING: Final = (
    "CELERY_BROKER_URL",
    "CELERY_BROKER_READ_URL",
    "CELERY_BROKER_WRITE_URL",
    "CELERY_RESULT_BACKEND",
    "CELERY_CONFIG_MODULE",
    "CELERY_LOADER",
)


def refuse_celerys_variables() -> None:
    """Raise SettingsError for the first that is set, also by Celery's options ``-b``, ``--config`` and ``--loader``."""
    for name in REPLACING:
        if os.environ.get(name):
            raise SettingsError(f"{name} would replace our settings: unset it; the broker is NOTEFLOW_HOOKS_REDIS_URL")
