"""The versions of each type's payload. In one, fields are only added; what would break a reader makes a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.events import WebhookEventType

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What every type begins with, and a workspace's own types have.
FIRST: Final = 1
#: The versions of each type's payload, in rising order. Every type has a first one.
VERSIONS: Final[Mapping[str, tuple[int, ...]]] = dict.fromkeys(WebhookEventType, (FIRST,))
#: The newest version of any type: what an endpoint gets that is registered now.
NEWEST: Final = max(each for versions in VERSIONS.values() for each in versions)
#: What an endpoint may ask for.
PAYLOAD_VERSION: Final = range(FIRST, NEWEST + 1)


def version_sent(event_type: str, wanted: int, versions: Mapping[str, tuple[int, ...]] = VERSIONS) -> int:
    """Return the version in which an endpoint that wants ``wanted`` gets a type: that one, or the nearest lower one."""
    return max((each for each in versions.get(event_type, ()) if each <= wanted), default=FIRST)
