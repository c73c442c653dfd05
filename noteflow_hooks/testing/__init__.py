"""For tests of whoever receives our webhooks: signed sample events of every type, and a receiver that verifies.

It needs the standard library alone; with pytest, ``noteflow_event`` and ``noteflow_receiver`` are fixtures wherever the
package is installed. ``docs/testing.md`` has the tests of a receiver.
"""

from __future__ import annotations

from noteflow_hooks.testing.receiver import Received, Receiver, Refused
from noteflow_hooks.testing.samples import PRIVATE_KEY, PUBLIC_KEY, SECRET, SignedEvent, event_types, sample, samples

__all__ = [
    "PRIVATE_KEY",
    "PUBLIC_KEY",
    "SECRET",
    "Received",
    "Receiver",
    "Refused",
    "SignedEvent",
    "event_types",
    "sample",
    "samples",
]
