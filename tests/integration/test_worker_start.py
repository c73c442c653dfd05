"""A worker that can't do its work doesn't start: it would take messages from others that can."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.crypto import generate_key
from noteflow_hooks.local.stack.environment import variables
from noteflow_hooks.settings import PREFIX

if TYPE_CHECKING:
    from pathlib import Path

#: Nobody listens there; a worker with good settings would wait for them.
GOOD = {
    "database_url": "postgresql://u:canary@127.0.0.1:1/x",
    "redis_url": "redis://:canary@127.0.0.1:1/0",
    "secret_keys": generate_key(),
}

HIDDEN = "NOTEFLOW_HOOKS_REDIS_URL is a value that is not shown here: "
OFTEN = "NOTEFLOW_HOOKS_SWEEP_EVERY_S is 'often'"

#: Celery's own command, and ours, which has no other commands than these programs'. Either imports the same app, so
#: that one value of each kind is enough for the first.
starts = pytest.mark.parametrize("start", ["celery", "workers"])


@pytest.mark.parametrize(
    ("name", "value", "line", "start"),
    [
        ("database_url", "", "NOTEFLOW_HOOKS_DATABASE_URL is not set; it must hold a URL such as", "celery"),
        ("redis_url", "redis://h:canary/0", f"{HIDDEN}before", "celery"),
        ("redis_url", "redis://:123/canary@host:6379/0", HIDDEN, "workers"),
        ("redis_url", "redis://:canary@h/0?bogus=1", HIDDEN, "workers"),
        ("redis_url", "redis://:canary@h/0?protocol=2", HIDDEN, "workers"),
        ("redis_url", "rediss://:canary@h/0?ssl_cert_reqs=requird", HIDDEN, "workers"),
        ("secret_keys", "", "NOTEFLOW_HOOKS_SECRET_KEYS is not set; it must hold keys of", "workers"),
        ("sweep_every_s", "often", f"{OFTEN}; it may hold a number of seconds above 0", "workers"),
    ],
)
def test_a_bad_setting_ends_a_worker_with_one_line(
    tmp_path: Path, name: str, value: str, line: str, start: str
) -> None:
    """It names the variable and what it may hold, and repeats no secret."""
    command = [sys.executable, "-m", start, "-A", "workers.app", "worker", "-P", "solo"]
    environment = variables({**GOOD, name: value})
    ended = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=180, check=False
    )
    said = ended.stderr.strip()
    assert ended.returncode == 1
    assert said.startswith(f"noteflow-hooks: {line}")
    assert "\n" not in said
    assert "canary" not in said


@starts
@pytest.mark.parametrize("program", ["worker -P solo", "beat"])
def test_a_variable_that_is_no_setting_is_warned_of_at_the_start(tmp_path: Path, program: str, start: str) -> None:
    """By workers and beat, with the nearest one."""
    environment = {**variables(GOOD), f"{PREFIX}RETRY_CAP": "9"}
    command = [sys.executable, "-m", start, "-A", "workers.app", *program.split()]
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = next((line for line in process.stderr if "RETRY_CAP" in line), "")
        process.kill()
    assert "NOTEFLOW_HOOKS_RETRY_CAP is no setting and is ignored; the nearest is NOTEFLOW_HOOKS_RETRY_CAP_S" in said


def test_a_server_warns_of_it_too(tmp_path: Path) -> None:
    """Before it looks for its database."""
    environment = {**variables({}), f"{PREFIX}RETRY_CAP": "9"}
    command = [sys.executable, "-m", "noteflow_hooks.cli", "serve"]
    ended = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "NOTEFLOW_HOOKS_RETRY_CAP is no setting and is ignored" in ended.stderr


@pytest.mark.parametrize(
    ("program", "how"),
    [
        (("worker", "-P", "solo"), "variable"),
        (("worker", "-P", "solo"), "option"),
        (("beat",), "option"),
        (("inspect", "ping"), "variable"),
    ],
)
def test_another_broker_than_ours_ends_a_program_with_one_line(
    tmp_path: Path, program: tuple[str, ...], how: str
) -> None:
    """Named by Celery's variable, or by its option, which sets that."""
    elsewhere = "redis://:canary@127.0.0.1:1/0"
    option, extra = ([], {"CELERY_BROKER_URL": elsewhere}) if how == "variable" else (["-b", elsewhere], {})
    ended = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "workers.app", *option, *program],
        env=variables(GOOD) | extra,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ended.returncode == 1
    assert "noteflow-hooks: CELERY_BROKER_URL would replace our settings: unset it" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "canary" not in ended.stderr + ended.stdout


def test_a_pool_that_can_not_grow_is_not_to_be_scaled(tmp_path: Path) -> None:
    """Celery's would stumble over each message that asks for more, and drop it."""
    command = [sys.executable, "-m", "workers", "worker", "-P", "threads", "--autoscale=4,1"]
    ended = subprocess.run(
        command, env=variables(GOOD), cwd=tmp_path, capture_output=True, text=True, timeout=180, check=False
    )
    assert ended.returncode == 1
    assert "noteflow-hooks: --autoscale needs -P prefork or -P gevent" in ended.stderr
    assert "Traceback" not in ended.stderr
