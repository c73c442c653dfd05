"""Which endpoints have to show that they want deliveries, what they are asked, and what counts as an answer."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noteflow_hooks.delivery.service import may_be_sent
from noteflow_hooks.domain.challenges import (
    CHALLENGE_LASTS,
    EXPIRED,
    MARK,
    NEVER_ASKED,
    VOID,
    Challenge,
    Verification,
    is_answer,
)
from noteflow_hooks.domain.client_certificates import ClientTls
from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.domain.options import NO_OPTIONS, Format
from noteflow_hooks.domain.skipping import GONE_REASON
from noteflow_hooks.domain.verification import (
    as_asked,
    check_verified,
    needs_verification,
    registered,
    updated,
    verification_event,
    verified,
)
from noteflow_hooks.errors import InvalidInputError, PreconditionError, Reason
from tests.support.builders import NOON, a_delivery, a_webhook

if TYPE_CHECKING:
    from noteflow_hooks.domain.webhooks import WebhookConfig

OLD: Final = "https://receiver.example/hooks"
NEW: Final = "https://new.example/hooks"
LATER: Final = NOON + timedelta(hours=1)
TEXT: Final = "a-challenge-of-43-characters"


def preset(**overrides: Any) -> WebhookConfig:  # noqa: ANN401 - an endpoint's fields
    return a_webhook(options=replace(NO_OPTIONS, format=Format.SLACK), **overrides)


def change(before: WebhookConfig, *, is_required: bool = True, now: Any = LATER, **changes: Any) -> WebhookConfig:  # noqa: ANN401 - fields
    after = replace(before, **changes)
    return updated(before, after, names_url="url" in changes, is_required=is_required, now=now)


def challenge_of(webhook: WebhookConfig) -> Challenge:
    assert webhook.verification.challenge is not None
    return webhook.verification.challenge


def test_new_moved_and_former_presets_need_verification() -> None:
    """A preset itself does not, wherever it goes, and neither does any other change."""
    plain, slack = a_webhook(), preset()
    assert needs_verification(None, plain)
    assert needs_verification(plain, replace(plain, url=NEW))
    assert needs_verification(slack, replace(slack, options=NO_OPTIONS))
    assert not needs_verification(None, slack)
    assert not needs_verification(plain, replace(plain, options=slack.options, url=NEW))
    assert not needs_verification(plain, replace(plain, name="other", max_retries=9))


def test_a_new_endpoint_is_asked_for_a_day() -> None:
    """With another challenge each time, that nobody guesses."""
    first, second = (registered(a_webhook(), now=NOON) for _ in range(2))
    assert first.verification.unverified_since == NOON
    assert first.verified_at is None
    challenge = challenge_of(first)
    assert challenge.expires_at == NOON + CHALLENGE_LASTS == NOON + timedelta(hours=24)
    assert len(challenge.text) == 43
    assert challenge.text != challenge_of(second).text
    assert challenge.text not in repr(first)
    assert registered(preset(), now=NOON).verification is NEVER_ASKED
    assert registered(a_webhook(enabled=False), now=NOON).verification == Verification(NOON)


def test_one_that_was_never_asked_counts_as_verified_since_it_was_registered() -> None:
    """As all do that existed when verification was switched on."""
    webhook = a_webhook(created_at=NOON)
    assert (webhook.verified_at, webhook.verification.is_awaited) == (NOON, False)
    check_verified(webhook, what="test it")


def test_a_moved_endpoint_keeps_its_url_until_the_new_one_answers() -> None:
    """Then it has moved, and was verified at that moment."""
    moving = change(a_webhook(created_at=NOON), url=NEW)
    assert (moving.url, moving.verification.pending_url, moving.verified_at) == (OLD, NEW, NOON)
    check_verified(moving, what="test it")
    moved = verified(moving, now=LATER)
    assert (moved.url, moved.verification) == (NEW, Verification(verified_at=LATER))


def test_a_second_move_replaces_the_first_and_its_challenge() -> None:
    """The same move once more goes on with the challenge that is out, until that has expired."""
    first = change(a_webhook(), url=NEW)
    assert change(first, url=NEW).verification == first.verification
    assert challenge_of(change(first, url=NEW, now=LATER + CHALLENGE_LASTS)) != challenge_of(first)
    second = change(first, url="https://third.example/")
    assert second.verification.pending_url == "https://third.example/"
    assert challenge_of(second) != challenge_of(first)
    assert second.url == OLD


def test_moving_back_asks_nothing_any_more() -> None:
    """Naming the present URL clears the move; a change of anything else does not."""
    moving = change(a_webhook(), url=NEW)
    assert change(moving, name="other").verification == moving.verification
    assert change(moving, url=OLD).verification == NEVER_ASKED
    assert change(moving, url=OLD, is_required=False).verification == NEVER_ASKED


def test_one_that_is_not_verified_moves_at_once_and_is_asked_there() -> None:
    """Nothing is sent to either URL before that."""
    new = registered(a_webhook(), now=NOON)
    moved = change(new, url=NEW)
    assert (moved.url, moved.verification.pending_url, moved.verification.unverified_since) == (NEW, None, NOON)
    assert challenge_of(moved) != challenge_of(new)
    with pytest.raises(PreconditionError, match="VerifyWebhook") as refused:
        check_verified(moved, what="test it")
    assert refused.value.reason is Reason.WEBHOOK_UNVERIFIED


@pytest.mark.parametrize("step_by_step", [False, True])
def test_one_that_is_gone_has_no_url_to_keep(*, step_by_step: bool) -> None:
    """Enabled there, it would be disabled by the next delivery, and its challenge skipped with it."""
    gone = a_webhook(enabled=False, disabled_reason=f"{GONE_REASON} at noon")
    enabled: dict[str, Any] = {"enabled": True, "disabled_reason": None}
    moved = change(change(gone, url=NEW), **enabled) if step_by_step else change(gone, url=NEW, **enabled)
    assert (moved.url, moved.verification.pending_url, moved.verification.unverified_since) == (NEW, None, LATER)
    assert challenge_of(moved).expires_at == LATER + CHALLENGE_LASTS
    by_hand = change(a_webhook(enabled=False), url=NEW, **enabled)
    assert (by_hand.url, by_hand.verification.pending_url) == (OLD, NEW)


def test_one_that_was_to_move_when_it_was_gone_is_asked_there_alone_once_it_is_enabled() -> None:
    """Nothing goes to the old URL any more, which would say the same again."""
    moving = change(a_webhook(), url=NEW)
    gone = replace(moving, enabled=False, disabled_reason=f"{GONE_REASON} at noon")
    assert change(gone, name="other").verification == moving.verification
    enabled = change(gone, enabled=True, disabled_reason=None)
    assert (enabled.url, enabled.verification.pending_url, enabled.verification.unverified_since) == (NEW, None, LATER)
    assert challenge_of(enabled) != challenge_of(moving)
    assert change(gone, url=OLD, enabled=True, disabled_reason=None).url == OLD


def test_presets_are_exempt_and_leaving_one_is_a_new_beginning() -> None:
    """Whether the URL changes with the format or not."""
    slack = change(registered(a_webhook(), now=NOON), options=preset().options, url=NEW)
    assert (slack.url, slack.verification) == (NEW, NEVER_ASKED)
    for url in (NEW, "https://other.example/"):
        left = change(slack, options=NO_OPTIONS, url=url)
        assert left.url == url
        assert left.verification.unverified_since == LATER
        assert left.verification.challenge is not None


def test_without_the_setting_nothing_is_asked() -> None:
    """A new URL counts at once, also that of an endpoint which was asked before."""
    plain = a_webhook()
    assert change(plain, is_required=False, url=NEW) == replace(plain, url=NEW)
    new = registered(plain, now=NOON)
    assert change(new, is_required=False, name="other").verification == new.verification
    assert change(new, is_required=False, url=NEW).verification == NEVER_ASKED


def test_an_endpoint_that_is_enabled_again_is_asked_again() -> None:
    """While it was disabled its challenge was skipped."""
    disabled = replace(registered(a_webhook(), now=NOON), enabled=False)
    assert change(disabled, name="other").verification == disabled.verification
    assert challenge_of(change(disabled, enabled=True)) != challenge_of(disabled)
    assert change(a_webhook(enabled=False), enabled=True).verification is NEVER_ASKED


def test_a_move_can_t_take_certificates_along() -> None:
    """Deliveries go on to the old URL with those that it has."""
    with pytest.raises(InvalidInputError, match="certificate"):
        change(a_webhook(), url=NEW, tls=ClientTls(server_ca="ca"))


def claim_of(webhook: WebhookConfig, **overrides: Any) -> Claim:  # noqa: ANN401 - a delivery's fields
    event = verification_event(webhook, challenge_of(webhook), now=NOON)
    fields = {"event_id": event.id, "event_type": event.event_type, "lease_expires_at": NOON} | overrides
    return as_asked(Claim(a_delivery(webhook_id=webhook.id, **fields), webhook, event.payload, targeted=True))


def test_the_event_is_stored_without_its_challenge_and_sent_with_it() -> None:
    """To where the endpoint is to be."""
    moving = change(a_webhook(), url=NEW)
    event = verification_event(moving, challenge_of(moving), now=NOON)
    assert (event.target_webhook_id, event.id) == (moving.id, challenge_of(moving).event_id)
    assert json.loads(event.payload)["challenge"] == MARK
    claim = claim_of(moving)
    assert (claim.webhook.url, claim.reason_to_skip()) == (NEW, None)
    sent = json.loads(claim.payload)
    assert sent == json.loads(event.payload) | {"challenge": challenge_of(moving).text}
    assert list(sent) == ["event", "timestamp", "webhook_id", "challenge", "expires_at"]
    assert challenge_of(moving).text not in repr(claim)


def test_a_void_or_expired_challenge_is_not_sent() -> None:
    """An attempt has to end before its challenge does, by the store's clock."""
    webhook = registered(a_webhook(), now=NOON)
    ends = challenge_of(webhook).expires_at
    assert claim_of(webhook, lease_expires_at=ends).reason_to_skip() is None
    assert claim_of(webhook, lease_expires_at=ends + timedelta(seconds=1)).reason_to_skip() == (EXPIRED, None)
    assert claim_of(webhook, event_id=uuid4()).reason_to_skip() == (VOID, None)
    for now_has in (NEVER_ASKED, Verification(NOON), Verification(verified_at=NOON)):
        claim = replace(claim_of(webhook), webhook=replace(webhook, verification=now_has), challenge=None)
        assert as_asked(claim).reason_to_skip() == (VOID, None)


