"""A dashboard over a gRPC server with a store in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.rpc.world import UNLIMITED, World
from tests.support.dashboard import Dashboard
from tests.support.visitor import Visitor

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def world() -> Iterator[World]:
    with World(limits=UNLIMITED) as running:
        yield running


@pytest.fixture
def dashboard(world: World) -> Iterator[Dashboard]:
    with Dashboard(world.address) as running:
        yield running


@pytest.fixture
def visitor(dashboard: Dashboard) -> Visitor:
    return Visitor(dashboard.port)


@pytest.fixture
def operator(world: World, visitor: Visitor) -> Visitor:
    """Somebody who is signed in with a token for everything."""
    assert visitor.sign_in(world.token).status == 303
    return visitor
