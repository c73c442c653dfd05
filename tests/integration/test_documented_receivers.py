"""The receivers that pages show work as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.domain.endpoint_keys import Signing
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from noteflow_hooks.key_pairs import generate_key_pair, public_key
from noteflow_hooks.local.stack.ports import free_address
from noteflow_hooks.signing import generate_secret
from tests.support.batches import a_batch
from tests.support.builders import a_delivery, a_webhook
from tests.support.challenges import a_challenge
from tests.support.waiting import until

if TYPE_CHECKING:
    from noteflow_hooks.domain.deliveries import AttemptResult

ROOT = Path(__file__).parents[2]


def program(page: str, *, using: str) -> str:
    """Return the one program of a page that uses this."""
    text = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
    found: list[str] = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    [code] = [each for each in found if using in each]
    return code


def test_the_receiver_accepts_what_is_signed_and_nothing_else(tmp_path: Path) -> None:
    """Its code, as it stands there, answers 204 to its own secret and 401 to another."""
    (tmp_path / "receiver.py").write_text(program("receiving", using="SECRET"))
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
    (tmp_path / "receiver.py").write_text(program("receiving", using="PUBLIC_KEYS"))
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
    (tmp_path / "receiver.py").write_text(program("batches", using="Receiver"))
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
    (tmp_path / "receiver.py").write_text(program("verification", using="BaseHTTPRequestHandler"))
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
