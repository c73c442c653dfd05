"""Has people told of client certificates that end soon: 30, 7 and 1 days before, once each."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from noteflow_hooks.domain.ports.certificates import CertificateWatch
    from noteflow_hooks.domain.ports.unit_of_work import Announce

log = logging.getLogger(__name__)


def tell_certificates(certificates: CertificateWatch, announce: Announce, *, limit: int) -> int:
    """Record an event for each endpoint that is due, and announce those; return how many endpoints were due."""
    event_ids = certificates.tell(limit=limit)
    if event_ids:
        announce(event_ids)
        log.info("%d client certificates end soon", len(event_ids))
    return len(event_ids)
