"""The tables of schema ``noteflow``. Names are public; what the columns mean is in the domain's values.

CHECK constraints repeat the domain's rules, so that rows damaged by hand are refused by the database already.
"""

from noteflow_hooks.persistence.sql.orm.access import ApiTokenRow, WorkspaceRow
from noteflow_hooks.persistence.sql.orm.audit import AuditEntryRow, BreakerTallyRow
from noteflow_hooks.persistence.sql.orm.base import SCHEMA, Base, ExactJson
from noteflow_hooks.persistence.sql.orm.deliveries import (
    DeliveryQueueRow,
    WebhookAttemptRow,
    WebhookDeliveryRow,
    table_of,
)
from noteflow_hooks.persistence.sql.orm.event_types import EventTypeRow
from noteflow_hooks.persistence.sql.orm.events import MeetingSequenceRow, WebhookEventRow
from noteflow_hooks.persistence.sql.orm.mails import WebhookMailRow
from noteflow_hooks.persistence.sql.orm.meetings import MeetingRow, RecordingRow, SegmentRow, SummaryRow
from noteflow_hooks.persistence.sql.orm.orders import MeetingOrderRow, ReleasedMeetingRow
from noteflow_hooks.persistence.sql.orm.replays import WebhookRedeliveryRow, WebhookReplayRow
from noteflow_hooks.persistence.sql.orm.requests import RequestIdRow
from noteflow_hooks.persistence.sql.orm.stats import (
    StatsEndpointRow,
    StatsHourRow,
    StatsMinuteRow,
    StatsProgressRow,
    StatsResentRow,
    StatsTotalRow,
)
from noteflow_hooks.persistence.sql.orm.task_runs import TaskRunRow
from noteflow_hooks.persistence.sql.orm.webhooks import WebhookConfigRow, WebhookHealthRow

__all__ = [
    "SCHEMA",
    "ApiTokenRow",
    "AuditEntryRow",
    "Base",
    "BreakerTallyRow",
    "DeliveryQueueRow",
    "EventTypeRow",
    "ExactJson",
    "MeetingOrderRow",
    "MeetingRow",
    "MeetingSequenceRow",
    "RecordingRow",
    "ReleasedMeetingRow",
    "RequestIdRow",
    "SegmentRow",
    "StatsEndpointRow",
    "StatsHourRow",
    "StatsMinuteRow",
    "StatsProgressRow",
    "StatsResentRow",
    "StatsTotalRow",
    "SummaryRow",
    "TaskRunRow",
    "WebhookAttemptRow",
    "WebhookConfigRow",
    "WebhookDeliveryRow",
    "WebhookEventRow",
    "WebhookHealthRow",
    "WebhookMailRow",
    "WebhookRedeliveryRow",
    "WebhookReplayRow",
    "WorkspaceRow",
    "table_of",
]
