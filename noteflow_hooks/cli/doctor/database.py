"""PostgreSQL: whether it is there, keeps what it is given, and has the schema and the secrets that we can read."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Final

from noteflow_hooks import __version__, bootstrap
from noteflow_hooks.cli.doctor.findings import Check, Verdict, failed, ok, seconds, warning
from noteflow_hooks.crypto import key_id
from noteflow_hooks.errors import PoolerError, SecretUnavailableError
from noteflow_hooks.maintenance.clock import measure_skew

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from noteflow_hooks.concurrency.identity import Process
    from noteflow_hooks.crypto import SecretBox
    from noteflow_hooks.parts import DiagnosticParts
    from noteflow_hooks.persistence.sql.maintenance.diagnostics import Sample, Server
    from noteflow_hooks.settings import Settings

#: The major versions that we know to work.
_VERSIONS: Final = range(15, 19)
#: Of the connections that the server allows: beyond this share one more worker may find none.
_CROWDED: Final = 0.9
_START: Final = "start PostgreSQL, or correct NOTEFLOW_HOOKS_DATABASE_URL"
_AGAIN: Final = "see the log of PostgreSQL"
_ROOM: Final = "free disk, or give PostgreSQL more: nothing is accepted, and no result stored, while it is full"
#: Processes that stay connected.
_LASTING: Final = ("server", "worker")
_MIGRATE: Final = "run `noteflow-hooks migrate`"


@contextmanager
def opened(settings: Settings) -> Iterator[DiagnosticParts]:
    """Yield what asks the database; nothing is connected before it is asked for."""
    parts = bootstrap.diagnostics(settings)
    try:
        yield parts
    finally:
        parts.close()


def checks(settings: Settings, parts: DiagnosticParts) -> list[Check]:
    """Return the checks, each with what it needs before it."""
    database, server, system = parts.diagnostics, cache(parts.diagnostics.server), parts.system
    connected = cache(system.processes)
    pooled = settings.postgres_pooler == "transaction"
    there, ours = ("postgres",), ("postgres", "schema")
    return [
        Check("postgres", lambda: answers(database.now), remedy=_START),
        Check("version", lambda: version(server()), remedy=_AGAIN, needs=there),
        Check("durability", lambda: durability(server()), remedy=_AGAIN, needs=there),
        Check("disk", lambda: disk(takes_writes=system.takes_writes()), remedy=_ROOM, needs=there),
        Check("connections", lambda: connections(server(), connected()), remedy=_AGAIN, needs=there),
        Check("pooler", lambda: pooler(expected=pooled, found=system.has_pooler()), remedy=_AGAIN, needs=there),
        Check("releases", lambda: releases(connected()), remedy=_AGAIN, needs=there),
        Check("clock", lambda: clock(database.now), remedy=_AGAIN, needs=there),
        Check("schema", lambda: schema(database.revision(), known=bootstrap.revisions()), remedy=_MIGRATE, needs=there),
        Check("keys", lambda: keys(database.samples(), box=parts.box), remedy=_AGAIN, needs=("settings", *ours)),
    ]


def answers(ask: Callable[[], object]) -> Verdict:
    """Return how long the answer took; no answer is an error, and a pooler that no setting names is one, too."""
    began = time.monotonic()
    try:
        ask()
    except PoolerError as error:
        found, _, advice = error.detail.partition(": ")
        return failed(found, advice)
    took_s = time.monotonic() - began
    return ok(f"answers in {1000 * took_s:.0f} ms", {"seconds": took_s})


def disk(*, takes_writes: bool) -> Verdict:
    """Judge whether there is room; a disk that is full raises before."""
    if takes_writes:
        return ok("a page was written, and taken back")
    return ok("not tried: this role may make no temporary tables")


def pooler(*, expected: bool, found: bool) -> Verdict:
    """Judge whether what answers is what POSTGRES_POOLER says; a pooler that it does not name is refused before."""
    if expected and not found:
        return warning("POSTGRES_POOLER is transaction, and nothing pools", "set it to none: statements cost less then")
    return ok("a pooler of transactions stands before it, as POSTGRES_POOLER says" if found else "none")


def releases(connected: Mapping[Process, int]) -> Verdict:
    """Judge whether servers and workers are of one release, this machine's; those count that are connected now."""
    found = Counter(each.release for each in connected if each.kind in _LASTING)
    numbers = {f"release {name}": count for name, count in found.items()}
    text = ", ".join(f"{count} of {name}" for name, count in sorted(found.items())) or "nobody else is connected"
    others = {name for name in found if name != __version__}
    if others:
        advice = "restart what is of the older release; this machine's comes from where `doctor` runs"
        return warning(f"servers and workers: {text}; here {__version__}", advice, numbers)
    return ok(f"servers and workers: {text}", numbers)


