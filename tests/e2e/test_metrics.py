"""What server and workers tell of themselves at `/metrics`, under each pool, with children that come and go."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Final

import grpc
import psutil
import pytest
from psycopg import sql

from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.local.stack.environment import variables
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.support.extra_programs import log_of, started
from tests.support.metrics_page import rows_under
from tests.support.prometheus import expressions, prometheus, promtool
from tests.support.receiver_connection import Answer
from tests.support.scraping import Scrape, address_in, scraped
from tests.support.server_group import RunningGroup
from tests.support.steady_publisher import publish_request
from tests.support.system_rig import SystemRig, a_path
from tests.support.waiting import PATIENCE_S, until
from tests.support.worker_programs import pooled_worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from noteflow_hooks.local.stack.programs import Program

EVENTS: Final = 12
#: By the jobs that Prometheus knows them by.
_JOBS: Final = {"noteflow-hooks-server": "server", "noteflow-hooks-worker": "at-work"}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemRig]:
    """Offer a system each of whose processes answers at a port of its own."""
    with SystemRig(tmp_path_factory.mktemp("metrics"), metrics_bind="127.0.0.1:0") as running:
        running.webhook(a_path())
        yield running


def _log(rig: SystemRig, name: str) -> str:
    return log_of(rig, name).read_text()


def _scraped(rig: SystemRig, name: str) -> Scrape:
    return scraped(address_in(lambda: log_of(rig, name).read_text()))


def _attempts(rig: SystemRig) -> int:
    [(count,)] = rig.database.execute("SELECT count(*) FROM noteflow.webhook_attempts").fetchall()
    return int(count)


def _deliver(rig: SystemRig, count: int = EVENTS) -> None:
    wanted = _attempts(rig) + count
    for _ in range(count):
        rig.publish()
    until(lambda: _attempts(rig) == wanted, what=f"{count} attempts are recorded")


def test_a_server_counts_its_calls(rig: SystemRig) -> None:
    """By method and code, and how long they took; the wake-ups that it sent, and the tokens that it refused."""
    _deliver(rig, 3)
    with rig.connect("whk_nobody") as stranger, pytest.raises(Exception, match="UNAUTHENTICATED"):
        stranger.webhooks.ListWebhooks(pb.ListWebhooksRequest())

    def counted() -> bool:
        return _scraped(rig, "server").value("grpc_calls_total", code="UNAUTHENTICATED") == 1

    # A call is counted when it is over, and its caller may know of that before.
    until(counted, what="the refused call is counted")
    scrape = _scraped(rig, "server")
    assert scrape.value("grpc_calls_total", method="EventService/PublishEvent", code="OK") >= 3
    assert scrape.value("tokens_refused_total", reason="unknown") == 1
    assert scrape.value("grpc_call_duration_seconds_count") >= 3
    assert scrape.value("wake_ups_total", queue="dispatch", result="sent") >= 1


def test_one_process_with_many_posts_counts_each(rig: SystemRig) -> None:
    """Greenlets and threads: as many as there are rows of attempts, none of them under way at the end."""
    _deliver(rig)
    attempts, before = _attempts(rig), _scraped(rig, "worker-1")
    assert before.value("posts_total") == attempts
    assert before.value("post_places") == 100
    assert before.value("posts_under_way") == 0
    made, reused = (before.value("connections_total", how=how) for how in ("made", "reused"))
    assert (made >= 1, made + reused) == (True, attempts)
    assert 1 <= before.value("claim_lag_seconds_count") <= attempts
    rig.system.end_worker(1)
    command = pooled_worker("threads", "-c", "8", name="in-threads")
    with started(rig, "in-threads", command, metrics_bind="127.0.0.1:0"):
        _deliver(rig)
        scrape = _scraped(rig, "in-threads")
        assert scrape.value("posts_total") == EVENTS
        assert scrape.value("processes") == 1


def test_children_that_come_and_go_are_counted_by_their_worker(rig: SystemRig) -> None:
    """A child counts on where the one before it in its place has ended, by itself or by SIGKILL."""
    command = pooled_worker("prefork", "-c", "2", "--max-tasks-per-child", "3", name="in-children")
    with started(rig, "in-children", command, metrics_bind="127.0.0.1:0") as worker:
        for _ in range(2):
            _deliver(rig)
        assert worker.pid is not None
        first, *_ = psutil.Process(worker.pid).children()
        os.kill(first.pid, signal.SIGKILL)
        _deliver(rig)
        rig.redis.lpush("deliver", "no task")
        address = address_in(lambda: log_of(rig, "in-children").read_text())
        until(lambda: scraped(address).value("processes") == 3, what="a child takes the place of the one that ended")
        until(lambda: scraped(address).value("messages_dropped_total", reason="malformed") == 1, what="it is dropped")
        scrape = scraped(address)
        assert scrape.value("posts_total") == 3 * EVENTS
        assert scrape.value("posts_under_way") == 0
        assert 1 <= scrape.value("claim_lag_seconds_count") <= 3 * EVENTS
        with started(rig, "second", command, metrics_bind=address):
            log = log_of(rig, "second")
            until(lambda: " ready." in log.read_text(), what="the second worker is ready")
            until(lambda: "give each on this host a port of its own" in log.read_text(), what="it says so")
            assert "Traceback" not in log.read_text()


def test_the_servers_of_a_group_are_counted_together(rig: SystemRig) -> None:
    """Whoever is asked, the process that has started them answers for all; a dead one's calls stay counted."""
    with RunningGroup(rig, count=2, metrics_bind="127.0.0.1:0") as group:
        clients = group.connect_to_each()
        for client in clients.values():
            client.webhooks.WhoAmI(pb.WhoAmIRequest())
        address = address_in(group.log.read_text)
        assert scraped(address).value("grpc_calls_total", method="WebhookService/WhoAmI", code="OK") == 2
        dead = next(iter(clients))
        os.kill(dead, signal.SIGKILL)
        until(lambda: dead not in group.servers() and len(group.servers()) == 2, what="another one is started")
        assert scraped(address).value("grpc_calls_total", method="WebhookService/WhoAmI", code="OK") == 2


