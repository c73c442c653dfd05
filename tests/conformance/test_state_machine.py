"""The engine as a machine: whatever is done to it, in whatever order, nothing is lost, doubled, or sent past a limit.

Hypothesis makes up the steps. After each, the rows of the store are held to a ledger that was kept beside it; at the
end of each run the receivers mend, and all that can be delivered must be. The steps are the same at every run;
``--hypothesis-seed=N`` explores others, ten times as many.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_OID, UUID, uuid5

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from noteflow_hooks.delivery import DeliveryService
from noteflow_hooks.domain.deliveries import AttemptResult, Claim, ErrorKind, Settlement
from noteflow_hooks.domain.health import HealthRules
from noteflow_hooks.domain.ports import DeliveryFilter
from noteflow_hooks.domain.replays import Replay
from noteflow_hooks.domain.retry import RetryPolicy
from noteflow_hooks.errors import AlreadyExistsError, PreconditionError
from noteflow_hooks.persistence import delivery_store
from noteflow_hooks.persistence.memory import dispatching
from tests.builders import a_failure, a_webhook, a_workspace, an_attempt_result, an_event
from tests.conformance import invariants
from tests.conformance.ledger import Ledger
from tests.conformance.rows import Opened, PostgresTables, in_memory
from tests.conformance.tracks import RETRY_BASE, Span
from tests.conformance.watched import BURST, PLENTY, WatchedStore
