"""A worker with a fault of its own, for a run that must turn red: it records success first and makes the POST then.

A death between the two loses the POST, and an answer of 500 is never heard.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.domain.deliveries import AttemptResult
from noteflow_hooks.executor.webhook_executor import WebhookExecutor
from workers.app import app

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.domain.deliveries import Claim

_LATER_S: Final = 0.5
_begin: Final = WebhookExecutor.begin


def _boasted(executor: WebhookExecutor, claim: Claim) -> Callable[[], AttemptResult]:
    timer = threading.Timer(_LATER_S, lambda: _begin(executor, claim)())  # noqa: PLW0108 - it begins only then
    timer.daemon = True
    timer.start()
    boast = AttemptResult(datetime.now(UTC), duration_ms=0, status_code=200, response_body="sent, or soon to be")
    return lambda: boast


_patched: Any = WebhookExecutor
_patched.begin = _boasted

__all__ = ["app"]
