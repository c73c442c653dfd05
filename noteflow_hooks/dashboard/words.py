"""What states and failures are called on the pages, and what to do about each: the one place for their words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from noteflow_hooks.client import pb


@dataclass(frozen=True, slots=True)
class State:
    """A state in words, and the look of it: `good`, `bad`, `busy`, `quiet` or `warn`."""

    word: str
    look: str
    more: str = ""


DELIVERY: Final = {
    "pending": State("Waits", "busy"),
    "sending": State("Being sent", "busy"),
    "succeeded": State("Delivered", "good"),
    "dead": State("Given up", "bad"),
    "skipped": State("Skipped", "quiet"),
    "undispatched": State("Not matched yet", "busy"),
}
REPLAY: Final = {
    "running": State("Running", "busy"),
    "done": State("Done", "good"),
    "cancelled": State("Cancelled", "quiet"),
}
_PREVIEWED: Final = {
    "matched": State("Sent", "good"),
    "filtered": State("Held back", "quiet"),
    "error": State("Undelivered", "bad"),
    "erased": State("Not known", "quiet"),
}
_PART: Final = {
    "well": State("Well", "good"),
    "late": State("Late", "warn"),
    "away": State("Away", "bad"),
}
#: What the system is made of.
PARTS: Final = {"relay": "Relay", "sweep": "Sweep", "workers": "Workers", "redis": "Redis"}
_HEALTH: Final = {
    "healthy": State("Well", "good", "Its last attempt succeeded, or none was made yet."),
    "failing": State("Failing", "bad", "Its last attempts failed. Each delivery is tried again by itself."),
    "circuit_open": State("On hold", "bad", "After many failures in a row its deliveries wait for a probe to succeed."),
    "recovering": State("Recovering", "warn", "It answers again, and gets what has waited little by little."),
    "slow": State("Slow", "warn", "It takes long to answer, so it has a lane of its own."),
}
#: What endpoints' states are called where one is to be chosen, the worst first.
ENDPOINTS: Final = {
    "circuit_open": "On hold",
    "failing": "Failing",
    "recovering": "Recovering",
    "slow": "Slow",
    "paused": "Paused",
    "disabled": "Disabled",
    "healthy": "Well",
}
SKIPPED: Final = {
    "disabled": "The endpoint was disabled.",
    "not_subscribed": "The endpoint no longer subscribed to this type.",
    "gone": "The endpoint had answered 410 Gone, which disables it.",
    "deleted": "The endpoint was deleted.",
    "filtered": "The endpoint's filter did not let it pass.",
    "filter_failed": "The endpoint's filter failed on this event.",
    "given_up": "Somebody gave it up.",
}
#: The same, short enough to choose from.
SKIP_REASONS: Final = {
    "disabled": "Endpoint disabled",
    "not_subscribed": "Not subscribed any more",
    "gone": "Answered 410 Gone",
    "deleted": "Endpoint deleted",
    "filtered": "Held back by the filter",
    "filter_failed": "The filter failed",
    "given_up": "Given up by somebody",
}
#: What to do about a delivery that is skipped, so that it can be sent again.
UNSKIP: Final = {
    "disabled": "Enable the endpoint, then send this again.",
    "not_subscribed": "Have the endpoint subscribe to the type, then send this again.",
    "gone": "Have the receiver take events again and enable the endpoint, then send this again.",
    "deleted": "Nothing can be sent to it any more; a new endpoint gets new events.",
    "filtered": "Nothing, if that is as meant; otherwise change the filter. Sending it again passes the filter by.",
    "filter_failed": (
        "Try the filter on this event on the endpoint's page: a field that events may lack needs has(). Sending it "
        "again passes the filter by."
    ),
    "given_up": "Send it again if it is wanted after all.",
}
WITHOUT: Final = {
    "created_after_event": "It was registered after the event.",
    "own_trouble": "The event tells of this very endpoint.",
    "not_subscribed": "It does not subscribe to this type.",
}
_KINDS: Final = {
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
        "Use a public address, or have the operator allow this network (EGRESS_ALLOW).",
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
        "Rotate the endpoint's secret, or have the operator put the former key back (SECRET_KEYS).",
    ),
    "internal": (
        "A fault of our own kept it from being sent.",
        "Tell the operator the delivery's id: the workers' log says more.",
    ),
}
#: What failures are called where one is to be chosen.
KINDS: Final = {
    "status": "An answer that is no success",
    "timeout": "No answer in time",
    "connect": "No connection",
    "dns": "Name not found",
    "tls": "TLS failed",
    "protocol": "No proper HTTP",
    "redirect": "A redirect",
    "address_not_allowed": "Address not allowed",
    "secret_unavailable": "Secret can't be read",
    "interrupted": "The worker ended",
    "internal": "A fault of our own",
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


def endpoint_state(webhook: pb.Webhook) -> State:
    """Return how an endpoint does, in the order of what matters most."""
    if not webhook.enabled:
        return State("Disabled", "quiet", webhook.disabled_reason or "Somebody has disabled it.")
    if webhook.secret_unavailable:
        return State("Can't sign", "bad", _KINDS["secret_unavailable"][1])
    if not webhook.HasField("verified_at"):
        return State("Not verified", "warn", "Its deliveries wait until it has answered a challenge.")
    if webhook.paused:
        return State("Paused", "warn", "Its deliveries wait until it resumes.")
    return _HEALTH.get(webhook.health.state, State(webhook.health.state, "quiet"))


def delivery_state(status: str) -> State:
    """Return a delivery's state."""
    return DELIVERY.get(status, State(status, "quiet"))


