"""An operator's machine, on which the commands of ``docs/operations.md`` are run: a folder stands for its file system.

What is not there stands in: systemd, whose units are started from their files, and the two servers, from their wheels.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TypeAlias
from urllib.parse import quote

from noteflow_hooks.cli.root import root as commands
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.local.servers import EmbeddedPostgres, EmbeddedValkey, cluster
from noteflow_hooks.local.stack.environment import variables
from noteflow_hooks.local.stack.ports import free_address
from tests.quality.sources import ROOT
from tests.support.clusters import put_cluster
from tests.support.document_pages import lines
from tests.support.receiver import Receiver
from tests.support.units import Units

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

#: Folders of the machine's own.
_PATHS: Final = re.compile(r"(?<![\w./])/(?=(?:opt|etc|run|var|usr/lib)/)")
_OURS: Final = "noteflow-hooks "
#: Short ones, since a test waits for retries and for the sweep.
_PERIODS: Final = {"sweep_every_s": 2, "lease_slack_s": 1, "retry_base_s": 0.2, "retry_jitter": 0}
#: What makes a line more than a command of ours.
_SHELL: Final = frozenset("|<>;`$")


@dataclass(frozen=True, slots=True)
class Said:
    """A command line, its exit status, and what it printed."""

    line: str
    code: int
    text: str


#: A word's value, or what makes it of what was said before.
Word: TypeAlias = "str | Callable[[Sequence[Said]], str]"


class Machine:
    """It has two servers and a receiver, and nothing of ours until the page's commands bring it; a context manager."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.receiver = Receiver(tls=True)
        self.grpc = free_address()
        self._postgres = EmbeddedPostgres(folder / "postgres")
        self._valkey = EmbeddedValkey(folder / "valkey")
        #: What this machine differs in from one of an operator's: free ports, a receiver on loopback, short periods.
        self._differs = {
            "grpc_bind": self.grpc,
            "egress_allow": "127.0.0.1/32",
            "ca_bundle": self.receiver.ca_pem,
            **_PERIODS,
        }
        self._env = {**variables(self._differs), "PATH": _path()}
        self.units = Units(self.root, self._differs)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.root.mkdir()
            for name in ("opt", "etc/systemd/system", "run", "var", "usr/lib"):
                (self.root / name).mkdir(parents=True)
            put_cluster(self.root.parent / "postgres")
            for each in (self.receiver, self._postgres, self._valkey):
                stack.enter_context(each)
            stack.callback(self.units.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def database_url(self) -> str:
        """The URL of the database that the settings name, as its superuser."""
        name = self.setting("DATABASE_URL").rpartition("/")[2]
        return self._postgres.url.replace("+psycopg", "").replace("/noteflow?", f"/{name}?")

    def setting(self, name: str) -> str:
        """Return what the shell has for a setting."""
        return self._env[f"NOTEFLOW_HOOKS_{name}"]

    def follow(self, text: str, words: Mapping[str, Word] | None = None, *, fails: str = "-") -> list[Said]:
        """Run all command lines of a text, with values for its capital words; those that begin with ``fails`` may fail.

        A value that is a function makes it of what was said before.
        """
        said: list[Said] = []
        for each in lines(text):
            line = each
            for word, value in (words or {}).items():
                if re.search(rf"\b{word}\b", line):
                    line = re.sub(rf"\b{word}\b", value if isinstance(value, str) else value(said), line)
            said.append(self.run(line))
            assert said[-1].code == 0 or line.startswith(fails), said[-1]
        return said

    def run(self, line: str) -> Said:
        """Run one command line, as a shell that goes on would."""
        if line.startswith("systemctl "):
            self.units.systemctl(shlex.split(line)[1:])
            return Said(line, 0, "")
        if line.startswith(_OURS) and not set(line) & _SHELL:
            return self._ours(line)
        return self._shell(line)

    def _ours(self, line: str) -> Said:
        """Run it in this process, which is twenty times cheaper, and tells the same."""
        out, former = io.StringIO(), dict(os.environ)
        os.environ.clear()
        os.environ.update(self._env)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), contextlib.chdir(self.root):
                code = run(commands, shlex.split(line)[1:])
        finally:
            os.environ.clear()
            os.environ.update(former)
        return Said(line, code, out.getvalue())

    def _shell(self, line: str) -> Said:
        kept = self.root.parent / "environment-of-the-shell"
        script = f"set -e\n{self._here(line)}\nset +a\nenv -0 >{kept}\n"
        done = subprocess.run(
            ["bash", "-c", script],  # noqa: S607 - wherever the system has it
            cwd=self.root,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            self._env = dict(each.split("=", 1) for each in kept.read_text().split("\0") if "=" in each)
        return Said(line, done.returncode, done.stdout)

    def _here(self, line: str) -> str:
        """Return the line as it is for this machine: what it has, and where."""
        as_postgres = f"PGHOST={self._sockets} PGUSER=noteflow PGDATABASE=postgres psql"
        replaced = {
            r"^apt-get install\b": ": is there already:",
            r"^(sudo -u postgres )?psql\b": as_postgres,
            r"^systemd-sysusers\b": f"systemd-sysusers --root={self.root}" if shutil.which("systemd-sysusers") else ":",
            r"^python3 -m venv\b": f"PYTHONPATH={ROOT} {sys.executable} -m tests.support.bare_venv",
            "@127.0.0.1:5432": f"@{quote(self._sockets, safe='')}:5432",
            "redis://127.0.0.1:6379/0": self._valkey.url,
            "127.0.0.1:50051": self.grpc,
        }
        line = _PATHS.sub(f"{self.root}/", line)
        for ours, theirs in replaced.items():
            line = re.sub(ours, lambda _, theirs=theirs: theirs, line)  # type: ignore[misc]  # mypy knows no lambda's defaults
        return line

    @property
    def _sockets(self) -> str:
        found = re.search(r"host=([^&]+)", self._postgres.url)
        assert found is not None
        return found[1].replace("%2F", "/")


def _path() -> str:
    """Return where programs are looked for behind the machine's own: PostgreSQL's, the system's, and `celery`."""
    return os.pathsep.join([str(cluster.binary("psql").parent), os.environ["PATH"], str(Path(sys.executable).parent)])
