"""The folder of one system: the servers' data, the logs, and the empty folder in which our programs run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noteflow_hooks.local.children.process import FolderLock
from noteflow_hooks.local.private import make_folder
from noteflow_hooks.local.stack.leftovers import end_leftovers

if TYPE_CHECKING:
    from pathlib import Path


class Home:
    """A folder for this user alone. Only who has taken it may touch its files."""

    def __init__(self, folder: Path) -> None:
        self._named = folder
        #: Absolute, since other processes run in other folders.
        self.folder = folder.resolve()
        #: Where our programs run: there is no `.env` here, and the programs of a killed run are found by this folder.
        self.run = self.folder / "run"
        self._lock = FolderLock(self.folder)
        self._is_ours = False

    def log(self, name: str) -> Path:
        """Return where the log of that process is."""
        return self.folder / "logs" / f"{name}.log"

    def take(self) -> None:
        """Make the folder and take it, and end the programs that a killed run has left.

        Raise where another run has it, or where other users may change it.
        """
        if self._is_ours:
            return
        for folder in (self._named, self.folder / "logs", self.run):
            make_folder(folder)
        self._lock.acquire()
        end_leftovers(self.run)
        self._is_ours = True

    def give_up(self) -> None:
        """Give up the folder, so that others can take it."""
        self._lock.release()
        self._is_ours = False
