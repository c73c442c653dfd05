"""Endpoints as workers last read them, each used again for as long as its row is the very same version.

One value stands for one version: what others make of it, a parsed URL or keyed digests, they may keep for as long as
the value lives. Reading one costs a decryption and two dozen columns, with each delivery of a busy endpoint otherwise.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import text

from noteflow_hooks.persistence.sql.delivery.direct import DirectStatement, DirectStatements
from noteflow_hooks.persistence.sql.delivery.rows import columns
from noteflow_hooks.persistence.sql.endpoint_row import EndpointRow

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
_COLUMNS: Final = columns(EndpointRow, {"version": VERSION}, table="config")
_READ: Final = DirectStatement.of(
    text(f"SELECT {_COLUMNS} FROM noteflow.webhook_configs AS config WHERE id = ANY(CAST(:ids AS uuid[]))")  # noqa: S608 - put together from constants of this file
)
#: How many bytes all that are kept may take.
_LIMIT_BYTES: Final = 8_000_000
#: What one takes besides what varies: its own objects, and what its POSTs have made of it.
_OWN_BYTES: Final = 3_000
#: How often what varies is there: in the value, and in what was made of it.
_COPIES: Final = 3


class _Kept(NamedTuple):
    version: str
    webhook: WebhookConfig
    size: int


class EndpointCache:
    """One for a process. Each claim says which version of its endpoint is valid, so nothing outdated is ever served."""

    def __init__(self, engine: Engine, converter: WebhookConverter, *, limit_bytes: int = _LIMIT_BYTES) -> None:
        """``converter`` makes endpoints of rows; those kept take at most ``limit_bytes``, by an estimate."""
        self._direct = DirectStatements(engine)
        self._converter = converter
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        #: By the endpoint's id, the longest kept first.
        self._kept: dict[UUID, _Kept] = {}
        self._bytes = 0

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
        found = {key: each.webhook for key, each in kept.items() if each is not None and each.version == versions[key]}
        missing = [key for key in versions if key not in found]
        if missing:
            found.update(self._read(missing))
        return found

    def _read(self, webhook_ids: list[UUID]) -> dict[UUID, WebhookConfig]:
        found: dict[UUID, _Kept] = {}
        # As text: psycopg would look at each id by itself.
        ids = f"{{{','.join(map(str, webhook_ids))}}}"
        for row in map(EndpointRow._make, self._direct.rows(_READ, {"ids": ids})):
            try:
                webhook = self._converter.config_to_domain(row)
            except Exception:
                # The boundary of a row: whatever is wrong with it must not hold up the others.
                log.exception("webhook %s can't be read", row.id)
            else:
                found[row.id] = _Kept(row.version, webhook, _OWN_BYTES + _COPIES * row.size)
        with self._lock:
            for key, each in found.items():
                self._keep(key, each)
        return {key: each.webhook for key, each in found.items()}

    def _keep(self, key: UUID, new: _Kept) -> None:
        self._drop(key)
        self._kept[key] = new
        self._bytes += new.size
        while self._bytes > self._limit_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: UUID) -> None:
        dropped = self._kept.pop(key, None)
        if dropped is not None:
            self._bytes -= dropped.size