def previewed(word: str) -> State:
    """Return what a filter would have done to an event."""
    return _PREVIEWED.get(word, State(word, "quiet"))


def part_state(word: str) -> State:
    """Return how a part of the system does."""
    return _PART.get(word, State(word, "quiet"))


def replay_state(state: str) -> State:
    """Return a replay's state."""
    return REPLAY.get(state, State(state, "quiet"))


def ended(message: str, kind: str, status_code: int) -> str:
    """Return why a delivery was given up, of its message and its last attempt's kind and code."""
    if status_code == 410:  # noqa: PLR2004 - Gone
        return "It was given up at once, since the receiver wants no more."
    if message.startswith("Max retries exceeded"):
        is_ours = kind in ("internal", "interrupted")
        return "Five attempts in a row failed by our own fault." if is_ours else "It has no attempts left."
    return "It was given up for good, without another attempt."


def advice(kind: str, status_code: int) -> tuple[str, str]:
    """Return what a failure means and what to do about it; ``status_code`` is 0 where none came."""
    if kind in _KINDS:
        return _KINDS[kind]
    if status_code in _CODES:
        return _CODES[status_code]
    if status_code >= 500:  # noqa: PLR2004 - from here on HTTP's codes are the server's own errors
        return ("The receiver failed.", "Look at its log for that time.")
    return ("The receiver refused it.", "The answer below may say why; anything but 2xx counts as a failure.")


#: What is told after a form was dealt with. The address names it, so that reloading the page does nothing again.
DONE: Final = {
    "added": "The endpoint is registered.",
    "changed": "The endpoint is changed.",
    "filtered": "The endpoint's filter is changed; what was sent or held back stays so.",
    "paused": "The endpoint is paused: its deliveries wait.",
    "resumed": "The endpoint resumes: what waited is on its way.",
    "enabled": "The endpoint is enabled.",
    "disabled": "The endpoint is disabled: what waited for it is skipped, and can be sent again later.",
    "deleted": "The endpoint is deleted, with its secrets.",
    "tested": "A test event is sent.",
    "confirmed": "The contact is confirmed: it hears of the endpoint's trouble from now on.",
    "contact_asked": "Where the code counts no more, or could not be mailed, another mail is on its way.",
    "asked": "The endpoint is asked; whether it has answered stands below.",
    "resent": "It is sent again.",
    "replaying": "The replay has begun.",
    "cancelled": "The replay is cancelled; what it had made due is sent.",
}
#: Why the sign-in page is shown.
AGAIN: Final = {
    "over": "You were signed out, and the page has ended: the session is over, or the token is no longer valid.",
    "out": "You are signed out.",
    "link": "This link has been used, or is older than a minute. Sign in with a token.",
}
