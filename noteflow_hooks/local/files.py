"""The files that `up` keeps beside its data, for itself and for other commands. Only this user may read them."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, Final

from noteflow_hooks.errors import NoteFlowHooksError
from noteflow_hooks.local.addresses import host_and_port
from noteflow_hooks.local.private import check_folder, read

_REMEDY: Final = "remove it, or put back what it held"


def up_file(data_dir: Path) -> Path:
    """Return the file in which a running `up` names what it runs."""
    return data_dir / "up.json"


def link_file(data_dir: Path) -> Path:
    """Return the file of the dashboard's link that signs in once; whoever uses it removes the file."""
    return data_dir / "dashboard_link.json"


def keys_file(data_dir: Path) -> Path:
    """Return the file in which `up` keeps its keys, in the form of SECRET_KEYS."""
    return data_dir / "secret_keys"


def write_private(path: Path, text: str) -> None:
    """Write the whole file or nothing, readable by this user alone."""
    descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(unfinished).replace(path)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise


def write_object(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON object, readable by this user alone."""
    write_private(path, json.dumps(value, indent=2) + "\n")


def read_keys(data_dir: Path) -> str | None:
    """Return the keys that `up` keeps, in the form of SECRET_KEYS; None where it keeps none."""
    check_folder(data_dir)
    text = read(keys_file(data_dir))
    return None if text is None else text.decode(errors="replace").strip()


def read_object(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in a file, or None where there is no such file.

    Raise NoteFlowHooksError if it holds something else, and NotPrivateError if other users could have written it.
    """
    check_folder(path.parent)
    text = read(path)
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise NoteFlowHooksError(f"{path} holds no JSON object: {_REMEDY}")
    return value


def text_in(value: dict[str, Any], name: str, path: Path) -> str:
    """Return a field of what was read from the file; raise NoteFlowHooksError where it is missing, or no text."""
    found = value.get(name)
    if not isinstance(found, str) or not found:
        raise NoteFlowHooksError(f"{path} holds no {name}: {_REMEDY}")
    return found


def address_in(value: dict[str, Any], name: str, path: Path) -> str:
    """Return a field that must hold HOST:PORT, as :func:`text_in` does."""
    address = text_in(value, name, path)
    if host_and_port(address) is None:
        raise NoteFlowHooksError(f"{path} holds {address!r} as {name}, which is not HOST:PORT: {_REMEDY}")
    return address
