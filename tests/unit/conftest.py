"""Unit tests reach nothing: a connection that one of them tries to make fails it. Examples may take their time."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, NoReturn

import pytest
from hypothesis import HealthCheck, settings

from noteflow_hooks.settings import PREFIX
from tests.support.delivery_system import System

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# By its own measures Hypothesis fails what is slow, which here says something of the machine alone.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(autouse=True)
def _no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        pytest.fail("a unit test tried to connect a socket")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)


@pytest.fixture
def system() -> Iterator[System]:
    """The workers' half over the store in memory."""
    made = System()
    yield made
    made.bulkhead.close()


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No `.env`, no settings in the environment, no running `up`: an empty folder is where commands run."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(PREFIX) or name == "WEBHOOK_SECRET"]:
        monkeypatch.delenv(name)
