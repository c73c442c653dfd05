"""What the environment and `.env` say, read once a command: slips are told of on stderr, and foreign files refused."""

from __future__ import annotations

from typing import Final

import click

from noteflow_hooks.local.private import check_env_file
from noteflow_hooks.settings import ENV_FILE, CallerSettings, Settings, named_in_env_file, unknown_variables

_TOLD: Final = "noteflow_hooks.told"


def read_settings() -> Settings:
    """Return the settings; raise SettingsError as they do."""
    found = Settings.load()
    told = click.get_current_context().meta
    if _TOLD not in told:
        told[_TOLD] = True
        for line in unknown_variables():
            click.echo(f"noteflow-hooks: warning: {line}", err=True)
    return found


def caller() -> CallerSettings:
    """Return which server to call, and as whom.

    Raise NotPrivateError where a `.env` that another user could have put here has a say in it: a token would go where
    that user wants it.
    """
    if named_in_env_file():
        check_env_file(ENV_FILE)
    return CallerSettings.load()