def version(server: Server) -> Verdict:
    """Judge the server's version."""
    allowed = f"{_VERSIONS[0]} to {_VERSIONS[-1]}"
    if server.version in _VERSIONS:
        return ok(f"PostgreSQL {server.full_version}")
    judge = failed if server.version < _VERSIONS[0] else warning
    return judge(f"PostgreSQL {server.full_version}, not {allowed}", f"use PostgreSQL {allowed}")


def durability(server: Server) -> Verdict:
    """Judge whether what was accepted outlives a crash, as docs/reliability.md demands."""
    if server.read_only:
        return failed("it takes no writes", "name the primary in NOTEFLOW_HOOKS_DATABASE_URL; this one is a standby")
    switches = {"fsync": server.fsync, "full_page_writes": server.full_page_writes}
    off = [name for name, is_on in switches.items() if not is_on]
    off += ["synchronous_commit"] if server.synchronous_commit == "off" else []
    if off:
        return failed(f"{', '.join(off)} off", "turn it on: else a crash may lose what was accepted")
    found = f"fsync, full_page_writes on, synchronous_commit {server.synchronous_commit}"
    waits = server.waits_for_standbys and server.synchronous_commit != "local"
    if server.standbys and not waits:
        found = f"{found}, and no commit waits for any of {server.standbys} standbys"
        return warning(found, "set synchronous_standby_names: else one that takes over lacks what was accepted last")
    return ok(found)


def connections(server: Server, connected: Mapping[Process, int]) -> Verdict:
    """Judge whether there is room for more."""
    ours: Counter[str] = Counter()
    for process, count in connected.items():
        ours[process.kind] += count
    numbers = {"used": server.connections, "max": server.max_connections, **ours}
    shares = ", ".join(f"{kind} {count}" for kind, count in sorted(ours.items()))
    found = f"{server.connections} of {server.max_connections} in use{f', ours: {shares}' if shares else ''}"
    if server.connections >= _CROWDED * server.max_connections:
        advice = "raise max_connections, or put PgBouncer before it: a server and each worker process hold up to 10"
        return warning(found, advice, numbers)
    return ok(found, numbers)


def clock(store_now: Callable[[], datetime], *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Verdict:
    """Judge this machine's clock by the database's: what differs by more than it took to ask."""
    skew = measure_skew(store_now, now=now)
    found = f"this machine is {seconds(abs(skew.ahead))} {skew.side} the database"
    numbers = {"ahead_seconds": skew.ahead.total_seconds()}
    if skew.is_wrong:
        return warning(found, "set its clock: signatures carry that time, and receivers refuse 300 s and more", numbers)
    return ok(found, numbers)


def schema(revision: str | None, *, known: Sequence[str]) -> Verdict:
    """Judge the schema's revision by those of this release, the newest one last."""
    newest = known[-1]
    if revision is None:
        return failed("no tables of ours", _MIGRATE)
    if revision == newest:
        return ok(f"at {revision}, the newest")
    if revision in known:
        return failed(f"at {revision}, and this release needs {newest}", _MIGRATE)
    return warning(
        f"at {revision}, and this release knows none after {newest}", "update this machine to the others' release"
    )


def keys(samples: Sequence[Sample], *, box: SecretBox) -> Verdict:
    """Judge whether our keys open what is stored, by one ciphertext of each key."""
    stored: Counter[str] = Counter()
    for each in samples:
        stored[key_id(each.sealed)] += each.ciphertexts
    missing = [name for name in stored if name not in box.key_ids]
    if missing:
        found = ", ".join(f"{stored[name]} of {stored.total()} secrets are under key {name}" for name in missing)
        return failed(f"{found}, which is not there", "put it back into NOTEFLOW_HOOKS_SECRET_KEYS, behind the first")
    if not all(_opens(each, box) for each in samples):
        return warning("a secret does not open under its own key", "see `noteflow-hooks keys check`")
    if not stored:
        return ok("no secret is stored")
    numbers = {"secrets": stored.total(), "keys": len(box.key_ids)}
    old = stored.total() - stored[box.key_ids[0]]
    if old:
        found = f"{old} of {stored.total()} secrets are still under older keys"
        return warning(found, "run `noteflow-hooks keys rotate`; an old key may go after that", {**numbers, "old": old})
    return ok(
        f"{stored.total()} secrets under {len(stored)} of {len(box.key_ids)} keys, of which one each opens",
        {**numbers, "old": 0},
    )


def _opens(sample: Sample, box: SecretBox) -> bool:
    try:
        box.decrypt(sample.sealed, webhook_id=sample.webhook_id, column=sample.column)
    except SecretUnavailableError:
        return False
    return True
