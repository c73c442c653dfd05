"""Network namespaces for tests, the side of the script: its addresses, routes and files, and the report to the test.

Nothing here changes anything before it has made sure that this is another network than the test's own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

_PATH: Final = "/usr/sbin:/sbin:/usr/bin:/bin"


class LackingError(Exception):
    """The machine lacks what a script needs; the message is why its tests are skipped."""


def report(script: Callable[..., Any]) -> NoReturn:
    """Run the script with the command's arguments, print what it returns, and end the process.

    Look-ups that hang would otherwise be waited for.
    """
    try:
        said = {"report": script(*sys.argv[1:])}
    except LackingError as error:
        said = {"lacks": str(error)}
    print(json.dumps(said), flush=True)  # noqa: T201 - the report
    os._exit(0)


def run(program: str, *words: str) -> None:
    """Run a program of the system's that changes the namespace; LackingError where it is absent or refuses."""
    outside = os.environ.get("NETWORK_OUTSIDE")
    if outside in (None, str(Path("/proc/self/ns/net").readlink())):
        raise SystemExit("to be run by a test, in a network namespace of its own")
    path = shutil.which(program, path=_PATH)
    if path is None:
        raise LackingError(f"{program} is not installed")
    done = subprocess.run([path, *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LackingError(f"{program} {' '.join(words)}: {done.stderr.strip()}")


def ip(words: str) -> None:
    """Run ``ip`` with these words."""
    run("ip", *words.split())


def set_up_loopback() -> None:
    """Bring up the one interface that a new namespace has."""
    ip("link set lo up")


def take_every_address() -> None:
    """Make each address of both families one of this namespace: whatever is dialled arrives here, and nowhere else."""
    set_up_loopback()
    ip("route add local 0.0.0.0/0 dev lo")
    ip("-6 route add local ::/0 dev lo")


def set_up_cable() -> None:
    """Lay a cable between two interfaces, ``near`` and ``far``, of which nobody answers at the far one."""
    ip("link add near address 02:00:00:00:00:01 type veth peer name far address 02:00:00:00:00:02")
    ip("link set near up")
    ip("link set far up")


def replace_file(path: str, content: str, *, folder: Path) -> None:
    """Let the path show that content, in this namespace alone."""
    copy = folder / Path(path).name
    copy.write_text(content)
    run("mount", "--bind", str(copy), path)


def ask_only(name_server: str, *, folder: Path) -> None:
    """Let the system's resolver ask that address and nobody else, after an /etc/hosts that names localhost alone.

    It waits for longer than any test does.
    """
    asked = f"nameserver {name_server}\noptions timeout:30 attempts:5\n"
    replace_file("/etc/resolv.conf", asked, folder=folder)
    replace_file("/etc/nsswitch.conf", "hosts: files dns\n", folder=folder)
    replace_file("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n", folder=folder)
    if Path("/run/nscd").exists():  # Its socket is no network's, and its cache is the machine's.
        run("mount", "-t", "tmpfs", "none", "/run/nscd")
