"""What REDIS_URL leads to, asked at a program's start: a cluster or a Sentinel can hold no queues, and is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from noteflow_hooks.errors import SettingsError

if TYPE_CHECKING:
    from noteflow_hooks.redis_url import RedisAddress

#: A Redis that takes longer counts as away, and whoever starts does not wait for it.
_TIMEOUT_S: Final = 1.0
#: By the mode that `INFO server` names, what it is, and what to do.
_REFUSED: Final = {
    "cluster": "a Redis in cluster mode, where one command can't ask several queues; name one that runs by itself",
    "sentinel": "a Sentinel, which holds no queues; name an address that always leads to the primary",
}


def refuse_mode(address: RedisAddress) -> None:
    """Raise SettingsError for a cluster or a Sentinel; one that is away, or says nothing of itself, passes."""
    problem = problem_with(_mode(address))
    if problem is not None:
        raise SettingsError(f"NOTEFLOW_HOOKS_REDIS_URL leads to {problem} (docs/operations.md)")


def problem_with(mode: str | None) -> str | None:
    """Return what is wrong with a mode, and what to do; None for none."""
    return _REFUSED.get(mode or "")


def mode_of(info: dict[str, Any]) -> str | None:
    """Return the mode out of what `INFO server` says: Redis and Valkey have different names for it."""
    found = info.get("redis_mode", info.get("server_mode"))
    return found if isinstance(found, str) else None


def _mode(address: RedisAddress) -> str | None:
    asked = redis.Redis(
        host=address.host,
        port=address.port,
        username=address.username,
        password=address.password,
        socket_timeout=_TIMEOUT_S,
        socket_connect_timeout=_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        ssl=address.tls is not None,
        **address.ssl_options,
    )
    with asked:
        try:
            return mode_of(asked.info("server"))
        except (RedisError, OSError):
            return None
