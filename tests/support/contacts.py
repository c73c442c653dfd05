"""Contacts for tests: one that has yet to confirm, and one that has."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from noteflow_hooks.domain.contacts import Contact

ADDRESS = "ops@example.com"


def a_contact(address: str = ADDRESS, **overrides: Any) -> Contact:  # noqa: ANN401 - each field has its own type
    """Return a contact that was asked just now."""
    return Contact(**{"address": address, "asked_at": datetime.now(UTC), **overrides})


def a_confirmed_contact(address: str = ADDRESS, **overrides: Any) -> Contact:  # noqa: ANN401 - as above
    """Return a contact that has confirmed."""
    return a_contact(address, **{"confirmed_at": datetime.now(UTC), **overrides})
