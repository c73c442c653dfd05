"""Re-encryption: everything ends up under the first key, and nothing else of an endpoint changes, whoever is at it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from noteflow_hooks.crypto import COLUMNS, SecretBox, generate_key, key_id, parse_keys
from noteflow_hooks.domain.challenges import Challenge, Verification
from noteflow_hooks.domain.client_certificates import CERTIFICATE_FIELDS
from noteflow_hooks.domain.endpoint_keys import PreviousKey, Signing
from noteflow_hooks.domain.webhooks import PreviousSecret
from noteflow_hooks.key_pairs import generate_key_pair
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.maintenance.reencryption import StoredSecrets
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from tests.support.builders import BY, NOON, a_webhook, a_workspace
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.audit.entries import AuditEntry
    from noteflow_hooks.domain.webhooks import WebhookConfig

OLD, NEW, LOST = (parse_keys(generate_key())[0] for _ in range(3))
BOTH: Final = SecretBox([NEW, OLD])
HEADERS: Final = (("Authorization", "Bearer abc"),)


@pytest.fixture
def engine(clean_database: str) -> Iterator[Engine]:
    made = create_engine(clean_database)
    yield made
    made.dispose()


def stored(engine: Engine, *, count: int, key: bytes = OLD) -> list[WebhookConfig]:
    """Store endpoints of one workspace, each with five ciphertexts under that key, in the order of their ids."""
    until_then = datetime.now(UTC) + timedelta(hours=1)
    with SqlAlchemyUnitOfWork(engine, SecretBox([key])) as unit:
        workspace = unit.access.create_workspace(a_workspace())
        made = [
            unit.webhooks.create(
                a_webhook(
                    workspace_id=workspace.id,
                    secret=f"the-secret-{number}",
                    previous_secret=f"the-former-{number}",
                    previous_secret_expires_at=until_then,
                    earlier_secrets=(PreviousSecret(f"the-earlier-{number}", until_then),),
                    headers=HEADERS,
                    header_names=("Authorization",),
                    signing=Signing.BOTH,
                    signing_key=generate_key_pair(),
                    previous_keys=(PreviousKey(generate_key_pair(), until_then),),
                )
            )
            for number in range(count)
        ]
        unit.commit()
    return sorted(made, key=lambda webhook: webhook.id)


def rows(engine: Engine) -> dict[UUID, dict[str, Any]]:
    with engine.begin() as connection:
        found = connection.execute(text("SELECT * FROM noteflow.webhook_configs")).mappings()
        return {row["id"]: dict(row) for row in found}


def overwrite(engine: Engine, webhook: WebhookConfig, **columns: bytes | None) -> None:
    changes = ", ".join(f"{name} = :{name}" for name in columns)
    with engine.begin() as connection:
        connection.execute(
            text(f"UPDATE noteflow.webhook_configs SET {changes} WHERE id = :id"),  # noqa: S608 - names of this file
            {"id": webhook.id, **columns},
        )


def read(engine: Engine, webhook: WebhookConfig, *keys: bytes) -> WebhookConfig:
    with SqlAlchemyUnitOfWork(engine, SecretBox(keys)) as unit:
        found = unit.webhooks.get_by_id(webhook.id)
    assert found is not None
    return found


def key_ids(engine: Engine) -> set[str]:
    """Return the names of all keys that any ciphertext is under."""
    return {key_id(row[column]) for row in rows(engine).values() for column in COLUMNS if row[column] is not None}


def test_everything_ends_up_under_the_first_key_and_nothing_else_changes(engine: Engine) -> None:
    """All five columns of every endpoint, in more than one batch; with the new key alone they read as before."""
    webhooks, before = stored(engine, count=7), rows(engine)
    rotation = StoredSecrets(engine, BOTH, batch=3).rotate(by=BY)
    assert (rotation.reencrypted, rotation.current, rotation.unreadable) == (35, 0, [])
    assert key_ids(engine) == {BOTH.key_ids[0]}
    assert [read(engine, each, NEW) for each in webhooks] == webhooks
    for webhook_id, row in rows(engine).items():
        changed = {name for name, value in row.items() if value != before[webhook_id][name]}
        assert changed == set(COLUMNS) - {*CERTIFICATE_FIELDS, "url_ciphertext", "challenge"}


def test_what_an_endpoint_is_asked_ends_up_under_the_first_key_too(engine: Engine) -> None:
    """Its answer counts before and after."""
    [webhook] = stored(engine, count=1)
    asked = replace(webhook, verification=Verification(NOON, challenge=Challenge.new(NOON)))
    with SqlAlchemyUnitOfWork(engine, SecretBox([OLD])) as unit:
        unit.webhooks.update(asked)
        unit.commit()
    assert StoredSecrets(engine, BOTH).rotate(by=BY).reencrypted == 6
    assert key_ids(engine) == {BOTH.key_ids[0]}
    assert read(engine, webhook, NEW).verification == asked.verification


def entries(engine: Engine) -> list[AuditEntry]:
    """Return the audit trail of all workspaces."""
    with SqlAlchemyUnitOfWork(engine, BOTH) as unit:
        own = [unit.audit.list_page(each.id, limit=99) for each in unit.access.list_workspaces()]
    return [each for trail in own for each in trail]


def test_each_workspace_sees_that_its_secrets_are_under_another_key(engine: Engine) -> None:
    """By the keys' names, with who did it, an entry for each transaction; nothing where nothing is done."""
    for count in (2, 3):
        stored(engine, count=count)
    StoredSecrets(engine, BOTH).rotate(by=BY)
    new, old = BOTH.key_ids
    found = sorted(entries(engine), key=lambda each: (each.new or {})["webhooks"])
    assert [(each.action, each.actor, each.target_id) for each in found] == [("keys.rotated", BY.name, new)] * 2
    assert [(each.old, each.new) for each in found] == [
        ({"keys": [old]}, {"keys": [new], "webhooks": count}) for count in (2, 3)
    ]
    StoredSecrets(engine, BOTH).rotate(by=BY)
    assert len(entries(engine)) == 2


