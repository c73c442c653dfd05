"""The store in memory: for tests and for a server with no database; it keeps the rules of the SQL store."""

from noteflow_hooks.persistence.memory.access import InMemoryAccessRepository
from noteflow_hooks.persistence.memory.audit import InMemoryAuditTrail, InMemoryBreakerLog
from noteflow_hooks.persistence.memory.certificates import InMemoryCertificateWatch
from noteflow_hooks.persistence.memory.delivery.store import InMemoryDeliveryStore
from noteflow_hooks.persistence.memory.delivery_log import InMemoryDeliveryLog
from noteflow_hooks.persistence.memory.mails import InMemoryMailStore
from noteflow_hooks.persistence.memory.maintenance.retention import InMemoryRetentionStore
from noteflow_hooks.persistence.memory.maintenance.rollups import InMemoryStatsKeeper
from noteflow_hooks.persistence.memory.maintenance.task_runs import InMemoryTaskRuns
from noteflow_hooks.persistence.memory.meetings import InMemoryMeetingRepository
from noteflow_hooks.persistence.memory.outbox import InMemoryEventOutbox
from noteflow_hooks.persistence.memory.store import MemoryStore
from noteflow_hooks.persistence.memory.unit_of_work import InMemoryUnitOfWork
from noteflow_hooks.persistence.memory.webhooks import InMemoryWebhookRepository

__all__ = [
    "InMemoryAccessRepository",
    "InMemoryAuditTrail",
    "InMemoryBreakerLog",
    "InMemoryCertificateWatch",
    "InMemoryDeliveryLog",
    "InMemoryDeliveryStore",
    "InMemoryEventOutbox",
    "InMemoryMailStore",
    "InMemoryMeetingRepository",
    "InMemoryRetentionStore",
    "InMemoryStatsKeeper",
    "InMemoryTaskRuns",
    "InMemoryUnitOfWork",
    "InMemoryWebhookRepository",
    "MemoryStore",
]