@pytest.fixture(scope="module")
def exporter(rig: SystemRig) -> Iterator[str]:
    """Offer the address of a running exporter."""
    command = (sys.executable, "-m", "noteflow_hooks.cli", "exporter", "--bind", "127.0.0.1:0")
    with started(rig, "exporter", command):
        yield address_in(lambda: log_of(rig, "exporter").read_text())


@pytest.fixture(scope="module")
def worker(rig: SystemRig) -> Iterator[Program]:
    """Have a worker, and some deliveries that succeed late or never."""
    if "worker-1" in rig.system.processes:
        rig.system.end_worker(1)
    with started(rig, "at-work", pooled_worker("gevent", "-c", "8", name="at-work"), metrics_bind="127.0.0.1:0") as own:
        bad, late = a_path(), a_path()
        rig.receiver.script(bad, Answer(500))
        rig.receiver.script(late, Answer(503), Answer(200))
        dead, slow = rig.webhook(bad, max_retries=2), rig.webhook(late)
        rig.publish()
        rig.settled(dead, "dead")
        rig.settled(slow, "succeeded")
        yield own


def _rows(rig: SystemRig, statement: str) -> dict[tuple[str, ...], int]:
    return {tuple(map(str, key)): count for *key, count in rig.database.execute(statement).fetchall()}


