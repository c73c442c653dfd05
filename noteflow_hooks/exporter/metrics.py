"""Every metric that the exporter shows; :mod:`noteflow_hooks.telemetry.metrics` has those of the other processes."""

from __future__ import annotations

from typing import Final

from noteflow_hooks.broker.names import QUEUES
from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.health.endpoint_state import EndpointState
from noteflow_hooks.domain.skipping import SkipReason
from noteflow_hooks.telemetry.metrics import Metric

#: Bounds in seconds: each is one of the roll-ups' own, so that nothing is divided.
_LATENCY_S: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 7200, 21600, 86400)
_DURATION_S: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_TRIES: Final = (1, 2, 3, 4, 5, 8, 12, 20)


def _each(*values: str) -> tuple[tuple[str, ...], ...]:
    return tuple((value,) for value in values)


def _gauge(name: str, text: str, *labels: str, known: tuple[tuple[str, ...], ...] = ()) -> Metric:
    return Metric(name=name, kind="gauge", help=text, labels=labels, known=known)


EVENTS: Final = Metric(
    name="events",
    kind="counter",
    help="Events that were stored, by type; custom stands for all types of the workspaces' own.",
    labels=("type",),
)
ATTEMPTS: Final = Metric(
    name="attempts",
    kind="counter",
    help="Attempts on record, by outcome and, of those that failed, by kind.",
    labels=("outcome", "kind"),
    known=(("succeeded", "none"), *(("failed", kind) for kind in ErrorKind)),
)
ENDED: Final = Metric(
    name="deliveries_settled",
    kind="counter",
    help="Deliveries that have ended: succeeded, dead by the kind of their last failure, skipped by the reason.",
    labels=("status", "reason"),
    known=(
        ("succeeded", "none"),
        *(("dead", kind) for kind in ErrorKind),
        *(("skipped", reason) for reason in SkipReason),
    ),
)
LATENCY: Final = Metric(
    name="delivery_latency_seconds",
    kind="histogram",
    help="From an event to its receipt, of deliveries never sent again, by whether the first attempt brought it.",
    labels=("attempt",),
    known=_each("first", "later"),
    buckets=_LATENCY_S,
)
DURATION: Final = Metric(
    name="post_duration_seconds",
    kind="histogram",
    help="How long the attempts on record took.",
    known=((),),
    buckets=_DURATION_S,
)
TRIES: Final = Metric(
    name="attempts_per_delivery",
    kind="histogram",
    help="How many attempts deliveries took until they succeeded or were dead.",
    known=((),),
    buckets=_TRIES,
)
COUNTED_TO: Final = _gauge(
    "stats_counted_to_timestamp_seconds", "Up to when the counters and histograms have counted everything."
)
UNDISPATCHED: Final = _gauge("events_undispatched", "Events that wait to be dispatched, up to 10000.")
UNDISPATCHED_OLDEST: Final = _gauge("events_undispatched_oldest_seconds", "For how long the first of them has waited.")
DUE: Final = _gauge("deliveries_due", "Deliveries that are due and that nothing holds, up to 10000.")
DUE_OLDEST: Final = _gauge("deliveries_due_oldest_seconds", "For how long the first of them has been due.")
THROTTLED: Final = _gauge("deliveries_held", "Deliveries that wait for their endpoint, up to 10000.")
SENDING: Final = _gauge("deliveries_sending", "Deliveries that workers have claimed, up to 10000.")
EXPIRED: Final = _gauge("leases_expired", "Claims whose worker gave no answer in time, up to 10000.")
EXPIRED_OLDEST: Final = _gauge("leases_expired_oldest_seconds", "For how long the first of them has been over.")
ENDPOINTS: Final = _gauge("endpoints", "Endpoints by state.", "state", known=_each(*EndpointState))
REPLAYS: Final = _gauge("replays_running", "Replays under way, up to 10000.")
MAILS_WAITING: Final = _gauge("mails_waiting", "Mails to endpoints' contacts that wait to be sent, up to 10000.")
MAILS_OLDEST: Final = _gauge("mails_waiting_oldest_seconds", "For how long the first of them has waited.")
TASK_RUN: Final = _gauge(
    "task_last_run_timestamp_seconds", "When each periodic task last ran to its end.", "task"
)  # fmt: skip
CLOCK_SKEW: Final = _gauge(
    "clock_skew_seconds", "How far the exporter's clock is ahead of the database's; negative where it is behind."
)
CIPHERTEXTS: Final = _gauge(
    "ciphertexts",
    "Stored secrets by the state of their key: the current one, an old one, or one that SECRET_KEYS does not have.",
    "key",
    known=_each("current", "old", "missing"),
)
CLIENT_CERTIFICATE: Final = _gauge(
    "client_certificate_end_timestamp_seconds", "When the first client certificate of an enabled endpoint ends."
)
SERVER_CERTIFICATE: Final = _gauge(
    "server_certificate_end_timestamp_seconds", "When the certificate of GRPC_TLS_CERT ends."
)
CONNECTIONS: Final = _gauge("database_connections", "Connections to the database server, all programs' together.")
MOST_CONNECTIONS: Final = _gauge("database_connections_max", "How many it takes.")
DATABASE_UP: Final = _gauge("database_up", "1 if the database answered the exporter's last look, else 0.")
QUEUED: Final = _gauge("queue_messages", "Messages that wait in each queue.", "queue", known=_each(*QUEUES))
CONSUMERS: Final = _gauge("queue_consumers", "Workers that take from each queue.", "queue", known=_each(*QUEUES))
WORKERS: Final = _gauge(
    "workers",
    "Workers: taking tasks, or with none to take; stuck, answering while their queues wait; silent, having answered"
    " within ten minutes and answering no more.",
    "state",
    known=_each("taking", "stuck", "silent"),
)
REDIS_UP: Final = _gauge("redis_up", "1 if Redis answered the exporter's last look, else 0.")

FROM_TOTALS: Final = (EVENTS, ATTEMPTS, ENDED, LATENCY, DURATION, TRIES)
FROM_DATABASE: Final = (
    *FROM_TOTALS,
    COUNTED_TO,
    UNDISPATCHED,
    UNDISPATCHED_OLDEST,
    DUE,
    DUE_OLDEST,
    THROTTLED,
    SENDING,
    EXPIRED,
    EXPIRED_OLDEST,
    ENDPOINTS,
    REPLAYS,
    MAILS_WAITING,
    MAILS_OLDEST,
    TASK_RUN,
    CLOCK_SKEW,
    CIPHERTEXTS,
    CLIENT_CERTIFICATE,
    CONNECTIONS,
    MOST_CONNECTIONS,
)
FROM_BROKER: Final = (QUEUED, CONSUMERS, WORKERS)
ALL: Final = (*FROM_DATABASE, SERVER_CERTIFICATE, DATABASE_UP, *FROM_BROKER, REDIS_UP)
