"""Every constant by which the engine is tuned, once.

What depends on a deployment is a setting. What belongs to a rule of the domain stands with the rule, in
`domain/health`: the burst, what counts as stalled, how many endpoints share a claim. What relay and sweep find is
bounded in `maintenance/rescue.py`, what one statement takes on in `persistence/sql/limits.py`, and how long the sweep
waits for locks, and for workers after PostgreSQL was away, in `lock_patience.py` and `restart_patience.py` of
`persistence/sql/delivery`: adapters import nothing of this package.

How long something may take before something else is done about it, from quick to slow. Each step gives something back
(a permit, the endpoint's share, the task), and none ends the POST, which has its webhook's whole timeout:

| after | what is done | why then |
|---|---|---|
| 50 ms | a POST moves to the slow share: `BULKHEAD.move_after_s` | most have ended; a quick one can use the permit |
| 0.2 s | it counts as stalled: `scheduling.STALLED_AFTER` | four times as long: ten such are no coincidence |
| 0.25 s | its task goes on without it: `TASK_PATIENCE_S` | just longer: a task's own claims see what stalls |
| 1 s | its endpoint is slow: the setting `SLOW_AFTER_S` | from here on nobody waits: it has the slow lane |
"""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from noteflow_hooks.concurrency.bulkhead import BulkheadTuning

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.domain.retry import RetryPolicy

#: Deliveries made by one dispatching statement, at the most.
DISPATCH_PAGE: Final = 2_000
#: A page that leases less than half of what there is room for is followed by one so many times as large.
PAGE_GROWTH: Final = 8
#: When the few that a page could not lease beside the rest are looked for, with those of other pages in one message.
LEFT_OVER_AFTER: Final = timedelta(milliseconds=200)
#: So many named deliveries are a quiet moment's, and looked for again by themselves where they were passed over.
FEW: Final = 10
#: While so many messages wait in the queue, a round of dispatching adds its first chunk's and no more.
QUEUED_CHUNKS: Final = 8

#: While endpoints have a scheduling slot, one in so many permits of a chunk is theirs.
THROTTLED_DIVISOR: Final = 4
#: How often to look for throttled deliveries that somebody else is just claiming, and how long to wait in between.
CLAIM_TRIES: Final = 4
CLAIM_PAUSE_S: Final = 0.004
#: When to look again after that.
LOOK_AGAIN_AFTER: Final = timedelta(milliseconds=20)

#: How long a task waits for its slowest receivers; see the table.
TASK_PATIENCE_S: Final = 0.25
#: How long the filters of a chunk keep its other POSTs waiting; what is left is asked in the POSTs' own threads. Each
#: takes microseconds, and a hostile one 10 ms.
FILTERS_PATIENCE_S: Final = 0.02
#: How many chunks a task takes at the most before it makes room for another: fewer messages for a long backlog.
ROUNDS: Final = 8
#: While more tasks than this deliver, or dispatch, none goes on with a backlog: a few keep all threads busy, and the
#: other tasks are for fresh events.
BACKLOG_TASKS: Final = 4

#: How long a task that dispatches a long backlog waits for any permit; then it makes deliveries for others to send.
ROOM_PATIENCE_S: Final = 1.0

#: So many tasks that go on keep a process busy; a wake-up of its own would cost it as much as ten deliveries.
BUSY_TASKS: Final = 2
#: While so many wake-ups wait in a lane's queue, one more is not worth sending.
QUEUED_WAKE_UPS: Final = 2
#: A slot may be used so much later than it comes, in parts of its wait and in seconds: others' wake-ups then serve it.
DEBOUNCE_PART: Final = 0.1
DEBOUNCE_S: Final = 0.02
#: Wake-ups for slots that come late enough for it by this leave for full steps of so many seconds, so that endpoints
#: whose breakers open one after another share one.
DEBOUNCE_STEP_S: Final = 0.2
#: How many messages may wait for Redis; more mean that it hardly answers. After a failure, how long nothing is tried.
SENDER_MOST: Final = 1_000
SENDER_PAUSE_S: Final = 1.0

#: Deliveries that come due within this of each other are retried by one message, when the last of them is due.
RETRY_WINDOW: Final = timedelta(milliseconds=200)
#: How often a process looks through the retries of its tasks that it gathers, so that those share messages too; and how
#: long one is gathered at the most. It is lost with its process, as messages that wait are with theirs.
RETRY_GATHER_S: Final = 0.05
RETRY_HELD_S: Final = 2.0
#: Late results that come in within this of each other are settled together.
GATHER_S: Final = 0.02
#: The first and the longest pause between two tries to store results while the database is away. Once it is back, the
#: sweep waits for longer than the longest and a try to connect (`restart_patience.py`).
STORE_PAUSES_S: Final = (0.1, 2.0)
#: How long it is tried beyond the leases. While the database is away nobody else can take the deliveries, and right
#: after its start nobody does.
STORE_BEYOND_S: Final = 300.0
#: How long a worker that is told to end tries it: the database may have been told the same, and not come back. What it
#: gives up then is sent again. It is less than a service manager's patience, with a POST's timeout before it.
STORE_ENDING_S: Final = 30.0

BULKHEAD: Final = BulkheadTuning(
    # Quick receivers give a chunk's permits back in less; without the wait a busy process claims a few rows at a time,
    # and pays for each claim as for a full one.
    patience_s=0.1,
    move_after_s=0.05,
    # Each group costs a transaction.
    group_spacing_s=0.02,
    slow_divisor=4,
    # Each call costs a thread and a socket.
    total_multiple=5,
)


@dataclass(frozen=True, slots=True)
class DeliveryRules:
    """What a deployment's settings say of delivering."""

    policy: RetryPolicy
    #: How many deliveries one message names, and one claim takes at the most.
    chunk: int
    #: How much longer than the endpoint's timeout a claim is leased.
    lease_slack: timedelta
    #: The longest wait that goes back to the queue; the sweep sees to longer ones.
    countdown_max: timedelta
    #: How long an attempt is waited for before its endpoint counts as slow.
    slow_after: timedelta


@dataclass(frozen=True, slots=True)
class Clock:
    """What differs from run to run: this process's time and end, and chance. Tests give their own."""

    #: Seconds, never set back.
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    #: Since when the process is to end, by ``monotonic``; infinity before it is told to.
    ending_since: Callable[[], float] = lambda: math.inf
    #: Uniform in [0, 1).
    draw: Callable[[], float] = random.random