def _sums(scrape: Scrape, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    found = [each for each in scrape.samples if each.name == f"noteflow_hooks_{name}" and each.value]
    return {tuple(each.labels[label] for label in labels): each.value for each in found}


@pytest.mark.usefixtures("worker")
def test_the_exporters_sums_are_those_of_the_rows(rig: SystemRig, exporter: str) -> None:
    """Attempts by outcome and kind, deliveries by what became of them, events by type: each once, whoever sent it."""
    attempts = """
        SELECT CASE WHEN error_kind IS NULL THEN 'succeeded' ELSE 'failed' END, coalesce(error_kind, 'none'), count(*)
        FROM noteflow.webhook_attempts GROUP BY 1, 2
    """
    settled = """
        SELECT status, CASE status WHEN 'dead' THEN error_kind ELSE 'none' END, count(*)
        FROM noteflow.webhook_deliveries WHERE status NOT IN ('pending', 'sending') GROUP BY 1, 2
    """
    events = "SELECT event_type, count(*) FROM noteflow.webhook_events GROUP BY 1"
    sums = {
        ("attempts_total", "outcome", "kind"): attempts,
        ("deliveries_settled_total", "status", "reason"): settled,
        ("events_total", "type"): events,
    }

    scrape = scraped(exporter)

    def is_counted() -> bool:
        nonlocal scrape
        scrape = scraped(exporter)
        return all(_sums(scrape, *names) == _rows(rig, statement) for names, statement in sums.items())

    until(is_counted, what="everything is counted")
    counted = sum(_rows(rig, attempts).values())
    assert scrape.value("post_duration_seconds_count") == counted
    assert scrape.value("attempts_per_delivery_sum") == counted
    assert scrape.value("delivery_latency_seconds_count", attempt="later") == 1
    assert scrape.value("endpoints", state="failing") == 1


def test_the_exporter_says_how_workers_and_queues_do(rig: SystemRig, worker: Program, exporter: str) -> None:
    """Who takes from which queue; and a worker that is frozen is silent."""
    until(lambda: scraped(exporter).value("workers", state="taking") == 1, what="the worker is there")
    scrape = scraped(exporter)
    assert scrape.value("queue_consumers") == 4
    assert (scrape.value("database_up"), scrape.value("redis_up")) == (1, 1)
    [(begun,)] = rig.database.execute(
        "SELECT extract(epoch FROM min(created_at)) FROM noteflow.webhook_events"
    ).fetchall()
    assert scrape.value("task_last_run_timestamp_seconds", task="sweep") > begun
    process = psutil.Process(worker.pid)
    process.suspend()
    try:
        until(lambda: scraped(exporter).value("workers", state="silent") >= 1, what="the worker is missed")
        assert scraped(exporter).value("queue_consumers") == 0
        assert re.search(r"worker at-work@\S+ answers no more", _log(rig, "exporter"))
    finally:
        process.resume()


@pytest.mark.usefixtures("worker")
def test_a_thousand_endpoints_make_no_series(rig: SystemRig, exporter: str) -> None:
    """At most 400 of each program, none of which names an endpoint, a workspace or a host."""
    rig.database.execute(
        "INSERT INTO noteflow.webhook_configs SELECT (jsonb_populate_record(NULL::noteflow.webhook_configs,"
        " to_jsonb(config) || jsonb_build_object('id', gen_random_uuid(), 'enabled', false))).*"
        " FROM (SELECT * FROM noteflow.webhook_configs LIMIT 1) AS config, generate_series(1, 1000)"
    )
    until(lambda: scraped(exporter).value("endpoints") >= 1000, what="they are counted")
    for scrape in (scraped(exporter), _scraped(rig, "server"), _scraped(rig, "at-work")):
        assert 20 < len(scrape.samples) <= 400
        shown = {value for each in scrape.samples for value in each.labels.values()}
        assert not [value for value in shown if re.search(r"[0-9a-f]{8}-[0-9a-f]{4}|127\.0\.0\.1|localhost|://", value)]


@pytest.mark.usefixtures("worker")
def test_the_page_has_each_metric_that_is_answered(rig: SystemRig, exporter: str) -> None:
    """Both ways: what the exporter answers has its row, with type and labels, and so has each row its metric."""
    families = scraped(exporter).families
    found = {each.name + ("_total" if each.type == "counter" else ""): each.type for each in families}
    page = rows_under("From rows")
    # A certificate that there is none of has no end.
    assert {name: kind for name, (kind, _) in page.items()} == found | {
        "noteflow_hooks_server_certificate_end_timestamp_seconds": "gauge"
    }
    labels = {
        each.name + ("_total" if each.type == "counter" else ""): {
            label for sample in each.samples for label in sample.labels if label != "le"
        }
        for each in families
        if each.samples
    }
    assert {name: set(page[name][1]) for name in labels} == labels
    assert {each.name for scrape in (_scraped(rig, "server"), _scraped(rig, "at-work")) for each in scrape.families}


@pytest.mark.usefixtures("worker")
def test_prometheus_finds_no_fault_with_what_is_answered(rig: SystemRig, exporter: str) -> None:
    """Names, units, types and help of all three programs, by its own rules; it does find what breaks them."""
    for scrape in (scraped(exporter), _scraped(rig, "server"), _scraped(rig, "at-work")):
        assert promtool("check", "metrics", given=scrape.text) == ""
    with pytest.raises(AssertionError, match='should have "_total" suffix'):
        promtool("check", "metrics", given="# HELP posts Made.\n# TYPE posts counter\nposts 1\n")


@pytest.mark.usefixtures("worker")
def test_a_beat_that_is_dead_leaves_the_last_run_where_it_was(rig: SystemRig, exporter: str) -> None:
    """So that it falls behind; both go on with the next one."""
    rig.kill("beat")
    until(lambda: time.time() - _last_runs(exporter) > 3, what="nobody runs them", timeout_s=20)
    rig.restart("beat")
    until(lambda: time.time() - _last_runs(exporter) < 3, what="they run again")


def _last_runs(exporter: str) -> float:
    scrape = scraped(exporter)
    return max(scrape.value("task_last_run_timestamp_seconds", task=task) for task in ("relay", "sweep"))


@pytest.mark.usefixtures("worker")
def test_a_redis_that_is_dead_is_a_figure_and_a_line(rig: SystemRig, exporter: str) -> None:
    """Of the exporter; of the worker, which counts that too; and their ends."""
    rig.kill("valkey")
    until(lambda: scraped(exporter).value("redis_up") == 0, what="it is missed")
    until(lambda: _scraped(rig, "at-work").value("redis_errors_total", kind="connection") > 0, what="it is counted")
    assert "Redis is away" in _log(rig, "exporter")
    assert "Redis refuses: " in _log(rig, "at-work")
    rig.restart("valkey")
    until(lambda: scraped(exporter).value("redis_up") == 1, what="it is there again")
    until(lambda: "Redis answers again" in _log(rig, "at-work"), what="the worker has it again")


@pytest.mark.usefixtures("worker")
def test_whom_the_database_refuses_counts_it_and_says_why(
    rig: SystemRig, exporter: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it does for a wrong password; here the role may not log in any more. Server, worker and exporter alike."""
    role = sql.Identifier(rig.database.info.user)
    rig.database.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(role))
    try:
        rig.database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ^@ 'noteflow-hooks'"
        )
        for name in ("server", "at-work"):
            until(lambda name=name: _refused(rig, name) > 0, what=f"{name} counts it")  # type: ignore[misc]  # mypy knows no lambda's defaults
            # The reason that is told is that of the first refusal: a connection that was ended, here.
            until(lambda name=name: _says_why(rig, name), what=f"{name} says why")  # type: ignore[misc]  # as above
        until(lambda: scraped(exporter).value("database_up") == 0, what="it is missed")
        assert "the database is away" in _log(rig, "exporter")
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in variables({"data_dir": rig.folder, **rig.settings}).items():
                patch.setenv(variable, value)
            assert run(root, ["doctor", "--json"]) == 1
        [found] = [each for each in json.loads(capsys.readouterr().out) if each["check"] == "postgres"]
        assert (found["state"], "is not permitted to log in" in found["found"]) == ("failed", True)
    finally:
        rig.database.execute(sql.SQL("ALTER ROLE {} LOGIN").format(role))
    until(lambda: scraped(exporter).value("database_up") == 1, what="it is there again")


def _says_why(rig: SystemRig, name: str) -> bool:
    why = r"the database refuses: .*(not permitted to log in|administrator)"
    return re.search(why, _log(rig, name)) is not None


def _refused(rig: SystemRig, name: str) -> float:
    """Return how often it was; of a server by a call that is refused."""
    if name == "server":
        with contextlib.suppress(grpc.RpcError):
            rig.client.events.PublishEvent(publish_request(), timeout=PATIENCE_S)
    return _scraped(rig, name).value("database_errors_total", kind="refused")


@pytest.mark.usefixtures("worker")
def test_prometheus_answers_each_query_of_the_dashboard(rig: SystemRig, exporter: str, tmp_path: Path) -> None:
    """A real one that scrapes all three; but for certificates, of which there are none here, each has an answer."""
    logs = {job: address_in(partial(_log, rig, name)) for job, name in _JOBS.items()}
    with prometheus(tmp_path, {**logs, "noteflow-hooks-exporter": exporter}) as running:
        until(lambda: len(running.query("count_over_time(up[1m]) > 4 and up == 1")) == 3, what="all are scraped")
        until(lambda: running.query("rate(noteflow_hooks_posts_total[10s])"), what="there are rates")
        rig.publish()
        unanswered = [each for each in expressions(rate_interval="10s") if not running.query(each)]
    assert [each for each in unanswered if not re.search(r"certificate|> 0$", each)] == []
