"""Brings stored secrets under the first key: what is decrypted is what is encrypted, and nothing else of a row changes.

It may end at any moment: each batch is a transaction, and what is under the first key already is left alone. There is
no such thing in memory, where nothing is encrypted.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import text

from noteflow_hooks.crypto import COLUMNS, key_id
from noteflow_hooks.domain.audit.entries import Action, TargetKind, entry_of
from noteflow_hooks.errors import SecretUnavailableError
from noteflow_hooks.persistence.sql.audit_statements import add_entries
from noteflow_hooks.persistence.sql.limits import REENCRYPTED_AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Row
    from sqlalchemy.engine import Engine

    from noteflow_hooks.crypto import Column, SecretBox
    from noteflow_hooks.domain.audit.entries import Actor, AuditEntry

#: A guard alone is no ciphertext; on headers it goes through ``NULL`` and comes back: the database sees to that.
_SEALED = ", ".join(f"nullif({each}, '\\x10') AS {each}" if each == "headers" else each for each in COLUMNS)
_PAGE = text(f"""
SELECT id, {_SEALED} FROM noteflow.webhook_configs
WHERE id > :after AND ({" OR ".join(f"{each} IS NOT NULL" for each in COLUMNS)})
ORDER BY id
LIMIT :limit
""")  # noqa: S608 - our own columns
_WAIT_FOR = f"""
SELECT id, workspace_id, {_SEALED} FROM noteflow.webhook_configs
WHERE id = ANY(CAST(:ids AS uuid[]))
ORDER BY id
FOR NO KEY UPDATE
"""  # noqa: S608 - our own columns
#: For one row at a time: who waits holds no lock, so nobody waits for him.
_LOCK = text(_WAIT_FOR)
_LOCK_FREE = text(f"{_WAIT_FOR} SKIP LOCKED")
#: The trigger heeds it until the transaction ends: no user has changed these endpoints.
_KEEP_UPDATED_AT = text("SELECT set_config('noteflow.reencrypting', 'on', true)")
_STORE = text(f"""
UPDATE noteflow.webhook_configs AS config
SET {", ".join(f"{each} = new.{each}" for each in COLUMNS)}
FROM unnest(CAST(:id AS uuid[]), {", ".join(f"CAST(:{each} AS bytea[])" for each in COLUMNS)})
    AS new (id, {", ".join(COLUMNS)})
WHERE config.id = new.id
""")  # noqa: S608 - our own columns


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A ciphertext that does not decrypt: its key is not among ours, or its bytes are not what was stored."""

    webhook_id: UUID
    column: Column
    #: The key that it says it is under.
    key_id: str


@dataclass(slots=True)
class Rotation:
    """What a re-encryption came to, in ciphertexts; an endpoint has up to nine."""

    reencrypted: int = 0
    #: Those that were under the first key already.
    current: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)


@dataclass(slots=True)
class KeyUse:
    """How many ciphertexts name a key, and how many of those do not decrypt."""

    ciphertexts: int = 0
    unreadable: int = 0


