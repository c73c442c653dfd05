"""One canary of each kind of secret, put through the whole system while it says all that it can be made to say."""

from __future__ import annotations

import contextlib
import io
import json
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Final

import grpc
import pytest
import trustme
from sqlalchemy import make_url

from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.crypto import SecretBox, parse_keys
from noteflow_hooks.local.stack import System
from noteflow_hooks.local.stack.programs import BEAT, worker_command
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.settings import PREFIX
from tests.support import system_evidence as evidence
from tests.support.canary_secrets import CanarySecrets
from tests.support.hostile_receiver import never_answers
from tests.support.receiver import Receiver
from tests.support.receiver_connection import Answer
from tests.support.system_rig import SystemRig
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from google.protobuf.message import Message

    from tests.support.receiver_connection import ReceivedRequest, Script
    from tests.support.wire_client import WireClient

#: `serve` with every logger of every library at DEBUG.
_SERVER: Final = (
    "import logging; logging.basicConfig(level=logging.DEBUG); from noteflow_hooks.cli.root import main; main()"
)
#: The endpoints, each with the status that its first delivery comes to; None where a result is never stored.
_ENDPOINTS: Final[dict[str, str | None]] = {
    "delivered": "succeeded",
    "echoing": "dead",
    "chatting": "dead",
    "hanging": "dead",
    "mistrusted": "dead",
    "unreadable": "dead",
    "waiting": "pending",
    "unstorable": None,
}
#: What PostgreSQL is made to refuse, from a server and from a worker: its answer quotes the whole row.
_REFUSALS: Final = {"webhook_configs": "name <> 'refused'", "webhook_attempts": "status_code <> 418"}
#: Every command that lists or shows, and some that change. Those of the keys fail, since one secret is damaged.
_COMMANDS: Final = (
    "keys check",
    "keys rotate",
    "webhooks list",
    "webhooks show {webhook}",
    "webhooks update {webhook} --name renamed",
    "webhooks pause {webhook}",
    "webhooks resume {webhook}",
    "webhooks show {chat}",
    "webhooks update {chat} --name talk",
    "deliveries list --webhook {chat}",
    "webhooks test {webhook}",
    "deliveries list",
    "deliveries show {delivery}",
    "deliveries undelivered",
    "deliveries replay --dry-run",
    "deliveries replays",
    "events list",
    "audit list",
    "tokens list",
    "workspaces list",
)


