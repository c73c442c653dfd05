"""The world that most tests here share: a server with webhooks, and an empty store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.rpc.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def world() -> Iterator[World]:
    """Offer a running server."""
    with World() as running:
        yield running
