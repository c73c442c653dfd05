"""Every metric that a process counts by itself: its name, what it is, and the values that its labels may have.

No label ever says which workspace, endpoint or URL it was: its values stand here, or are names of our own RPCs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

#: What each name begins with.
PREFIX: Final = "noteflow_hooks_"

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric of processes."""

    #: Without the prefix; a counter's without ``_total``.
    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    #: The values, in the order of the labels, that are shown as 0 before anything was counted.
    known: tuple[tuple[str, ...], ...] = ()
    #: A histogram's upper bounds, rising; what is above the last one has a bucket too.
    buckets: tuple[float, ...] = ()
    #: Whether a gauge of several processes is their largest, and not their sum.
    is_largest: bool = False


def _each(*values: str) -> tuple[tuple[str, ...], ...]:
    return tuple((value,) for value in values)


#: Why the database, or Redis, gave no answer.
DATABASE_KINDS: Final = (
    "connection", "refused", "timeout", "deadlock", "resources", "read_only", "shutdown", "no_connection_free", "other"
)  # fmt: skip
REDIS_KINDS: Final = ("connection", "timeout", "authentication", "read_only", "memory", "other")
#: The wake-ups' queues, and what came of them.
WAKE_UP_QUEUES: Final = ("dispatch", "deliver", "deliver.slow")

GRPC_CALLS: Final = Metric(
    name="grpc_calls",
    kind="counter",
    help="gRPC calls that have ended, by method and status code.",
    labels=("method", "code"),
)
GRPC_SECONDS: Final = Metric(
    name="grpc_call_seconds",
    kind="counter",
    help="Seconds that gRPC calls took, by method; over grpc_calls_total it is their mean.",
    labels=("method",),
)
GRPC_DURATION: Final = Metric(
    name="grpc_call_duration_seconds",
    kind="histogram",
    help="How long unary gRPC calls took, all methods together.",
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
CLAIM_LAG: Final = Metric(
    name="claim_lag_seconds",
    kind="histogram",
    help="How long deliveries waited from when they were made to their first claim, by the database's clock.",
    buckets=(0.005, 0.02, 0.1, 0.25, 1.0, 2.5, 10.0, 60.0, 300.0, 3600.0),
)
POSTS: Final = Metric(name="posts", kind="counter", help="POSTs that were begun.")
POSTS_UNDER_WAY: Final = Metric(
    name="posts_under_way", kind="gauge", help="POSTs under way: the places of post_places that are in use."
)
POST_PLACES: Final = Metric(name="post_places", kind="gauge", help="Places for POSTs at once (POST_CONCURRENCY).")
CONNECTIONS: Final = Metric(
    name="connections",
    kind="counter",
    help="Connections to endpoints over which a POST went: made for it, or kept from one before.",
    labels=("how",),
    known=_each("made", "reused"),
)
WAKE_UPS: Final = Metric(
    name="wake_ups",
    kind="counter",
    help="Wake-ups by queue: sent, or lost because Redis refused them; relay and sweep find what those were about.",
    labels=("queue", "result"),
    known=tuple((queue, result) for queue in WAKE_UP_QUEUES for result in ("sent", "lost")),
)
DROPPED: Final = Metric(
    name="messages_dropped",
    kind="counter",
    help="Messages and broadcasts that were dropped since they are no task, or could not be begun.",
    labels=("reason",),
    known=_each("malformed", "not_begun", "broadcast"),
)
DATABASE_ERRORS: Final = Metric(
    name="database_errors",
    kind="counter",
    help="Statements and connections that PostgreSQL refused, lost or did not answer, by kind.",
    labels=("kind",),
    known=_each(*DATABASE_KINDS),
)
REDIS_ERRORS: Final = Metric(
    name="redis_errors",
    kind="counter",
    help="Commands and connections that Redis refused, lost or did not answer, by kind.",
    labels=("kind",),
    known=_each(*REDIS_KINDS),
)
MAILS: Final = Metric(
    name="mails",
    kind="counter",
    help="Mails to endpoints' contacts: sent; refused by the mail server for now; given up.",
    labels=("result",),
    known=_each("sent", "refused", "given_up"),
)
TRIGGERS_FAILED: Final = Metric(
    name="event_triggers_failed",
    kind="counter",
    help="Events that were not recorded though their meeting's change was: each is lost, and a fault of ours.",
    known=((),),
)
TOKENS_REFUSED: Final = Metric(
    name="tokens_refused",
    kind="counter",
    help="Calls refused for their token: none came, it is unknown or has ended, or its scopes don't allow the call.",
    labels=("reason",),
    known=_each("missing", "unknown", "scope"),
)
CLOCK_SKEW: Final = Metric(
    name="worker_clock_skew_seconds",
    kind="gauge",
    help="How far a worker's clock is from the database's, ahead or behind; the farthest of its processes.",
    is_largest=True,
)
PROCESSES: Final = Metric(
    name="processes", kind="gauge", help="Processes whose figures are in this answer and that live."
)

ALL: Final = (
    GRPC_CALLS,
    GRPC_SECONDS,
    GRPC_DURATION,
    CLAIM_LAG,
    POSTS,
    POSTS_UNDER_WAY,
    POST_PLACES,
    CONNECTIONS,
    WAKE_UPS,
    DROPPED,
    DATABASE_ERRORS,
    REDIS_ERRORS,
    MAILS,
    TRIGGERS_FAILED,
    TOKENS_REFUSED,
    CLOCK_SKEW,
    PROCESSES,
)
