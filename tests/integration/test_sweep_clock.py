"""The sweep is where a worker learns that its clock is wrong."""

from __future__ import annotations

import importlib
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from noteflow_hooks import bootstrap
from noteflow_hooks.crypto import SecretBox, generate_key
from noteflow_hooks.maintenance.clock import ClockWatch
from noteflow_hooks.persistence.sql.delivery.store import SqlAlchemyDeliveryStore
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.settings import PREFIX, Settings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_sweep_warns_of_a_clock_that_is_off(
    clean_database: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A worker that is ten minutes ahead says so at its first sweep, and at its second it does not."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"DATABASE_URL": clean_database, "REDIS_URL": redis_url}.items():
        monkeypatch.setenv(PREFIX + name, value)
    tasks = importlib.import_module("workers.tasks")
    settings = Settings(_env_file=None, database_url=clean_database, redis_url=redis_url, secret_keys=generate_key())
    engine = create_engine(clean_database)
    store = SqlAlchemyDeliveryStore(engine, SecretBox([bytes(32)]))
    watch = ClockWatch(store.now, now=lambda: datetime.now(UTC) + timedelta(minutes=10))
    parts = replace(bootstrap.worker(settings, lambda _: None), check_clock=watch.check)
    monkeypatch.setattr(tasks, "parts", lambda: parts)
    for _ in range(2):
        assert tasks.sweep() == "0 reclaimed, 0 overdue, 0 slots"
    parts.close()
    engine.dispose()
    [warning] = [each for each in caplog.records if each.name == "noteflow_hooks.maintenance.clock"]
    assert warning.levelno == logging.WARNING
    assert "s ahead of the database's" in warning.getMessage()
