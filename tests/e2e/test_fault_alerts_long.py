"""Real faults of a real system raise their alerts within a minute, in a real Prometheus that scrapes every 15 s."""

from __future__ import annotations

import contextlib
import json
import sys
from functools import partial
from typing import TYPE_CHECKING, Final

import grpc
import pytest
from psycopg import sql

from noteflow_hooks.local.stack.ports import free_address
from tests.support.extra_programs import log_of, started
from tests.support.fault_cases import SCRAPE_S
from tests.support.prometheus import Prometheus, prometheus
from tests.support.scraping import address_in
from tests.support.steady_publisher import publish_request
from tests.support.system_rig import SystemRig
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.chaos

WITHIN_S: Final = 60.0
#: One whose certificate has ended, as a row has it.
ENDED: Final = json.dumps({"client": ["CN=x", "CN=y", "2026-01-01T00:00:00+00:00", "00"], "server_ca": []})
EXPORTER: Final = (sys.executable, "-m", "noteflow_hooks.cli", "exporter", "--bind", "127.0.0.1:0")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemRig]:
    with SystemRig(tmp_path_factory.mktemp("faults"), metrics_bind="127.0.0.1:0") as running:
        yield running


@pytest.fixture(scope="module")
def watch(rig: SystemRig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Offer a Prometheus that has asked server, worker and exporter, and found nothing wrong."""
    with started(rig, "exporter", EXPORTER):
        programs = {"server": "server", "worker": "worker-1", "exporter": "exporter"}
        jobs = {f"noteflow-hooks-{job}": address_in(partial(_log, rig, name)) for job, name in programs.items()}
        with prometheus(tmp_path_factory.mktemp("prometheus"), jobs, scrape=f"{SCRAPE_S}s") as running:
            until(lambda: len(running.query("up == 1")) == len(jobs), what="all are scraped")
            until(lambda: running.query('noteflow_hooks_workers{state="taking"} == 1'), what="the worker is known")
            assert firing(running) == set()
            yield running


def _log(rig: SystemRig, name: str) -> str:
    return log_of(rig, name).read_text()


def firing(watch: Prometheus) -> set[str]:
    """Return the alerts that fire now."""
    return {each["metric"]["alertname"] for each in watch.query('ALERTS{alertstate="firing"}')}


def fire(watch: Prometheus, *alerts: str) -> None:
    """Expect these, among whatever else, a minute from now."""
    wanted = {f"NoteflowHooks{each}" for each in alerts}
    until(
        lambda: wanted <= firing(watch), timeout_s=WITHIN_S, what=lambda: f"firing {wanted}, and found {firing(watch)}"
    )


def test_endpoints_that_are_down_and_a_certificate_that_has_ended(rig: SystemRig, watch: Prometheus) -> None:
    """Three of four answer nobody, and one of those has a certificate of last year."""
    rig.webhook()
    nobody = free_address()
    down = [rig.webhook(url=f"https://{nobody}/{number}") for number in range(3)]
    rig.publish()
    rig.database.execute("UPDATE noteflow.webhook_configs SET certificate_info = %s WHERE id = %s", [ENDED, down[0].id])
    fire(watch, "EndpointsFailing", "CertificateEnds")
    rig.remove_webhooks()


def test_a_frozen_worker_and_a_dead_beat(rig: SystemRig, watch: Prometheus) -> None:
    """At once, as when a host hangs."""
    with rig.frozen("worker-1"):
        rig.kill("beat")
        fire(watch, "WorkerSilent", "TargetDown", "NoConsumers", "MaintenanceStalled")
    rig.restart("beat")
    quiet = {"NoteflowHooksWorkerSilent", "NoteflowHooksMaintenanceStalled", "NoteflowHooksTargetDown"}
    until(lambda: not quiet & firing(watch), what="it is over", timeout_s=2 * WITHIN_S)


def test_a_dead_redis_and_a_database_that_refuses_all(rig: SystemRig, watch: Prometheus) -> None:
    """As with a wrong password; then a database that is dead."""
    role = sql.Identifier(rig.database.info.user)
    rig.database.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(role))
    rig.database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ^@ 'noteflow-hooks'"
    )
    rig.kill("valkey")
    with contextlib.suppress(grpc.RpcError):
        rig.client.events.PublishEvent(publish_request(), timeout=PATIENCE_S)
    fire(watch, "RedisDown", "DatabaseRefuses", "DatabaseDown")
    rig.database.execute(sql.SQL("ALTER ROLE {} LOGIN").format(role))
    until(lambda: "NoteflowHooksDatabaseDown" not in firing(watch), what="it is over", timeout_s=2 * WITHIN_S)
    rig.disconnect()
    rig.kill("postgres")
    fire(watch, "DatabaseDown")
    for name in ("postgres", "valkey"):
        rig.restart(name)
