"""Presets: the chats whose incoming webhooks take a message for people. Where each is, and how often it takes one.

A preset's URL is a credential: whoever has it may post. So the endpoint shows it as its host and ``…``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.options import Format
from noteflow_hooks.domain.urls import MASK, parse_url
from noteflow_hooks.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


@dataclass(frozen=True, slots=True)
class Preset:
    """What a vendor says of its incoming webhooks."""

    vendor: str
    #: Its hosts; one that begins with a dot stands for all names that end so.
    hosts: tuple[str, ...]
    #: How many messages a second an endpoint gets that names no ``rate_limit_per_s``.
    rate_per_s: float

    def is_at(self, host: str) -> bool:
        """Tell whether the host is one of the vendor's."""
        return any(host == each or (each.startswith(".") and host.endswith(each)) for each in self.hosts)


PRESETS: Final[Mapping[Format, Preset]] = {
    # docs.slack.dev, "Rate limits": incoming webhooks, one message a second.
    Format.SLACK: Preset("Slack", ("hooks.slack.com", "hooks.slack-gov.com"), 1.0),
    # Discord names no figures. Its headers have said five requests in two seconds for a webhook, and others have met 30
    # a minute in a channel: half a one a second keeps both.
    Format.DISCORD: Preset("Discord", ("discord.com", "discordapp.com", "canary.discord.com", "ptb.discord.com"), 0.5),
    # learn.microsoft.com, "Rate limiting for connectors": 4 in one second, 60 in 30 seconds. Two a second keep both.
    Format.TEAMS: Preset("Microsoft Teams", (".webhook.office.com", ".logic.azure.com", ".api.powerplatform.com"), 2.0),
}


def default_rate(form: Format) -> float | None:
    """Return how many messages a second the vendor takes; None where the format is no preset."""
    preset = PRESETS.get(form)
    return None if preset is None else preset.rate_per_s


def masked(url: str) -> str:
    """Return the URL as it is shown: its scheme, host and port, and ``…`` for what opens the door."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0].partition('?')[0]}/{MASK}"


def check_host(form: Format, url: str, *, others: Collection[str] = (), allow_http_loopback: bool = False) -> None:
    """Raise InvalidInputError where the URL is not the vendor's; ``others`` are hosts that the operator has added."""
    host = parse_url(url, allow_http_loopback=allow_http_loopback).host.rstrip(".")
    preset = PRESETS[form]
    if preset.is_at(host) or host in others:
        return
    allowed = ", ".join(f"*{each}" if each.startswith(".") else each for each in preset.hosts)
    raise InvalidInputError(
        "url", f"is no address of {preset.vendor}; allowed with {form} are {allowed}, and what PRESET_HOSTS names"
    )
