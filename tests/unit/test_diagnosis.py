"""What is told of a delivery: what became of it, why, and what to do next."""

from __future__ import annotations

from typing import Any

import pytest

from noteflow_hooks.cli.commands.diagnosing import commands_for
from noteflow_hooks.client.causes import KITS, SKIPPED, UNSKIP, WAITS, advice
from noteflow_hooks.client.diagnosis import diagnose, waits_for
from noteflow_hooks.domain.health.endpoint_state import EndpointState
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb


def a_delivery(**fields: Any) -> pb.Delivery:  # noqa: ANN401 - the message's own
    given: dict[str, Any] = {"status": "pending", "reason": "Waits"}
    return pb.Delivery(**given | fields)


def an_endpoint(*, is_verified: bool = True, **fields: Any) -> pb.Webhook:  # noqa: ANN401 - as above
    given: dict[str, Any] = {"enabled": True, "state": "healthy"}
    endpoint = pb.Webhook(**given | fields)
    if is_verified:
        endpoint.verified_at.FromSeconds(1)
    return endpoint


FAILED: dict[str, Any] = {
    "attempt_count": 2,
    "status_code": 404,
    "error_kind": "status",
    "error_message": "Max retries exceeded: HTTP 404",
    "reason": "Max retries exceeded: HTTP 404",
    "attempts": [pb.Attempt(attempt_number=2, status_code=404, error_kind="status", error_message="HTTP 404")],
}


def test_what_has_arrived_needs_nothing() -> None:
    """Also where it took several attempts."""
    found = diagnose(pb.Delivery(status="succeeded", attempt_count=3, status_code=200), an_endpoint())
    assert (found.state, found.why, found.todo) == ("Delivered", (), ())
    assert found.happened == ("It was sent 3 times, and last answered with 200.",)


def test_what_was_given_up_is_mended_and_then_sent_again() -> None:
    """And what still goes on is tried again by itself."""
    meant, mend = advice("status", 404)
    dead = diagnose(a_delivery(**FAILED | {"status": "dead"}), an_endpoint())
    assert dead.why == ("Max retries exceeded: HTTP 404", "It has no attempts left.", meant)
    assert dead.todo == (mend, "Then send it again.")
    waiting = diagnose(a_delivery(**FAILED | {"reason": "HTTP 404"}), an_endpoint())
    assert (waiting.why, waiting.todo) == (("HTTP 404", meant), (mend, "It is tried again by itself."))


def test_what_cannot_be_sent_again_is_not_said_to_be() -> None:
    """Its endpoint is deleted, or its payload erased."""
    dead = a_delivery(**FAILED | {"status": "dead"})
    assert diagnose(dead, None).todo == (UNSKIP["deleted"],)
    skipped = a_delivery(status="skipped", skip_reason="disabled", reason="Why")
    for each in (dead, skipped):
        assert diagnose(each, an_endpoint(), is_erased=True).todo == ("Its payload is erased: it can't be sent again.",)


@pytest.mark.parametrize("name", KITS)
def test_what_a_receiver_kit_names_is_told_in_words(name: str) -> None:
    """By the name in its answer; any other answer is told by its code, and another kind of failure by that."""
    attempt = pb.Attempt(status_code=401, error_kind="status", response_body=f'{{"error": "{name}"}}')
    found = diagnose(a_delivery(**FAILED | {"status": "dead", "attempts": [attempt]}), an_endpoint())
    assert (found.why[-1], found.todo[0]) == KITS[name]
    for answer in ("", "[]", "{", '{"error": 1}', '{"error": "another"}', "[" * 100_000):
        assert advice("status", 401, answer) == advice("status", 401)
    assert advice("timeout", 0, attempt.response_body) == advice("timeout", 0)


@pytest.mark.parametrize("reason", SKIPPED)
def test_each_reason_to_skip_says_what_to_do(reason: str) -> None:
    """One of a newer release is told as it is."""
    found = diagnose(a_delivery(status="skipped", skip_reason=reason, reason="Why"), an_endpoint())
    assert (found.why, found.todo) == (("Why", SKIPPED[reason]), (UNSKIP[reason],))
    newer = diagnose(a_delivery(status="skipped", skip_reason="newer", reason="Why"), an_endpoint())
    assert (newer.why, newer.todo) == (("Why",), ())


def test_what_waits_says_what_for() -> None:
    """Whatever can keep it beside its own time, the one that goes first."""
    paused = an_endpoint(state="paused")
    for delivery, endpoint, reason in (
        (a_delivery(waits_for_earlier=True), paused, "earlier"),
        (a_delivery(), paused, "paused"),
        (a_delivery(), an_endpoint(is_verified=False), "unverified"),
        (a_delivery(), an_endpoint(enabled=False, state="disabled"), "disabled"),
        (a_delivery(), an_endpoint(state="circuit_open"), "circuit_open"),
        (a_delivery(), an_endpoint(), None),
        (a_delivery(), None, None),
        (a_delivery(status="dead"), paused, None),
    ):
        assert waits_for(delivery, endpoint) == reason
        assert diagnose(delivery, endpoint).todo == (() if reason is None else (WAITS[reason],))


def test_what_waits_for_a_probe_leads_to_what_the_others_failed_with() -> None:
    """It may not have been sent itself."""
    waiting = a_delivery(id="d-1", webhook_id="w-1")
    first, *_ = commands_for(waiting, an_endpoint(state="circuit_open"), pb.Event())
    assert first.endswith("deliveries list --webhook w-1 --limit 10")


def test_each_state_of_an_endpoint_that_keeps_deliveries_has_words() -> None:
    """The others keep none."""
    assert set(EndpointState) - set(WAITS) == {EndpointState.HEALTHY, EndpointState.FAILING}
