"""Mails to contacts, in both stores: written with what they tell of, sent at most once, and counted by the day."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from noteflow_hooks.domain import mails as domain_mails
from noteflow_hooks.domain.client_certificates import CertificateInfo, ClientTls
from noteflow_hooks.domain.contacts import DIGEST_EVERY, Digest
from noteflow_hooks.domain.mails import (
    ADDRESS_A_DAY,
    DAY,
    MAILS_KEPT,
    TOO_OLD,
    TRIED_FOR,
    UNKNOWN,
    WORKSPACE_A_DAY,
    MailKind,
    MailState,
    confirmation_of,
    mail_about,
)
from tests.support.builders import a_failure, an_attempt_result, hours
from tests.support.contacts import ADDRESS, a_confirmed_contact, a_contact

if TYPE_CHECKING:
    from uuid import UUID

    from noteflow_hooks.domain.mails import Mail
    from noteflow_hooks.domain.ports.mails import Claimed
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.conformance.model.world import World

LEASE: Final = timedelta(minutes=5)
OVER: Final = hours(-1)


def asked(world: World, workspace_id: UUID, **overrides: Any) -> WebhookConfig:  # noqa: ANN401 - an endpoint's fields
    """Store an endpoint whose contact is asked."""
    with world.units() as unit:
        webhook = world.webhook(workspace_id, **{"contact": a_contact(), **overrides})
        mail = confirmation_of(webhook, before=None)
        assert mail is not None
        unit.mails.add(mail)
        unit.commit()
    return webhook


def write(world: World, webhook: WebhookConfig, *, times: int = 1) -> None:
    """Write mails about an endpoint whose contact has confirmed."""
    with world.units() as unit:
        for _ in range(times):
            mail = mail_about(webhook, MailKind.FAILING, "it fails")
            assert mail is not None
            unit.mails.add(mail)
        unit.commit()


def mails(world: World, webhook: WebhookConfig) -> list[Mail]:
    """Return the mails about an endpoint, oldest first."""
    with world.units() as unit:
        return list(unit.mails.list_of(webhook.id))


def claimed(world: World, *, lease: timedelta = LEASE) -> Claimed:
    """Claim the next mail; there is one."""
    found, _ = world.mails.claim(lease=lease)
    assert found is not None
    return found


def fail_until_told(world: World, workspace_id: UUID, webhook: WebhookConfig) -> None:
    """Let the endpoint fail an hour after its first failure, twice, under rules by which it is told after an hour."""
    for _ in range(3):
        event = world.event(workspace_id)
        for each in world.dispatched(event):
            if each.webhook_id == webhook.id:
                world.settle(world.claim(each.id), a_failure())
        world.age(hours(1))


def test_a_contact_is_kept_with_its_endpoint_and_gone_with_it(world: World) -> None:
    """All of its fields, changed and taken away; and the deleted endpoint has none, nor have its mails."""
    workspace_id = world.workspace()
    contact = a_confirmed_contact(digest=Digest.WEEKLY, digest_at=datetime.now(UTC) + DAY)
    webhook = world.webhook(workspace_id, contact=contact)
    with world.units() as unit:
        found = unit.webhooks.get_by_id(webhook.id)
    assert found is not None
    assert found.contact == contact
    assert world.change(replace(webhook, contact=None)).contact is None
    webhook = world.change(replace(webhook, contact=contact))
    write(world, webhook, times=2)
    taken = claimed(world).mail
    world.delete(webhook)
    with world.units() as unit:
        gone = unit.webhooks.get_by_id(webhook.id, with_deleted=True)
    assert gone is not None
    assert gone.contact is None
    assert {(each.state, each.recipient) for each in mails(world, webhook)} == {(MailState.GIVEN_UP, None)}
    assert not world.mails.note_sent(taken)
    assert world.mails.claim(lease=LEASE) == (None, [])


def test_failing_and_being_disabled_are_mailed_once_each_to_a_contact_that_has_confirmed(world: World) -> None:
    """To one that has not, nothing is; and each mail is written with the event that tells other endpoints."""
    told = world.under(warn_after=hours(1), disable_after=hours(2), disable_span=hours(2), breaker_failures=0)
    workspace_id = world.workspace()
    webhook = told.webhook(workspace_id, contact=a_confirmed_contact(), max_retries=1)
    other = told.webhook(workspace_id, contact=a_contact(), max_retries=1)
    for each in (webhook, other):
        fail_until_told(told, workspace_id, each)
    found = mails(told, webhook)
    assert [each.kind for each in found] == [MailKind.FAILING, MailKind.DISABLED]
    assert "Every attempt since" in found[0].about
    assert "Mend the endpoint" in found[1].about
    assert {each.recipient for each in found} == {ADDRESS}
    assert mails(told, other) == []


def test_nobody_is_mailed_while_webhooks_are_switched_off(world: World) -> None:
    """As no event is recorded then."""
    told = world.under(warn_after=hours(1), breaker_failures=0, tells=False)
    workspace_id = world.workspace()
    webhook = told.webhook(workspace_id, contact=a_confirmed_contact(), max_retries=1)
    fail_until_told(told, workspace_id, webhook)
    assert mails(told, webhook) == []


def test_a_success_costs_no_mail(world: World) -> None:
    """Nor does the first failure of a streak."""
    workspace_id = world.workspace()
    webhook = world.webhook(workspace_id, contact=a_confirmed_contact())
    for result in (an_attempt_result(), a_failure()):
        [delivery] = world.dispatched(world.event(workspace_id))
        world.settle(world.claim(delivery.id), result)
    assert mails(world, webhook) == []


def test_a_certificate_that_ends_is_mailed_with_its_event(world: World) -> None:
    """Once, to the contact that has confirmed."""
    workspace_id, end = world.workspace(), datetime.now(UTC) + timedelta(days=6)
    info = CertificateInfo("CN=a", "CN=root", end, "ab" * 32)
    tls = ClientTls("cert", "key", info=info, warn_at=end - timedelta(days=7))
    webhook = world.webhook(workspace_id, contact=a_confirmed_contact(), tls=tls)
    plain = world.webhook(workspace_id, contact=a_contact(), tls=tls)
    assert len(world.certificates.tell(limit=9)) == 2
    assert world.certificates.tell(limit=9) == []
    [mail] = mails(world, webhook)
    assert (mail.kind, mail.recipient) == (MailKind.CERTIFICATE, ADDRESS)
    assert mail.about.startswith("The client certificate ends at ")
    assert mails(world, plain) == []


def test_a_mail_that_the_server_took_is_never_sent_again(world: World) -> None:
    """It is being sent before anything leaves, and its address goes with its end."""
    webhook = asked(world, world.workspace())
    assert world.mails.has_due()
    found = claimed(world)
    assert (found.mail.recipient, found.mail.state, found.webhook.id) == (ADDRESS, MailState.SENDING, webhook.id)
    assert world.mails.claim(lease=LEASE) == (None, [])
    assert not world.mails.has_due()
    assert world.mails.note_sent(found.mail)
    assert not world.mails.note_sent(found.mail)
    [mail] = mails(world, webhook)
    assert (mail.state, mail.recipient, mail.attempt_count) == (MailState.SENT, None, 1)
    assert mail.sent_at is not None
    assert mail.ended_at is not None


def test_a_mail_whose_sender_died_is_given_up_and_not_sent_again(world: World) -> None:
    """Nobody can tell whether it left."""
    webhook = asked(world, world.workspace())
    claimed(world, lease=OVER)
    assert world.mails.has_due()
    found, given_up = world.mails.claim(lease=LEASE)
    assert found is None
    assert [(each.webhook_id, each.error) for each in given_up] == [(webhook.id, UNKNOWN)]
    [mail] = mails(world, webhook)
    assert (mail.state, mail.error, mail.recipient) == (MailState.GIVEN_UP, UNKNOWN, None)
    assert mail.sent_at is not None


def test_a_mail_that_was_refused_for_now_waits_and_is_tried_for_days(world: World) -> None:
    """It counts for no limit meanwhile, and says why it was not sent in the end."""
    webhook = asked(world, world.workspace())
    assert world.mails.put_back(claimed(world).mail, "451 later", wait=hours(1))
    assert not world.mails.has_due()
    [mail] = mails(world, webhook)
    assert (mail.state, mail.error, mail.sent_at) == (MailState.WAITING, "451 later", None)
    world.age(hours(1))
    again = claimed(world).mail
    assert again.attempt_count == 2
    assert world.mails.put_back(again, "451 later", wait=hours(0))
    world.age(TRIED_FOR)
    found, given_up = world.mails.claim(lease=LEASE)
    assert (found, [each.error for each in given_up]) == (None, ["451 later"])
    with world.units() as unit:
        assert unit.mails.was_confirmation_given_up(webhook.id)


def test_a_mail_that_was_never_tried_is_given_up_too(world: World) -> None:
    """As where no mail server is named for days."""
    asked(world, world.workspace())
    world.age(TRIED_FOR)
    found, given_up = world.mails.claim(lease=LEASE)
    assert (found, [each.error for each in given_up]) == (None, [TOO_OLD])


@pytest.mark.parametrize("is_unknown", [True, False])
def test_a_mail_that_is_refused_for_good_is_given_up(world: World, *, is_unknown: bool) -> None:
    """It counts as sent only where it may have been."""
    webhook = asked(world, world.workspace())
    mail = claimed(world).mail
    assert world.mails.give_up(mail, "550 no such user", is_unknown=is_unknown)
    assert not world.mails.put_back(mail, "451 later", wait=hours(0))
    [after] = mails(world, webhook)
    assert (after.state, after.error, after.recipient) == (MailState.GIVEN_UP, "550 no such user", None)
    assert (after.sent_at is not None) == is_unknown


def test_a_contact_that_has_not_confirmed_gets_its_confirmation_and_nothing_else(world: World) -> None:
    """Also where something was written to it while it was confirmed, and where another one took its place."""
    workspace_id = world.workspace()
    confirmed = world.webhook(workspace_id, contact=a_confirmed_contact())
    moved = world.webhook(workspace_id, contact=a_confirmed_contact())
    write(world, confirmed)
    write(world, moved)
    world.change(replace(confirmed, contact=a_contact()))
    world.change(replace(moved, contact=a_confirmed_contact("other@example.com")))
    found, given_up = world.mails.claim(lease=LEASE)
    assert found is None
    assert sorted(str(each.error) for each in given_up) == [
        "the contact has not confirmed",
        "the endpoint has this contact no more",
    ]


def test_a_confirmation_is_not_sent_twice(world: World) -> None:
    """One that was not sent makes way for the one that is asked for now, and none goes to who has confirmed."""
    workspace_id = world.workspace()
    webhook = asked(world, workspace_id)
    again = world.change(replace(webhook, contact=a_contact()))
    with world.units() as unit:
        assert not unit.mails.was_confirmation_given_up(webhook.id)
        mail = confirmation_of(again, before=webhook)
        assert mail is not None
        unit.mails.add(mail)
        unit.commit()
    assert [each.state for each in mails(world, webhook)] == [MailState.GIVEN_UP, MailState.WAITING]
    world.change(replace(again, contact=a_confirmed_contact()))
    found, given_up = world.mails.claim(lease=LEASE)
    assert (found, [each.error for each in given_up]) == (None, ["the contact has confirmed"])


def test_an_address_gets_ten_mails_a_day_whoever_writes_them(world: World) -> None:
    """In upper or lower case, over workspaces, and also about endpoints that are deleted by then."""
    for number in range(ADDRESS_A_DAY):
        webhook = asked(world, world.workspace(), contact=a_contact(ADDRESS.upper() if number % 2 else ADDRESS))
        assert world.mails.note_sent(claimed(world).mail)
        if number % 3 == 0:
            world.delete(webhook)
    late = asked(world, world.workspace())
    assert world.mails.claim(lease=LEASE) == (None, [])
    assert [each.state for each in mails(world, late)] == [MailState.WAITING]
    assert not world.mails.has_due()
    other = asked(world, world.workspace(), contact=a_contact("other@example.com"))
    assert claimed(world).webhook.id == other.id
    world.age(DAY)
    assert claimed(world).webhook.id == late.id


def test_a_workspace_sends_a_hundred_mails_a_day(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whomever they are for; here six are as many as a hundred."""
    assert (ADDRESS_A_DAY, WORKSPACE_A_DAY) == (10, 100)
    monkeypatch.setattr(domain_mails, "WORKSPACE_A_DAY", 6)
    workspace_id = world.workspace()
    for number in range(3):
        contact = a_confirmed_contact(f"ops{number}@example.com")
        write(world, world.webhook(workspace_id, contact=contact), times=2)
    for _ in range(6):
        assert world.mails.note_sent(claimed(world).mail)
    asked(world, workspace_id, contact=a_contact("late@example.com"))
    assert world.mails.claim(lease=LEASE) == (None, [])
    other = asked(world, world.workspace(), contact=a_contact("third@example.com"))
    assert claimed(world).webhook.id == other.id


