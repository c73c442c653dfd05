"""What the schema and the statements say of contacts and mails is what the domain says."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from noteflow_hooks.domain.contacts import Digest
from noteflow_hooks.domain.mails import TRIED_FOR, MailKind, MailState, confirmation_of, is_too_old
from tests.support.builders import a_workspace
from tests.support.contacts import a_contact
from tests.support.twins import twin

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.mails import Mail
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.conformance.model.world import World

UNKNOWN = "whatever"
#: There is no case but one.
ONCE = st.none()


@pytest.fixture
def asked(postgres_world: World) -> tuple[World, WebhookConfig, Mail]:
    """A store with an endpoint whose contact is asked."""
    with postgres_world.units() as unit:
        workspace = unit.access.create_workspace(a_workspace())
        unit.commit()
    webhook = postgres_world.webhook(workspace.id, contact=a_contact())
    mail = confirmation_of(webhook, before=None)
    assert mail is not None
    with postgres_world.units() as unit:
        unit.mails.add(mail)
        unit.commit()
        [stored] = unit.mails.list_of(webhook.id)
    return postgres_world, webhook, stored


def takes(engine: Engine, statement: str, key: UUID, word: str) -> bool:
    """Tell whether a row may say that word; nothing stays of it."""
    with engine.connect() as connection:
        try:
            connection.execute(text(statement), {"key": key, "word": word})
        except IntegrityError:
            return False
        finally:
            connection.rollback()
    return True


@twin("domain.contacts.Digest", "domain.mails.MailKind", "domain.mails.MailState")
@given(nth=ONCE)
def test_words_are_the_domain_s(engine: Engine, asked: tuple[World, WebhookConfig, Mail], nth: None) -> None:
    """All of them, and no others."""
    assert nth is None
    _, webhook, mail = asked
    digest = "UPDATE noteflow.webhook_configs SET digest = :word WHERE id = :key"
    kind = "UPDATE noteflow.webhook_mails SET kind = :word WHERE id = :key"
    state = """
    UPDATE noteflow.webhook_mails SET state = CAST(:word AS text),
        recipient = CASE WHEN :word IN ('sent', 'given_up') THEN NULL ELSE recipient END,
        next_attempt_at = CASE WHEN :word = 'waiting' THEN now() END,
        lease_expires_at = CASE WHEN :word = 'sending' THEN now() END
    WHERE id = :key
    """
    for statement, key, words in ((digest, webhook.id, Digest), (kind, mail.id, MailKind), (state, mail.id, MailState)):
        assert all(takes(engine, statement, key, each) for each in words)
        assert not takes(engine, statement, key, UNKNOWN)


@twin("domain.mails.is_too_old")
@given(nth=ONCE)
def test_mails_are_given_up_at_the_same_age(asked: tuple[World, WebhookConfig, Mail], nth: None) -> None:
    """A minute before it they wait."""
    assert nth is None
    world, webhook, mail = asked
    assert mail.created_at is not None
    minute = timedelta(minutes=1)
    for by, age in ((TRIED_FOR - minute, TRIED_FOR - minute), (2 * minute, TRIED_FOR + minute)):
        world.age(by)
        with world.units() as unit:
            [stored] = unit.mails.list_of(webhook.id)
        is_over = is_too_old(replace(mail), now=mail.created_at + age)
        found, given_up = world.mails.claim(lease=-minute * 60 * 24 * 30)
        if found is not None:
            assert world.mails.put_back(found.mail, "451 later", wait=timedelta(0))
        assert (found is None, bool(given_up)) == (is_over, is_over), stored
