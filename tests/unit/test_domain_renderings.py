"""Renderings: what a delivery says of its bytes, and from when on that stands."""

from __future__ import annotations

import pytest

from noteflow_hooks.domain.deliveries import Claim, DeliveryStatus
from noteflow_hooks.domain.options import EndpointOptions, Format
from noteflow_hooks.domain.renderings import LOOK_AGAIN_AFTER, NEWEST_RENDERERS, UNKNOWN_RENDERER, USUAL, Rendering
from noteflow_hooks.domain.settling import interrupted
from noteflow_hooks.rendering.registry import RENDERERS
from tests.support.builders import EXACT, NOON, a_delivery, a_failure, a_webhook


def of(chosen: Format, version: int = 1) -> str | None:
    return Rendering.of(a_webhook(options=EndpointOptions(format=chosen), payload_version=version)).stored


def test_the_newest_renderers_are_those_of_the_registry() -> None:
    """Of each format that has any there."""
    for chosen in {name for name, _ in RENDERERS}:
        assert NEWEST_RENDERERS[Format(chosen)] == max(number for name, number in RENDERERS if name == chosen)


@pytest.mark.parametrize("chosen", Format)
def test_what_is_stored_is_read_again(chosen: Format) -> None:
    """All but the usual, of which nothing is stored."""
    for rendering in (Rendering(chosen), Rendering(chosen, 2), Rendering(chosen, 1, 12)):
        assert rendering == USUAL or Rendering.read(rendering.stored or "") == rendering
    assert (of(chosen) is None) == (chosen is Format.NOTEFLOW)
    assert of(chosen, 2) == f"{chosen}/2/1"


@pytest.mark.parametrize(
    "stored",
    ["", "noteflow", "xml/1/1", "standard/1", "standard/0/1", "standard/1/1 ", "standard/1/1/1", "standard/\u0661/1"],
)
def test_what_no_release_has_stored_is_none(stored: str) -> None:
    """As of a row that was changed by hand."""
    assert Rendering.read(stored) is None


def test_the_first_claim_fixes_it() -> None:
    """A retry keeps it; what is given back untried does, too."""
    first = a_delivery().claimed(lease_until=NOON, rendering="cloudevents/1/1")
    assert first.rendering == "cloudevents/1/1"
    retried, _ = first.attempted(a_failure(), max_retries=3, policy=EXACT, draw=0)
    for again in (retried, first.released(), interrupted(first, now=NOON)):
        assert again.claimed(lease_until=NOON, rendering="standard/1/1").rendering == "cloudevents/1/1"


def test_the_usual_is_fixed_by_the_first_attempt_though_nothing_says_so() -> None:
    """Whatever made it end: a retry is the same bytes, also where its endpoint has got a format meanwhile."""
    first = a_delivery().claimed(lease_until=NOON)
    assert first.rendering is None
    retried, _ = first.attempted(a_failure(), max_retries=3, policy=EXACT, draw=0)
    for again in (retried, interrupted(first, now=NOON)):
        assert again.claimed(lease_until=NOON, rendering="standard/1/1").rendering is None
    # Nothing was sent of this one.
    assert first.released().claimed(lease_until=NOON, rendering="standard/1/1").rendering == "standard/1/1"


def test_what_is_sent_again_is_rendered_anew() -> None:
    """By what its endpoint wants then."""
    dead = a_delivery(status=DeliveryStatus.DEAD, rendering="cloudevents/1/1", budget_used=3, next_attempt_at=None)
    again = dead.sent_again(now=NOON)
    assert again.rendering is None
    assert again.claimed(lease_until=NOON, rendering="standard/1/1").rendering == "standard/1/1"
    assert again.claimed(lease_until=NOON).rendering is None


def test_what_was_begun_by_a_newer_release_waits_for_one() -> None:
    """It is given back for a while, and uses up no attempt: any other renderer would send other bytes."""
    claimed = a_delivery().claimed(lease_until=NOON, rendering="standard/1/2")
    claim = Claim(claimed, a_webhook(), b"{}")
    assert claim.awaits_release
    settlement = claim.settlement(None, policy=EXACT, draw=lambda: 0.0)
    assert settlement.wait == LOOK_AGAIN_AFTER
    assert settlement.delivery == claimed.released()._replace(error_message=UNKNOWN_RENDERER)
    assert settlement.delivery.attempt_count == settlement.delivery.interruptions == 0
    for known in (None, "standard/1/1", "no rendering"):
        assert not Claim(claimed._replace(rendering=known), a_webhook(), b"{}").awaits_release
