"""Redis and the workers behind it, asked in Celery's own way: the same URL, the same options, the same queues."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError, ResponseError

from noteflow_hooks.broker.environment import refuse_celerys_variables
from noteflow_hooks.broker.kombu_internals import redis_client
from noteflow_hooks.broker.names import QUEUES
from noteflow_hooks.broker.queue_depth import queue_depth
from noteflow_hooks.broker.redis_mode import mode_of, problem_with
from noteflow_hooks.cli.doctor.findings import Check, Verdict, failed, ok, warning
from noteflow_hooks.concurrency.identity import process_of
from noteflow_hooks.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from noteflow_hooks.settings import Settings

#: kombu tries to connect twice, so that an answer takes two seconds at the most.
_TIMEOUT_S: Final = 1.0
#: How long an answer of a worker, and then each further one, is waited for.
_PING_S: Final = 1.5
#: There is no such key, so what would write to it writes nothing; a Redis that takes no writes refuses it all the same.
_NO_KEY: Final = "noteflow-hooks.doctor"
#: Of ``maxmemory``: beyond this share it may be used up while somebody looks for the reason.
_FULL: Final = 0.8
#: Server, relay and sweep stop at 100 to 200 messages each.
_LONG: Final = 1_000
_START: Final = "start Redis, or correct NOTEFLOW_HOOKS_REDIS_URL"
_FROZEN: Final = "where it runs: `noteflow-hooks health --worker NAME`; restart one that is not alive"
_WORKER: Final = "start one (celery -A workers.app worker)"
#: So many workers are named; more are counted.
_NAMED: Final = 4


class Broker:
    """Redis, over connections that are made when they are asked for."""

    def __init__(self, settings: Settings) -> None:
        """Use the settings' REDIS_URL."""
        self._settings = settings
        self._app: Celery | None = None

    def writes(self) -> Verdict:
        """Judge whether Redis answers, and would take a message."""
        began = time.monotonic()
        with self._client() as client:
            client.ping()
            took_s = time.monotonic() - began
            problem = _wrong_mode(client)
            if problem is not None:
                return problem
            try:
                client.lpushx(_NO_KEY, "")
            except ResponseError as error:
                return failed(f"it answers, and takes no writes: {error}", "free memory or disk, or name the primary")
        return ok(f"answers in {1000 * took_s:.0f} ms, and takes writes", {"seconds": took_s})

    def memory(self) -> Verdict:
        """Judge how near Redis is to refusing writes, or to dropping keys."""
        with self._client() as client:
            return memory(client.info("memory"))

    def queues(self) -> Verdict:
        """Judge how many messages wait."""
        with _answer_needed():
            return queues({name: queue_depth(self._made(), name) for name in QUEUES})

    def workers(self) -> Verdict:
        """Judge who answers, and takes from which queues."""
        with _answer_needed():
            asked: Any = self._made().control.inspect(timeout=_PING_S)
            told = asked.active_queues() or {}
        connected = self._connected_workers()
        return workers({name: [queue["name"] for queue in taken] for name, taken in told.items()}, connected)

    def _connected_workers(self) -> set[str]:
        """Return the workers that hold connections, by the names of those; none where our user may not see them."""
        try:
            with redis_client(self._made()) as client:
                found = [process_of(each.get("name", "")) for each in client.client_list()]
        except RedisError:
            return set()
        return {each.name for each in found if each is not None and each.kind == "worker"}

    def close(self) -> None:
        """Let go of the connections."""
        if self._app is not None:
            # The boundary: it says farewell to a Redis that may be anything by now, and there is nothing left to do.
            with suppress(Exception):
                self._app.close()

    def _made(self) -> Celery:
        if self._app is None:
            self._settings.require("redis_url")
            refuse_celerys_variables()
            self._app = Celery("noteflow-hooks-doctor", set_as_current=False)
            self._app.conf.update(self._settings.redis.celery_options)
            self._app.conf.broker_transport_options = {
                "socket_timeout": _TIMEOUT_S,
                "socket_connect_timeout": _TIMEOUT_S,
                "max_retries": 1,
                "interval_start": 0,
                "interval_step": 0,
                "interval_max": 0,
            }
        return self._app

    @contextmanager
    def _client(self) -> Iterator[Any]:
        with _answer_needed(), redis_client(self._made()) as client:
            yield client


