"""What PostgreSQL means by its SQLSTATEs, in one place: whether it is away, and whether its connection is of use.

The codes are those of appendix A of its manual. *Away* is whatever passes by itself: a failover, a restart, a deadlock,
a full disk. It costs nobody an answer: calls are refused as UNAVAILABLE, and results wait.
"""

from __future__ import annotations

from typing import Final

import psycopg

#: Connections, rollbacks for others' sake, resources, limits, locks and recovery, operators, and the disk below.
_AWAY_CLASSES: Final = frozenset({"08", "40", "53", "54", "55", "57", "58"})
#: Of these, what is no single statement's or session's own: connections, roles, resources, and the disk below.
_OUTAGE_CLASSES: Final = frozenset({"08", "28", "3D", "53", "58"})
#: A server that takes no writes, as a primary that has become a standby, or a database in maintenance.
_READ_ONLY: Final = "25006"
#: The session has ended: it was idle in a transaction, or was in one for too long.
_ENDED: Final = frozenset({"25P03", "25P04"})
#: A prepared statement is not there, or is there already: somebody hands our sessions about, or has cleaned one up.
_NOT_OURS: Final = frozenset({"26000", "42P05"})
#: A prepared statement's columns have changed, by a migration beside us, and it is refused each time from then on. The
#: SQLSTATE has other uses, and the message is translated: where in the server it was said is the same everywhere.
_OUTDATED: Final = "0A000", "RevalidateCachedQuery"
#: A standby refuses what needs a primary, or has yet to become one.
_IN_RECOVERY: Final = "55000"
#: An operator, or a crash, has ended the session or is about to. A statement that was cancelled (57014) has not.
_OPERATOR_ENDS: Final = frozenset({"57P01", "57P02", "57P03", "57P04", "57P05"})

#: After these a connection is given up, and so are all that are older: another one may reach a server that is well.
_ENDS_CONNECTION: Final = _ENDED | _NOT_OURS | _OPERATOR_ENDS | {_READ_ONLY, _IN_RECOVERY}
_AWAY: Final = _ENDED | _NOT_OURS | {_READ_ONLY}

#: By class, or by the whole SQLSTATE: what is counted of an error. What has none came about on the way there.
_KINDS: Final = {
    "08": "connection", "28": "refused", "3D": "refused", "40": "deadlock", "53": "resources", "54": "resources",
    "55P03": "timeout", "57014": "timeout", "57": "shutdown", "58": "resources", _READ_ONLY: "read_only",
    _IN_RECOVERY: "read_only",
}  # fmt: skip
#: A server that refuses a connection says so in words alone: libpq keeps no SQLSTATE of it. So are those counted that
#: pass by themselves; whatever else it says is about us, such as a wrong password.
_REFUSAL: Final = "FATAL:"
_WORDS: Final = {
    "too many": "resources", "connection slots": "resources", "starting up": "shutdown", "shutting down": "shutdown",
    "in recovery mode": "shutdown", "not accepting": "shutdown",
}  # fmt: skip


def kind_of(error: BaseException | None) -> str:
    """Return in one word what an error of a database says that is away, gone or refuses."""
    if not isinstance(error, psycopg.Error) or error.sqlstate is None:
        return "timeout" if isinstance(error, psycopg.errors.ConnectionTimeout) else _kind_without_state(str(error))
    return _KINDS.get(error.sqlstate) or _KINDS.get(error.sqlstate[:2], "other")


def _kind_without_state(text: str) -> str:
    _, is_refusal, words = text.partition(_REFUSAL)
    if not is_refusal:
        return "connection"
    return next((kind for part, kind in _WORDS.items() if part in words), "refused")


def is_away(error: BaseException | None) -> bool:
    """Return whether the error says that the database is away, gone, or refuses what may work later."""
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:
        # The connection broke, or never came about.
        return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
    return error.sqlstate in _AWAY or _is_outdated(error) or error.sqlstate[:2] in _AWAY_CLASSES


def is_outage(error: BaseException | None) -> bool:
    """Return whether the error says that the database takes nothing, or no writes, from anybody like us."""
    if not isinstance(error, psycopg.Error) or not is_away(error):
        return False
    state = error.sqlstate
    return state is None or state == _READ_ONLY or state in _OPERATOR_ENDS or state[:2] in _OUTAGE_CLASSES


def ends_connection(error: BaseException | None) -> bool:
    """Return whether the connection that this came over, and those made before it, are better made anew."""
    if not isinstance(error, psycopg.Error) or error.sqlstate is None:
        return False
    return error.sqlstate in _ENDS_CONNECTION or error.sqlstate.startswith("08") or _is_outdated(error)


def _is_outdated(error: psycopg.Error) -> bool:
    return (error.sqlstate, error.diag.source_function) == _OUTDATED
