"""What distance costs: round trips to Redis and PostgreSQL that take 1 to 100 ms longer, for the workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

from noteflow_hooks.bench.against import against_bare
from noteflow_hooks.bench.crews import other_workers
from noteflow_hooks.bench.scenario import Scenario
from noteflow_hooks.bench.surroundings import HOST

if TYPE_CHECKING:
    from noteflow_hooks.bench.scenario import Values
    from noteflow_hooks.bench.stage import Stage

_EVENTS: Final = 2_000
_BURSTS: Final = 5
#: Zero is measured too, since the process in between takes time of its own.
_ADDED_MS: Final = (0, 1, 2, 5, 20, 100)


def distance(stage: Stage) -> Values:
    """Measure the rate against the bare loop at each distance."""
    database, broker = urlsplit(stage.system.database_url), urlsplit(stage.system.redis_url)
    [folder], [number] = (parse_qs(database.query)[name] for name in ("host", "port"))
    between = stage.process("delays", f"{folder}/.s.PGSQL.{number}", str(broker.port))
    to_database, to_broker = between.greeting
    farther = {
        "database_url": f"postgresql://{database.username}@{HOST}:{to_database}{database.path}",
        "redis_url": f"redis://:{broker.password}@{HOST}:{to_broker}{broker.path}",
    }
    found = {}
    with other_workers(stage, settings=farther):
        for added_ms in _ADDED_MS:
            between.ask(str(added_ms))
            found[f"added_{added_ms}_ms_ratio"] = against_bare(stage, events=_EVENTS, bursts=_BURSTS)
        between.ask("0")
    return found


DISTANCE: Final = (
    Scenario("distance", "with 1, 2, 5, 20 and 100 ms more to Redis and PostgreSQL", distance, is_once=True),
)
