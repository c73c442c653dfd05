"""What shows a request that is not sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from noteflow_hooks.domain.deliveries import Claim


@dataclass(frozen=True, slots=True)
class Preview:
    """A request as it would be sent, but for what is secret: of that there is a mark."""

    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)


class Previewer(Protocol):
    """Makes requests as the workers do, and sends none."""

    def preview(self, claim: Claim, *, moment: datetime) -> Preview:
        """Return the request of that claim; nothing is signed, and no value of a custom header is in it.

        Raise RenderingError where it can't be rendered, and AddressNotAllowedError for a URL that no request goes to.
        """
        ...
