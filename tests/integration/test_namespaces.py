"""The egress table for real: in a network namespace in which every address answers, only the allowed ones are reached.

Each address there, 169.254.169.254 and the rest, is a canary with TLS that keeps the connections it gets and the POSTs
that verify. No packet leaves the namespace.
"""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.integration.namespace_canaries import REDIRECTS, TURNING, TURNS, UNCERTIFIED, is_served
from tests.support.egress_rows import PUBLIC, PUBLIC_V6, Fate
from tests.support.egress_table import ROWS
from tests.support.network_namespace import run_inside

if TYPE_CHECKING:
    from tests.support.egress_rows import EgressRow

_SCRIPT: Final = Path(__file__).with_name("namespace_canaries.py")
#: What must be out of reach before all else: metadata, credentials, private networks, and this machine itself.
_CANARIES: Final = frozenset(
    {
        "169.254.169.254",
        "169.254.170.2",
        "10.0.0.5",
        "172.16.0.5",
        "192.168.1.5",
        "100.64.0.5",
        "168.63.129.16",
        "127.0.0.1",
        "127.0.0.53",
        "::1",
        "fd00::5",
        "64:ff9b::a00:5",
        "2002:a00:5::1",
    }
)
_KINDS: Final = {
    Fate.ALLOWED: None,
    Fate.FORBIDDEN: "address_not_allowed",
    Fate.MALFORMED: "address_not_allowed",
    Fate.NAMELESS: "dns",
}


@pytest.fixture(scope="module", params=["hook", "system"])
def names(request: pytest.FixtureRequest) -> str:
    """Who answers for names: a function, or a name server that the system's resolver asks."""
    return str(request.param)


@pytest.fixture(scope="module")
def report(names: str) -> dict[str, Any]:
    """What came of every post, and which canaries it visited."""
    made: dict[str, Any] = run_inside(_SCRIPT, names)
    return made


def test_the_allowed_addresses_alone_are_reached_and_get_their_posts(names: str, report: dict[str, Any]) -> None:
    """Of each row that is allowed one of its addresses gets one verified POST; no other row touches a canary."""
    rows = [row for row in ROWS if names == "hook" or is_served(row)]
    assert len(rows) == len(report["table"])
    outcomes = zip(rows, report["table"], strict=True)
    assert [(row.url, kind, visits) for row, (kind, visits) in outcomes if not _is_right(row, kind, visits)] == []
    assert report["stray"] == []


def _is_right(row: EgressRow, kind: str | None, visits: list[list[Any]]) -> bool:
    if row.fate is not Fate.ALLOWED:
        return kind == _KINDS[row.fate] and not visits
    expected, posts = ("tls", 0) if row.asks in UNCERTIFIED else (None, 1)
    return kind == expected and visits in [[[_as_met(each), row.port, posts]] for each in row.dials]


def _as_met(address: str) -> str:
    """Return the address as the canary knows it: a mapped one arrives over IPv4."""
    parsed = ip_address(address)
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


def test_a_name_whose_answer_turns_inside_leads_nowhere(report: dict[str, Any]) -> None:
    """Each look-up's answer is judged as a whole: the purely public ones get the POST, the others get nothing."""
    for name, answers in TURNING.items():
        turns = [answers[n % len(answers)] for n in range(TURNS)]
        fits = [set(turn) <= {PUBLIC, PUBLIC_V6} for turn in turns]
        refused: list[Any] = ["address_not_allowed", []]
        expected = [[None, [[turn[0], 443, 1]]] if fit else refused for turn, fit in zip(turns, fits, strict=True)]
        assert report["turning"][name] == expected


def test_a_redirect_to_a_canary_is_not_followed(report: dict[str, Any]) -> None:
    """Whatever its status and its target, the allowed endpoint is all that sees a connection."""
    assert report["redirects"] == [["redirect", [[PUBLIC, 443, 1]]]] * len(REDIRECTS)


def test_the_canaries_do_count_what_the_operator_permits(report: dict[str, Any]) -> None:
    """With everything permitted the same posts reach the same canaries, so a broken rule could not go unseen."""
    assert set(report["control"]) >= _CANARIES