def test_a_digest_is_due_once_a_week(world: World) -> None:
    """At the same hour; weeks that were missed bring none."""
    workspace_id = world.workspace()
    due_at = datetime.now(UTC) - hours(1)
    contact = a_confirmed_contact(digest=Digest.WEEKLY, digest_at=due_at)
    webhook = world.webhook(workspace_id, contact=contact)
    world.webhook(workspace_id, contact=replace(contact, digest_at=due_at + DAY))
    assert world.mails.has_digests()
    with world.units() as unit:
        assert [each.id for each in unit.mails.take_digests(limit=9)] == [webhook.id]
        unit.commit()
    assert not world.mails.has_digests()
    with world.units() as unit:
        assert unit.mails.take_digests(limit=9) == []
        found = unit.webhooks.get_by_id(webhook.id)
    assert found is not None
    assert found.contact is not None
    assert found.contact.digest_at == due_at + DIGEST_EVERY
    assert found.updated_at == webhook.updated_at


def test_mails_are_kept_for_a_week(world: World) -> None:
    """Whatever has become of them."""
    webhook = asked(world, world.workspace())
    assert world.retention.remove_mails(MAILS_KEPT, limit=9).rows == 0
    world.age(MAILS_KEPT)
    assert world.retention.remove_mails(MAILS_KEPT, limit=9).rows == 1
    assert mails(world, webhook) == []