class CanaryRun:
    """A run, and what was seen of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.secrets = CanarySecrets()
        #: What each place showed.
        self.seen: dict[str, bytes] = {}
        #: What the endpoints were sent.
        self.requests: list[ReceivedRequest] = []
        #: A delivery that was made, and one that waits for its next attempt.
        self.delivery_id = self.waiting_id = ""
        #: The private keys that signed for the endpoint to which all was delivered.
        self.delivered_keys: list[str] = []
        #: What was kept of answers that repeated all that was sent, and of a chat's that repeated its URL.
        self.echoed: set[str] = set()
        self.echoed_by_chat = ""
        self._webhooks: dict[str, pb.Webhook] = {}

    def go(self) -> None:
        """Start everything, put the canaries through it, and keep what was to be seen; takes some 20 s."""
        with pytest.MonkeyPatch.context() as patch, Receiver(tls=True, ca=trustme.CA()) as mistrusted:
            self._make_talkative(patch)
            with SystemRig(
                self._folder,
                secret_keys=",".join(self.secrets.keys),
                retry_countdown_max_s=1800,
                preset_hosts="127.0.0.1",
            ) as rig:
                self.secrets.token = rig.token
                self.secrets.passwords["Redis"] = str(make_url(rig.system.redis_url).password)
                self._go(rig, mistrusted, patch)
        logs = [*(self._folder / "logs").glob("*.log"), self._folder / "flower.log"]
        self.seen["logs"] = b"\n".join(path.read_bytes() for path in logs)

    def _make_talkative(self, patch: pytest.MonkeyPatch) -> None:
        module, plain = "noteflow_hooks.local.stack.system", vars(System)["database_url"]
        patch.setattr(f"{module}.SERVER", (BEAT[0], "-c", _SERVER, "serve"))
        patch.setattr(f"{module}.BEAT", (*BEAT, "-l", "DEBUG"))
        patch.setattr(f"{module}.worker_command", lambda number: (*worker_command(number), "--events", "-l", "DEBUG"))

        def with_password(system: System) -> str:
            # The embedded PostgreSQL asks for none, and takes any.
            url = make_url(plain.fget(system)).set(password=self.secrets.passwords["database"])
            return url.render_as_string(hide_password=False)

        patch.setattr(System, "database_url", property(with_password))

    def _go(self, rig: SystemRig, mistrusted: Receiver, patch: pytest.MonkeyPatch) -> None:
        monitor = evidence.Monitor(rig.system.redis_url)
        with evidence.Flower(rig, self._folder / "flower.log") as flower:
            for name in _ENDPOINTS:
                register = self._register_chat if name == "chatting" else self._register
                register(rig.client, name, mistrusted if name == "mistrusted" else rig.receiver)
            self._deliver(rig)
            self._look_at_queues(rig)
            flower.wait()
            self._send_again(rig)
            self.seen["answers"] = self._answers(rig)
            self.seen["commands"] = self._commands(rig, patch)
            self.seen["inspect"] = evidence.inspected(rig.system.redis_url)
            self.seen["flower"] = flower.pages(showing=self.delivery_id)
            self.seen["process list"] = evidence.command_lines([*rig.system.processes.values(), flower.process.pid])
        self.seen["tables"] = evidence.tables(rig.database)
        keys = self._private_keys(rig)
        self.secrets.private_keys = [key for own in keys.values() for key in own]
        self.delivered_keys = keys[self._webhooks["delivered"].id]
        self.seen["monitor"] = monitor.seen
        self.requests = rig.receiver.requests

    def _private_keys(self, rig: SystemRig) -> dict[str, list[str]]:
        """Return all private keys that are stored, rotated ones too, by their endpoints' ids."""
        box = SecretBox(parse_keys(",".join(self.secrets.keys)))
        rows = rig.database.execute("SELECT id, signing_keys FROM noteflow.webhook_configs ORDER BY id").fetchall()
        opened = {
            str(key): box.decrypt(sealed, webhook_id=key, column="signing_keys") for key, sealed in rows if sealed
        }
        return {webhook_id: [key for key, _ in json.loads(packed)] for webhook_id, packed in opened.items()}

    def _register_chat(self, client: WireClient, name: str, receiver: Receiver) -> None:
        """Register a preset, whose vendor repeats its URL in an answer, and change it."""
        url = receiver.url(self.secrets.chat_target)
        receiver.script(self.secrets.chat_target.partition("?")[0], Answer(500, body=url.encode() * 3))
        request = pb.RegisterWebhookRequest(
            url=url,
            events=["meeting.completed"],
            name=name,
            format="slack",
            max_retries=2,
            request_id=f"register-{name}",
        )
        webhook = client.webhooks.RegisterWebhook(request)
        changed = pb.UpdateWebhookRequest(webhook_id=webhook.id, url=url)
        changed.update_mask.paths.append("url")
        self._webhooks[name] = client.webhooks.UpdateWebhook(changed)

    def _register(self, client: WireClient, name: str, receiver: Receiver) -> None:
        path = f"/{self.secrets.path}/{name}"
        receiver.script(path, self._script(name))
        request = pb.RegisterWebhookRequest(
            url=f"{receiver.url(path)}?key={self.secrets.query}",
            events=["meeting.completed"],
            name=name,
            secret=self.secrets.of_endpoints[0],
            request_id=f"register-{name}",
            headers=_headers(self.secrets.headers),
            max_retries=2,
            timeout_ms=300 if name == "hanging" else 30_000,
            signing="both",
        )
        if name == "mistrusted":
            request.client_certificate, request.client_key = self.secrets.client.certificate, self.secrets.client.key
        webhook = client.webhooks.RegisterWebhook(request)
        rotation = pb.RotateWebhookSecretRequest(
            webhook_id=webhook.id, secret=self.secrets.of_endpoints[1], request_id=f"rotate-{name}"
        )
        self._webhooks[name] = client.webhooks.RotateWebhookSecret(rotation)

    def _script(self, name: str) -> Script:
        scripts: dict[str, Script] = {
            "echoing": Answer(500, body="\n".join(self.secrets.sent).encode()),
            "hanging": never_answers,
            "waiting": Answer(503, headers=(("Retry-After", "1500"),)),
            "unstorable": Answer(418, body="\n".join(self.secrets.sent).encode()),
        }
        return scripts.get(name, Answer())

    def _deliver(self, rig: SystemRig) -> None:
        rig.database.execute(
            "UPDATE noteflow.webhook_configs SET secret = overlay(secret placing %s from 20) WHERE id = %s",
            [b"damaged", self._webhooks["unreadable"].id],
        )
        for table, rule in _REFUSALS.items():
            rig.database.execute(f"ALTER TABLE noteflow.{table} ADD CONSTRAINT refusal CHECK ({rule}) NOT VALID")
        for register in (self._register, self._register_chat):
            with contextlib.suppress(grpc.RpcError):
                register(rig.client, "refused", rig.receiver)
        rig.publish()
        settled = {name: rig.settled(self._webhooks[name], status)[0] for name, status in _ENDPOINTS.items() if status}
        until(lambda: "could not be stored" in self._worker_log(), what="the worker can't store a result")
        until(lambda: rig.delivery(settled["waiting"].id).attempt_count, what="the first attempt of what waits")
        for table in _REFUSALS:
            rig.database.execute(f"ALTER TABLE noteflow.{table} DROP CONSTRAINT refusal")
        self.delivery_id, self.waiting_id = settled["delivered"].id, settled["waiting"].id
        echoing = settled["echoing"]
        self.echoed_by_chat = settled["chatting"].response_body
        self.echoed = {echoing.response_body, *(each.response_body for each in echoing.attempts)}

    def _worker_log(self) -> str:
        return (self._folder / "logs" / "worker-1.log").read_text()

    def _look_at_queues(self, rig: SystemRig) -> None:
        """Look into Redis while messages wait; they name the delivery, as every wake-up does."""
        with rig.frozen("worker-1"):
            for _ in range(3):
                rig.wake("deliver", self.delivery_id)
            until(lambda: rig.redis.llen("deliver"), what="messages wait")
            self.seen["queues"] = evidence.keys(rig.redis)

    def _send_again(self, rig: SystemRig) -> None:
        service, webhook = rig.client.webhooks, self._webhooks["delivered"]
        changed = pb.UpdateWebhookRequest(webhook_id=webhook.id, headers=_headers(self.secrets.later_headers))
        changed.update_mask.paths.append("headers")
        service.UpdateWebhook(changed)
        rotated = service.RotateWebhookSecret(pb.RotateWebhookSecretRequest(webhook_id=webhook.id))
        self.secrets.of_endpoints.append(rotated.secret)
        service.RedeliverDelivery(pb.RedeliverDeliveryRequest(delivery_id=self.delivery_id))
        service.TestWebhook(pb.TestWebhookRequest(webhook_id=webhook.id, wait_seconds=10))
        replay = service.ReplayDeliveries(pb.ReplayDeliveriesRequest(webhook_id=self._webhooks["echoing"].id))
        until(lambda: service.GetReplay(pb.GetReplayRequest(replay_id=replay.id)).sent, what="the replay sends")
        rig.settled(webhook, "succeeded", count=2)
        rig.settled(self._webhooks["echoing"], "dead")

    def _answers(self, rig: SystemRig) -> bytes:
        service = rig.client.webhooks
        answers: list[Message] = [
            service.ListWebhooks(pb.ListWebhooksRequest()),
            service.ListDeliveries(pb.ListDeliveriesRequest()),
            service.ListUndelivered(pb.ListUndeliveredRequest()),
            service.ListReplays(pb.ListReplaysRequest()),
            rig.client.events.ListEvents(pb.ListEventsRequest()),
            rig.client.audit.ListAuditEntries(pb.ListAuditEntriesRequest(page_size=500)),
        ]
        for webhook in self._webhooks.values():
            answers += [service.GetWebhook(pb.GetWebhookRequest(webhook_id=webhook.id)), *rig.deliveries(webhook)]
        return b"\n".join(each.SerializeToString() + str(each).encode() for each in answers)

    def _commands(self, rig: SystemRig, patch: pytest.MonkeyPatch) -> bytes:
        patch.chdir(self._folder)
        said = {**rig.settings, "server": rig.system.grpc, "token": rig.token}
        # In the other order, so that everything is under the wrong one.
        said["secret_keys"] = ",".join(reversed(self.secrets.keys))
        for name in ("server", "token", "database_url", "secret_keys"):
            patch.setenv(f"{PREFIX}{name.upper()}", said[name])
        ids = {
            "webhook": self._webhooks["delivered"].id,
            "chat": self._webhooks["chatting"].id,
            "delivery": self.delivery_id,
        }
        printed = io.StringIO()
        with redirect_stdout(printed), redirect_stderr(printed):
            for line in _COMMANDS:
                for flags in ([], ["--json"]):
                    code = run(root, [*line.format(**ids).split(), *flags])
                    assert code == line.startswith("keys"), f"{line}: {printed.getvalue()}"
        return printed.getvalue().encode()


def _headers(named: dict[str, str]) -> list[pb.Header]:
    return [pb.Header(name=name, value=value) for name, value in named.items()]
