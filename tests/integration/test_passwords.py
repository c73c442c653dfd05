"""Servers that refuse us: what is said of it holds neither the password nor the URL that has it."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import pytest
from sqlalchemy import make_url, text

from noteflow_hooks.broker import publisher
from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import FAILED, run
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.local.stack.ports import free_address
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.sqlstates import kind_of
from noteflow_hooks.redis_url import RedisAddress
from noteflow_hooks.settings import PREFIX
from tests.support.canary_secrets import CanarySecret, found, letters
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from noteflow_hooks.local.servers import EmbeddedPostgres

PASSWORD: Final = letters()
CANARIES: Final = [CanarySecret.of("password", PASSWORD)]


def urls(postgres: EmbeddedPostgres) -> list[str]:
    """Return the URLs of a server that knows no such user, and of none."""
    stranger = make_url(postgres.url).set(username=f"u{uuid4().hex}", password=PASSWORD)
    return [stranger.render_as_string(hide_password=False), f"postgresql://user:{PASSWORD}@{free_address()}/name"]


def test_a_database_that_refuses_us_is_told_of_without_the_password(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """In the error, in all that led to it, in what an operator sees of it, in a command; it counts as what it is."""
    monkeypatch.chdir(tmp_path)
    for url, kind in zip(urls(postgres), ("refused", "connection"), strict=True):
        engine = create_engine(url)
        with pytest.raises(UnavailableError) as caught, engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        engine.dispose()
        assert kind_of(caught.value.__cause__) == kind
        monkeypatch.setenv(f"{PREFIX}DATABASE_URL", url)
        assert run(root, ["workspaces", "list"]) == FAILED
        complaint = capsys.readouterr().err
        assert caught.value.detail.partition(":")[0] in complaint
        shown = [
            *traceback.format_exception(caught.value),
            repr(caught.value.__cause__),
            caught.value.detail,
            complaint,
        ]
        assert found(CANARIES, "".join(shown).encode()) == set()


def test_a_broker_that_refuses_us_is_told_of_without_the_password(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By every library on the way there, at DEBUG."""
    caplog.set_level(logging.DEBUG)
    refused = make_url(redis_url).set(password=PASSWORD).render_as_string(hide_password=False)
    publishers = publisher.connect(RedisAddress.parse(refused))
    publishers.events.announce([uuid4()])
    until(lambda: "Redis refuses" in caplog.text, what="the refusal is logged")
    publishers.close()
    assert found(CANARIES, caplog.text.encode()) == set()
