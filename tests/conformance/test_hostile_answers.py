"""What receivers say is stored as it is kept: there is no text that a store can't take, or gives back changed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from noteflow_hooks.executor.outcome import storable
from tests.support.builders import a_failure

if TYPE_CHECKING:
    from tests.conformance.model.world import World

#: Each with what is kept of it.
SAID: Final = {
    b"": "",
    b"nul \0 nul": "nul \ufffd nul",
    b"\x1b[2J\x1b]0;title\x07\x7f\x80": "\x1b[2J\x1b]0;title\x07\x7f\ufffd",
    "line\u2028paragraph\u2029next\u0085".encode(): "line\u2028paragraph\u2029next\u0085",
    b"tab \t\x0b, page \x0c, end \r\n": "tab \t\x0b, page \x0c, end \r\n",
    b"surrogate \xed\xa0\x80": "surrogate \ufffd\ufffd\ufffd",
    b"beyond \xf4\x90\x80\x80, overlong \xc0\xaf": "beyond \ufffd\ufffd\ufffd\ufffd, overlong \ufffd\ufffd",
    "noncharacters \uffff\ufffe, bom \ufeff, rtl \u202e, tags \U000e0041".encode(): (
        "noncharacters \uffff\ufffe, bom \ufeff, rtl \u202e, tags \U000e0041"
    ),
    rb"escaped \u0000 \ud800 \x00 \\": r"escaped \u0000 \ud800 \x00 \\",
    b"'; DROP TABLE noteflow.webhook_deliveries; -- %s %(x)s {} :rows": (
        "'; DROP TABLE noteflow.webhook_deliveries; -- %s %(x)s {} :rows"
    ),
    "😀".encode() * 1024: "😀" * 1024,
    b"x" + "😀".encode() * 1024: "x" + "😀" * 1023,
}


def test_whatever_a_receiver_says_is_stored_as_it_is_kept(world: World) -> None:
    """On the delivery and on its attempt, character by character."""
    workspace_id = world.workspace()
    delivery = world.delivery(workspace_id, max_retries=20)
    for said, kept in SAID.items():
        failure = a_failure(response_body=storable(said))
        assert world.settle(world.claim(delivery.id), failure, wait=timedelta(0))
        assert world.read(workspace_id, delivery.id).response_body == kept
    assert [each.response_body for each in world.attempts(delivery.id)] == list(SAID.values())
