"""The machine and the versions that were measured: without them the numbers mean nothing to others."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import redis

if TYPE_CHECKING:
    from noteflow_hooks.bench.stage import Stage

_PACKAGES: Final = (
    "noteflow-hooks", "celery", "kombu", "redis", "requests", "urllib3", "gevent", "psycopg", "sqlalchemy", "grpcio",
)  # fmt: skip


def machine() -> dict[str, Any]:
    """Return the machine's cores, processor and system."""
    return {"cores": os.cpu_count(), "cpu": _cpu_model(), "system": platform.system(), "machine": platform.machine()}


def versions(stage: Stage) -> dict[str, str]:
    """Return the versions of all the software that takes part."""
    row = stage.database.execute("SHOW server_version").fetchone()
    with redis.Redis.from_url(stage.system.redis_url) as client:
        info: Any = client.info("server")
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
        "postgresql": str(row[0]) if row is not None else "",
        "valkey": info.get("valkey_version", info["redis_version"]),
    }


def _cpu_model() -> str:
    path = Path("/proc/cpuinfo")
    found = (
        re.search(r"^model name\s*: (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE) if path.exists() else None
    )
    return found[1] if found is not None else platform.processor()
