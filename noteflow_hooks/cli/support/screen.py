"""Where results are shown: on a terminal they fit and have colours, anywhere else they are whole and plain."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from typing import Final, TextIO

import click

WIDE: Final = "noteflow_hooks.wide"

#: By what a state's text is coloured.
_COLOURS: Final = {
    **dict.fromkeys(("succeeded", "ok", "healthy", "done", "verified"), "green"),
    **dict.fromkeys(("dead", "failed", "failing", "disabled", "circuit_open", "missing", "erased"), "red"),
    **dict.fromkeys(("pending", "sending", "running", "slow", "warning", "throttled", "paused"), "yellow"),
    **dict.fromkeys(("skipped", "cancelled"), "cyan"),
}


@dataclass(frozen=True, slots=True)
class Screen:
    """What results are written to."""

    #: How many columns there are; None where nothing has to fit.
    width: int | None = None
    #: Whether states are coloured.
    has_colours: bool = False

    def coloured(self, text: str, *, state: str | None = None) -> str:
        """Return the text in the colour of the state that it begins with, where it is one and there are colours.

        ``state`` is the whole text where this one was cut.
        """
        words = (text if state is None else state).split()
        colour = _COLOURS.get(words[0].lower()) if words else None
        return click.style(text, fg=colour) if self.has_colours and colour is not None else text


def screen() -> Screen:
    """Return what standard output is; `--wide` takes a terminal's width away."""
    if not is_terminal(sys.stdout):
        return Screen()
    context = click.get_current_context(silent=True)
    is_wide = context is not None and WIDE in context.meta
    # https://no-color.org: whatever it holds, unless that is nothing.
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return Screen(width=None if is_wide else shutil.get_terminal_size().columns, has_colours=not plain)


def is_terminal(stream: TextIO | None) -> bool:
    """Tell whether somebody looks at the stream; one that was closed before the start is None."""
    return stream is not None and stream.isatty()
