"""DATABASE_URL as libpq reads it: each option is in effect, or refused by its name; none is dropped."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest
from sqlalchemy import text

from noteflow_hooks.errors import SettingsError
from noteflow_hooks.local.servers import EmbeddedPostgres
from noteflow_hooks.local.stack.environment import GivenSettings
from noteflow_hooks.persistence.sql.engine import create_engine
from tests.support.pooling_proxy import PoolingProxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

BASE: Final = "postgresql://user:canary@127.0.0.1:5432/name"
#: What the kernel keeps for a connection, by libpq's names.
KEPT: Final = {
    "keepalives_idle": socket.TCP_KEEPIDLE,
    "keepalives_interval": socket.TCP_KEEPINTVL,
    "keepalives_count": socket.TCP_KEEPCNT,
    "tcp_user_timeout": socket.TCP_USER_TIMEOUT,
}
OURS: Final = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 2, "tcp_user_timeout": 15_000}
THEIRS: Final = {"keepalives_idle": 33, "keepalives_interval": 7, "keepalives_count": 4, "tcp_user_timeout": 9_000}


@contextmanager
def connected(url: str, **options: Any) -> Iterator[Connection]:  # noqa: ANN401 - create_engine's own
    """Offer a connection by that URL."""
    engine = create_engine(url, **options)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def with_options(url: str, options: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{options}"


def setting(connection: Connection, name: str) -> str:
    return str(connection.scalar(text(f"SHOW {name}")))


@pytest.mark.parametrize(
    ("option", "name", "value"),
    [
        ("application_name=billing", "application_name", "billing"),
        ("fallback_application_name=billing", "application_name", "billing"),
        ("connect_timeout=9", "application_name", "noteflow-hooks"),
        ("options=-c%20statement_timeout%3D7s", "statement_timeout", "7s"),
        ("options=--work_mem%3D5MB", "work_mem", "5MB"),
        ("options=-c%20work_mem%3D5MB", "statement_timeout", "20s"),
    ],
)
def test_what_a_session_is_told_by_the_url_holds(database_url: str, option: str, name: str, value: str) -> None:
    """Before what we would tell it; and what the URL leaves to us is ours."""
    with connected(with_options(database_url, option), is_busy=True) as connection:
        assert setting(connection, name) == value


def test_who_only_looks_is_answered_in_time_whatever_the_url_says(database_url: str) -> None:
    """Its own bounds count."""
    url = with_options(database_url, "connect_timeout=90&options=-c%20statement_timeout%3D70s")
    with connected(url, answer_within_s=2) as connection:
        assert setting(connection, "statement_timeout") == "2s"


@pytest.mark.parametrize("given", [{}, THEIRS], ids=["left out", "given"])
def test_what_the_kernel_is_told_of_a_connection_is_the_urls_or_ours(database_url: str, given: dict[str, int]) -> None:
    """Keepalives, and how long a silent peer counts as alive."""
    words = "&".join(f"{name}={value}" for name, value in given.items())
    with PoolingProxy(database_url) as proxy, connected(with_options(proxy.url, words), is_pooled=True) as connection:
        driver: Any = connection.connection.driver_connection
        with socket.fromfd(driver.fileno(), socket.AF_INET, socket.SOCK_STREAM) as sock:
            found = {name: sock.getsockopt(socket.IPPROTO_TCP, kept) for name, kept in KEPT.items()}
    assert found == (given or OURS)


def test_of_several_hosts_the_one_that_takes_writes_is_found(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    """The first is away, the second a standby by all that a client can tell."""
    name, _, place = postgres.url.partition("?host=")
    folder, _, port = place.partition("&port=")
    with EmbeddedPostgres(tmp_path) as standby:
        with connected(standby.url) as connection:
            connection.execute(text("ALTER ROLE CURRENT_USER SET default_transaction_read_only = on"))
            connection.commit()
        other = standby.url.partition("?host=")[2].partition("&port=")[0]
        url = f"{name}?host=%2Fnonexistent,{other},{folder}&port={port},{port},{port}"
        for attributes, read_only in (("read-write", "off"), ("any", "on")):
            with connected(f"{url}&target_session_attrs={attributes}") as connection:
                assert setting(connection, "transaction_read_only") == read_only


def test_several_hosts_with_ports_are_a_url_that_settings_take() -> None:
    """In the form that libpq has for them."""
    url = "postgresql://user:canary@one:5432,[::1]:5433,three/name?target_session_attrs=read-write&sslmode=require"
    assert GivenSettings(database_url=url).database_url == url
    create_engine(url).dispose()


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("bogus=1", "'bogus'"),
        ("host=a&host=b", "'host'"),
        ("sslmode=bogus", "'sslmode'"),
        ("target_session_attrs=bogus", "'target_session_attrs'"),
        ("target_session_attrs=standby", "'target_session_attrs'"),
        ("connect_timeout=soon", "'connect_timeout'"),
        ("keepalives_idle=x", "'keepalives_idle'"),
        ("replication=database", "'replication'"),
        ("client_encoding=latin1", "'client_encoding'"),
        ("options=-c%20search_path%3Delsewhere", "search_path"),
        ("options=--TimeZone%3DCET", "timezone"),
        ("options=--search-path%3Delsewhere", "search_path"),
        ("options=-csearch%5C_path%3Delsewhere", "search_path"),
        ("options=-Ocsearch_path%3Delsewhere", "search_path"),
    ],
)
def test_an_option_that_can_not_work_is_refused_by_its_name(option: str, named: str) -> None:
    """In one line, without the password."""
    with pytest.raises(SettingsError, match="NOTEFLOW_HOOKS_DATABASE_URL must hold") as caught:
        create_engine(with_options(BASE, option))
    assert named in str(caught.value)
    assert "canary" not in str(caught.value)


def test_what_a_session_is_told_is_refused_where_sessions_are_nobodys() -> None:
    """Behind a pooler of transactions it would hold for some of them, or for none."""
    with pytest.raises(SettingsError, match="'options' does not hold behind a pooler"):
        create_engine(with_options(BASE, "options=-c%20work_mem%3D5MB"), is_pooled=True)


def test_a_password_with_a_question_mark_is_not_shown_in_part() -> None:
    """What stands behind the mark looks like an option, and is a piece of it."""
    with pytest.raises(SettingsError) as caught:
        create_engine("postgresql://user:pa?canary=x@127.0.0.1/name")
    assert "canary" not in str(caught.value)
