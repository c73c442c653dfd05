"""A world of its own for each test."""

from __future__ import annotations

import pytest

from tests.support.application_world import World


@pytest.fixture
def world() -> World:
    """Offer an application over an empty store with one workspace."""
    return World()
