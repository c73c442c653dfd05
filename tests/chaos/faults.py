"""Makes the faults, from outside and for real, and sees that each part comes back as a supervisor would have it.

Call it from the main thread alone, since processes are started here.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Final, cast

from tests.chaos.crew import GROUPS
from tests.chaos.ledgers import Fault, Pair
from tests.chaos.options import Kind
from tests.support.waiting import until

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from tests.chaos.crew import Crew
    from tests.support.system_rig import SystemRig

#: How long a database or a broker is away at the most before it is started again.
_AWAY_S: Final = 1.0
_FROZEN_S: Final = (1.0, 3.0)
_SENDING: Final = "SELECT event_id::text, webhook_id::text FROM noteflow.webhook_deliveries WHERE status = 'sending'"


class Faults:
    """What happens to one running system.

    Args:
        rig: The system.
        crew: Its workers.
        paths: The endpoints' paths, by their ids.
        chance: Decides who is hit, how and for how long.
    """

    def __init__(self, rig: SystemRig, crew: Crew, *, paths: Mapping[str, str], chance: random.Random) -> None:
        self._rig = rig
        self._crew = crew
        self._paths = paths
        self._chance = chance
        self._thaws: list[threading.Thread] = []
        self._make: Mapping[Kind, Callable[[], Fault]] = {
            Kind.WORKER: lambda: self._kill_groups(Kind.WORKER, chance.choice(GROUPS)),
            Kind.WORKERS: lambda: self._kill_groups(Kind.WORKERS, *GROUPS),
            Kind.CHILD: self._kill_child,
            Kind.BROKER: self._kill_broker,
            Kind.FROZEN: self._freeze_broker,
            Kind.DATABASE: self._kill_database,
            Kind.SERVER: lambda: self._kill_program(Kind.SERVER, "server"),
            Kind.BEAT: lambda: self._kill_program(Kind.BEAT, "beat"),
        }

    def make(self, kind: Kind) -> Fault:
        """Make a fault, and return once what was killed has been started again."""
        return self._make[kind]()

    def close(self) -> None:
        """Wait until nothing is frozen any more."""
        for thread in self._thaws:
            thread.join()

    def _kill_groups(self, kind: Kind, *names: str) -> Fault:
        with self._crew.frozen(names):
            return self._seen(kind)

    def _kill_child(self) -> Fault:
        with self._crew.frozen_child(self._chance.randrange(2)):
            return self._seen(Kind.CHILD)

    def _seen(self, kind: Kind) -> Fault:
        """Note what is in flight now, while the victim stands still."""
        rows = self._rig.database.execute(_SENDING).fetchall()
        in_flight: frozenset[Pair] = frozenset((event_id, self._paths[webhook_id]) for event_id, webhook_id in rows)
        return Fault(kind, time.monotonic(), in_flight)

    def _kill_broker(self) -> Fault:
        fault = Fault(Kind.BROKER, time.monotonic())
        self._rig.kill("valkey")
        self._stay_away()
        self._rig.restart("valkey")
        kept = cast("dict[str, Any]", self._rig.redis.info("persistence"))
        assert (kept["aof_enabled"], kept["rdb_last_load_keys_loaded"]) == (0, 0), "Valkey came back with its data"
        return fault

    def _freeze_broker(self) -> Fault:
        stopped = threading.Event()
        seconds = self._chance.uniform(*_FROZEN_S)

        def freeze() -> None:
            with self._rig.frozen("valkey"):
                stopped.set()
                threading.Event().wait(seconds)

        self._thaws.append(threading.Thread(target=freeze, name="frozen Valkey"))
        self._thaws[-1].start()
        stopped.wait()
        return Fault(Kind.FROZEN, time.monotonic())

    def _kill_database(self) -> Fault:
        self._rig.disconnect()
        fault = Fault(Kind.DATABASE, time.monotonic())
        if self._chance.random() < 1 / 2:
            self._rig.kill("postgres")
        else:
            # What `pg_ctl stop -m immediate` sends.
            os.kill(self._rig.pid("postgres"), signal.SIGQUIT)
        until(lambda: "postgres" not in self._rig.system.processes, what="PostgreSQL ends")
        self._stay_away()
        self._rig.restart("postgres")
        return fault

    def _kill_program(self, kind: Kind, name: str) -> Fault:
        fault = Fault(kind, time.monotonic())
        self._rig.kill(name)
        self._rig.restart(name)
        return fault

    def _stay_away(self) -> None:
        threading.Event().wait(self._chance.uniform(0, _AWAY_S))
