"""The names of the tasks and of the queues, each once: messages carry them, and operators give them to ``-Q``."""

from __future__ import annotations

from typing import Final

DISPATCH_TASK: Final = "noteflow.hooks.dispatch"
DELIVER_TASK: Final = "noteflow.hooks.deliver"
RELAY_TASK: Final = "noteflow.hooks.relay"
SWEEP_TASK: Final = "noteflow.hooks.sweep"
PURGE_TASK: Final = "noteflow.hooks.purge"
TASKS: Final = (DISPATCH_TASK, DELIVER_TASK, RELAY_TASK, SWEEP_TASK, PURGE_TASK)

DISPATCH_QUEUE: Final = "dispatch"
DELIVER_QUEUE: Final = "deliver"
#: Wake-ups for endpoints that are slow, so that they wait for each other and for nobody else.
SLOW_QUEUE: Final = "deliver.slow"
MAINTENANCE_QUEUE: Final = "maintenance"
QUEUES: Final = (DISPATCH_QUEUE, DELIVER_QUEUE, SLOW_QUEUE, MAINTENANCE_QUEUE)
