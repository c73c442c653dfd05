"""The workers' app over a Redis transport that takes every message for lost which is not acknowledged within a second.

As an operator's own settings may have it: ``celery -A tests.support.redelivering_app worker``.
"""

from __future__ import annotations

from workers.app import app

app.conf.broker_transport_options |= {
    "visibility_timeout": 1,
    # How often it looks for such messages: each second, where kombu's own is every hundred.
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
}
