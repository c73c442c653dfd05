"""Which process this is, as PostgreSQL and Redis show it in their lists of connections, with its release.

Each program names itself once, before it connects; processes that it forks have the name too.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from noteflow_hooks import __version__

#: What all of our names begin with.
PROJECT: Final = "noteflow-hooks"
#: PostgreSQL cuts off what is beyond.
_LONGEST: Final = 63
_UNFIT: Final = re.compile(r"[^!-~]")
_OURS: Final = re.compile(rf"{PROJECT}[ :](?P<release>[^ :]+)[ :](?P<kind>[^ :]+)(?:[ :](?P<name>.*))?")

_named: str | None = None


class Process(NamedTuple):
    """A process, as its connections' name tells of it."""

    release: str
    #: ``server``, ``worker``, ``beat``, ``exporter`` or ``cli``.
    kind: str
    #: A worker's own, a command's, a server's number.
    name: str


def name_process(kind: str, name: str = "") -> None:
    """Have this process's connections say what it is from now on."""
    global _named  # noqa: PLW0603 - a process has one name
    _named = f"{kind} {name}".strip()


def application_name() -> str:
    """Return the name for PostgreSQL: ``noteflow-hooks 0.1.0 worker celery@host``."""
    return PROJECT if _named is None else f"{PROJECT} {__version__} {_UNFIT.sub(' ', _named)}"[:_LONGEST]


def client_name() -> str:
    """Return the name for Redis, which allows no space: ``noteflow-hooks:0.1.0:worker:celery@host``."""
    return PROJECT if _named is None else f"{PROJECT}:{__version__}:{_UNFIT.sub(':', _named)}"


def process_of(name: str) -> Process | None:
    """Return what a connection's name says; None where it is no process of ours, or says nothing of itself."""
    found = _OURS.fullmatch(name)
    return None if found is None else Process(found["release"], found["kind"], found["name"] or "")
