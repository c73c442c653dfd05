"""REDIS_URL: what each part of it is taken for, and what is refused, in words that repeat none of it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noteflow_hooks import bootstrap
from noteflow_hooks.broker.environment import REPLACING, refuse_celerys_variables
from noteflow_hooks.cli.doctor.broker import Broker
from noteflow_hooks.errors import SettingsError
from noteflow_hooks.redis_url import OPTIONS, RedisAddress, RedisUrlError
from noteflow_hooks.settings import PREFIX, Settings
from tests.support.certificates import authority, authority_pem, write_pair

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://redis", RedisAddress("redis", 6379, 0)),
        ("redis://redis/", RedisAddress("redis", 6379, 0)),
        ("redis://10.0.0.1:7000/3", RedisAddress("10.0.0.1", 7000, 3)),
        ("redis://:Secret9@host:6379/0", RedisAddress("host", 6379, 0, None, "Secret9")),
        ("redis://user:a%2Fb%3Fc%23d%40e@host/1", RedisAddress("host", 6379, 1, "user", "a/b?c#d@e")),
        ("redis://user:a:b@host", RedisAddress("host", 6379, 0, "user", "a:b")),
        ("redis://[::1]:6380/0", RedisAddress("::1", 6380, 0)),
        ("rediss://host/0", RedisAddress("host", 6379, 0, tls={})),
        (
            "rediss://host/0?ssl_ca_certs=/etc/ca%20s.pem&ssl_check_hostname=false",
            RedisAddress("host", 6379, 0, tls={"ssl_ca_certs": "/etc/ca s.pem", "ssl_check_hostname": "false"}),
        ),
    ],
)
def test_each_part_of_a_url_is_taken_for_what_it_is(url: str, address: RedisAddress) -> None:
    """The port is 6379 and the database 0 where they are not named."""
    assert RedisAddress.parse(url) == address


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://:Secret9@host:6379/0", "neither redis:// nor rediss://"),
        ("host:6379/0", "neither redis:// nor rediss://"),
        ("redis://:123/Secret9@host:6379/0", "no host"),
        ("redis://:123?Secret9@host:6379/0", "no host"),
        ("redis://:123#Secret9@host:6379/0", "a character that no URL has here"),
        ("redis://user:12@Secret9@host:6379/0", "must be escaped"),
        ("redis://user:Secret9%zz@host:6379/0", "must be escaped"),
        ("redis://user:Secret9%ff@host:6379/0", "no text in UTF-8"),
        ("redis://user:Sécret9@host:6379/0", "a character that no URL has here"),
        ("redis://:Secret9@host:0/0", "no number from 1 to 65535"),
        ("redis://:Secret9@host:65536/0", "no number from 1 to 65535"),
        ("redis://host:Secret9", "none with a port behind it"),
        ("redis://:Secret9@/0", "no host"),
        ("redis://", "no host"),
        ("redis://:Secret9@host/cache", "no database's number"),
        ("redis://:Secret9@host/0/1", "no database's number"),
        ("redis://:Secret9@host:6379/0?bogus=1", "only rediss:// may have some"),
        ("redis://:Secret9@host:6379/0?protocol=2", "only rediss:// may have some"),
        ("redis://:Secret9@host:6379/0?ssl_cert_reqs=none", "only rediss:// may have some"),
        ("rediss://:Secret9@host:6379/0?bogus=1", "unknown or stands twice"),
        ("rediss://:Secret9@host:6379/0?protocol=2", "unknown or stands twice"),
        ("rediss://:Secret9@host:6379/0?ssl_cert_reqs=requird", "neither required nor none"),
        ("rediss://:Secret9@host:6379/0?ssl_cert_reqs=none&ssl_cert_reqs=required", "unknown or stands twice"),
        ("rediss://:Secret9@host:6379/0?ssl_ca_certs=", "names no file"),
        ("rediss://:Secret9@host:6379/0?ssl_ca_certs=/nowhere/ca.pem", "no PEM file with certificates"),
        ("rediss://:Secret9@host:6379/0?ssl_ca_certs=%00", "no PEM file with certificates"),
        ("rediss://:Secret9@host:6379/0?ssl_certfile=/nowhere/a.pem", "no PEM files of a certificate and its key"),
        ("rediss://:Secret9@host:6379/0?ssl_keyfile=/nowhere/a.pem", "ssl_keyfile without ssl_certfile"),
    ],
)
def test_what_is_no_such_url_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, url: str, problem: str) -> None:
    """It names the variable, what is wrong, and what may stand there; never what stands there now."""
    monkeypatch.setenv(PREFIX + "REDIS_URL", url)
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    line = str(caught.value)
    assert line.startswith(f"{PREFIX}REDIS_URL is a value that is not shown here: ")
    assert problem in line
    assert "it may hold a URL such as redis://:password@host:6379/0" in line
    assert line.isprintable()
    assert not {"Secret9", "123", "nowhere", "requird", "bogus"} & set(line.replace("/", " ").split())
    assert "Secret9" not in line


@given(username=st.text(max_size=9), password=st.text(max_size=9), database=st.integers(0, 99_999))
def test_any_name_and_password_come_through_when_escaped(username: str, password: str, database: int) -> None:
    """And the URL that libraries are given says the same."""
    who = f"{quote(username, safe='', errors='surrogatepass')}:{quote(password, safe='', errors='surrogatepass')}"
    address = RedisAddress.parse(f"redis://{who}@host:1/{database}")
    assert (address.username or "", address.password or "", address.database) == (username, password, database)
    assert RedisAddress.parse(address.url) == address


@given(text=st.text(max_size=30) | st.from_regex(r"rediss?://[a-z:@/?&=%#0-9\[\].]{0,25}", fullmatch=True))
def test_any_text_is_a_url_or_refused(text: str) -> None:
    """No other error, and nothing that is read otherwise afterwards."""
    try:
        address = RedisAddress.parse(text)
    except RedisUrlError:
        return
    assert RedisAddress.parse(address.url.partition("?")[0]).host == address.host


def test_tls_is_verified_unless_it_is_said() -> None:
    """Certificate and name, by redis-py's own options."""
    assert RedisAddress.parse("redis://host").ssl_options == {}
    assert RedisAddress.parse("rediss://host").ssl_options == {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
    off = RedisAddress.parse("rediss://host?ssl_cert_reqs=none").ssl_options
    assert off == {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
    nameless = RedisAddress.parse("rediss://host?ssl_check_hostname=false").ssl_options
    assert nameless == {"ssl_cert_reqs": "required", "ssl_check_hostname": False}


def test_files_that_hold_what_they_should_are_taken(tmp_path: Path) -> None:
    """An authority's certificate, and a client's with its key."""
    files = write_pair(tmp_path, authority().issue_cert("client.example"))
    values = dict(zip(OPTIONS, (authority_pem(), files.cert, files.key), strict=False))
    url = "rediss://host/0?" + "&".join(f"{name}={quote(str(path))}" for name, path in values.items())
    assert Settings.load(redis_url=url).redis.tls == {name: str(path) for name, path in values.items()}


@pytest.mark.parametrize(
    "start", [bootstrap.server, lambda settings: Broker(settings).writes()], ids=["serve", "doctor"]
)
def test_server_and_doctor_refuse_them_too(
    monkeypatch: pytest.MonkeyPatch, start: Callable[[Settings], object]
) -> None:
    """They reach the broker through Celery, as workers do."""
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://elsewhere/0")
    given = Settings(_env_file=None, redis_url="redis://127.0.0.1:1/0", database_url="postgresql://u@127.0.0.1:1/x")
    with pytest.raises(SettingsError, match=r"^CELERY_BROKER_URL would replace our settings"):
        start(given)


@pytest.mark.parametrize("name", REPLACING)
def test_what_celery_would_read_in_place_of_our_settings_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """By its name; without a value it is none."""
    monkeypatch.setenv(name, "redis://:Secret9@elsewhere/0")
    with pytest.raises(SettingsError, match=f"^{name} would replace our settings: unset it") as caught:
        refuse_celerys_variables()
    assert "Secret9" not in str(caught.value)
    monkeypatch.setenv(name, "")
    refuse_celerys_variables()


def test_a_variable_that_celerys_command_line_copies_is_refused_by_its_own_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A person who reads of the copy would look for a variable that nobody has set."""
    monkeypatch.setenv("BROKER_URL", "redis://elsewhere/0")
    refuse_celerys_variables()
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://elsewhere/0")
    with pytest.raises(SettingsError, match=r"^BROKER_URL would replace"):
        refuse_celerys_variables()


@pytest.mark.parametrize("name", ["CELERY_BEAT_SCHEDULER", "CELERY_WORKER_TIME_LIMIT", "CELERY_WORKER_INCLUDE"])
def test_what_celerys_command_line_reads_is_refused_too(name: str) -> None:
    """Beat's scheduler would keep time by a clock that can be set back, and a limit would end deliveries halfway."""
    assert name in REPLACING
