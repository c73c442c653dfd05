"""When each alert of `deploy/prometheus/rules.yml` fires, and when not: series as promtool's tests write them."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

#: Values one after another, by the series' name without its prefix.
Series: TypeAlias = dict[str, str]


class Case(NamedTuple):
    """A firing one and a silent one; each is looked at after ``at``."""

    fires: Series
    silent: Series
    at: str = "5m"
    #: How far apart the values are, and how often the alert is looked at.
    every: str = "15s"


def _since(seconds: float) -> str:
    """Return a moment that many seconds before each look: time goes on from 0."""
    return f"{-seconds}+15x40"


_DAY: Final = 86_400
_HEALTHY: Final = {'endpoints{state="healthy"}': "95x40", 'endpoints{state="disabled"}': "100x40"}


def _late(share: int) -> Series:
    """Return latencies of which so many in a hundred take longer than ten seconds."""
    bucket = 'delivery_latency_seconds_bucket{attempt="first",le="10.0"}'
    return {
        bucket: f"0+{100 - share}x400",
        'delivery_latency_seconds_count{attempt="first"}': "0+100x400",
    }


CASES: Final[dict[str, Case]] = {
    "NoData": Case({}, {"database_up": "1x40"}),
    "TargetDown": Case({'up{job="noteflow-hooks-worker"}': "1x4 0x36"}, {'up{job="noteflow-hooks-worker"}': "1x40"}),
    "EventsNotDispatched": Case(
        {"events_undispatched_oldest_seconds": "0+15x40"}, {"events_undispatched_oldest_seconds": "9x40"}
    ),
    "DeliveriesLate": Case({"deliveries_due_oldest_seconds": "0+15x40"}, {"deliveries_due_oldest_seconds": "5x40"}),
    "MaintenanceStalled": Case(
        {'task_last_run_timestamp_seconds{task="relay"}': "0x40"},
        {
            'task_last_run_timestamp_seconds{task="sweep"}': _since(10),
            'task_last_run_timestamp_seconds{task="purge"}': "0x40",
        },
    ),
    "NoConsumers": Case(
        {'queue_consumers{queue="deliver"}': "1x10 0x30"}, {'queue_consumers{queue="deliver"}': "1x5 0 1x35"}
    ),
    "WorkerStuck": Case(
        {'workers{state="stuck"}': "0x10 1x30"}, {'workers{state="stuck"}': "0x40", 'workers{state="taking"}': "2x40"}
    ),
    "WorkerSilent": Case({'workers{state="silent"}': "0x10 1x30"}, {'workers{state="silent"}': "0x40"}),
    "DatabaseDown": Case({"database_up": "1x10 0x30"}, {"database_up": "1x40"}),
    "DatabaseRefuses": Case(
        {'database_errors_total{kind="resources"}': "0x15 1x25"},
        {'database_errors_total{kind="resources"}': "7x40", 'database_errors_total{kind="deadlock"}': "0+1x40"},
    ),
    "RedisDown": Case({"redis_up": "1x10 0x30"}, {"redis_up": "1x40"}),
    "TriggersLost": Case({"event_triggers_failed_total": "0x10 1x30"}, {"event_triggers_failed_total": "3x40"}),
    "OwnFaults": Case(
        {'grpc_calls_total{method="EventService/PublishEvent",code="INTERNAL"}': "_x10 1x30"},
        {
            'grpc_calls_total{method="EventService/PublishEvent",code="OK"}': "0+9x40",
            'attempts_total{outcome="failed",kind="timeout"}': "0+1x40",
            'attempts_total{outcome="failed",kind="internal"}': "4x40",
        },
    ),
    "LeasesExpired": Case({"leases_expired_oldest_seconds": "0+15x40"}, {"leases_expired_oldest_seconds": "4x40"}),
    "DeadLetters": Case(
        {'deliveries_settled_total{status="dead",reason="status"}': "0x10 1x30"},
        {
            'deliveries_settled_total{status="dead",reason="status"}': "5x40",
            'deliveries_settled_total{status="succeeded",reason="none"}': "0+5x40",
        },
    ),
    "EndpointsFailing": Case(
        {**_HEALTHY, 'endpoints{state="failing"}': "0x10 7x30", 'endpoints{state="circuit_open"}': "0x10 5x30"},
        {**_HEALTHY, 'endpoints{state="failing"}': "5x40", 'endpoints{state="circuit_open"}': "1x40"},
    ),
    "CertificateEnds": Case(
        {"client_certificate_end_timestamp_seconds": f"{13 * _DAY}x40"},
        {
            "client_certificate_end_timestamp_seconds": f"{20 * _DAY}x40",
            "server_certificate_end_timestamp_seconds": f"{90 * _DAY}x40",
        },
    ),
    "ClockSkew": Case({"worker_clock_skew_seconds": "0x10 45x30"}, {"clock_skew_seconds": "-20x40"}),
    "KeyMissing": Case({'ciphertexts{key="missing"}': "0x10 1x30"}, {'ciphertexts{key="missing"}': "0x40"}),
    "OldKey": Case(
        {'ciphertexts{key="old"}': "3x150"}, {'ciphertexts{key="old"}': "3x75 0x75"}, at="24h30m", every="10m"
    ),
    "PurgeStalled": Case(
        {'task_last_run_timestamp_seconds{task="purge"}': "0x100"},
        {'task_last_run_timestamp_seconds{task="purge"}': "0+15x100"},
        at="20m",
    ),
    "CountsBehind": Case(
        {"stats_counted_to_timestamp_seconds": "0x100"}, {"stats_counted_to_timestamp_seconds": "0+15x100"}, at="10m"
    ),
    "MailsWait": Case({"mails_waiting_oldest_seconds": "3500+15x40"}, {"mails_waiting_oldest_seconds": "1200+15x40"}),
    "ConnectionsScarce": Case(
        {"database_connections": "95x40", "database_connections_max": "100x40"},
        {"database_connections": "40x40", "database_connections_max": "100x40"},
    ),
    "LatencyBudgetFast": Case(_late(20), _late(10), at="1h10m", every="1m"),
    "LatencyBudgetSlow": Case(_late(8), _late(4), at="6h10m", every="1m"),
}
