"""Fixtures for pytest, wherever the package is installed: ``noteflow_event`` and ``noteflow_receiver``.

pytest loads this module at each of its starts, so it imports nothing before a fixture is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from noteflow_hooks.testing import Receiver, SignedEvent


@pytest.fixture
def noteflow_event() -> Callable[..., SignedEvent]:
    """What makes signed sample events: ``noteflow_event("meeting.completed", {"title": "Weekly"})``."""
    from noteflow_hooks.testing import sample  # noqa: PLC0415 - as the module says

    return sample


@pytest.fixture
def noteflow_receiver() -> Iterator[Receiver]:
    """A receiver at a port of its own, which verifies what the samples' secret has signed."""
    from noteflow_hooks.testing import Receiver  # noqa: PLC0415 - as the module says

    with Receiver() as receiver:
        yield receiver
