"""Connections to PostgreSQL: bounded waits everywhere, and one place that turns their loss into our own error."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections import deque
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast

import psycopg
import sqlalchemy
from psycopg import DataError
from psycopg.adapt import Loader
from psycopg.pq import Format
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import QueuePool

from noteflow_hooks.concurrency.identity import application_name
from noteflow_hooks.concurrency.outage import DATABASE
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.persistence.sql.aside import made_aside, pause_of, wait_aside
from noteflow_hooks.persistence.sql.at_hand import WIRE, AtHand, wire_of
from noteflow_hooks.persistence.sql.database_url import engine_url, parameters_in
from noteflow_hooks.persistence.sql.pooling import (
    as_options,
    check_session,
    cursor_factory,
    pooler_refused,
    raw_cursor_factory,
)
from noteflow_hooks.persistence.sql.sqlstates import ends_connection, is_away, is_outage, kind_of
from noteflow_hooks.persistence.sql.wire import Statement, Wire
from noteflow_hooks.telemetry.counting import count
from noteflow_hooks.telemetry.metrics import DATABASE_ERRORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg.abc import AdaptContext, Buffer
    from sqlalchemy.engine import Connection, Engine, ExceptionContext
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

    from noteflow_hooks.persistence.sql.aside import Waits

_Error = TypeVar("_Error", bound=BaseException)
#: Connections with the moment since which each rests, by the monotonic clock.
Kept: TypeAlias = "deque[tuple[PoolProxiedConnection, float]]"

#: What a connection is made with, where the URL says nothing else.
_DEFAULTS: Final[dict[str, Any]] = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    # A peer that acknowledges nothing for so long is gone; without it a cut cable looks like a slow query.
    "tcp_user_timeout": "15000",
}
_SETTINGS: Final = {
    # Nothing that we run takes a tenth of this; it ends what a lock held elsewhere would keep waiting for ever.
    "statement_timeout": "20000",
    # No transaction of ours waits for anything but the database: one that does is a frozen process's, and holds locks.
    "idle_in_transaction_session_timeout": "15000",
    # What commits by itself must not be carried out for a process that died while it waited for a lock.
    "client_connection_check_interval": "100",
    "timezone": "UTC",
    # The search path is fixed, since a role named like our schema would have that as its default.
    "search_path": "public",
    # The options of endpoints that this release knows, for triggers that keep those that don't from claiming.
    "noteflow_hooks.options": "signing,options",
}
#: Planning a claim takes a millisecond, and PostgreSQL would do it again for each: it expects less of a plan for any
#: number of ids. And a plan that is kept must not be one for a table that was small enough then to be read whole.
_STEADY_PLANS: Final = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "jit": "off"}

#: A connection that was in use so short a time ago is not asked whether it lives: under load that would be another
#: round trip for each statement.
TRUSTED_S: Final = 1.0

#: Of a pool's connections one in so many may be kept.
_KEPT_DIVISOR: Final = 3

#: The engine's option that names the kind of cursors for statements past SQLAlchemy, where it is a special one.
RAW_CURSOR: Final = "noteflow_raw_cursor"

#: Set while a connection is lent that is not asked at all.
_unasked: Final = ContextVar("unasked", default=False)

_TIMESTAMPTZ: Final = psycopg.adapters.types["timestamptz"].oid
_OWN_LOADER: Final = cast("type[Loader]", psycopg.adapters.get_loader(_TIMESTAMPTZ, Format.TEXT))
#: The first and the last moment that Python has.
_FIRST: Final = datetime.min.replace(tzinfo=UTC)
_LAST: Final = datetime.max.replace(tzinfo=UTC)


def create_engine(
    url: str,
    *,
    connections: int = 10,
    wait_s: float = 30.0,
    is_busy: bool = False,
    is_pooled: bool = False,
    answer_within_s: int | None = None,
    waits: Waits | None = None,
) -> Engine:
    """Make an engine with a pool of at most that many connections, waited for ``wait_s`` seconds.

    ``is_busy`` is for whoever runs a few large statements all the time, which have an index for everything, and tries
    again where one fails: each is planned once in a connection, by its indexes, whatever the tables hold at that
    moment; and a connection that was in use a moment ago is not asked whether it lives.

    ``is_pooled`` says that a pooler of transactions stands before the database; without it one raises PoolerError.
    ``waits`` is for whoever runs units in an event loop's own thread, too.
    ``answer_within_s`` bounds connections and statements for who only looks, whatever the URL says.

    A server that is away, gone, or refuses (a timeout, a deadlock, a full disk) raises :class:`UnavailableError`
    from whatever touched it, so that it can be tried again. A URL that can't work raises SettingsError.
    """
    params = parameters_in(url, pooled=is_pooled)
    place = engine_url(params)
    args = _connect_args(params, is_busy=is_busy, is_pooled=is_pooled, answer_within_s=answer_within_s)
    engine = sqlalchemy.create_engine(
        place,
        poolclass=_Pool if waits is None else _PoolAtHand,
        # Neither URLs nor ciphertext nor payloads belong into a log.
        hide_parameters=True,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=wait_s,
        # The one that was in use last: its session has at hand what the next statement needs. In turn, each of them
        # would have been idle for as long as all the others together.
        pool_use_lifo=True,
        connect_args=args,
        execution_options={RAW_CURSOR: raw_cursor_factory(args["cursor_factory"])} if is_pooled else {},
    )
    if waits is not None:
        wait_aside(engine, waits)
    # SQLAlchemy names a pool's logger after its class: among ours it would tell of pools at INFO.
    for kind in (_Pool, _PoolAtHand):
        logging.getLogger(f"{kind.__module__}.{kind.__name__}").setLevel(logging.WARNING)
    if not is_pooled:
        event.listen(engine, "connect", check_session)
    event.listen(engine, "connect", _load_every_moment)
    event.listen(
        engine,
        "connect",
        partial(_wire_up, prepares=not (is_busy or is_pooled), preamble=_preamble(args), pause=pause_of(engine)),
    )
    event.listen(engine, "checkin", _note_rest)
    event.listen(engine, "checkout", partial(_ping, trusted_s=TRUSTED_S if is_busy else 0.0))
    event.listen(engine, "rollback", _roll_back_first)
    event.listen(engine, "handle_error", _as_unavailable)
    return engine


def lend(engine: Engine) -> PoolProxiedConnection:
    """Lend a connection of the pool that is not asked whether it lives, to who can repeat what a dead one loses."""
    pool = engine.pool
    at_hand = pool.take() if isinstance(pool, _PoolAtHand) else None
    return at_hand if at_hand is not None else made_aside(engine, lambda: _lend(engine))


def give_back(engine: Engine, lent: PoolProxiedConnection) -> None:
    """Take back what :func:`lend` lent. What is still under way on it is rolled back."""
    pool = engine.pool
    if not (isinstance(pool, _PoolAtHand) and pool.keep(lent)):
        lent.close()


def _lend(engine: Engine) -> PoolProxiedConnection:
    before = _unasked.set(True)
    try:
        return engine.raw_connection()
    finally:
        _unasked.reset(before)


def give_up(engine: Engine, lent: PoolProxiedConnection, error: BaseException | None) -> None:
    """Close a connection that is lost, and have those that are older made anew before they are lent again."""
    pool = engine.pool
    if isinstance(pool, _Pool):
        pool.forget(lent, error)
    else:
        lent.invalidate(error)


def _preamble(args: Mapping[str, Any]) -> Statement | None:
    """Return what each transaction is told behind a pooler."""
    text = getattr(args.get("cursor_factory"), "statement", None)
    return Statement(text) if text is not None else None


def _wire_up(connection: Any, record: ConnectionPoolEntry, **options: Any) -> None:  # noqa: ANN401 - psycopg's, and Wire's
    record.info[WIRE] = Wire(connection, **options)


def _roll_back_first(connection: Connection) -> None:
    """Roll back before psycopg does: it would have the server forget all prepared statements, ours too."""
    if not (connection.closed or connection.invalidated):
        with contextlib.suppress(psycopg.Error):
            wire_of(connection.connection).roll_back()


def _connect_args(
    params: Mapping[str, Any], *, is_busy: bool, is_pooled: bool, answer_within_s: int | None
) -> dict[str, Any]:
    """Return what the URL says, what it leaves to us, and what a session or each transaction is told."""
    args = {**_DEFAULTS, "application_name": application_name(), **params}
    if "fallback_application_name" in params and "application_name" not in params:
        del args["application_name"]
    settings = _SETTINGS | (_STEADY_PLANS if is_busy else {})
    # Of what is said twice the last counts.
    more = [params["options"]] if params.get("options") else []
    if answer_within_s is not None:
        args["connect_timeout"] = answer_within_s
        settings["statement_timeout"] = str(1000 * answer_within_s)
        more.append(f"-c statement_timeout={settings['statement_timeout']}")
    if is_pooled:
        return args | {"prepare_threshold": None, "cursor_factory": cursor_factory(settings)}
    return args | {"options": as_options(settings, more=" ".join(more))}


class _Pool(QueuePool):
    """A pool in which waiting in vain for a connection is what any other absence of the database is."""

    def __init__(self, creator: Any, pool_size: int = 5, **options: Any) -> None:  # noqa: ANN401 - SQLAlchemy's own
        """Take what SQLAlchemy's own takes."""
        super().__init__(creator, pool_size=pool_size, **options)
        #: Lent ones that wait for their next statement, the latest last, at most as many as ``maxlen``. They commit by
        #: themselves, and are closed as the pool is disposed of.
        self.kept: Kept = deque(maxlen=pool_size // _KEPT_DIVISOR)

    def dispose(self) -> None:
        """Close all connections that are not in use."""
        kept, self.kept = self.kept, deque(maxlen=0)
        for lent, _ in kept:
            lent.invalidate()
        super().dispose()

    def connect(self) -> PoolProxiedConnection:
        """Lend a connection; nobody waits for one that is kept and rests."""
        if self.kept and not self.checkedin() and self.overflow() >= 0:
            self._take_back_a_kept_one()
        try:
            return super().connect()
        except PoolTimeoutError:
            count(DATABASE_ERRORS, "no_connection_free")
            raise UnavailableError("the database has no connection free in time; try again") from None

    def _take_back_a_kept_one(self) -> None:
        with contextlib.suppress(IndexError):
            lent, _ = self.kept.popleft()
            cast("psycopg.Connection[Any]", lent.driver_connection).autocommit = False
            lent.close()

    def forget(self, lent: PoolProxiedConnection, error: BaseException | None) -> None:
        """Close it, and each that was made before it as soon as that one is to be lent again."""
        # As SQLAlchemy does for a connection that it finds broken itself.
        self._invalidate(lent, error)


class _PoolAtHand(AtHand, _Pool):
    """The same, which keeps connections at hand."""

    def forget(self, lent: PoolProxiedConnection, error: BaseException | None) -> None:
        """Close it, and have those at hand go the way of those that are older."""
        super().forget(lent, error)
        self.let_go()


def _note_rest(_: object, record: ConnectionPoolEntry) -> None:
    record.info["rests_since"] = time.monotonic()
    if DATABASE.since is not None:
        DATABASE.answered()


def _ping(connection: Any, record: ConnectionPoolEntry, _: object, *, trusted_s: float) -> None:  # noqa: ANN401 - psycopg's
    """Find out before work begins on it that a connection is dead: after a restart of PostgreSQL all of them are."""
    if _unasked.get() or time.monotonic() - record.info.get("rests_since", math.inf) < trusted_s:
        return
    try:
        connection.autocommit = True
        connection.execute("")
        connection.autocommit = False
    except psycopg.Error:
        # The pool makes a new one, here and in the place of each that is older than this moment.
        raise InvalidatePoolError from None


class _MomentLoader(Loader):
    """Loads what Python has no moment for, such as ``infinity``, as the first or the last one that it has."""

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        # psycopg's own, in C where it is there: it is three times as fast as what could be derived from.
        self._own = _OWN_LOADER(oid, context)

    def load(self, data: Buffer) -> datetime:
        try:
            moment: datetime = self._own.load(data)
        except DataError:
            is_early = bytes(data).startswith(b"-") or bytes(data).endswith(b"BC")
            return _FIRST if is_early else _LAST
        return moment


def _load_every_moment(connection: Any, _: object) -> None:  # noqa: ANN401 - SQLAlchemy's signature
    # One row with such a moment would fail every batch that it is read with.
    connection.adapters.register_loader("timestamptz", _MomentLoader)


def unavailable(error: BaseException) -> UnavailableError | None:
    """Return the error of a database that is away, gone or refuses, where psycopg's says so; else None."""
    if not is_away(error):
        return None
    return pooler_refused(error) or _unavailable(type(error).__name__, error)


def shortened(error: _Error) -> _Error:
    """Return it with the first line of what PostgreSQL said: the next one, its DETAIL, shows whole rows."""
    if error.args and isinstance(error.args[0], str):
        error.args = (error.args[0].partition("\n")[0], *error.args[1:])
    return error


def _as_unavailable(context: ExceptionContext) -> BaseException | None:
    for error in (context.original_exception, context.sqlalchemy_exception):
        if error is not None:
            shortened(error)
    cause = context.original_exception
    if ends_connection(cause):
        # Gives up the whole pool, each connection of which may lead to the same server.
        context.is_disconnect = True
    if not context.is_disconnect and not is_away(cause):
        return None
    refused = pooler_refused(cause)
    if refused is not None:
        return refused
    reason = type(cause).__name__ if isinstance(context.sqlalchemy_exception, DBAPIError) else "no connection"
    return _unavailable(reason, cause)


def _unavailable(reason: str, cause: BaseException) -> UnavailableError:
    count(DATABASE_ERRORS, kind_of(cause))
    detail = str(cause).partition("\n")[0]
    if is_outage(cause):
        DATABASE.refused(detail)
    return UnavailableError(f"the database does not answer ({reason}); try again", detail=detail)
