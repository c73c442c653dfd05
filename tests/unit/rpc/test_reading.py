"""How many messages are waited for at once: each key has its share, and who keeps a permit for long loses it."""

from __future__ import annotations

import asyncio

import pytest

from noteflow_hooks.errors import RateLimitError
from noteflow_hooks.rpc.interceptors import reading
from noteflow_hooks.rpc.interceptors.reading import ReadBudget


def _never() -> None:
    raise AssertionError("a call was ended")


def test_who_waits_is_let_in_by_turns_of_the_keys() -> None:
    """The one whose key has the fewest permits first, however many of another wait before it."""

    async def scenario() -> list[str]:
        budget, order = ReadBudget(most=2, per_key=2), []

        async def call(key: str) -> None:
            async with budget.permit(key, give_up=_never):
                order.append(key)

        held = [await budget.take("hostile", give_up=_never) for _ in range(2)]
        calls = [asyncio.create_task(call(key)) for key in ("hostile", "hostile", "hostile", "quiet")]
        await asyncio.sleep(0)
        budget.leave(held[0])
        await asyncio.gather(*calls)
        return order

    assert asyncio.run(scenario())[0] == "quiet"


def test_a_key_that_has_its_share_waits_while_others_are_let_in() -> None:
    """There is room, but not for that one."""

    async def scenario() -> bool:
        budget = ReadBudget(most=4, per_key=2)
        for _ in range(2):
            await budget.take("hostile", give_up=_never)
        waiting = asyncio.create_task(budget.take("hostile", give_up=_never))
        await budget.take("quiet", give_up=_never)
        is_waiting = not waiting.done()
        waiting.cancel()
        return is_waiting

    assert asyncio.run(scenario())


def test_who_keeps_a_permit_for_long_is_ended_once_another_waits_for_it() -> None:
    """The one that kept it the longest, once; nobody else, and nobody while none waits."""

    async def scenario() -> list[str]:
        budget, ended = ReadBudget(most=2, per_key=2, patience_s=0.01), []
        first = await budget.take("one", give_up=lambda: ended.append("first"))
        await budget.take("one", give_up=lambda: ended.append("second"))
        waiting = asyncio.create_task(budget.take("two", give_up=_never))
        while not ended:
            await asyncio.sleep(0)
        budget.leave(first)
        await waiting
        return ended

    assert asyncio.run(scenario()) == ["first"]


def test_who_waits_in_vain_is_told_when_to_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """And stands in line no more."""
    monkeypatch.setattr(reading, "_WAIT_S", 0.01)

    async def scenario() -> None:
        budget = ReadBudget(most=1, per_key=1)
        held = await budget.take("one", give_up=_never)
        with pytest.raises(RateLimitError, match="try again in 1 s"):
            await budget.take("two", give_up=_never)
        budget.leave(held)
        await budget.take("three", give_up=_never)

    asyncio.run(scenario())
