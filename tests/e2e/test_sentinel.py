"""Redis with a replica and a Sentinel, behind one address that leads to the primary: a failover costs hints alone."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import pytest
import redis
from sqlalchemy import text

from noteflow_hooks.crypto import SecretBox, generate_key
from noteflow_hooks.local.servers import EmbeddedValkey
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from tests.support.builders import a_webhook, a_workspace, an_event
from tests.support.celery_program import celery_program, worker_options
from tests.support.following_proxy import FollowingProxy
from tests.support.receiver import Receiver
from tests.support.sentinels import sentinel
from tests.support.steady_publisher import posts
from tests.support.system_rig import QUICK
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from sqlalchemy.engine import Engine

BOX: Final = SecretBox([])
EVENTS: Final = 20


def published(engine: Engine, workspace: UUID) -> None:
    """Commit some events that nobody announces: relay has to find them, by a message through Redis."""
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        for _ in range(EVENTS):
            unit.events.append(an_event(workspace_id=workspace))
        unit.commit()


@pytest.mark.chaos
def test_a_failover_is_followed_by_worker_and_beat(clean_database: str, tmp_path: Path) -> None:
    """What was published before and after it arrives once each, in the same processes."""
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver(tls=True))
        first, second = (stack.enter_context(EmbeddedValkey(tmp_path / name)) for name in ("first", "second"))
        password = first.url.split(":")[2].split("@")[0]
        with_replica(first, second, password)
        watches = (
            f"sentinel monitor hooks 127.0.0.1 {first.port} 1",
            f"sentinel auth-pass hooks {password}",
            "sentinel down-after-milliseconds hooks 1000",
            "sentinel failover-timeout hooks 5000",
        )
        at = stack.enter_context(sentinel(tmp_path, *watches))
        proxy = stack.enter_context(FollowingProxy(at, "hooks"))
        settings = {
            **QUICK,
            "database_url": clean_database,
            "redis_url": f"redis://:{password}@{proxy.address}/0",
            "secret_keys": generate_key(),
            "egress_allow": "127.0.0.1/32",
            "ca_bundle": receiver.ca_pem,
        }
        engine = create_engine(clean_database)
        stack.callback(engine.dispose)
        workspace = endpoint(engine, receiver.url("/hooks"))
        programs = [
            stack.enter_context(celery_program(tmp_path, kind, *options, settings=settings))
            for kind, options in (("worker", worker_options("gevent", 4)), ("beat", ("-l", "INFO")))
        ]
        published(engine, workspace)
        receiver.wait_for(EVENTS)
        os.kill(first.pid or 0, signal.SIGKILL)
        published(engine, workspace)
        until(lambda: proxy.primary() == second.port, what="the replica is the primary")
        receiver.wait_for(2 * EVENTS)
        assert set(posts(receiver, "/hooks").values()) == {1}
        assert all(each.is_alive for each in programs)


def endpoint(engine: Engine, url: str) -> UUID:
    """Register one, and return its workspace."""
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        workspace = unit.access.create_workspace(a_workspace())
        unit.webhooks.create(a_webhook(workspace_id=workspace.id, url=url))
        unit.commit()
    with engine.begin() as connection:
        connection.execute(text("UPDATE noteflow.webhook_configs SET created_at = now() - interval '1 h'"))
    return workspace.id


def with_replica(first: EmbeddedValkey, second: EmbeddedValkey, password: str) -> None:
    """Have the second one follow the first, under one password, and return once it does."""
    own = second.url.split(":")[2].split("@")[0]
    with redis.Redis(port=second.port, password=own) as client:
        client.config_set("masterauth", password)
        client.config_set("requirepass", password)
    with redis.Redis(port=second.port, password=password) as client:
        client.execute_command("REPLICAOF", "127.0.0.1", first.port)
        until(lambda: client.info("replication")["master_link_status"] == "up", what="the replica has all")