def test_no_secret_is_reencrypted_without_an_entry(engine: Engine) -> None:
    """Where that can't be written, all stays under the old key."""
    stored(engine, count=2)
    before = rows(engine)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE noteflow.audit_log ADD CONSTRAINT broken CHECK (false) NOT VALID"))
    try:
        with pytest.raises(IntegrityError):
            StoredSecrets(engine, BOTH).rotate(by=BY)
    finally:
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE noteflow.audit_log DROP CONSTRAINT broken"))
    assert rows(engine) == before


def test_a_second_run_finds_nothing_to_do(engine: Engine) -> None:
    """Not a byte is written; an endpoint without secrets counts for nothing."""
    stored(engine, count=2)
    with SqlAlchemyUnitOfWork(engine, BOTH) as unit:
        unit.webhooks.create(a_webhook(workspace_id=unit.access.create_workspace(a_workspace()).id))
        unit.commit()
    StoredSecrets(engine, BOTH).rotate(by=BY)
    after_first = rows(engine)
    again = StoredSecrets(engine, BOTH).rotate(by=BY)
    assert (again.reencrypted, again.current, again.unreadable) == (0, 10, [])
    assert rows(engine) == after_first


def test_what_can_not_be_read_stays_as_it_is_and_keeps_nothing_from_being_done(engine: Engine) -> None:
    """A lost key, a flipped bit, a secret of another row: each is told by its endpoint, and the rest is done."""
    lost, flipped, moved, well = stored(engine, count=4)
    under_lost = SecretBox([LOST]).encrypt("s" * 8, webhook_id=lost.id, column="secret")
    before = rows(engine)
    damaged = bytes([*before[flipped.id]["headers"][:-1], before[flipped.id]["headers"][-1] ^ 1])
    overwrite(engine, lost, secret=under_lost)
    overwrite(engine, flipped, headers=damaged)
    overwrite(engine, moved, previous_secret=before[well.id]["previous_secret"])
    rotation = StoredSecrets(engine, BOTH).rotate(by=BY)
    told = {(each.webhook_id, each.column, each.key_id) for each in rotation.unreadable}
    assert told == {
        (lost.id, "secret", SecretBox([LOST]).key_ids[0]),
        (flipped.id, "headers", BOTH.key_ids[1]),
        (moved.id, "previous_secret", BOTH.key_ids[1]),
    }
    assert rotation.reencrypted == 17
    after = rows(engine)
    assert (after[lost.id]["secret"], after[flipped.id]["headers"]) == (under_lost, damaged)
    assert after[moved.id]["previous_secret"] == before[well.id]["previous_secret"]
    assert read(engine, well, NEW) == well


def test_secrets_that_changed_places_open_nowhere(engine: Engine) -> None:
    """Between two endpoints, or two columns of one, by SQL: neither is signed with what is not its own."""
    one, other = stored(engine, count=2)
    before = rows(engine)
    overwrite(engine, one, secret=before[other.id]["secret"])
    overwrite(engine, other, secret=before[other.id]["headers"], previous_secret=before[other.id]["secret"])
    for webhook in (one, other):
        found = read(engine, webhook, OLD)
        assert (found.secret, found.secret_unavailable) == (None, True)
    assert read(engine, other, OLD).previous_secret is None