class StoredSecrets:
    """All ciphertexts of the database, whosever they are. Deleted endpoints have none."""

    def __init__(self, engine: Engine, box: SecretBox, *, batch: int = REENCRYPTED_AT_ONCE) -> None:
        """``box`` holds the keys, the one to encrypt with first; ``batch`` is how many endpoints are taken at once."""
        self._engine = engine
        self._box = box
        self._batch = batch

    def rotate(self, *, by: Actor) -> Rotation:
        """Re-encrypt whatever is not as the first key would make it now; what does not decrypt stays as it is.

        ``by`` is who wants it, for the audit trail of each workspace.

        Any number may run at once. An endpoint that is being changed is left for the end and then waited for; it is
        re-encrypted as that change leaves it.
        """
        rotation, busy = Rotation(), []
        for rows in self._pages():
            stale = [row.id for row in rows if not self._is_current(row)]
            for row in rows:
                if row.id not in stale:
                    self._renewed(row, rotation)
            busy += self._reencrypt(stale, rotation, by=by)
        for webhook_id in busy:
            self._reencrypt([webhook_id], rotation, by=by, wait=True)
        return rotation

    def use(self) -> Mapping[str, KeyUse]:
        """Try all ciphertexts, and return which keys they are under, by the keys' names."""
        uses: defaultdict[str, KeyUse] = defaultdict(KeyUse)
        for row in (row for rows in self._pages() for row in rows):
            for column, sealed in _sealed(row):
                use = uses[key_id(sealed)]
                use.ciphertexts += 1
                use.unreadable += self._open(row.id, column, sealed) is None
        return uses

    def _pages(self) -> Iterator[Sequence[Row[Any]]]:
        after = UUID(int=0)
        while True:
            with self._engine.begin() as connection:
                rows = connection.execute(_PAGE, {"after": after, "limit": self._batch}).all()
            if not rows:
                return
            yield rows
            after = rows[-1].id

    def _reencrypt(self, webhook_ids: list[UUID], rotation: Rotation, *, by: Actor, wait: bool = False) -> list[UUID]:
        """Re-encrypt these endpoints as they are once locked; return those that somebody else has locked."""
        if not webhook_ids:
            return []
        with self._engine.begin() as connection:
            connection.execute(_KEEP_UPDATED_AT)
            rows = connection.execute(_LOCK if wait else _LOCK_FREE, {"ids": webhook_ids}).all()
            renewed = [(row, self._renewed(row, rotation)) for row in rows]
            changed = [(row, columns) for row, columns in renewed if columns != dict(_sealed(row))]
            params: dict[str, list[Any]] = {each: [columns.get(each) for _, columns in changed] for each in COLUMNS}
            connection.execute(_STORE, {**params, "id": [row.id for row, _ in changed]})
            add_entries(connection, self._entries(changed, by=by))
        locked = {row.id for row in rows}
        return [webhook_id for webhook_id in webhook_ids if webhook_id not in locked]

    def _entries(
        self, changed: Sequence[tuple[Row[Any], Mapping[Column, bytes]]], *, by: Actor
    ) -> Iterator[AuditEntry]:
        """Yield an entry for each workspace: by which keys its secrets were readable, and by which one they are now."""
        own: defaultdict[UUID, list[set[str]]] = defaultdict(list)
        for row, columns in changed:
            before = {key_id(sealed) for column, sealed in _sealed(row) if columns[column] != sealed}
            own[row.workspace_id].append(before)
        current = self._box.key_ids[0]
        for workspace_id, keys in own.items():
            old, new = {"keys": sorted(set().union(*keys))}, {"keys": [current], "webhooks": len(keys)}
            yield entry_of(by, Action.KEYS_ROTATED, workspace_id, (TargetKind.KEYS, current), old=old, new=new)

    def _renewed(self, row: Row[Any], rotation: Rotation) -> dict[Column, bytes]:
        """Return a row's ciphertexts as they are to be, and count what became of each."""
        renewed: dict[Column, bytes] = {}
        for column, sealed in _sealed(row):
            renewed[column] = sealed
            opened = self._open(row.id, column, sealed)
            if opened is None:
                rotation.unreadable.append(Unreadable(row.id, column, key_id(sealed)))
            elif self._box.is_current(sealed):
                rotation.current += 1
            else:
                renewed[column] = self._box.encrypt(opened, webhook_id=row.id, column=column)
                rotation.reencrypted += 1
        return renewed

    def _is_current(self, row: Row[Any]) -> bool:
        return all(self._box.is_current(sealed) for _, sealed in _sealed(row))

    def _open(self, webhook_id: UUID, column: Column, sealed: bytes) -> str | None:
        try:
            return self._box.decrypt(sealed, webhook_id=webhook_id, column=column)
        except SecretUnavailableError:
            return None


def _sealed(row: Row[Any]) -> Iterator[tuple[Column, bytes]]:
    """Yield what a row's columns hold, where they hold anything."""
    return ((column, getattr(row, column)) for column in COLUMNS if getattr(row, column) is not None)