def test_only_the_challenge_may_go_to_an_endpoint_that_is_not_verified() -> None:
    """Whatever was claimed meanwhile waits."""
    webhook = registered(a_webhook(), now=NOON)
    waiting = Claim(a_delivery(), webhook, b"{}")
    assert (may_be_sent(waiting), waiting.reason_to_skip()) == (False, None)
    assert may_be_sent(claim_of(webhook))
    assert may_be_sent(Claim(a_delivery(), change(a_webhook(), url=NEW), b"{}"))


@pytest.mark.parametrize(
    "body", [TEXT, f"  {TEXT}\r\n", json.dumps({"challenge": TEXT}), f'\n{{ "challenge" : "{TEXT}" }}\n']
)
def test_the_challenge_alone_is_an_answer(body: str) -> None:
    """As the body, or as an object's only member."""
    assert is_answer(body.encode(), TEXT)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        "null",
        TEXT[:-1],
        TEXT + "x",
        TEXT.upper(),
        f'"{TEXT}"',
        json.dumps({"challenge": TEXT, "event": "webhook.verification"}),
        json.dumps({"challenge": [TEXT]}),
        json.dumps({"challenge": None}),
        json.dumps([{"challenge": TEXT}]),
        '{"challenge":"\\ud800"}',
        '{"a":' * 2000,
        "[" * 4096,
    ],
    ids=range(14),
)
def test_nothing_else_is(body: str) -> None:
    """Neither what is near it, nor the whole request sent back, nor what is made to break a parser."""
    assert not is_answer(body.encode(), TEXT)


@given(st.binary(max_size=4096) | st.text(max_size=500).map(lambda text: json.dumps({"challenge": text}).encode()))
def test_no_answer_makes_the_comparison_raise(body: bytes) -> None:
    """Whatever bytes a receiver sends."""
    assert not is_answer(body, TEXT)
