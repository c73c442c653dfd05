"""The parts that `demo` and `up` are made of, as far as they need no server."""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest

from noteflow_hooks.cli.support.interruption import Interruption
from noteflow_hooks.cli.support.program import program_name
from noteflow_hooks.crypto import parse_keys
from noteflow_hooks.local.files import read_object, write_object, write_private
from noteflow_hooks.local.stack import forget_foreign_variables
from noteflow_hooks.local.stack.background import in_background, result_of, until
from noteflow_hooks.local.stack.environment import GivenSettings, variables
from noteflow_hooks.local.stack.ports import free_address
from noteflow_hooks.local.up_state import UpState
from noteflow_hooks.settings import PREFIX


def test_a_program_gets_the_given_settings_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Celery and libpq would read is left out too; everything else of ours passes."""
    for name in (f"{PREFIX}RETRY_CAP_S", "CELERY_BROKER_URL", "PGHOST"):
        monkeypatch.setenv(name, "nonsense")
    monkeypatch.setenv("LANG", "C.UTF-8")
    told = variables({"grpc_bind": "127.0.0.1:7", "webhooks_enabled": False, "ca_bundle": Path("ca.pem")})
    assert {name: value for name, value in told.items() if name.startswith((PREFIX, "CELERY", "PG"))} == {
        f"{PREFIX}GRPC_BIND": "127.0.0.1:7",
        f"{PREFIX}WEBHOOKS_ENABLED": "False",
        f"{PREFIX}CA_BUNDLE": str(Path("ca.pem").resolve()),
    }
    assert told["LANG"] == "C.UTF-8"


def test_a_program_finds_our_code_from_any_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A relative import path means the folder in which we are, not the one in which it works."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "here")
    first, last = variables({})["PYTHONPATH"].split(os.pathsep)
    assert first == str(tmp_path / "here")
    assert (Path(last) / "noteflow_hooks").is_dir()


def test_our_own_environment_forgets_what_libraries_would_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """For one, libpq takes PGOPTIONS from there for every connection."""
    monkeypatch.setenv("PGOPTIONS", "nonsense")
    monkeypatch.setenv("CELERY_BROKER_URL", "nonsense")
    forget_foreign_variables()
    assert not {"PGOPTIONS", "CELERY_BROKER_URL"} & os.environ.keys()


def test_given_settings_look_nowhere_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not into the environment, not into `.env`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(f"{PREFIX}RETRY_CAP_S=nonsense\n")
    monkeypatch.setenv(f"{PREFIX}REDIS_URL", "redis://elsewhere")
    settings = GivenSettings(database_url="postgresql:///x")
    assert (settings.database_url, settings.redis_url) == ("postgresql:///x", None)


def test_a_free_address_is_kept_and_a_taken_one_is_not() -> None:
    """So `up` stays where it was, where it can."""
    address = free_address()
    assert free_address(address) == address
    assert free_address("192.0.2.1:7") != "192.0.2.1:7"


def test_what_is_kept_is_for_this_user_alone(tmp_path: Path) -> None:
    """Tokens and passwords are in there."""
    write_object(tmp_path / "up.json", {"token": "t"})
    assert read_object(tmp_path / "up.json") == {"token": "t"}
    assert stat.S_IMODE((tmp_path / "up.json").stat().st_mode) == 0o600


def test_a_file_that_can_not_be_written_leaves_the_old_one_whole(tmp_path: Path) -> None:
    """And nothing beside it."""
    write_object(tmp_path / "up.json", {"token": "t"})
    with pytest.raises(UnicodeEncodeError):
        write_private(tmp_path / "up.json", "\udcff")
    assert read_object(tmp_path / "up.json") == {"token": "t"}
    assert list(tmp_path.iterdir()) == [tmp_path / "up.json"]


def test_keys_are_made_once(tmp_path: Path) -> None:
    """What they encrypted must stay readable."""
    keys = UpState(tmp_path).secret_keys()
    assert len(parse_keys(keys)) == 1
    assert UpState(tmp_path).secret_keys() == keys
    assert stat.S_IMODE((tmp_path / "secret_keys").stat().st_mode) == 0o600


@pytest.mark.parametrize("kept", [{}, {"grpc": "127.0.0.1:7"}, {"token": "t"}])
def test_an_identity_is_whole_or_none(tmp_path: Path, kept: dict[str, str]) -> None:
    """Half of one opens nothing."""
    write_object(tmp_path / "state.json", kept)
    assert UpState(tmp_path).identity is None
    assert UpState(tmp_path).grpc == kept.get("grpc")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_noticed_between_steps_only(number: signal.Signals) -> None:
    """However many come, nothing is cut in half; afterwards signals do what they did before."""
    before = signal.getsignal(number)
    with Interruption() as interruption:
        interruption.check()
        signal.raise_signal(number)
        signal.raise_signal(number)
        assert interruption.seen
        with pytest.raises(KeyboardInterrupt):
            interruption.check()
    assert signal.getsignal(number) == before


def test_a_wait_can_be_broken_off() -> None:
    """By whoever asks meanwhile."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    never: Future[None] = Future()
    with pytest.raises(KeyboardInterrupt):
        result_of(never, check=interrupted)


def test_what_fails_in_the_background_fails_where_its_result_is_asked_for() -> None:
    """And what succeeds is returned."""

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        result_of(in_background(fail), check=lambda: None)
    main = threading.get_ident()
    assert result_of(in_background(threading.get_ident), check=lambda: None) != main


def test_a_wait_ends_when_time_is_up() -> None:
    """With False."""
    assert not until(lambda: False, check=lambda: None, timeout_s=0)


def test_what_people_are_told_to_type_can_be_typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The name where the shell finds it, a path where it does not, Python's module where there is no script."""
    script = tmp_path / "bin" / "noteflow-hooks"
    script.parent.mkdir()
    script.touch(mode=0o755)
    monkeypatch.delenv(f"{PREFIX}DATA_DIR", raising=False)
    monkeypatch.setattr(sys, "argv", [str(script)])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    assert program_name() == "bin/noteflow-hooks"
    monkeypatch.chdir("/")
    assert program_name() == str(script).lstrip("/")
    monkeypatch.setenv("PATH", str(script.parent))
    assert program_name() == "noteflow-hooks"
    monkeypatch.setattr(sys, "argv", ["/x/noteflow_hooks/cli/__main__.py"])
    assert program_name() == f"{sys.executable} -m noteflow_hooks.cli"
    monkeypatch.setenv(f"{PREFIX}DATA_DIR", "/a b")
    assert program_name().startswith("NOTEFLOW_HOOKS_DATA_DIR='/a b' ")
