"""What Celery reads in the environment in place of our settings, and is refused therefore."""

from __future__ import annotations

import os
from typing import Final

from noteflow_hooks.errors import SettingsError

#: Read by Celery itself or by its command line; each would replace the broker, its TLS, beat's scheduler, the tasks'
#: limits, or all settings of the app without a word.
REPLACING: Final = (
    "CELERY_BROKER",
    "CELERY_BROKER_URL",
    "CELERY_BROKER_READ_URL",
    "CELERY_BROKER_WRITE_URL",
    "CELERY_RESULT_BACKEND",
    "CELERY_CONFIG",
    "CELERY_CONFIG_MODULE",
    "CELERY_LOADER",
    "CELERY_BEAT_SCHEDULER",
    "CELERY_BEAT_MAX_INTERVAL",
    "CELERY_WORKER_TIME_LIMIT",
    "CELERY_WORKER_SOFT_TIME_LIMIT",
    "CELERY_WORKER_INCLUDE",
    "CELERY_WORKER_PREFETCH_MULTIPLIER",
)
#: What Celery's command line copies into one of those, and what its variable is then.
_COPIED: Final = {
    "BROKER_URL": "CELERY_BROKER_URL",
    "RESULT_BACKEND": "CELERY_RESULT_BACKEND",
    "CONFIG_MODULE": "CELERY_CONFIG_MODULE",
    "LOADER": "CELERY_LOADER",
}


def refuse_celerys_variables() -> None:
    """Raise SettingsError for the first that is set, also by Celery's options ``-b``, ``--config`` and ``--loader``."""
    for name in REPLACING:
        if os.environ.get(name):
            raise SettingsError(
                f"{_source_of(name)} would replace our settings: unset it; the broker is NOTEFLOW_HOOKS_REDIS_URL"
            )


def _source_of(name: str) -> str:
    """Return the variable that a person has set: Celery's command line copies some that lack its prefix."""
    for source, copy in _COPIED.items():
        if copy == name and os.environ.get(source) == os.environ[name]:
            return source
    return name
