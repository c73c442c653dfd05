"""Run by test_namespaces.py inside a namespace whose every address is a canary: posts to each row of the egress table.

Names are answered by the table (``hook``) or by a name server on 127.0.0.1:53 through the system's resolver
(``system``). What it reports is what came of each post and which canaries were visited meanwhile.
"""

from __future__ import annotations

import tempfile
from ipaddress import ip_address
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.egress import EgressPolicy, system_lookup
from noteflow_hooks.executor import WebhookExecutor
from tests.support import namespace_script as interfaces
from tests.support.builders import a_delivery, a_webhook
from tests.support.canary_servers import SECRET, CanaryServers
from tests.support.certificates import authority_pem
from tests.support.egress_rows import PUBLIC, PUBLIC_V6, Fate
from tests.support.egress_table import ROWS
from tests.support.name_server import NameServer, Zone

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from noteflow_hooks.egress import Lookup
    from tests.support.egress_rows import EgressRow

#: Where canaries listen beside the table's ports: where a mistake would be likely to lead.
_PORTS: Final = {80, 443, 8080, 8443}
_BODY: Final = b'{"event":"meeting.completed"}'
#: Names whose answers turn from look-up to look-up, and what of them is refused.
TURNING: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "turns-inside.example": ((PUBLIC,), ("169.254.169.254",)),
    "turns-outside.example": (("10.0.0.5",), (PUBLIC,)),
    "turns-to-both.example": ((PUBLIC,), (PUBLIC, "10.0.0.5"), ("192.168.1.5",)),
    "turns-to-v6.example": ((PUBLIC_V6,), ("fd00::5",), ("::ffff:10.0.0.5",)),
}
#: Names that no authority may certify (RFC 5280, 4.2.1.6): a POST to them gets as far as the canary's certificate.
UNCERTIFIED: Final = frozenset({"under_score.example", "127.0.0.xn--9hb"})
#: Each turning name is posted to so many times.
TURNS: Final = 6
REDIRECTS: Final = tuple(
    f"/redirect/{status}/{address}"
    for status in (301, 302, 303, 307, 308)
    for address in ("169.254.169.254", "10.0.0.5", "[fd00::5]", "localhost", "127.0.0.53:8080")
)


def main(names: str) -> dict[str, Any]:
    """Return the report of all parts; ``names`` is ``hook`` or ``system``."""
    interfaces.take_every_address()
    with (
        CanaryServers({row.port for row in ROWS} | _PORTS, _certified()) as canaries,
        NameServer(_zones()) as name_server,
    ):
        if names == "system":
            name_server.serve("127.0.0.1", 53)
            interfaces.ask_only("127.0.0.1", folder=Path(tempfile.mkdtemp()))
        poster = _Poster(canaries)
        return {
            "table": [poster.post(row.url, _policy(row, names)) for row in ROWS if names == "hook" or is_served(row)],
            "turning": {name: poster.posts_in_turn(name, answers, names) for name, answers in TURNING.items()},
            "redirects": [poster.post(f"https://{PUBLIC}{path}", EgressPolicy()) for path in REDIRECTS],
            "stray": canaries.all_visits(),
            "control": list(poster.controls()),
        }


class _Poster:
    """Posts, and tells what came of it: the error's kind and the visits of canaries."""

    def __init__(self, canaries: CanaryServers) -> None:
        self._canaries = canaries

    def post(self, url: str, egress: EgressPolicy) -> tuple[str | None, list[Any]]:
        executor = WebhookExecutor(egress, ca_bundle=authority_pem())
        kind = executor.post(Claim(a_delivery(), a_webhook(url=url, secret=SECRET), _BODY)).error_kind
        executor.close()
        return kind, self._canaries.visits()

    def posts_in_turn(self, name: str, answers: Sequence[Sequence[str]], names: str) -> list[tuple[str | None, Any]]:
        """Post to the name over and over, with one policy, and each time for another webhook."""
        turn = cycle(answers)
        egress = EgressPolicy(lookup=system_lookup if names == "system" else lambda _: next(turn))
        return [self.post(f"https://{name}/hooks", egress) for _ in range(TURNS)]

    def controls(self) -> Iterator[str]:
        """Yield the forbidden addresses of the table whose canaries are visited once the operator permits them."""
        egress = EgressPolicy(allow=["0.0.0.0/0", "::/0"])
        for row in ROWS:
            if row.fate is Fate.FORBIDDEN and not row.asks and not row.allow:
                yield from (visit.address for visit in self.post(row.url, egress)[1])


def _policy(row: EgressRow, names: str) -> EgressPolicy:
    lookup: Lookup = system_lookup if names == "system" else lambda _: row.answers
    return EgressPolicy(allow=row.allow, deny=row.deny, lookup=lookup)


def is_served(row: EgressRow) -> bool:
    """Tell whether a name server can give the row's answers: zones have no place in a record."""
    return bool(row.asks) and not any("%" in each for each in row.answers)


def _zones() -> dict[str, Zone]:
    rows = {row.asks.rstrip(".").lower(): Zone(turns=(row.answers,)) for row in ROWS if is_served(row)}
    return rows | {name: Zone(turns=answers) for name, answers in TURNING.items()}


def _certified() -> set[str]:
    """Return the names and addresses that a POST may reach, as a certificate has them."""
    names = {row.asks.rstrip(".") or str(ip_address(row.dials[0])) for row in ROWS if row.fate is Fate.ALLOWED}
    return (names | set(TURNING)) - UNCERTIFIED


if __name__ == "__main__":
    interfaces.report(main)
