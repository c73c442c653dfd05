"""What the README shows is what works."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from noteflow_hooks.cli.root import root
from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.domain.endpoint_keys import Signing
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from noteflow_hooks.key_pairs import generate_key_pair, public_key
from noteflow_hooks.local.stack.ports import free_address
from noteflow_hooks.settings import PREFIX, Settings
from noteflow_hooks.signing import generate_secret
from tests.support.batches import a_batch
from tests.support.builders import a_delivery, a_webhook
from tests.support.challenges import a_challenge
from tests.support.waiting import until

if TYPE_CHECKING:
    from noteflow_hooks.domain.deliveries import AttemptResult

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_receiver_accepts_what_is_signed_and_nothing_else(tmp_path: Path) -> None:
    """Its code, as it stands there, answers 204 to its own secret and 401 to another."""
    [code] = re.findall(r"```python\n(import sys\n.*?)```", README, re.DOTALL)
    (tmp_path / "receiver.py").write_text(code)
    secret, address = generate_secret(), free_address()
    command = [sys.executable, "receiver.py", secret, address.rpartition(":")[2]]
    env = {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as receiver:
        try:
            until(lambda: post(address, secret).status_code is not None, what="the receiver answers")
            assert post(address, secret).status_code == 204
            assert post(address, generate_secret()).status_code == 401
            assert post(address, None).status_code == 401
        finally:
            receiver.terminate()
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == 'meeting.completed {"event":"meeting.completed"}\n'


def test_the_receiver_of_public_keys_accepts_what_they_verify_and_nothing_else(tmp_path: Path) -> None:
    """Its code, as it stands on its page: one key of several is enough, a secret's signature is not."""
    page = (ROOT / "docs" / "receiving.md").read_text("utf-8")
    [code] = re.findall(r"```python\n(import sys\n.*?)```", page, re.DOTALL)
    (tmp_path / "receiver.py").write_text(code)
    keys, address = [generate_key_pair() for _ in range(3)], free_address()
    command = [sys.executable, "receiver.py", ",".join(map(public_key, keys[:2])), address.rpartition(":")[2]]
    env = {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as receiver:
        try:
            until(lambda: post(address, None).status_code is not None, what="the receiver answers")
            for signing in (Signing.ED25519, Signing.BOTH):
                sent = [post(address, generate_secret(), signing=signing, signing_key=each) for each in keys]
                assert [each.status_code for each in sent] == [204, 204, 401]
            assert post(address, generate_secret()).status_code == 401
        finally:
            receiver.terminate()
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == 'meeting.completed {"event":"meeting.completed"}\n'


def test_the_receiver_of_batches_verifies_and_names_what_failed(tmp_path: Path) -> None:
    """The page's program handles each event once, and says of those that it can't handle that they failed."""
    page = (ROOT / "docs" / "batches.md").read_text("utf-8")
    [code] = re.findall(r"```python\n(import json\n.*?)```", page, re.DOTALL)
    (tmp_path / "receiver.py").write_text(code)
    secret, address = generate_secret(), free_address()
    command = [sys.executable, "receiver.py", secret, address.rpartition(":")[2]]
    env = {"PYTHONPATH": str(ROOT)}
    executor = WebhookExecutor(EgressPolicy(allow_http_loopback=True))
    good, bad = b'{"title":"Weekly"}', b'["no object, so the example fails on it"]'
    with subprocess.Popen(
        command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as receiver:
        try:
            batch = a_batch(f"http://{address}/", good, bad, good, secret=secret)
            until(lambda: executor.post(a_batch(f"http://{address}/")).status_code == 401, what="it answers")
            results = [executor.post(batch) for _ in range(2)]
        finally:
            executor.close()
            receiver.terminate()
        assert receiver.stdout is not None
        printed = receiver.stdout.read().splitlines()
    failed = frozenset({batch.members[1].delivery.event_id})
    assert [(each.status_code, each.failed_events) for each in results] == [(200, failed)] * 2
    events = [batch.members[place].delivery.event_id for place in (0, 2)]
    assert printed == [f"{each} meeting.completed Weekly" for each in events]


def test_the_receiver_of_challenges_gives_back_what_is_signed_and_nothing_else(tmp_path: Path) -> None:
    """Its code, as it stands on its page: an endpoint is verified by it, and its events are answered as ever."""
    page = (ROOT / "docs" / "verification.md").read_text("utf-8")
    [code] = re.findall(r"```python\n(import json\n.*?)```", page, re.DOTALL)
    (tmp_path / "receiver.py").write_text(code)
    secret, address = generate_secret(), free_address()
    command = [sys.executable, "receiver.py", secret, address.rpartition(":")[2]]
    with subprocess.Popen(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL) as receiver:
        try:
            until(lambda: post(address, None).status_code is not None, what="the receiver answers")
            assert post(address, secret).status_code == 204
            executor = WebhookExecutor(EgressPolicy(allow_http_loopback=True))
            assert executor.post(a_challenge(f"http://{address}/", secret)).succeeded
            assert executor.post(a_challenge(f"http://{address}/", generate_secret())).status_code == 401
            executor.close()
        finally:
            receiver.terminate()


def post(address: str, secret: str | None, **fields: Any) -> AttemptResult:  # noqa: ANN401 - the endpoint's
    executor = WebhookExecutor(EgressPolicy(allow_http_loopback=True))
    webhook = a_webhook(url=f"http://{address}/", secret=secret, **fields)
    delivery = a_delivery(webhook_id=webhook.id, event_id=uuid4())
    result = executor.post(Claim(delivery=delivery, webhook=webhook, payload=b'{"event":"meeting.completed"}'))
    executor.close()
    return result


def test_every_setting_is_in_the_table() -> None:
    """And every one in the table is a setting."""
    table = README.partition("### Settings")[2].partition("## More")[0]
    rows = "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))
    assert sorted(re.findall(r"`([A-Z_]+)`", rows)) == sorted(name.upper() for name in Settings.model_fields)
    assert PREFIX in README


@pytest.mark.parametrize("line", sorted(set(re.findall(r"noteflow-hooks ((?:[a-z-]+ ?)+)", README))))
def test_every_command_that_it_names_is_there(line: str) -> None:
    """``noteflow-hooks webhooks add`` and the others."""
    words, command = line.split(), root
    context = command.make_context("noteflow-hooks", [], resilient_parsing=True)
    for word in words[:2]:
        commands = getattr(command, "commands", None)
        if commands is None:
            return
        assert word in command.list_commands(context), line
        found = command.get_command(context, word)
        assert found is not None
        command = found  # type: ignore[assignment]  # a group's command may be a group again
