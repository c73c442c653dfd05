"""What a look-up answered is used for a while, and no longer than it is of use."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.egress import EgressPolicy, Resolver
from noteflow_hooks.errors import AddressNotAllowedError
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noteflow_hooks.domain.urls import EndpointUrl


class Names:
    """A name server that gives each answer once, and the last one from then on; an error is raised."""

    def __init__(self, *answers: Sequence[str] | OSError) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer


class Clock:
    """Time that passes where a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def found(resolver: Resolver, host: str = "a.example") -> list[str]:
    return [str(each) for each in resolver.resolve(host, timeout_s=PATIENCE_S)]


def a_resolver(names: Names, clock: Clock) -> Resolver:
    return Resolver(names, keep_s=5.0, monotonic=clock)


def test_an_answer_is_used_until_its_time_is_over() -> None:
    """A name is asked for once in that time, and anew at its very end."""
    names, clock = Names(["1.1.1.1"], ["8.8.8.8"]), Clock()
    resolver = a_resolver(names, clock)
    assert found(resolver) == ["1.1.1.1"]
    clock.now += 4.9
    assert found(resolver) == ["1.1.1.1"]
    assert names.asked == ["a.example"]
    clock.now += 0.1
    assert found(resolver) == ["8.8.8.8"]


def test_nothing_is_kept_unless_it_is_said_for_how_long() -> None:
    """Each look-up is then a new one."""
    names = Names(["1.1.1.1"], ["8.8.8.8"])
    resolver = Resolver(names)
    assert [found(resolver), found(resolver)] == [["1.1.1.1"], ["8.8.8.8"]]


def test_names_are_kept_apart() -> None:
    """One name's answer is no other's."""
    names, clock = Names(["1.1.1.1"], ["8.8.8.8"]), Clock()
    resolver = a_resolver(names, clock)
    assert [found(resolver, "a.example"), found(resolver, "b.example")] == [["1.1.1.1"], ["8.8.8.8"]]
    assert [found(resolver, "a.example"), found(resolver, "b.example")] == [["1.1.1.1"], ["8.8.8.8"]]


def test_that_there_is_no_address_is_not_kept() -> None:
    """A name that has none at this moment is asked for again at once, whichever way it was said."""
    names = Names(socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), [], ["1.1.1.1"])
    resolver = a_resolver(names, Clock())
    with pytest.raises(socket.gaierror):
        found(resolver)
    assert found(resolver) == []
    assert found(resolver) == ["1.1.1.1"]


def test_what_is_forgotten_is_looked_up_anew() -> None:
    """Of that name alone; to forget what is not there does no harm."""
    names, clock = Names(["1.1.1.1"], ["8.8.8.8"], ["9.9.9.9"]), Clock()
    resolver = a_resolver(names, clock)
    assert [found(resolver, "a.example"), found(resolver, "b.example")] == [["1.1.1.1"], ["8.8.8.8"]]
    resolver.forget("a.example")
    resolver.forget("c.example")
    assert [found(resolver, "a.example"), found(resolver, "b.example")] == [["9.9.9.9"], ["8.8.8.8"]]


def test_what_is_kept_is_bounded() -> None:
    """However many names there are, and however many addresses one of them has: others choose both."""
    names, clock = Names(["1.1.1.1"]), Clock()
    resolver = a_resolver(names, clock)
    hosts = [f"{number}.example" for number in range(1_030)]
    for host in hosts:
        found(resolver, host)
    names.asked.clear()
    assert found(resolver, hosts[-1]) == found(resolver, hosts[0]) == ["1.1.1.1"]
    assert names.asked == [hosts[0]]
    many = Names([f"1.1.1.{number}" for number in range(17)])
    resolver = a_resolver(many, clock)
    assert found(resolver) == found(resolver)
    assert many.asked == ["a.example"] * 2


def url(policy: EgressPolicy) -> EndpointUrl:
    return policy.check_url("https://a.example/")


def test_a_kept_answer_is_checked_at_every_dial(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the rules say at that moment counts, and not what they said of it before."""
    policy = EgressPolicy(lookup=Names(["1.1.1.1"]), resolve_cache_s=3600)
    assert [str(each) for each in policy.addresses(url(policy), timeout_s=PATIENCE_S)] == ["1.1.1.1"]
    monkeypatch.setattr(policy, "permits", lambda _: False)
    with pytest.raises(AddressNotAllowedError):
        policy.addresses(url(EgressPolicy(lookup=Names(["1.1.1.1"]))), timeout_s=PATIENCE_S)


def test_a_forbidden_answer_is_not_kept() -> None:
    """Who has mended the name can register it, and gets its deliveries, at once."""
    names = Names(["1.1.1.1", "10.0.0.1"], ["1.1.1.1"])
    policy = EgressPolicy(lookup=names, resolve_cache_s=3600)
    endpoint = url(EgressPolicy(lookup=Names(["1.1.1.1"])))
    with pytest.raises(AddressNotAllowedError):
        policy.addresses(endpoint, timeout_s=PATIENCE_S)
    assert [str(each) for each in policy.addresses(endpoint, timeout_s=PATIENCE_S)] == ["1.1.1.1"]