def _wrong_mode(client: Any) -> Verdict | None:  # noqa: ANN401 - redis-py's, untyped
    """Judge what kind of server it is; of one that doesn't tell us, nothing is said."""
    with suppress(ResponseError):
        found, _, advice = (problem_with(mode_of(client.info("server"))) or "").partition("; ")
        return failed(f"it is {found}", advice) if found else None
    return None


@contextmanager
def _answer_needed() -> Iterator[None]:
    """Say in the project's own error what Redis, or the way to it, refuses."""
    try:
        yield
    except (OperationalError, RedisError) as error:
        raise UnavailableError(f"it does not answer, or refuses: {error}") from None


def checks(broker: Broker) -> list[Check]:
    """Return the checks, each with what it needs before it."""
    there = ("redis",)
    return [
        Check("redis", broker.writes, remedy=_START),
        Check("memory", broker.memory, remedy="let our user call INFO", needs=there),
        Check("queues", broker.queues, remedy="remove the key that stands in a queue's place", needs=there),
        Check("workers", broker.workers, remedy=_START, needs=there),
    ]


def memory(told: Mapping[str, Any]) -> Verdict:
    """Judge what ``INFO memory`` told."""
    used, most, policy = int(told["used_memory"]), int(told.get("maxmemory", 0)), told.get("maxmemory_policy")
    found = f"{_mb(used)} of {_mb(most) if most else 'no maxmemory'} in use, {policy}"
    numbers = {"used_bytes": used, "max_bytes": most}
    if most and used >= _FULL * most:
        return warning(found, "raise maxmemory: wake-ups that are refused come late, by relay and sweep", numbers)
    if policy not in (None, "noeviction"):
        return warning(found, "set maxmemory-policy to noeviction: wake-ups that are evicted come late", numbers)
    return ok(found, numbers)


def queues(lengths: Mapping[str, int]) -> Verdict:
    """Judge how many messages wait in each queue."""
    found = ", ".join(f"{name} {length}" for name, length in lengths.items())
    if any(length > _LONG for length in lengths.values()):
        return warning(
            found, "see that workers take from the long one; its messages are wake-ups, and may be deleted", lengths
        )
    return ok(found, lengths)


def workers(taken: Mapping[str, Sequence[str]], connected: Collection[str] = ()) -> Verdict:
    """Judge the workers that answered, each with the queues that it takes from, by those that are connected."""
    silent = sorted(set(connected) - set(taken))
    numbers = {"answer": len(taken), "silent": len(silent)}
    frozen = f"; connected and silent: {', '.join(silent[:_NAMED])}" if silent else ""
    if not taken:
        return failed(f"none answers within {_PING_S:g} s{frozen}", _FROZEN if silent else _WORKER, numbers)
    count = len(taken)
    names = ", ".join(sorted(taken)[:_NAMED]) + (", ..." if count > _NAMED else "")
    found = f"{count} {'worker answers' if count == 1 else 'workers answer'} ({names})"
    orphans = [queue for queue in QUEUES if not any(queue in each for each in taken.values())]
    if orphans:
        return failed(
            f"{found}, and none takes from {', '.join(orphans)}{frozen}",
            f"{_WORKER}, with -Q and these or without -Q",
            numbers,
        )
    found = f"{found}, and all {len(QUEUES)} queues are taken from"
    return warning(f"{found}{frozen}", _FROZEN, numbers) if silent else ok(found, numbers)


def _mb(count: int) -> str:
    return f"{count / 1_000_000:.1f} MB"
