"""`rediss://` is TLS, in every process: on the wire is no byte of the password, and a bad certificate is refused."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit
from uuid import uuid4

import pytest
from redis import Redis

from noteflow_hooks.broker import publisher
from noteflow_hooks.cli.doctor.broker import Broker
from noteflow_hooks.crypto import generate_key
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.local.servers import EmbeddedValkey
from noteflow_hooks.local.stack.environment import variables
from noteflow_hooks.local.stack.ports import free_address
from noteflow_hooks.redis_url import RedisAddress
from noteflow_hooks.settings import Settings
from tests.support.celery_program import celery_program, command, worker_options
from tests.support.certificates import (
    authority,
    authority_pem,
    client_context,
    self_signed_context,
    server_context,
    write_pair,
)
from tests.support.tls_front import TlsFront
from tests.support.waiting import until

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOST: Final = "127.0.0.1"
CA: Final = f"ssl_ca_certs={quote(str(authority_pem()))}"
SOLO: Final = worker_options("solo", 1)


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def broker(valkey: EmbeddedValkey) -> Iterator[Redis]:
    with Redis.from_url(valkey.url) as client:
        client.flushdb()
        yield client


@contextmanager
def tls(valkey: EmbeddedValkey, context: ssl.SSLContext) -> Iterator[tuple[TlsFront, str]]:
    """Offer the server behind TLS, and its URL without options; the client on the other side may be refused."""
    password = urlsplit(valkey.url).password
    with TlsFront(valkey.port, context) as front:
        yield front, f"rediss://:{password}@{HOST}:{front.port}/0"
        assert password is not None
        assert password.encode() not in front.bytes_sent


@pytest.fixture
def front(valkey: EmbeddedValkey) -> Iterator[tuple[TlsFront, str]]:
    """The server behind TLS with a good certificate, and its whole URL; no password crosses the wire."""
    with tls(valkey, server_context(authority(), (HOST,))) as (made, url):
        yield made, f"{url}?{CA}"
        assert made.is_all_tls


def given(url: str, database_url: str = "postgresql://u@127.0.0.1:1/x") -> dict[str, str]:
    return {"database_url": database_url, "redis_url": url, "secret_keys": generate_key()}


def doctor(url: str) -> Broker:
    return Broker(Settings(_env_file=None, redis_url=url))


def test_the_servers_messages_go_by_tls(front: tuple[TlsFront, str], broker: Redis) -> None:
    """Those of the gRPC server's publisher, and its look at a queue's length."""
    publishers = publisher.connect(RedisAddress.parse(front[1]))
    publishers.events.announce([uuid4()])
    until(lambda: broker.llen("dispatch") == 1, what="the message is there")
    publishers.close()


def test_doctor_looks_by_tls(front: tuple[TlsFront, str], broker: Redis) -> None:
    """At queues' lengths, as at all else."""
    broker.lpush("deliver", "one")
    looking = doctor(front[1])
    assert looking.queues().found == "dispatch 0, deliver 1, deliver.slow 0, maintenance 0"
    looking.close()


def test_workers_beat_and_inspect_speak_tls(front: tuple[TlsFront, str], tmp_path: Path, database_url: str) -> None:
    """A tick of beat's is carried out by the worker, which answers a ping."""
    settings = given(front[1], database_url)
    # At DEBUG a sweep that finds nothing has its line, too.
    telling = (*SOLO, "-l", "DEBUG")
    with (
        celery_program(tmp_path, "worker", *telling, settings=settings | {"sweep_every_s": "0.2"}) as worker,
        celery_program(tmp_path, "beat", "-l", "INFO", settings=settings | {"sweep_every_s": "0.2"}),
    ):
        until(lambda: b" reclaimed, " in worker.log, what="a sweep has run")
        shown = subprocess.run(
            command("inspect", "ping"), env=variables(settings), cwd=tmp_path, capture_output=True, check=False
        )
        assert b"pong" in shown.stdout, shown


@pytest.mark.parametrize(
    ("context", "options"),
    [
        pytest.param(lambda: self_signed_context("localhost"), "", id="signed by itself"),
        pytest.param(lambda: server_context(authority(), (HOST,)), "", id="an authority that is not trusted"),
        pytest.param(lambda: server_context(authority(), ("other.example",)), f"?{CA}", id="another's name"),
    ],
)
def test_a_certificate_that_is_not_good_is_refused(
    valkey: EmbeddedValkey,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    context: Callable[[], ssl.SSLContext],
    options: str,
) -> None:
    """By the server's publisher, by doctor and by workers, before the password is sent."""
    with tls(valkey, context()) as (front, place):
        url = place + options
        publishers = publisher.connect(RedisAddress.parse(url))
        publishers.events.announce([uuid4()])
        until(lambda: "Redis refuses" in caplog.text, what="the publisher is refused")
        publishers.close()
        with pytest.raises(UnavailableError, match="certificate verify failed"):
            doctor(url).writes()
        with celery_program(tmp_path, "worker", *SOLO, settings=given(url), wait=False) as worker:
            until(lambda: b"certificate verify failed" in worker.log, what="the worker is refused")
        assert front.is_all_tls


def test_checks_can_be_switched_off(valkey: EmbeddedValkey) -> None:
    """By name, where the network is one's own; it is still TLS."""
    with tls(valkey, self_signed_context("localhost")) as (front, url):
        looking = doctor(f"{url}?ssl_cert_reqs=none")
        assert looking.writes().found.startswith("answers")
        looking.close()
        assert front.is_all_tls


def test_a_client_certificate_is_shown(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    """Where the server asks for one; without it there is no way in."""
    files = write_pair(tmp_path, authority().issue_cert("client.example"), name="client")
    shown = f"{CA}&ssl_certfile={quote(str(files.cert))}&ssl_keyfile={quote(str(files.key))}"
    with tls(valkey, client_context(HOST)) as (_, url):
        looking = doctor(f"{url}?{shown}")
        assert looking.writes().found.startswith("answers")
        looking.close()
        # Another database's: kombu shares its connections among URLs that differ in their options alone.
        with pytest.raises(UnavailableError):
            doctor(f"{url.removesuffix('0')}1?{CA}").writes()


@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
def test_flower_shows_the_queues_lengths(
    valkey: EmbeddedValkey, broker: Redis, front: tuple[TlsFront, str], tmp_path: Path, *, with_tls: bool
) -> None:
    """On its page of the broker and in its API, which read the URL and the transport that kombu shows."""
    for queue, count in (("dispatch", 3), ("deliver.slow", 7)):
        broker.lpush(queue, *["message"] * count)
    address, url = free_address(), front[1] if with_tls else valkey.url
    host, _, port = address.rpartition(":")
    options = (f"--address={host}", f"--port={port}")
    doctor(front[1]).writes()
    with celery_program(
        tmp_path, "flower", *options, settings=given(url), extra={"FLOWER_UNAUTHENTICATED_API": "1"}
    ) as flower:
        found = json.loads(page(f"http://{address}/api/queues/length"))
        lengths = {each["name"]: each["messages"] for each in found["active_queues"]}
        assert lengths == {"dispatch": 3, "deliver": 0, "deliver.slow": 7, "maintenance": 0}
        shown = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page(f"http://{address}/broker")))
        assert "deliver.slow 7" in shown
        password = urlsplit(valkey.url).password
        assert password is not None
        assert password not in shown
        assert password.encode() not in flower.log


def page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - our own Flower
        text: str = answer.read().decode()
        return text
