"""Where the signs of life of this machine's processes are, and which are meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noteflow_hooks.concurrency.pulse import default_folder, file_name, read
from noteflow_hooks.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from noteflow_hooks.concurrency.pulse import Signs
    from noteflow_hooks.settings import Settings


def signs_of(settings: Settings, kind: str, name: str = "") -> list[Signs]:
    """Return the signs of the process, or of each of a server's processes; raise UnavailableError where there are none.

    A worker may be named without its host, where one machine has only one of that name.
    """
    folders = _folders(settings)
    for folder in folders:
        found = _found(folder, kind, name)
        if found:
            return [read(path) for path in found]
    looked = ", ".join(map(str, folders))
    raise UnavailableError(f"no {kind}{f' {name}' if name else ''} has left signs of life in {looked}")


def _folders(settings: Settings) -> Sequence[Path]:
    """Return where to look: where the settings say, else where processes leave them, those of `up` first."""
    if settings.run_dir is not None:
        return [settings.run_dir]
    return [settings.data_dir / "run", default_folder()]


def _found(folder: Path, kind: str, name: str) -> list[Path]:
    exact = folder / file_name(kind, name)
    if exact.is_file():
        return [exact]
    if kind == "beat" or not name:
        return []
    # A server's processes have a number each behind the address.
    more = f"{exact.name}%20" if kind == "server" else f"{exact.name}@"
    found = sorted(each for each in _names(folder) if each.name.startswith(more))
    if kind == "worker" and len(found) > 1:
        names = ", ".join(read(each).about.get("name", "?") for each in found)
        raise UnavailableError(f"there are several workers of that name, name one: {names}")
    return found


def _names(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
