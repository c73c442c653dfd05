"""Contacts: named, asked, confirmed and changed; an address that has not confirmed hears of nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest

from noteflow_hooks.application.contacts import confirm_contact
from noteflow_hooks.application.endpoints import EndpointRules, Registration, change_webhook, check_changes, new_webhook
from noteflow_hooks.domain.contacts import CODE_LASTS, DIGEST_EVERY, Digest
from noteflow_hooks.domain.mails import MailKind, MailState
from noteflow_hooks.errors import InvalidInputError, NotFoundError, PreconditionError, Reason
from noteflow_hooks.mail.codes import KeyedContactCodes
from noteflow_hooks.persistence.memory import InMemoryMailStore
from tests.support.builders import BY
from tests.support.contacts import ADDRESS

if TYPE_CHECKING:
    from uuid import UUID

    from noteflow_hooks.domain.mails import Mail
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.support.application_world import World

CODES: Final = KeyedContactCodes([bytes(32)])
OTHER: Final = "other@example.com"


def registered(world: World, **fields: Any) -> WebhookConfig:  # noqa: ANN401 - a registration's own
    """Register an endpoint with a contact, as a call does."""
    asked = Registration(url="https://receiver.example/hooks", **{"contact": ADDRESS, **fields})
    webhook = new_webhook(world.workspace.id, asked, rules=EndpointRules())
    return world.do(lambda unit: world.service.store_webhook(webhook, unit, by=BY))


def changed(world: World, webhook_id: UUID, **changes: Any) -> WebhookConfig:  # noqa: ANN401 - as above
    """Change an endpoint, as a call does."""
    rules = EndpointRules()
    return world.do(
        lambda unit: change_webhook(
            unit,
            world.service,
            world.workspace.id,
            webhook_id,
            check_changes(changes, rules=rules),
            rules=rules,
            now=world.now,
            by=BY,
        )
    ).webhook


def code_of(webhook: WebhookConfig) -> str:
    """Return the code that was mailed."""
    assert webhook.contact is not None
    return CODES.code(webhook.id, webhook.contact.address, webhook.contact.asked_at)


def confirmed(world: World, webhook: WebhookConfig, code: str | None = None) -> WebhookConfig:
    """Give the code back."""
    given = code if code is not None else code_of(webhook)
    return world.do(
        lambda unit: confirm_contact(unit, world.workspace.id, webhook.id, given, codes=CODES, now=world.now, by=BY)
    ).webhook


def mails(world: World, webhook: WebhookConfig) -> list[Mail]:
    """Return the mails about an endpoint."""
    return world.do(lambda unit: list(unit.mails.list_of(webhook.id)))


def test_a_contact_is_asked_once_when_it_is_named(world: World) -> None:
    """At registration or by a change; naming the same one again, or anything else, asks nobody."""
    webhook = registered(world)
    changed(world, webhook.id, name="renamed")
    changed(world, webhook.id, contact=ADDRESS)
    [mail] = mails(world, webhook)
    assert (mail.kind, mail.recipient) == (MailKind.CONFIRMATION, ADDRESS)
    plain = registered(world, contact=None)
    assert mails(world, plain) == []
    changed(world, plain.id, contact=OTHER)
    assert [each.recipient for each in mails(world, plain)] == [OTHER]


def test_its_code_confirms_a_contact_once_and_it_is_in_the_trail(world: World) -> None:
    """With the address masked; given back again it changes nothing."""
    webhook = confirmed(world, registered(world))
    assert webhook.contact is not None
    assert webhook.contact.is_confirmed
    assert confirmed(world, webhook) == webhook
    entries = world.do(lambda unit: unit.audit.list_page(world.workspace.id, limit=9))
    told = [(each.action, each.old, each.new) for each in entries if "contact" in each.action]
    assert told == [("webhook.contact_confirmed", {"contact_confirmed": False}, {"contact_confirmed": True})]
    assert ADDRESS not in repr(entries)
    assert "o…@example.com" in repr(entries)


def test_another_code_and_another_workspace_are_refused(world: World) -> None:
    """Naming the field; and an endpoint without a contact has nothing to confirm."""
    webhook, plain = registered(world), registered(world, contact=None)
    for code in ("", "AAAA-AAAA-AAAA", f"{code_of(webhook)}0"):
        with pytest.raises(InvalidInputError, match=r"^code: "):
            confirmed(world, webhook, code)
    with pytest.raises(PreconditionError) as refused:
        confirmed(world, plain, "AAAA")
    assert refused.value.reason is Reason.NO_CONTACT
    with pytest.raises(NotFoundError):
        world.do(
            lambda unit: confirm_contact(unit, uuid4(), webhook.id, code_of(webhook), codes=CODES, now=world.now, by=BY)
        )


def test_another_address_has_to_confirm_anew(world: World) -> None:
    """The old code counts no more, and taking the contact away takes its digest along."""
    webhook = confirmed(world, registered(world, digest="weekly"))
    moved = changed(world, webhook.id, contact=OTHER)
    assert moved.contact is not None
    assert (moved.contact.is_confirmed, moved.contact.digest, moved.contact.digest_at) == (False, Digest.WEEKLY, None)
    with pytest.raises(InvalidInputError):
        confirmed(world, moved, code_of(webhook))
    assert confirmed(world, moved).contact is not None
    assert changed(world, webhook.id, contact="").contact is None


def test_a_code_counts_for_a_week_and_then_the_contact_can_be_asked_again(world: World) -> None:
    """By naming it once more; one that is still asked is not."""
    webhook = registered(world)
    world.now += CODE_LASTS + timedelta(minutes=1)
    with pytest.raises(PreconditionError) as refused:
        confirmed(world, webhook)
    assert refused.value.reason is Reason.CODE_EXPIRED
    again = changed(world, webhook.id, contact=ADDRESS)
    assert len(mails(world, webhook)) == 2
    assert confirmed(world, again).contact is not None


def test_a_contact_is_asked_again_where_its_mail_was_given_up(world: World) -> None:
    """As one that the mail server refused."""
    webhook = registered(world)
    store = InMemoryMailStore(world.memory)
    found, _ = store.claim(lease=timedelta(minutes=5))
    assert found is not None
    assert store.give_up(found.mail, "550 no such user", is_unknown=False)
    world.now += timedelta(minutes=1)
    changed(world, webhook.id, contact=ADDRESS)
    assert [each.state for each in mails(world, webhook)] == [MailState.GIVEN_UP, MailState.WAITING]


def test_digests_begin_with_the_confirmation(world: World) -> None:
    """A week later; switched off, none is due."""
    webhook = registered(world, digest="weekly")
    assert webhook.contact is not None
    assert webhook.contact.digest_at is None
    contact = confirmed(world, webhook).contact
    assert contact is not None
    assert contact.digest_at == world.now + DIGEST_EVERY
    contact = changed(world, webhook.id, digest="none").contact
    assert contact is not None
    assert contact.digest_at is None
    contact = changed(world, webhook.id, digest="weekly").contact
    assert contact is not None
    assert contact.digest_at == world.now + DIGEST_EVERY


@pytest.mark.parametrize(
    "address",
    [
        "nobody",
        "@mail.example",
        "a@",
        "a@b@c",
        "a b@example.com",
        "a@example.com\r\nBcc: x@y.example",
        "a@example.com,b@example.com",
        '"a b"@example.com',
        "<a@example.com>",
        ".a@example.com",
        "a@-b.example",
        "a@exa_mple.com",
        "é@example.com",
        f"{'a' * 65}@example.com",
        f"a@{'b.' * 130}example",
    ],
)
def test_what_is_no_address_is_refused_at_the_edge(world: World, address: str) -> None:
    """Naming the field, and repeating nothing of it."""
    for wrong in (
        lambda: registered(world, contact=address),
        lambda: check_changes({"contact": address}, rules=EndpointRules()),
    ):
        with pytest.raises(InvalidInputError, match=r"^contact: must be one mail address") as refused:
            wrong()
        assert address not in str(refused.value)


def test_a_digest_needs_a_contact_and_a_word_that_is_known(world: World) -> None:
    """Both refusals name the field."""
    with pytest.raises(InvalidInputError, match=r"^digest: needs a contact"):
        registered(world, contact=None, digest="weekly")
    with pytest.raises(InvalidInputError, match=r"^digest: is 'daily'; allowed are none, weekly"):
        registered(world, digest="daily")
