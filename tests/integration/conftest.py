"""What several of these tests need."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.settings import PREFIX

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, redis_url: str) -> ModuleType:
    """The worker's module, which reads its settings as it is imported."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"DATABASE_URL": "postgresql://u@127.0.0.1:1/x", "REDIS_URL": redis_url}.items():
        monkeypatch.setenv(PREFIX + name, value)
    return importlib.import_module("workers.tasks")