def test_a_damaged_secret_is_told_though_it_is_under_the_first_key(engine: Engine) -> None:
    """There is nothing to re-encrypt, but who rotates wants to know."""
    [webhook] = stored(engine, count=1, key=NEW)
    sealed = rows(engine)[webhook.id]["secret"]
    overwrite(engine, webhook, secret=sealed[:-1])
    rotation = StoredSecrets(engine, BOTH).rotate(by=BY)
    assert [(each.webhook_id, each.column) for each in rotation.unreadable] == [(webhook.id, "secret")]
    assert (rotation.reencrypted, rotation.current) == (0, 4)


def test_a_secret_that_is_being_changed_is_never_overwritten(engine: Engine) -> None:
    """The re-encryption does all others first, waits, and takes what the change has left."""
    webhooks = stored(engine, count=6)
    changing = webhooks[2]
    with ThreadPoolExecutor(1) as pool:
        with SqlAlchemyUnitOfWork(engine, SecretBox([OLD])) as unit:
            locked = unit.webhooks.get_by_id(changing.id, lock=True)
            assert locked is not None
            running = pool.submit(partial(StoredSecrets(engine, BOTH, batch=3).rotate, by=BY))
            new = BOTH.key_ids[0]
            until(lambda: sum(key_id(row["secret"]) == new for row in rows(engine).values()) == 5, what="others done")
            unit.webhooks.update(replace(locked, secret="a-newer-secret", previous_secret=locked.secret))
            assert not running.done()
            unit.commit()
        assert running.result(timeout=PATIENCE_S).reencrypted == 30
    found = read(engine, changing, NEW)
    assert (found.secret, found.previous_secret) == ("a-newer-secret", changing.secret)
    assert key_ids(engine) == {new}


def test_an_endpoint_that_is_deleted_meanwhile_is_left_alone(engine: Engine) -> None:
    """Its secrets are erased, and stay so."""
    webhooks = stored(engine, count=2)
    with ThreadPoolExecutor(1) as pool:
        with SqlAlchemyUnitOfWork(engine, SecretBox([OLD])) as unit:
            unit.webhooks.delete(webhooks[0].id)
            running = pool.submit(partial(StoredSecrets(engine, BOTH).rotate, by=BY))
            until(lambda: key_ids(engine) != {BOTH.key_ids[1]}, what="the other is done")
            unit.commit()
        assert running.result(timeout=PATIENCE_S).reencrypted == 5
    assert [rows(engine)[webhooks[0].id][column] for column in COLUMNS] == [None] * len(COLUMNS)


def test_two_at_once_do_no_harm(engine: Engine) -> None:
    """Each ciphertext is re-encrypted by one of them, and everything reads as before."""
    webhooks = stored(engine, count=60)
    together = threading.Barrier(2)

    def rotate(_: int) -> tuple[int, int]:
        together.wait(timeout=PATIENCE_S)
        rotation = StoredSecrets(engine, BOTH, batch=7).rotate(by=BY)
        assert rotation.unreadable == []
        return rotation.reencrypted, rotation.current

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(rotate, range(2)))
    assert sum(reencrypted for reencrypted, _ in done) == 300
    assert [reencrypted + current for reencrypted, current in done] == [300, 300]
    assert [read(engine, each, NEW) for each in webhooks] == webhooks


def test_a_change_still_moves_updated_at(engine: Engine) -> None:
    """On the connection too that has just re-encrypted: what the trigger passes by is one transaction."""
    [webhook] = stored(engine, count=1)
    single = create_engine(engine.url.render_as_string(hide_password=False), connections=1)
    StoredSecrets(single, BOTH).rotate(by=BY)
    assert rows(single)[webhook.id]["updated_at"] == webhook.updated_at
    overwrite(single, webhook, secret=None)
    assert rows(single)[webhook.id]["updated_at"] > webhook.updated_at
    single.dispose()


def test_the_use_of_keys_is_counted(engine: Engine) -> None:
    """By the key's name, with what does not decrypt; a key that is gone counts by its name too."""
    stored(engine, count=2)
    new, lost = stored(engine, count=1, key=NEW), stored(engine, count=1, key=LOST)
    overwrite(engine, new[0], headers=rows(engine)[new[0].id]["secret"])
    assert lost
    uses = StoredSecrets(engine, BOTH, batch=1).use()
    assert {name: (use.ciphertexts, use.unreadable) for name, use in uses.items()} == {
        BOTH.key_ids[0]: (5, 1),
        BOTH.key_ids[1]: (10, 0),
        SecretBox([LOST]).key_ids[0]: (5, 5),
    }
