"""Endpoints as workers last read them, each used again for as long as its row is the very same version.

Reading one costs a decryption and some thirty columns; a busy endpoint would pay that with each of its deliveries.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.deliveries import Claim
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from noteflow_hooks.persistence.sql.converters import WebhookConverter
    from noteflow_hooks.persistence.sql.delivery.rows import ClaimRow

log = logging.getLogger(__name__)

#: Names a version of a row: the transaction that wrote it and its place, which no other version has at the same time.
VERSION: Final = "xmin::text || ' ' || ctid::text"
_READ: Final = text(f"""
SELECT {VERSION} AS version, config.* FROM noteflow.webhook_configs AS config WHERE id = ANY(CAST(:ids AS uuid[]))
""")  # noqa: S608 - put together from constants of this file
#: How many are kept; each takes one or two kilobytes.
_LIMIT: Final = 1_000


class EndpointCache:
    """One for a process. Each claim says which version of its endpoint is valid, so nothing outdated is ever served."""

    def __init__(self, engine: Engine, converter: WebhookConverter, *, limit: int = _LIMIT) -> None:
        """``converter`` makes endpoints of rows; at most ``limit`` are kept."""
        self._engine = engine
        self._converter = converter
        self._limit = limit
        self._lock = threading.Lock()
        #: The version and the endpoint by its id, the longest kept first.
        self._kept: dict[UUID, tuple[str, WebhookConfig]] = {}

    def claims(self, rows: Sequence[ClaimRow]) -> list[Claim]:
        """Return the claims, each with its endpoint.

        A claim whose endpoint can't be read is left to its lease: it is reclaimed, a few times and then for good.
        """
        webhooks = self.read({row.webhook_id: row.version for row in rows})
        return [row.to_claim(webhooks[row.webhook_id]) for row in rows if row.webhook_id in webhooks]

    def read(self, versions: Mapping[UUID, str]) -> dict[UUID, WebhookConfig]:
        """Return these endpoints, at these versions or newer ones; what can't be read is logged and left out."""
        with self._lock:
            kept = {key: self._kept.get(key) for key in versions}
        found = {key: each[1] for key, each in kept.items() if each is not None and each[0] == versions[key]}
        missing = [key for key in versions if key not in found]
        if missing:
            found.update(self._read(missing))
        return found

    def _read(self, webhook_ids: list[UUID]) -> dict[UUID, WebhookConfig]:
        found = {}
        with self._engine.connect() as connection:
            rows = connection.execute(_READ, {"ids": webhook_ids}).all()
        for row in rows:
            try:
                found[row.id] = (row.version, self._converter.config_to_domain(row))
            except Exception:
                # The boundary of a row: whatever is wrong with it must not hold up the others.
                log.exception("webhook %s can't be read", row.id)
        with self._lock:
            for key, each in found.items():
                self._kept.pop(key, None)
                self._kept[key] = each
            while len(self._kept) > self._limit:
                del self._kept[next(iter(self._kept))]
        return {key: webhook for key, (_, webhook) in found.items()}
