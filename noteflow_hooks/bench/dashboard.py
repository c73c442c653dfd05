"""What the dashboard takes: its pages beside a workspace's million deliveries, and the rate while ten people browse."""

from __future__ import annotations

import json
import statistics
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.bench.scenario import Bound, Scenario, SkippedError
from noteflow_hooks.bench.traffic import BODY, burst
from noteflow_hooks.local.stack.background import until
from noteflow_hooks.local.stack.ports import free_address

if TYPE_CHECKING:
    from noteflow_hooks.bench.processes import LineProcess
    from noteflow_hooks.bench.scenario import Values
    from noteflow_hooks.bench.stage import Stage
    from noteflow_hooks.bench.tenants import Tenant

_PEOPLE: Final = 10
#: How often each page is asked for, one after another.
_TIMES: Final = 40
_EVENTS: Final = 6_000
#: Bursts with people and without, in turn.
_PAIRS: Final = 5
_ENDPOINTS: Final = 10_000
_DELIVERIES: Final = 1_000_000
#: One workspace's rows of the last twenty days: of a hundred deliveries two are dead, one is skipped.
_FILL: Final = """
INSERT INTO noteflow.webhook_configs (workspace_id, name, url, events, created_at, verified_at)
SELECT %(workspace)s, 'Endpoint ' || place, 'https://receiver-' || place || '.example/hooks', '{meeting.completed}',
       now() - interval '21 days', now() - interval '21 days'
FROM generate_series(1, %(endpoints)s) AS endpoint (place);

CREATE TEMPORARY TABLE hooks AS
SELECT row_number() OVER () - 1 AS number, id FROM noteflow.webhook_configs WHERE workspace_id = %(workspace)s;

CREATE TEMPORARY TABLE past AS
SELECT place, noteflow.ordered_id() AS event_id, noteflow.ordered_id() AS delivery_id, hooks.id AS webhook_id,
       now() - interval '20 days' * (1 - place::float / %(deliveries)s) AS moment,
       CASE WHEN place %% 50 = 0 THEN 'dead' WHEN place %% 100 = 1 THEN 'skipped' ELSE 'succeeded' END AS status
FROM generate_series(1, %(deliveries)s) AS delivery (place) JOIN hooks ON hooks.number = place %% %(endpoints)s
ORDER BY place;

INSERT INTO noteflow.webhook_events
    (id, workspace_id, event_type, meeting_id, payload, occurred_at, created_at, dispatched_at)
SELECT event_id, %(workspace)s, 'meeting.completed', 'm-' || place, %(body)s::json, moment, moment, moment FROM past;

INSERT INTO noteflow.webhook_deliveries
    (id, workspace_id, webhook_id, event_id, event_type, status, status_code, error_message, error_kind, skip_reason,
     attempt_count, duration_ms, delivered_at, created_at, claim_no, settled_at)
SELECT delivery_id, %(workspace)s, webhook_id, event_id, 'meeting.completed', status,
       CASE status WHEN 'dead' THEN 500 WHEN 'succeeded' THEN 200 END,
       CASE status WHEN 'dead' THEN 'HTTP 500' END, CASE status WHEN 'dead' THEN 'status' END,
       CASE status WHEN 'skipped' THEN 'disabled' END, CASE status WHEN 'skipped' THEN 0 ELSE 1 END,
       CASE WHEN status <> 'skipped' THEN 20 + place %% 300 END,
       CASE status WHEN 'succeeded' THEN moment END, moment, 1, moment
FROM past;

INSERT INTO noteflow.webhook_attempts
    (delivery_id, attempt_number, started_at, duration_ms, status_code, response_body, error_kind, error_message)
SELECT delivery_id, 1, moment, 20 + place %% 300, CASE status WHEN 'dead' THEN 500 ELSE 200 END, 'ok',
       CASE status WHEN 'dead' THEN 'status' END, CASE status WHEN 'dead' THEN 'HTTP 500' END
FROM past WHERE status <> 'skipped';

DROP TABLE hooks, past
"""
#: The sweep counts what happened in the time behind it; these rows say that they happened in the last twenty days.
_COUNT: Final = """
INSERT INTO noteflow.{table} (workspace_id, webhook_id, at, event_type, measure, kind, bin, count, total_ms)
SELECT delivery.workspace_id, coalesce(delivery.webhook_id, '00000000-0000-0000-0000-000000000000'),
       date_trunc('{unit}', attempt.started_at), 'meeting.completed', 'attempt',
       coalesce(attempt.error_kind, 'succeeded'), 10, count(*), sum(attempt.duration_ms)
FROM noteflow.webhook_attempts AS attempt
JOIN noteflow.webhook_deliveries AS delivery ON delivery.id = attempt.delivery_id
WHERE delivery.workspace_id = %(workspace)s AND attempt.started_at > now() - interval '{reach}'
GROUP BY GROUPING SETS ((1, delivery.webhook_id, 3, 4, 5, 6), (1, 3, 4, 5, 6))
ON CONFLICT DO NOTHING
"""
_SAMPLE: Final = """
SELECT id, event_id, webhook_id FROM noteflow.webhook_deliveries
WHERE workspace_id = %(workspace)s AND status = 'dead' ORDER BY created_at DESC LIMIT 1
"""


