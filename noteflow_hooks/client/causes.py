"""Why a delivery is not delivered, and what to do about each kind of failure: the one place for these words."""

from __future__ import annotations

import json
from typing import Final

#: What a delivery's states are called.
STATES: Final = {
    "pending": "Waits",
    "sending": "Being sent",
    "succeeded": "Delivered",
    "dead": "Given up",
    "skipped": "Skipped",
}
#: Why a delivery was skipped, by its `skip_reason`.
SKIPPED: Final = {
    "disabled": "The endpoint was disabled.",
    "not_subscribed": "The endpoint no longer subscribed to this type.",
    "gone": "The endpoint had answered 410 Gone, which disables it.",
    "deleted": "The endpoint was deleted.",
    "filtered": "The endpoint's filter did not let it pass.",
    "filter_failed": "The endpoint's filter failed on this event.",
    "given_up": "Somebody gave it up.",
}
#: What to do about a delivery that is skipped, so that it can be sent again.
UNSKIP: Final = {
    "disabled": "Enable the endpoint, then send this again.",
    "not_subscribed": "Have the endpoint subscribe to the type, then send this again.",
    "gone": "Have the receiver take events again and enable the endpoint, then send this again.",
    "deleted": "Nothing can be sent to it any more; a new endpoint gets new events.",
    "filtered": "Nothing, if that is as meant; otherwise change the filter. Sending it again passes the filter by.",
    "filter_failed": (
        "Try the filter on this event, on the endpoint's page or by `webhooks filter-test`: a field that events may "
        "lack needs has(). Sending it again passes the filter by."
    ),
    "given_up": "Send it again if it is wanted after all.",
}
#: What to do about a delivery that waits, by what it waits for: an earlier one, or its endpoint in that state.
WAITS: Final = {
    "earlier": "Look at its meeting's earlier ones: they go first. Giving up the one that fails lets this one go.",
    "disabled": "Enable the endpoint.",
    "paused": "Resume the endpoint: what has waited goes then.",
    "unverified": "Have the receiver give the challenge back; where its time is over, have it asked anew.",
    "circuit_open": (
        "Look at what its latest deliveries failed with, and mend the receiver: one is sent as a probe, and what waits "
        "goes once that succeeds."
    ),
    "recovering": "Nothing: it answers again, and gets what has waited little by little.",
    "slow": "Have the receiver answer sooner: it has a lane of its own, in which fewer go at once.",
}
#: What each kind of failure means, and what to do about it.
CAUSES: Final = {
    "timeout": (
        "The receiver did not answer in time.",
        "Have it answer at once with 2xx, and do its work afterwards; or raise the endpoint's time limit.",
    ),
    "dns": (
        "The name in the endpoint's URL was not found.",
        "Check the host name for a slip, and that its DNS record is published.",
    ),
    "address_not_allowed": (
        "The endpoint's name leads to an address that may not be called.",
        "Use a public address, or have the operator allow this network (NOTEFLOW_HOOKS_EGRESS_ALLOW).",
    ),
    "connect": (
        "No connection to the receiver could be made.",
        "Check that it is running, that the port is right, and that its firewall lets us through.",
    ),
    "tls": (
        "TLS with the receiver failed.",
        (
            "Check that its certificate is valid, is for this host name, and comes with those in between; and what the "
            "endpoint has of its own, a client certificate or an authority."
        ),
    ),
    "protocol": (
        "What the receiver answered was not HTTP as it should be.",
        "Look at the server or proxy in front of the receiver; the attempt's message says what was wrong.",
    ),
    "redirect": (
        "The receiver answered with a redirect, and those are never followed.",
        "Set the endpoint's URL to where the redirect leads.",
    ),
    "interrupted": (
        "The worker ended while it sent this: it may or may not have arrived.",
        "Nothing: it used up no attempt.",
    ),
    "secret_unavailable": (
        "The endpoint's secret cannot be read with the server's keys, so nothing was sent.",
        "Rotate the endpoint's secret, or have the operator put the former key back (NOTEFLOW_HOOKS_SECRET_KEYS).",
    ),
    "internal": (
        "A fault of our own kept it from being sent.",
        "Tell the operator the delivery's id: the workers' log says more.",
    ),
}
#: What a receiver kit names in its answer, `{"error": "too_old"}`; docs/kits.md has the same.
KITS: Final = {
    "missing_header": (
        "The receiver's kit misses a header of the signature.",
        "Give the endpoint a secret; or have what stands before the receiver let webhook-* and X-NoteFlow-* through.",
    ),
    "malformed_header": (
        "The receiver's kit can't read webhook-id or webhook-timestamp.",
        "Look at what stands before the receiver: it has changed the header.",
    ),
    "too_old": (
        "By the receiver's clock this was signed too long ago.",
        "Set the receiver's clock, or the server's; each attempt is signed anew.",
    ),
    "too_new": (
        "By the receiver's clock this is signed in the future.",
        "Set the receiver's clock, or the server's; each attempt is signed anew.",
    ),
    "no_match": (
        "No signature fits the secrets, or public keys, that the receiver's kit was given.",
        "Give it this endpoint's: `webhooks show` has the secret's last characters, and the public key.",
    ),
    "body_not_raw": (
        "Something had parsed or changed the body before the receiver's kit got it.",
        "Put the kit before whatever reads the body, such as a parser of JSON.",
    ),
    "body_too_large": ("The body is larger than the receiver's kit takes.", "Raise its limit of bytes."),
    "not_post": ("The receiver's kit was asked by another method than POST.", "Look at what stands before it."),
    "store_failed": (
        "The receiver's own function that stores events has failed.",
        "Look at its log for that time.",
    ),
    "in_progress": ("The receiver was storing the same event at that moment.", "Nothing: it comes again."),
}
_CODES: Final = {
    400: ("The receiver did not accept the request.", "Its log, or the answer below, says what it missed."),
    401: ("The receiver wants other credentials.", "Check the endpoint's headers, and the secret on both sides."),
    403: ("The receiver forbids this.", "Check the endpoint's headers and the secret, and the receiver's firewall."),
    404: ("The receiver knows no such path.", "Check the path in the endpoint's URL."),
    405: ("The receiver takes no POST there.", "Check the path in the endpoint's URL."),
    408: ("The receiver waited too long for the request.", "Look at what stands before it, a proxy or a firewall."),
    410: ("The receiver wants no more: that disables the endpoint.", "Enable it once the receiver takes events again."),
    413: ("The payload is too large for the receiver.", "Raise the receiver's limit to 16 KiB or more."),
    415: ("The receiver takes no such content type.", "Have it take JSON, or choose another format for the endpoint."),
    422: ("The receiver did not accept the payload.", "Its answer may name the field; the event's type has a schema."),
    429: ("The receiver is called too often.", "Give the endpoint a rate limit."),
    502: ("A proxy before the receiver got no answer from it.", "Check that the program behind the proxy runs."),
    503: ("The receiver is not ready, or has too much to do.", "Check that it runs; a rate limit spares it."),
    504: ("A proxy before the receiver waited in vain.", "Have it answer at once, and work afterwards."),
}


