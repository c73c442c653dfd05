"""GetSystemState: what a tenant is told of the system, and how seldom it is looked up."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

from noteflow_hooks.broker.redis_look import RedisLook
from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.persistence.memory import InMemoryTaskRuns
from noteflow_hooks.redis_url import RedisAddress
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.settings import PREFIX
from tests.integration.rpc.world import World

if TYPE_CHECKING:
    import pytest


def test_each_part_is_told_and_looked_up_once_for_all() -> None:
    """Also what has gone wrong; two that ask within two seconds are told the same."""
    asked: list[bool] = []

    def answers() -> bool:
        asked.append(True)
        return False

    with World(redis_answers=answers) as world:
        InMemoryTaskRuns(world.store).note("relay", took=timedelta(seconds=1))
        first = world.client.webhooks.GetSystemState(pb.GetSystemStateRequest())
        assert {each.name: each.state for each in first.parts} == {
            "relay": "well",
            "sweep": "away",
            "workers": "well",
            "redis": "away",
        }
        assert [each.HasField("last_at") for each in first.parts] == [True, False, True, False]
        assert world.client.webhooks.GetSystemState(pb.GetSystemStateRequest()) == first
        assert asked == [True]


def test_the_command_says_how_each_part_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For people a line each, for programs one object."""
    with World() as world:
        monkeypatch.setenv(f"{PREFIX}SERVER", world.address)
        monkeypatch.setenv(f"{PREFIX}TOKEN", world.token)
        assert run(root, ["system"]) == 0
        assert "it has never run to its end" in capsys.readouterr().out
        assert run(root, ["system", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["parts"][3]["state"] == "well"


def test_a_redis_is_asked_whether_it_answers(redis_url: str) -> None:
    """One that is there does; where there is none, nothing does."""
    there, gone = RedisLook(RedisAddress.parse(redis_url)), RedisLook(RedisAddress.parse("redis://127.0.0.1:1/0"))
    assert (there.answers(), gone.answers()) == (True, False)
    there.close()
    gone.close()
