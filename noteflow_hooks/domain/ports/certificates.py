"""What reads certificates and keys, and what remembers whom to tell that one ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from noteflow_hooks.domain.client_certificates import Read


class CertificateReader(Protocol):
    """Reads PEM texts, and judges whether an endpoint may have them."""

    def read(self, client_certificate: str | None, client_key: str | None, server_ca: str | None) -> Read:
        """Return what they say; raise InvalidInputError that names all fields at fault, and what is allowed.

        A key without a certificate is not looked at. What is returned can be used for TLS by any worker.
        """
        ...


class CertificateWatch(Protocol):
    """Finds the endpoints whose client certificates end soon."""

    def tell(self, *, limit: int) -> Sequence[UUID]:
        """Record an event for each endpoint that is due, at most so many; return the events' ids.

        Each is told once for each of :data:`noteflow_hooks.domain.client_certificates.WARNED_DAYS`, however many calls
        run at once.
        """
        ...