def ended(message: str, kind: str, status_code: int) -> str:
    """Return why a delivery was given up, of its message and its last attempt's kind and code."""
    if status_code == 410:  # noqa: PLR2004 - Gone
        return "It was given up at once, since the receiver wants no more."
    if message.startswith("Max retries exceeded"):
        is_ours = kind in ("internal", "interrupted")
        return "Five attempts in a row failed by our own fault." if is_ours else "It has no attempts left."
    return "It was given up for good, without another attempt."


def advice(kind: str, status_code: int, answer: str = "") -> tuple[str, str]:
    """Return what a failure means and what to do about it; ``status_code`` is 0 where no ``answer`` came."""
    if kind in CAUSES:
        return CAUSES[kind]
    named = _named(answer)
    if named is not None:
        return KITS[named]
    if status_code in _CODES:
        return _CODES[status_code]
    if status_code >= 500:  # noqa: PLR2004 - from here on HTTP's codes are the server's own errors
        return ("The receiver failed.", "Look at its log for that time.")
    return ("The receiver refused it.", "The answer below may say why; anything but 2xx counts as a failure.")


def _named(answer: str) -> str | None:
    """Return what a receiver kit has named in its answer; None where that is of somebody else."""
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    name = found.get("error") if isinstance(found, dict) else None
    return name if isinstance(name, str) and name in KITS else None
