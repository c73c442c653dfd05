"""What can't hold our queues is refused at the start: a Redis in cluster mode, and a Sentinel."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Final

import pytest
import redis

from noteflow_hooks.broker.redis_mode import refuse_mode
from noteflow_hooks.cli.doctor.broker import Broker
from noteflow_hooks.crypto import generate_key
from noteflow_hooks.errors import SettingsError
from noteflow_hooks.local.servers import EmbeddedValkey
from noteflow_hooks.local.stack.environment import GivenSettings, variables
from noteflow_hooks.local.stack.programs import SERVER
from noteflow_hooks.redis_url import RedisAddress
from tests.support.celery_program import command
from tests.support.sentinels import sentinel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CLUSTER: Final = "leads to a Redis in cluster mode, where one command can't ask several queues"
SENTINEL: Final = "leads to a Sentinel, which holds no queues; name an address that always leads to the primary"


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Valkey in cluster mode, by its URL; it has all slots to itself."""
    folder = tmp_path_factory.mktemp("clustered")
    with EmbeddedValkey(folder, settings={"cluster-enabled": "yes"}) as server:
        with redis.Redis.from_url(server.url) as client:
            client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16_383)
        yield server.url


def given(redis_url: str) -> dict[str, str]:
    return {
        "database_url": "postgresql://u@127.0.0.1:1/x",
        "redis_url": redis_url,
        "secret_keys": generate_key(),
        "grpc_bind": "127.0.0.1:0",
    }


@pytest.mark.parametrize("program", [command("beat", start=("-m", "workers")), SERVER], ids=["beat", "server"])
def test_no_program_starts_on_a_cluster(clustered: str, tmp_path: Path, program: list[str]) -> None:
    """One line says what it is and what to name, in place of an error a second for ever; beat's check is a worker's."""
    ended = subprocess.run(
        program, env=variables(given(clustered)), cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    [said] = [line for line in ended.stderr.splitlines() if "NOTEFLOW_HOOKS_REDIS_URL" in line]
    assert ended.returncode == 1
    assert CLUSTER in said
    assert "Traceback" not in ended.stderr


def test_a_sentinel_is_named_as_what_it_is(redis_url: str, tmp_path: Path) -> None:
    """It answers like a Redis, and would refuse each message."""
    refuse_mode(RedisAddress.parse(redis_url))
    with sentinel(tmp_path) as at, pytest.raises(SettingsError, match=SENTINEL):
        refuse_mode(RedisAddress.parse(f"redis://{at}/0"))


def test_one_that_is_away_is_waited_for() -> None:
    """It is not asked what it is."""
    refuse_mode(RedisAddress.parse("redis://127.0.0.1:1/0"))


def test_doctor_says_so_too(clustered: str) -> None:
    """Programs that ran before the mode was changed are not started anew."""
    broker = Broker(GivenSettings(redis_url=clustered))
    verdict = broker.writes()
    broker.close()
    assert verdict.state == "failed"
    assert "cluster mode" in verdict.found
