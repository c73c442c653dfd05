"""Networks and name servers that fail, each in a namespace of its own: the right kind of error, within the deadline."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.namespace_routes import PLENTY_MS, SHORT_MS
from tests.support.network_namespace import run_inside

_HERE: Final = Path(__file__).parent
#: Below the minutes after which the system's resolver, as it is set up here, gives up, and a connect does.
_LATE_MS: Final = 50_000


@pytest.fixture(scope="module")
def routes() -> dict[str, Any]:
    """What came of the posts to each kind of route."""
    made: dict[str, Any] = run_inside(_HERE / "namespace_routes.py")
    return made


@pytest.fixture(scope="module", params=["threads", "gevent"])
def names(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What came of the posts to names of a faulty name server, from threads and from greenlets."""
    made: dict[str, Any] = run_inside(_HERE / "namespace_names.py", request.param)
    return made


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("blackhole.example", "Invalid argument"),
        ("unreachable.example", "No route to host"),
        ("prohibit.example", "Permission denied"),
        ("no-route.example", "Network is unreachable"),
        ("blackhole-v6.example", "Invalid argument"),
        ("unreachable-v6.example", "No route to host"),
        ("prohibit-v6.example", "Permission denied"),
        ("no-route-v6.example", "Network is unreachable"),
        ("all-wrong.example", "Network is unreachable"),
        ("closed", "Connection refused"),
    ],
)
def test_a_network_that_refuses_is_a_failed_connection(routes: dict[str, Any], name: str, problem: str) -> None:
    """The attempt ends at once, and says why."""
    kind, message, duration_ms = routes[name]
    assert (kind, message) == ("connect", problem)
    assert duration_ms < PLENTY_MS


@pytest.mark.parametrize("name", ["silent.example", "silent-v6.example", "unresolved.example"])
def test_a_network_that_says_nothing_costs_the_timeout(routes: dict[str, Any], name: str) -> None:
    """A SYN that vanishes, and a neighbour that is not there, end with the attempt's time."""
    kind, message, duration_ms = routes[name]
    assert (kind, message) == ("timeout", "Request timed out")
    assert SHORT_MS <= duration_ms < _LATE_MS


@pytest.mark.parametrize(
    "name", ["falls-back.example", "falls-back-over-families.example", "past-silence.example", "well.example"]
)
def test_one_address_that_works_is_enough(routes: dict[str, Any], name: str) -> None:
    """Behind refusals of every kind, in the other family, or behind silence: the POST is delivered in its time."""
    kind, message, duration_ms = routes[name]
    assert (kind, message) == (None, None)
    assert duration_ms < _LATE_MS


@pytest.mark.parametrize(
    "name", ["unknown.example", "failing.example", "silent.example", "late.example", "many-and-one-inside.example"]
)
def test_a_name_server_that_fails_fails_the_attempt_in_time(names: dict[str, Any], name: str) -> None:
    """NXDOMAIN, SERVFAIL, silence and an answer after 100 s are failed look-ups; one inside among 501 forbids."""
    kind, duration_ms = names["faults"][name]
    assert kind == ("address_not_allowed" if name.startswith("many") else "dns")
    assert duration_ms < _LATE_MS


@pytest.mark.parametrize("name", ["slow.example", "many.example"])
def test_a_name_server_that_is_slow_or_says_much_is_understood(names: dict[str, Any], name: str) -> None:
    """An answer within the time, and one of 500 addresses, which comes over TCP, lead to a delivery."""
    assert names["faults"][name][0] is None


def test_silent_name_servers_hold_up_nobody_else(names: dict[str, Any]) -> None:
    """While 24 attempts wait for look-ups of their own, another is looked up and delivered before any of them ends."""
    assert names["well"] is None
    assert names["over"] == 0
    assert names["held"] == ["dns"] * 24


@pytest.mark.parametrize("count", [2, pytest.param(12, marks=pytest.mark.chaos)])
def test_deliveries_survive_the_loss_of_three_packets_in_ten(count: int) -> None:
    """Each is delivered after some attempts; those before it failed in time, as timeouts or broken connections."""
    report = run_inside(_HERE / "namespace_loss.py", str(count), timeout_s=300)
    assert [attempts[-1] for attempts in report["attempts"]] == [None] * count
    assert {kind for attempts in report["attempts"] for kind in attempts} <= {None, "timeout", "connect"}
    assert report["posts"] >= count
