"""The signs of life of this worker, or beat: made as it starts, before any fork."""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING, Final

from noteflow_hooks.concurrency.identity import name_process
from noteflow_hooks.concurrency.pulse import Pulse, default_folder

if TYPE_CHECKING:
    from noteflow_hooks.settings import Settings

_pulse: Final = Pulse()


def begin(settings: Settings, kind: str, name: str = "") -> None:
    """Have this process leave signs of life, and its connections say whose they are."""
    name_process(kind, name)
    _pulse.open(settings.run_dir or default_folder(), kind, name)
    atexit.register(_pulse.close)


def pulse() -> Pulse:
    """Return the signs of this process."""
    return _pulse
