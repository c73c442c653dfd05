"""The whole system on one machine, for `demo`, `up` and tests: embedded servers, the gRPC server, workers and beat."""

from __future__ import annotations

from noteflow_hooks.cli.system.environment import forget_foreign_variables
from noteflow_hooks.cli.system.identity import Identity
from noteflow_hooks.cli.system.supervisor import keep_running
from noteflow_hooks.cli.system.system import System

__all__ = ["Identity", "System", "forget_foreign_variables", "keep_running"]
