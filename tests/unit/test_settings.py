"""Settings: what each may hold, and one line for what it may not."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.domain.retry import STANDARD_SCHEDULE
from noteflow_hooks.errors import SettingsError
from noteflow_hooks.maintenance.retention import Periods
from noteflow_hooks.settings import PREFIX, CallerSettings, Settings, unknown_variables

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_defaults_are_the_contracts() -> None:
    """Without a variable each setting has the documented value."""
    settings = Settings.load()
    assert (settings.grpc_bind, settings.default_timeout_ms, settings.default_max_retries) == (
        "127.0.0.1:50051",
        10_000,
        3,
    )
    assert settings.webhooks_enabled
    assert settings.retry_policy.schedule is None
    assert settings.retry_policy.cap == timedelta(hours=10)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("WEBHOOKS_ENABLED", "perhaps", "true or false: the feature flag"),
        ("RELAY_EVERY_S", "soon", "a number of seconds above 0"),
        ("SWEEP_EVERY_S", "0", "a number of seconds above 0"),
        ("RELAY_AFTER_S", "nan", "a number of seconds above 0"),
        ("RETENTION_DAYS", "0", "a number of days above 0, up to 36500"),
        ("AUDIT_RETENTION_DAYS", "36501", "a number of days above 0, up to 36500"),
        ("RETENTION_PAYLOAD_DAYS", "36501", "a number of days above 0, up to 36500"),
        ("RETENTION_ATTEMPT_DAYS", "inf", "a number of days above 0, up to 36500"),
        ("PURGE_EVERY_S", "-1", "a number of seconds above 0"),
        ("DELIVER_CHUNK", "0", "a whole number from 1 to 1000"),
        ("DEFAULT_TIMEOUT_MS", "50", "a whole number from 100 to 30000"),
        ("DEFAULT_MAX_RETRIES", "21", "a whole number from 1 to 20"),
        ("EGRESS_ALLOW", "10.0.0.0/33", "networks such as 10.1.0.0/16, separated by commas"),
        ("EGRESS_DENY", "::ffff:10.0.0.0/104", "networks such as 203.0.113.0/24, separated by commas"),
        ("EGRESS_PORTS", "443,70000", "ports and ranges such as 443,8443,9000-9100, separated by commas"),
        ("RESOLVE_CACHE_S", "-1", "a number of seconds from 0, for not, to 3600"),
        ("RESOLVE_CACHE_S", "nan", "a number of seconds from 0, for not, to 3600"),
        ("RETRY_SCHEDULE", "5s,soon", "exponential, standard, or a list of waits such as 5s,5m,2h"),
        ("RETRY_JITTER", "1", "a number from 0 to below 1"),
        ("GRPC_BIND", "localhost", "an address and a port, such as 127.0.0.1:50051, or unix: and a path"),
        ("GRPC_BIND", "unix:", "an address and a port, such as 127.0.0.1:50051, or unix: and a path"),
        ("GRPC_INSECURE_PLAINTEXT", "maybe", "true or false"),
        ("REGISTRATIONS_PER_MINUTE", "-1", "a whole number from 0, for no limit, to 1000000"),
        ("TOKEN_CALLS_PER_S", "0.5", "a whole number from 0, for no limit, to 1000000"),
        ("STREAMS_PER_WORKSPACE", "0", "a whole number from 1 to 1000"),
        ("LOG_FORMAT", "xml", "json or text"),
        ("CA_BUNDLE", "/nowhere/ca.pem", "the path of a PEM file with certificates"),
    ],
)
def test_a_bad_value_gets_one_line_with_its_name_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, allowed: str
) -> None:
    """The line names the variable, what it holds and what it may hold."""
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    line = str(caught.value)
    assert line.startswith(f"{PREFIX}{name} is {value!r}")
    assert line.endswith(f"it may hold {allowed}")
    assert "\n" not in line


def test_periods_of_less_than_a_day_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Days may be fractions; without a variable the periods are the documented ones."""
    assert Settings.load().periods == Periods()
    assert Settings.load().purge_every_s == 60
    for name in ("RETENTION_DAYS", "RETENTION_PAYLOAD_DAYS", "RETENTION_ATTEMPT_DAYS", "AUDIT_RETENTION_DAYS"):
        monkeypatch.setenv(PREFIX + name, "0.5")
    assert Settings.load().periods == Periods(*[timedelta(hours=12)] * 4)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEYS", "c2VjcmV0LWNhbmFyeQ=="),
        ("DATABASE_URL", "mysql://root:secret-canary@db/x"),
        ("REDIS_URL", "http://:secret-canary@redis"),
        ("REDIS_URL", "redis://:secret-canary@redis:port/0"),
        ("DATABASE_URL", "postgresql://u:secret-canary@db:99999/x"),
        ("EGRESS_PROXY", "socks5://u:secret-canary@proxy:1080"),
    ],
)
def test_a_bad_secret_is_never_repeated(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Neither the key nor a URL's password gets into the message."""
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert str(caught.value).startswith(PREFIX + name)
    assert value not in str(caught.value)
    assert "canary" not in str(caught.value)


def test_the_repr_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """A settings object in a traceback shows neither keys nor URLs."""
    monkeypatch.setenv(PREFIX + "DATABASE_URL", "postgresql://u:canary@db/x")
    assert "canary" not in repr(Settings.load())


def test_a_missing_setting_is_named() -> None:
    """What a command needs and does not have is said in one line."""
    with pytest.raises(SettingsError, match="NOTEFLOW_HOOKS_DATABASE_URL is not set; it must hold a URL such as"):
        Settings.load().require("database_url", "redis_url")


def test_dot_env_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A variable that stands in both holds what the environment says."""
    (tmp_path / ".env").write_text(f"{PREFIX}DELIVER_CHUNK=7\n{PREFIX}RETRY_BASE_S=2\nOTHER=1\n")
    monkeypatch.setenv(PREFIX + "DELIVER_CHUNK", "8")
    settings = Settings.load()
    assert settings.deliver_chunk == 8
    assert settings.retry_policy.base == timedelta(seconds=2)


def test_a_dot_env_that_is_no_utf_8_is_named(tmp_path: Path) -> None:
    """With the byte, since an editor that guesses the encoding shows nothing wrong."""
    (tmp_path / ".env").write_bytes(b"A=1\nB=caf\xe9\n")
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert str(caught.value) == f"{tmp_path / '.env'} is not UTF-8 text: its byte 9 can't be read as such"


def test_a_server_may_listen_on_a_socket_in_the_file_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which has a path, and no port."""
    monkeypatch.setenv(PREFIX + "GRPC_BIND", "unix:/run/noteflow/hooks.sock")
    assert Settings.load().grpc_bind == "unix:/run/noteflow/hooks.sock"


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("standard", STANDARD_SCHEDULE),
        ("5s, 5m,2h,1d", tuple(timedelta(seconds=s) for s in (5, 300, 7200, 86_400))),
        ("0.25,3", (timedelta(milliseconds=250), timedelta(seconds=3))),
    ],
)
def test_a_schedule_may_be_named_or_listed(
    monkeypatch: pytest.MonkeyPatch, text: str, schedule: tuple[timedelta, ...]
) -> None:
    """Units are s, m, h and d; a bare number is seconds."""
    monkeypatch.setenv(PREFIX + "RETRY_SCHEDULE", text)
    assert Settings.load().retry_policy.schedule == schedule


def test_every_variable_that_is_known_is_no_slip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither those of commands, nor in whatever case."""
    for name in (*Settings.model_fields, *CallerSettings.model_fields):
        monkeypatch.setenv(f"{PREFIX}{name.upper()}", "x")
    monkeypatch.setenv("noteflow_hooks_grpc_bind", "x")
    monkeypatch.setenv("_NOTEFLOW_HOOKS_COMPLETE", "bash_source")
    assert unknown_variables() == []


def test_an_unknown_variable_is_told_of_without_what_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be a password; the nearest setting is named."""
    monkeypatch.setenv(f"{PREFIX}DATABSE_URL", "postgresql://u:canary@h/x")
    [line] = unknown_variables()
    assert line == (
        "NOTEFLOW_HOOKS_DATABSE_URL is no setting and is ignored; the nearest is NOTEFLOW_HOOKS_DATABASE_URL"
    )
