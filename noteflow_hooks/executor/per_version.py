"""What is made of an endpoint once for each of its versions, and forgotten with it.

A claim's endpoint is the same object for as long as its row is the same. What is kept here may hold secrets, so it
lives no longer than the endpoint that it was made of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import ref

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.domain.webhooks import WebhookConfig

Made = TypeVar("Made")


class PerVersion(Generic[Made]):
    """Makes something of each endpoint, once for as long as that very object lives."""

    def __init__(self, make: Callable[[WebhookConfig], Made]) -> None:
        """``make`` must keep no reference to the endpoint; what it raises is raised, and not kept."""
        self._make = make
        #: By the endpoint's identity: to hash one, or to compare two, takes longer than what is saved here.
        self._kept: dict[int, tuple[ref[WebhookConfig], Made]] = {}

    def __len__(self) -> int:
        """Return how many endpoints something is kept of."""
        return len(self._kept)

    def of(self, webhook: WebhookConfig) -> Made:
        """Return what was made of the endpoint."""
        key = id(webhook)
        kept = self._kept.get(key)
        if kept is not None and kept[0]() is webhook:
            return kept[1]
        made = self._make(webhook)
        # Called as the endpoint ends, before anything else can have its identity.
        self._kept[key] = (ref(webhook, lambda _: self._kept.pop(key, None)), made)
        return made
