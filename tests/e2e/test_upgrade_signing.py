"""An upgrade past the schema that brought key pairs: real workers of the release before send nothing without them."""

from __future__ import annotations

import json
import tarfile
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Final

import pytest

from noteflow_hooks import bootstrap
from noteflow_hooks.crypto import SecretBox, parse_keys
from noteflow_hooks.key_pairs import generate_key_pair, public_key
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.signing import verify_standard
from tests.e2e.test_upgrade import git, migrate
from tests.support.extra_programs import started
from tests.support.system_rig import RigFromScratch, SystemRig, a_path
from tests.support.waiting import until
from tests.support.worker_programs import pooled_worker, wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

STEP: Final = "migrations/versions/0013_signing.py"
EVENTS: Final = 5


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SystemRig]:
    """A system of the release before, on its own schema."""
    added = git("log", "--diff-filter=A", "--format=%H", "--", STEP).decode().split()
    if not added:
        pytest.skip(f"git's history does not reach back to where {STEP} was added, as in a shallow clone")
    former = tmp_path / "former"
    paths = ("noteflow_hooks", "workers", "migrations")
    with tarfile.open(fileobj=BytesIO(git("archive", f"{added[-1]}^", *paths))) as archive:
        archive.extractall(former, filter="data")
    monkeypatch.setattr(bootstrap, "migrate", partial(bootstrap.migrate, revision="0012"))
    monkeypatch.setenv("PYTHONPATH", str(former))
    with RigFromScratch(tmp_path) as running:
        monkeypatch.undo()
        yield running


def give_key(rig: SystemRig, webhook_id: str, key: str) -> None:
    """Have the endpoint sign with the key pair, as a server of this release stores it."""
    [(found,)] = rig.database.execute("SELECT id FROM noteflow.webhook_configs WHERE id = %s", [webhook_id]).fetchall()
    own: UUID = found
    packed = json.dumps([(key, "9999-12-31T00:00:00+00:00")])
    sealed = SecretBox(parse_keys(rig.settings["secret_keys"])).encrypt(packed, webhook_id=own, column="signing_keys")
    statement = "UPDATE noteflow.webhook_configs SET signing = 'ed25519', signing_keys = %s WHERE id = %s"
    rig.database.execute(statement, [sealed, own])


@pytest.mark.chaos
def test_what_a_key_pair_signs_waits_for_a_worker_that_knows_of_it(rig: SystemRig) -> None:
    """A test event too, which is sent past pauses; what secrets sign goes out meanwhile."""
    keyed_path, key = a_path(), generate_key_pair()
    keyed, plain = rig.webhook(keyed_path), rig.webhook(a_path())
    migrate(rig)
    give_key(rig, keyed.id, key)
    for _ in range(EVENTS):
        rig.publish()
    rig.client.webhooks.TestWebhook(pb.TestWebhookRequest(webhook_id=keyed.id))
    rig.settled(plain, "succeeded", count=EVENTS)
    rows = "SELECT status, attempt_count, claim_no FROM noteflow.webhook_deliveries WHERE webhook_id = %s"
    waiting = [("pending", 0, 0)] * (EVENTS + 1)
    until(lambda: rig.database.execute(rows, [keyed.id]).fetchall() == waiting, what="all of it waits")
    assert not [each for each in rig.receiver.requests if each.target == keyed_path]
    with started(rig, "new-worker", pooled_worker("gevent", "-c", "16", name="new")):
        wait_until_ready(rig, "new-worker")
        rig.settled(keyed, "succeeded", count=EVENTS + 1)
    sent = [each for each in rig.receiver.requests if each.target == keyed_path]
    assert len(sent) == EVENTS + 1
    assert all(verify_standard(each.body, dict(each.headers), public_key(key)) for each in sent)
