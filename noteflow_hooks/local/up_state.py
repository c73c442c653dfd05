"""What `up` keeps in DATA_DIR beside its data: its keys, its address and its token; and `up.json` while it runs."""

from __future__ import annotations

import os
import secrets
import time
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.crypto import generate_key, parse_keys
from noteflow_hooks.errors import InvalidInputError, NoteFlowHooksError
from noteflow_hooks.local.files import (
    address_in,
    keys_file,
    link_file,
    read_keys,
    read_object,
    up_file,
    write_object,
    write_private,
)
from noteflow_hooks.local.stack import Identity

if TYPE_CHECKING:
    from pathlib import Path

    from noteflow_hooks.local.stack import System

#: How long the dashboard's link may be used.
LINK_S: Final = 60


class UpState:
    """The files of one DATA_DIR. Only the holder of its lock may use them."""

    def __init__(self, folder: Path) -> None:
        """Read what an earlier run kept."""
        self._folder = folder
        self._state_path = folder / "state.json"
        self._kept = read_object(self._state_path) or {}
        self._announced: dict[str, Any] | None = None

    @property
    def grpc(self) -> str | None:
        """The server's address in the earlier run."""
        return address_in(self._kept, "grpc", self._state_path) if "grpc" in self._kept else None

    @property
    def dashboard(self) -> str | None:
        """The dashboard's address in the earlier run."""
        return address_in(self._kept, "dashboard", self._state_path) if "dashboard" in self._kept else None

    @property
    def identity(self) -> Identity | None:
        """The workspace and token of the earlier run."""
        if {"workspace_id", "token"} <= self._kept.keys():
            return Identity(str(self._kept["workspace_id"]), str(self._kept["token"]))
        return None

    def make_link(self, token: str) -> str:
        """Return the code of a link to the dashboard that signs in with the token: once, within a minute."""
        code = secrets.token_urlsafe(32)
        write_object(link_file(self._folder), {"code": code, "token": token, "until": time.time() + LINK_S})
        return code

    def secret_keys(self) -> str:
        """Return the keys, in the form of SECRET_KEYS; make one where there is none."""
        path = keys_file(self._folder)
        text = read_keys(self._folder)
        if text is None:
            text = generate_key()
            write_private(path, text + "\n")
        if not _are_keys(text):
            raise NoteFlowHooksError(f"{path} holds no key any more: put back what it held, or secrets can't be read")
        return text

    def keep(self, system: System) -> None:
        """Keep the addresses and the token for the next run."""
        identity = system.identity
        dashboard = {} if system.dashboard is None else {"dashboard": system.dashboard}
        state = {"grpc": system.grpc, **dashboard, "workspace_id": identity.workspace_id, "token": identity.token}
        write_object(self._state_path, state)

    def announce(self, system: System) -> None:
        """Write to `up.json` what runs, if that has changed."""
        running = {
            "grpc": system.grpc,
            **({} if system.dashboard is None else {"dashboard": f"http://{system.dashboard}"}),
            "token": system.identity.token,
            "workspace_id": system.identity.workspace_id,
            "database_url": system.database_url,
            "redis_url": system.redis_url,
            "pid": os.getpid(),
            "processes": system.processes,
        }
        if running != self._announced:
            write_object(up_file(self._folder), running)
            self._announced = running

    def withdraw(self) -> None:
        """Remove `up.json`, and the link: nothing runs any more."""
        link_file(self._folder).unlink(missing_ok=True)
        up_file(self._folder).unlink(missing_ok=True)


def _are_keys(text: str) -> bool:
    try:
        return bool(parse_keys(text))
    except InvalidInputError:
        return False
