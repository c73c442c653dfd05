"""Keys in a running system: rotated under its hands, and missing for one endpoint; and what its processes log of it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from noteflow_hooks import bootstrap
from noteflow_hooks.crypto import SecretBox, generate_key, parse_keys
from noteflow_hooks.domain.attempt_line import ATTEMPT_FIELDS
from noteflow_hooks.local.stack.environment import GivenSettings
from noteflow_hooks.signing import verify_signature
from tests.support.builders import BY
from tests.support.system_rig import SystemRig, a_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.persistence.sql.maintenance.reencryption import Rotation

OLD, NEW = generate_key(), generate_key()
EVENTS: Final = 20


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemRig]:
    with SystemRig(tmp_path_factory.mktemp("keys"), secret_keys=f"{NEW},{OLD}") as running:
        yield running


@pytest.fixture
def rig(system: SystemRig) -> Iterator[SystemRig]:
    with system.as_new_tenant() as tenant:
        yield tenant


def rotated(rig: SystemRig, *keys: str) -> Rotation:
    """Re-encrypt everything with the first of these keys, as `keys rotate` does."""
    url = rig.system.database_url
    parts = bootstrap.keys(GivenSettings(database_url=url, secret_keys=",".join(keys)))
    try:
        return parts.secrets.rotate(by=BY)
    finally:
        parts.close()


def test_deliveries_go_on_while_their_keys_are_rotated(rig: SystemRig) -> None:
    """Server and worker have both keys; each POST is signed, and none has to be made twice."""
    paths = [a_path() for _ in range(3)]
    webhooks = [rig.webhook(path, events=["meeting.completed"]) for path in paths]
    rotated(rig, OLD, NEW)
    with ThreadPoolExecutor(1) as pool:
        publishing = pool.submit(lambda: [rig.publish() for _ in range(EVENTS)])
        while not publishing.done():
            rotated(rig, OLD, NEW)
            rotated(rig, NEW, OLD)
        publishing.result()
    for webhook, path in zip(webhooks, paths, strict=True):
        deliveries = rig.settled(webhook, "succeeded", count=EVENTS)
        assert [each.attempt_count for each in deliveries] == [1] * EVENTS
        for request in rig.receiver.wait_for(EVENTS, path=path):
            assert verify_signature(request.body, request.header("X-NoteFlow-Signature") or "", webhook.secret)
    ids = {webhook.id for webhook in webhooks}
    assert [each for each in rotated(rig, NEW).unreadable if str(each.webhook_id) in ids] == []


def test_a_secret_that_no_key_opens_fails_its_own_deliveries_and_no_others(rig: SystemRig) -> None:
    """They are `secret_unavailable`, nothing is sent, and the worker that found it out goes on."""
    worker, lost_path, well_path = rig.pid("worker-1"), a_path(), a_path()
    lost, well = rig.webhook(lost_path, max_retries=1), rig.webhook(well_path)
    another = SecretBox(parse_keys(generate_key()))
    under_another = another.encrypt("a-secret", webhook_id=UUID(lost.id), column="secret")
    rig.database.execute("UPDATE noteflow.webhook_configs SET secret = %s WHERE id = %s", [under_another, lost.id])
    for count in (1, 2):
        rig.publish()
        rig.settled(well, "succeeded", count=count)
        deliveries = rig.settled(lost, "dead", count=count)
        assert [[each.error_kind for each in delivery.attempts] for delivery in deliveries] == [
            ["secret_unavailable"]
        ] * count
    assert len(rig.receiver.wait_for(2, path=well_path)) == 2
    assert [each for each in rig.receiver.requests if each.path == lost_path] == []
    assert rig.pid("worker-1") == worker
    unreadable = rotated(rig, NEW, OLD).unreadable
    assert [(str(each.webhook_id), each.column) for each in unreadable] == [(lost.id, "secret")]


def test_every_line_of_a_log_is_a_record_and_none_tells_a_secret(rig: SystemRig) -> None:
    """Server, worker and beat alike; beside them there is only the line that says where the server listens."""
    secret, path = "whsec_" + "canary" * 8, f"{a_path()}/canary-path?key=canary-query"
    webhook = rig.webhook(path, secret=secret, generate_secret=False)
    rig.publish()
    rig.settled(webhook, "succeeded")
    records = {name: _records(rig, name) for name in ("server", "worker-1", "beat")}
    assert all(records.values())
    for name, entries in records.items():
        for entry in entries:
            assert entry.keys() - {"exception", *ATTEMPT_FIELDS} == {"time", "level", "logger", "process", "message"}, (
                name
            )
    assert any("succeeded" in entry["message"] for entry in records["worker-1"])
    said = json.dumps(records)
    hidden = ["canary", OLD, NEW, str(urlsplit(rig.system.redis_url).password), rig.token]
    assert [each for each in hidden if each in said] == []


def _records(rig: SystemRig, name: str) -> list[dict[str, Any]]:
    lines = (rig.folder / "logs" / f"{name}.log").read_text().splitlines()
    return [json.loads(line) for line in lines if not (name == "server" and line.startswith("serving gRPC on "))]
