"""What the demo calls good, as far as that needs no system."""

from __future__ import annotations

import time
from typing import Any

import pytest

from noteflow_hooks.cli.demo.ledger import Ledger
from noteflow_hooks.cli.demo.report import Report
from noteflow_hooks.cli.support.receiver import Received
from noteflow_hooks.domain.events import PUBLISHABLE
from noteflow_hooks.signing import generate_secret, sign, sign_standard

SECRET = generate_secret()
BODY = b'{"event":"meeting.completed"}'


def a_request(**overrides: str) -> Received:
    """Make a request that is signed by both schemes; a header may be another."""
    now = int(time.time())
    headers = {
        "x-noteflow-event": "meeting.completed",
        "x-noteflow-delivery": "d-1",
        "x-noteflow-signature": sign(BODY, SECRET),
        "webhook-id": "e-1",
        "webhook-timestamp": str(now),
        "webhook-signature": sign_standard("e-1", now, BODY, [SECRET]),
    }
    return Received({**headers, **{name.replace("_", "-"): value for name, value in overrides.items()}}, BODY)


def a_row(event: str, **overrides: Any) -> dict[str, Any]:  # noqa: ANN401 - a field's value
    row = {"event": event, "delivery_id": "d-1", "status": "succeeded", "attempts": 1, "requests": 1, "duration_ms": 9}
    return {**row, "signature": True, "standard_webhooks": True, "error_message": "", **overrides}


def test_a_request_with_two_good_signatures_is_accepted() -> None:
    """And written down."""
    ledger = Ledger()
    ledger.secret = SECRET
    assert ledger.answer(a_request()) == 200
    [entry] = ledger.of("d-1")
    assert (entry.event, entry.signature_is_good, entry.standard_is_good) == ("meeting.completed", True, True)


@pytest.mark.parametrize(
    ("header", "verdicts"),
    [
        ({"x_noteflow_signature": "sha256=0"}, (False, True)),
        ({"webhook_signature": "v1,AAAA"}, (True, False)),
        ({"webhook_timestamp": "0"}, (True, False)),
        ({"webhook_timestamp": "nonsense"}, (True, False)),
    ],
)
def test_one_bad_signature_is_enough_to_refuse(header: dict[str, str], verdicts: tuple[bool, bool]) -> None:
    """Each is judged by itself."""
    ledger = Ledger()
    ledger.secret = SECRET
    assert ledger.answer(a_request(**header)) == 401
    [entry] = ledger.of("d-1")
    assert (entry.signature_is_good, entry.standard_is_good) == verdicts


def test_four_verified_deliveries_are_good() -> None:
    """One of each event."""
    report = Report([a_row(event) for event in PUBLISHABLE])
    assert report.is_good
    assert report.verdict == "4 of 4 events were delivered and verified"


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "pending"},
        {"signature": False},
        {"standard_webhooks": False},
        {"requests": 2},
        {"event": "meeting.completed"},
    ],
)
def test_anything_else_is_not(wrong: dict[str, Any]) -> None:
    """Too few, unverified, unrecorded, doubled, or twice the same."""
    first, *others = [a_row(event) for event in sorted(PUBLISHABLE, reverse=True)]
    assert not Report([{**first, **wrong}, *others]).is_good
    assert not Report(others).is_good
    assert not Report([first, *others, first]).is_good


def test_what_went_wrong_is_in_the_table() -> None:
    """Beside the status, and in capitals where it was not verified."""
    row = a_row("meeting.completed", status="pending", error_message="HTTP 500", signature=False, duration_ms=None)
    assert Report([row]).text.splitlines()[1].split("  ")[1].strip() == "pending (HTTP 500)"
    assert "NOT VERIFIED" in Report([row]).text
