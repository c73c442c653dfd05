"""Run by test_namespace_faults.py inside a namespace: posts to addresses to which every wrong kind of route leads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from tests.support import namespace_script as interfaces
from tests.support.builders import a_delivery, a_webhook
from tests.support.canary_servers import SECRET, CanaryServers
from tests.support.certificates import authority_pem
from tests.support.egress_rows import PUBLIC, PUBLIC_V6

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Where the routes lead, by family; what is not here has no route at all.
_ROUTES: Final = ("blackhole", "unreachable", "prohibit")
V4: Final = {name: f"93.184.217.{n}" for n, name in enumerate((*_ROUTES, "no-route", "silent", "unresolved"), start=1)}
V6: Final = {name: f"2606:2800:221::{n}" for n, name in enumerate((*_ROUTES, "no-route", "silent"), start=1)}
_WRONG: Final = [V4[name] for name in (*_ROUTES, "no-route")]
#: Names, each with its answers.
NAMES: Final[Mapping[str, Sequence[str]]] = {
    **{f"{name}.example": [address] for name, address in V4.items()},
    **{f"{name}-v6.example": [address] for name, address in V6.items()},
    "falls-back.example": [*_WRONG, PUBLIC],
    "falls-back-over-families.example": [V6["unreachable"], V4["prohibit"], PUBLIC_V6],
    "past-silence.example": [V4["silent"], PUBLIC],
    "all-wrong.example": _WRONG,
    "well.example": [PUBLIC],
}
#: What an attempt is given whose SYN vanishes, and any other one.
SHORT_MS: Final = 800
PLENTY_MS: Final = 60_000
_SILENT: Final = frozenset({"silent.example", "silent-v6.example", "unresolved.example"})
#: Of this one's time the first, silent address takes half.
_PAST_SILENCE: Final = "past-silence.example"
PAST_SILENCE_MS: Final = 10_000
#: A port on which nobody listens.
CLOSED: Final = "https://well.example:8443/hooks"


def main() -> dict[str, Any]:
    """Return each name's outcome: the error's kind, its message, and the time in milliseconds."""
    _lay_routes()
    urls = {**{name: f"https://{name}/hooks" for name in NAMES}, "closed": CLOSED}
    with CanaryServers([443], NAMES), ThreadPoolExecutor(len(urls)) as threads:
        executor = WebhookExecutor(EgressPolicy(lookup=NAMES.__getitem__), ca_bundle=authority_pem())
        webhooks = [a_webhook(url=url, secret=SECRET, timeout_ms=_limit_ms(name)) for name, url in urls.items()]
        results = list(threads.map(executor.post, [Claim(a_delivery(), each, b"{}") for each in webhooks]))
        executor.close()
    return {name: (r.error_kind, r.error_message, r.duration_ms) for name, r in zip(urls, results, strict=True)}


def _limit_ms(name: str) -> int:
    if name == _PAST_SILENCE:
        return PAST_SILENCE_MS
    return SHORT_MS if name in _SILENT else PLENTY_MS


def _lay_routes() -> None:
    interfaces.set_up_loopback()
    interfaces.set_up_cable()
    interfaces.ip(f"address add {PUBLIC}/32 dev lo")
    interfaces.ip(f"-6 address add {PUBLIC_V6}/128 dev lo nodad")
    for addresses, length, family in ((V4, 32, "-4"), (V6, 128, "-6")):
        for kind in _ROUTES:
            interfaces.ip(f"{family} route add {kind} {addresses[kind]}/{length}")
        interfaces.ip(f"{family} route add {addresses['silent']}/{length} dev near")
        # A neighbour that is known and not there: what is sent to it vanishes.
        interfaces.ip(f"{family} neigh add {addresses['silent']} lladdr 02:00:00:00:00:99 dev near nud permanent")
    interfaces.ip(f"route add {V4['unresolved']}/32 dev near")


if __name__ == "__main__":
    interfaces.report(main)
