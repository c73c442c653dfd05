"""What states and failures are called on the pages. What to do about each is in the client, for commands too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from noteflow_hooks.client.causes import CAUSES, STATES

if TYPE_CHECKING:
    from noteflow_hooks.client import pb


@dataclass(frozen=True, slots=True)
class State:
    """A state in words, and the look of it: `good`, `bad`, `busy`, `quiet` or `warn`."""

    word: str
    look: str
    more: str = ""


DELIVERY: Final = {
    "pending": State(STATES["pending"], "busy"),
    "sending": State(STATES["sending"], "busy"),
    "succeeded": State(STATES["succeeded"], "good"),
    "dead": State(STATES["dead"], "bad"),
    "skipped": State(STATES["skipped"], "quiet"),
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
    "error": State("Failed", "bad"),
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
WITHOUT: Final = {
    "created_after_event": "It was registered after the event.",
    "own_trouble": "The event tells of this very endpoint.",
    "not_subscribed": "It does not subscribe to this type.",
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


def endpoint_state(webhook: pb.Webhook) -> State:
    """Return how an endpoint does, in the order of what matters most."""
    if not webhook.enabled:
        return State("Disabled", "quiet", webhook.disabled_reason or "Somebody has disabled it.")
    if webhook.secret_unavailable:
        return State("Can't sign", "bad", CAUSES["secret_unavailable"][1])
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
    "skipped": "It is skipped: no more of it is sent, and what waited behind it goes.",
    "replaying": "The replay has begun.",
    "cancelled": "The replay is cancelled; what it had made due is sent.",
}
#: Why the sign-in page is shown.
AGAIN: Final = {
    "over": "You were signed out, and the page has ended: the session is over, or the token is no longer valid.",
    "out": "You are signed out.",
    "link": "This link has been used, or is older than a minute. Sign in with a token.",
}
