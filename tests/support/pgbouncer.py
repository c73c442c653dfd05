"""PgBouncer itself, where this machine has it: Debian's package of the name."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import psycopg
import pytest
from sqlalchemy import make_url

from noteflow_hooks.local.children import unprivileged
from noteflow_hooks.local.stack.ports import free_address
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SETTINGS: Final = """
[databases]
* = host={host} port={port} user={user} dbname={name}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
max_client_conn = 200
server_round_robin = 1
logfile = {folder}/log
pidfile = {folder}/pid
{more}
"""


@contextmanager
def pgbouncer(database_url: str, folder: Path, *, ignores_options: bool = True) -> Iterator[str]:
    """Yield the URL of the database behind PgBouncer in transaction mode; skip the test where there is none."""
    program = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
    if program is None:
        pytest.skip("there is no pgbouncer on this machine")
    place, own = make_url(database_url), free_address()
    folder.mkdir(exist_ok=True)
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        _SETTINGS.format(
            host=place.query["host"],
            port=place.query["port"],
            user=place.username,
            name=place.database,
            own_port=own.rpartition(":")[2],
            folder=folder,
            more="ignore_startup_parameters = options" if ignores_options else "",
        )
    )
    url = f"postgresql://{place.username}@{own}/{place.database}"
    command = [sys.executable, unprivileged.__file__, program, "--quiet", str(settings)]
    with subprocess.Popen(command) as process:
        try:
            until(lambda: process.poll() is not None or _answers(url), what="PgBouncer answers")
            if process.returncode is not None:
                pytest.skip(f"PgBouncer does not start here: status {process.returncode}")
            yield url
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.OperationalError:
        return False
    return True
