"""The environment of the system's processes: it has the settings that they are given, and no others from our own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic_settings import DotEnvSettingsSource

import noteflow_hooks
from noteflow_hooks.settings import PREFIX, Settings, TraceSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

#: What Celery and libpq would read as settings.
_FOREIGN_TO_LIBRARIES: Final = ("CELERY_", "PG")


class GivenSettings(Settings):
    """Settings that come from the arguments alone, whatever our environment or a `.env` says."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Use the arguments, and no other source."""
        return (init_settings,)


def forget_foreign_variables() -> None:
    """Remove from our own environment what libpq and Celery would read as settings: it is there by chance."""
    for name in list(os.environ):
        if name.startswith(_FOREIGN_TO_LIBRARIES):
            del os.environ[name]


def variables(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return an environment with these settings and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith((PREFIX, *_FOREIGN_TO_LIBRARIES))}
    ours = {f"{PREFIX}{name.upper()}": _text(value) for name, value in settings.items()}
    return {**_traces(), **kept, **_import_path(), **ours}


def _traces() -> dict[str, str]:
    """Return what `.env` says of traces: the processes run in another folder, and read no such file."""
    found = DotEnvSettingsSource(TraceSettings).env_vars
    return {name.upper(): text for name, text in found.items() if name.startswith("otel_") and text}


def _text(value: object) -> str:
    """Return a setting's value as text. Paths become absolute, since the processes run in another folder."""
    return str(value.resolve()) if isinstance(value, Path) else str(value)


def _import_path() -> dict[str, str]:
    """Return what makes a checkout importable that isn't installed, since the processes run in another folder."""
    root = Path(noteflow_hooks.__file__).parents[1]
    if root.name in ("site-packages", "dist-packages"):
        return {}
    entries = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    paths = [*(str(Path(entry).resolve()) for entry in entries), str(root)]
    return {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}
