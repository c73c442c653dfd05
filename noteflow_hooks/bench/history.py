"""What size costs: the rate with a million old deliveries of 100,000 endpoints in 10,000 workspaces, and with few."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from noteflow_hooks.bench.against import against_bare
from noteflow_hooks.bench.scenario import Bound, Scenario
from noteflow_hooks.bench.traffic import BODY

if TYPE_CHECKING:
    from noteflow_hooks.bench.scenario import Values
    from noteflow_hooks.bench.stage import Stage

_EVENTS: Final = 2_000
_BURSTS: Final = 7
_WORKSPACES: Final = 10_000
_ENDPOINTS: Final = 100_000
_DELIVERIES: Final = 1_000_000
#: Old rows in the order of their creation, over the last twenty days, so that retention removes none of them yet.
_FILL: Final = """
INSERT INTO noteflow.workspaces (name) SELECT 'history' FROM generate_series(1, %(workspaces)s);

CREATE TEMPORARY TABLE kept AS
SELECT row_number() OVER () AS number, id FROM noteflow.workspaces WHERE name = 'history';

INSERT INTO noteflow.webhook_configs (workspace_id, url, events, created_at)
SELECT kept.id, 'https://history.example/' || number, '{meeting.completed}', now() - interval '21 days'
FROM generate_series(1, %(endpoints)s) AS endpoint (place)
JOIN kept ON kept.number = 1 + place %% %(workspaces)s;

CREATE TEMPORARY TABLE hooks AS
SELECT row_number() OVER () - 1 AS number, config.id, config.workspace_id
FROM noteflow.webhook_configs AS config JOIN kept ON kept.id = config.workspace_id;

CREATE TEMPORARY TABLE past AS
SELECT noteflow.ordered_id() AS event_id, noteflow.ordered_id() AS delivery_id, hooks.id AS webhook_id,
       hooks.workspace_id,
       now() - interval '20 days' * (1 - place::float / %(deliveries)s) AS moment
FROM generate_series(1, %(deliveries)s) AS delivery (place) JOIN hooks ON hooks.number = place %% %(endpoints)s
ORDER BY place;

INSERT INTO noteflow.webhook_events
    (id, workspace_id, event_type, meeting_id, payload, occurred_at, created_at, dispatched_at)
SELECT event_id, workspace_id, 'meeting.completed', gen_random_uuid()::text, %(body)s::json, moment, moment, moment
FROM past;

INSERT INTO noteflow.webhook_deliveries
    (id, workspace_id, webhook_id, event_id, event_type, status, status_code, response_body, attempt_count, duration_ms,
     delivered_at, created_at, claim_no)
SELECT delivery_id, workspace_id, webhook_id, event_id, 'meeting.completed', 'succeeded', 200, 'ok', 1, 40, moment,
       moment, 1
FROM past;

INSERT INTO noteflow.webhook_attempts (delivery_id, attempt_number, started_at, duration_ms, status_code, response_body)
SELECT delivery_id, 1, moment, 40, 200, 'ok' FROM past;

DROP TABLE kept, hooks, past
"""


def history(stage: Stage) -> Values:
    """Measure the rate against the bare loop, before and after these rows are there."""
    few = against_bare(stage, events=_EVENTS, bursts=_BURSTS)
    _fill(stage)
    many = against_bare(stage, events=_EVENTS, bursts=_BURSTS)
    return {"ratio": many / few, "few_ratio": few, "many_ratio": many}


def _fill(stage: Stage) -> None:
    given = {
        "workspaces": stage.size(_WORKSPACES),
        "endpoints": stage.size(_ENDPOINTS),
        "deliveries": stage.size(_DELIVERIES),
        "body": BODY,
    }
    for statement in _FILL.split(";"):
        stage.check()
        stage.database.execute(statement, given if "%(" in statement else None)
    # Autovacuum would do this within a minute or so, during the measurement.
    stage.database.execute("VACUUM ANALYZE")
    stage.database.execute("CHECKPOINT")


HISTORY: Final = (
    Scenario(
        "history",
        "beside a million deliveries and 100,000 endpoints",
        history,
        (Bound("ratio", "rate with a million deliveries and 100,000 endpoints ÷ with few", "at least", 0.95),),
        is_once=True,
    ),
)