def dashboard(stage: Stage) -> Values:
    """Ask for each page beside these rows; then deliver, with people who browse and without."""
    if find_spec("uvicorn") is None:
        raise SkippedError("needs the extra `dashboard`")
    tenant = stage.tenants.make()
    _fill(stage, tenant)
    people = _people(stage)
    people.ask(json.dumps({"token": tenant.token}))
    pages = _pages(stage, tenant)
    task = {"paths": list(pages.values()), "times": max(3, stage.size(_TIMES))}
    took = people.ask(json.dumps(task))
    each = {f"{name}_p95_ms": _p95(took[path]) for name, path in pages.items()}
    ratio, looks, browsed_ms = _beside_people(stage, people, list(pages.values()))
    alone_ms = max(max(milliseconds) for milliseconds in took.values())
    slowest = {"p95_ms": max(each.values()), "slowest_ms": max(alone_ms, browsed_ms)}
    return {**slowest, "ratio": ratio, "looks": looks, **each}


def _fill(stage: Stage, tenant: Tenant) -> None:
    given: dict[str, Any] = {
        "workspace": tenant.workspace_id,
        "endpoints": stage.size(_ENDPOINTS),
        "deliveries": stage.size(_DELIVERIES),
        "body": BODY,
    }
    counts = [
        _COUNT.format(table=table, unit=unit, reach=reach)
        for table, unit, reach in (("stats_hours", "hour", "30 days"), ("stats_minutes", "minute", "2 days"))
    ]
    for statement in (*_FILL.split(";"), *counts):
        stage.check()
        stage.database.execute(statement, given if "%" in statement else None)
    # Autovacuum would do this within a minute or so, during the measurement.
    stage.database.execute("VACUUM ANALYZE")
    stage.database.execute("CHECKPOINT")


def _people(stage: Stage) -> LineProcess:
    address = free_address()
    env = {"NOTEFLOW_HOOKS_DASHBOARD_BIND": address, "NOTEFLOW_HOOKS_SERVER": stage.system.grpc}
    stage.program("dashboard", [sys.executable, "-m", "noteflow_hooks.cli", "dashboard"], env=env)
    people = stage.process("people", address)
    until(lambda: people.ask(json.dumps({"alive": True})) is True, check=stage.check, timeout_s=30)
    return people


def _pages(stage: Stage, tenant: Tenant) -> dict[str, str]:
    """Return the pages' addresses, by what their figures are called."""
    found = stage.database.execute(_SAMPLE, {"workspace": tenant.workspace_id}).fetchone()
    assert found is not None  # noqa: S101 - one of fifty is dead
    delivery, event, webhook = map(str, found)
    at, listed = f"/endpoints/{webhook}", "/deliveries?"
    return {
        **{f"overview_{span}": f"/overview?span={span}" for span in ("1h", "24h", "7d", "30d")},
        "endpoints": "/endpoints",
        "endpoints_found": "/endpoints?state=healthy&text=receiver-77",
        "endpoint": at,
        "endpoint_30d": f"{at}?span=30d",
        "endpoint_form": f"{at}/edit",
        "rotate": f"{at}/rotate",
        "filter": f"{at}/filter?filter=true&last_n=20",
        "delivery": f"/deliveries/{delivery}",
        "deliveries": "/deliveries",
        "deliveries_of_states": f"{listed}status=dead&status=skipped",
        "deliveries_failed": f"{listed}error_kind=status&status_code=500",
        "deliveries_of_endpoint": f"{listed}webhook_id={webhook}",
        "deliveries_of_meeting": f"{listed}meeting_id=m-500",
        "deliveries_by_id": f"{listed}id_prefix={delivery[:8]}",
        "undelivered": "/undelivered",
        "undelivered_of_endpoint": f"/undelivered?webhook_id={webhook}",
        "events": "/events",
        "events_of_meeting": "/events?meeting_id=m-500",
        "event": f"/events/{event}",
        "found": f"/find?q={delivery[:13]}",
        "replays": "/replays",
        "replay_form": f"/replays/new?webhook_id={webhook}",
        "types": "/event-types",
        "audit": "/audit",
        "live": "/live",
        "keys": "/keys",
    }


def _beside_people(stage: Stage, people: LineProcess, paths: list[str]) -> tuple[float, int, float]:
    events, ratios, looks, slowest = stage.count(_EVENTS), [], 0, 0.0
    for _ in range(_PAIRS):
        before = burst(stage, stage.workspaces(), events=events).rate_per_s
        people.ask(json.dumps({"people": _PEOPLE, "paths": paths}))
        beside = burst(stage, stage.workspaces(), events=events).rate_per_s
        seen = people.ask("{}")
        after = burst(stage, stage.workspaces(), events=events).rate_per_s
        ratios.append(beside / statistics.fmean([before, after]))
        looks, slowest = looks + seen["looks"], max(slowest, seen["slowest_ms"])
    return statistics.median(ratios), looks, slowest


def _p95(milliseconds: list[float]) -> float:
    return sorted(milliseconds)[min(len(milliseconds) - 1, int(len(milliseconds) * 0.95))]


DASHBOARD: Final = (
    Scenario(
        "dashboard",
        "its pages beside a million deliveries of a workspace, and ten people who browse",
        dashboard,
        (
            Bound("p95_ms", "slowest page beside a million deliveries and 10,000 endpoints, p95 in ms", "at most", 150),
            Bound("slowest_ms", "slowest answer of the dashboard, in ms", "at most", 2000),
            Bound("ratio", "rate while ten people browse ÷ without", "at least", 0.95),
        ),
        is_once=True,
    ),
)
