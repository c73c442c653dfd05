"""When the faults of `docs/operations.md` raise their alerts: what metrics show of each, as Prometheus scrapes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from noteflow_hooks.exporter.broker import _PING_S
from noteflow_hooks.exporter.collector import _ASK_EVERY_S, _FRESH_S
from noteflow_hooks.exporter.database import _SELDOM_S

if TYPE_CHECKING:
    from tests.support.alert_cases import Series

SCRAPE_S: Final = 15
#: When Prometheus first has what tells of the fault: the seventh scrape.
SEEN_AT_S: Final = 6 * SCRAPE_S
#: Prometheus waits for so long for an answer.
_SCRAPE_TIMEOUT_S: Final = 10
#: A look at Redis and the workers: the pause before it, and the two questions that nobody answers in time.
_LOOK_S: Final = _ASK_EVERY_S + 2 * _PING_S
_DAY: Final = 86_400


class Fault(NamedTuple):
    """One alert of one fault."""

    #: How the fault's row begins.
    row: str
    #: The alert, without its prefix.
    alert: str
    #: The longest time from the fault until Prometheus has what tells of it, by the metric and the scrape.
    seen_s: float
    series: Series


def _falls(metric: str) -> Series:
    return {metric: "1x5 0x30"}


def _rises(metric: str) -> Series:
    return {metric: "0x5 1x30"}


FAULTS: Final = (
    Fault("a worker is frozen", "WorkerSilent", _LOOK_S + SCRAPE_S, _rises('workers{state="silent"}')),
    Fault("a worker is frozen", "TargetDown", _SCRAPE_TIMEOUT_S + SCRAPE_S, _falls('up{job="noteflow-hooks-worker"}')),
    # Its queues are asked for first: it may freeze right behind that.
    Fault("a worker is frozen", "NoConsumers", _LOOK_S + 2 * _PING_S + SCRAPE_S, _falls("queue_consumers")),
    # What is scraped does not change any more: 45 s later that is late.
    Fault("beat is dead", "MaintenanceStalled", 45, {'task_last_run_timestamp_seconds{task="relay"}': "0+15x2 45x30"}),
    Fault("Redis is dead", "RedisDown", _LOOK_S + SCRAPE_S, _falls("redis_up")),
    Fault("PostgreSQL is dead", "DatabaseDown", _FRESH_S + SCRAPE_S, _falls("database_up")),
    # Relay and sweep try something every five seconds.
    Fault("its disk is full", "DatabaseRefuses", 5 + SCRAPE_S, _rises('database_errors_total{kind="resources"}')),
    # A program that starts with it has been refused already when it is scraped first.
    Fault(
        "a wrong password", "DatabaseRefuses", 5 + 2 * SCRAPE_S, {'database_errors_total{kind="refused"}': "_x5 2+3x30"}
    ),
    Fault("a wrong password", "DatabaseDown", _FRESH_S + SCRAPE_S, _falls("database_up")),
    Fault("a wrong password", "RedisDown", _LOOK_S + SCRAPE_S, _falls("redis_up")),
    Fault(
        "an endpoint's client certificate has expired",
        "CertificateEnds",
        _SELDOM_S + SCRAPE_S,
        {"client_certificate_end_timestamp_seconds": f"{90 * _DAY}x5 -1x30"},
    ),
    Fault(
        "the server's own has expired",
        "CertificateEnds",
        SCRAPE_S,
        {"server_certificate_end_timestamp_seconds": f"{90 * _DAY}x5 -1x30"},
    ),
    Fault(
        "a tenth of the endpoints is down",
        "EndpointsFailing",
        _SELDOM_S + SCRAPE_S,
        {
            'endpoints{state="healthy"}': "30x5 27x30",
            'endpoints{state="failing"}': "0x5 2x30",
            'endpoints{state="circuit_open"}': "0x5 1x30",
        },
    ),
)
