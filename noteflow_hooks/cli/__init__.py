"""The command `noteflow-hooks`. What a command needs is imported when it is called, so that `--help` is quick."""

from __future__ import annotations

from noteflow_hooks.cli.root import main

__all__ = ["main"]
