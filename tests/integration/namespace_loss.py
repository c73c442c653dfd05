"""Run by test_namespace_faults.py inside a namespace that loses three packets in ten: posts until each is delivered."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from tests.support import namespace_script as interfaces
from tests.support.builders import a_delivery, a_webhook
from tests.support.canary_servers import SECRET, CanaryServers
from tests.support.certificates import authority_pem
from tests.support.egress_rows import PUBLIC

#: The most attempts that a delivery gets.
_ATTEMPTS: Final = 15


def main(count: str) -> dict[str, Any]:
    """Return the attempts of so many deliveries by their error's kind, and how many verified posts arrived."""
    interfaces.take_every_address()
    _lose_packets()
    with CanaryServers([443], [PUBLIC]) as canaries, ThreadPoolExecutor(int(count)) as threads:
        executor = WebhookExecutor(EgressPolicy(), ca_bundle=authority_pem())
        attempts = list(threads.map(_delivered, [executor] * int(count)))
        executor.close()
        return {"attempts": attempts, "posts": sum(visit.posts for visit in canaries.visits())}


def _delivered(executor: WebhookExecutor) -> list[str | None]:
    claim = Claim(a_delivery(), a_webhook(url=f"https://{PUBLIC}/hooks", secret=SECRET, timeout_ms=2500), b"{}")
    kinds: list[str | None] = []
    while len(kinds) < _ATTEMPTS and None not in kinds:
        kinds.append(executor.post(claim).error_kind)
    return kinds


def _lose_packets() -> None:
    try:
        interfaces.run("tc", "qdisc", "add", "dev", "lo", "root", "netem", "loss", "30%")
    except interfaces.LackingError as tc:
        try:
            interfaces.run("nft", "add table inet lossy")
            interfaces.run("nft", "add chain inet lossy arriving { type filter hook input priority 0; }")
            interfaces.run("nft", "add rule inet lossy arriving numgen random mod 100 < 30 drop")
        except interfaces.LackingError as nft:
            raise interfaces.LackingError(f"no way to lose packets: {tc}; {nft}") from None


if __name__ == "__main__":
    interfaces.report(main)
