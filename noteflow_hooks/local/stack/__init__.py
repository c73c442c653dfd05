"""The whole system on one machine, for `demo`, `up` and tests: embedded servers, the gRPC server, workers and beat."""

from __future__ import annotations

from noteflow_hooks.local.stack.environment import forget_foreign_variables
from noteflow_hooks.local.stack.identity import Identity
from noteflow_hooks.local.stack.supervisor import keep_running
from noteflow_hooks.local.stack.system import System

__all__ = ["Identity", "System", "forget_foreign_variables", "keep_running"]
