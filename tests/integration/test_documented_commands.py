"""The commands that pages show are run, page by page, line by line, against a whole running system."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.settings import PREFIX
from tests.quality.sources import ROOT
from tests.support.builders import a_payload
from tests.support.client_certificates import Issuer
from tests.support.code_blocks import blocks
from tests.support.document_pages import lines, understood
from tests.support.system_rig import SystemRig, a_path

#: Pages whose commands are run by a test of their own.
BY_OTHERS: Final = {
    "docs/operations.md": "tests/e2e/test_operations.py",
    "docs/alerts.md": "tests/e2e/test_operations.py",
    "docs/reference/commands.md": "tests/unit/test_cli_help.py",
}
#: What runs until somebody ends it, takes minutes, or looks at another system than this one, and what runs it.
ELSEWHERE: Final = {
    "make demo": "tests/e2e/test_demo.py",
    "make up": "tests/e2e/test_up.py",
    "listen --forward-to": "tests/integration/test_cli_forwarding.py",
    "listen": "tests/unit/test_cli_listen.py",
    "trigger recording.started": "tests/integration/test_cli_forwarding.py",
    "deliveries tail": "tests/unit/test_cli_tailing.py",
    "doctor": "tests/e2e/test_doctor.py",
    "health": "tests/integration/test_worker_health.py",
    "webhooks confirm-contact": "tests/integration/test_cli_contacts.py",
}
PAGES: Final = sorted({each.page for each in blocks() if each.mark == "bash"} - BY_OTHERS.keys())
_ID: Final = re.compile(r"ID|EVENT|DELIVERY|[0-9a-f]{8}")
#: What an id is of, by the group of the command.
_OF: Final = {"webhooks": "webhook", "deliveries": "delivery"}


class Reader:
    """Somebody with a terminal, who types what a page says, with names and addresses of their own."""

    def __init__(self, rig: SystemRig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._rig = rig
        self._capsys = capsys
        self._monkeypatch = monkeypatch
        self.ids: dict[str, str] = {}

    def prepare(self, *, with_crm: bool) -> None:
        """Have what pages speak of: an endpoint, an event that it got, a token, files."""
        names = ["CRM", "ops"] if with_crm else ["ops"]
        made = [self._rig.webhook(a_path(), name=name) for name in names]
        event = self._rig.publish()
        [delivery] = self._rig.settled(made[0], "succeeded")
        self.ids = {"webhook": made[0].id, "event": event, "delivery": delivery.id}
        owner = "SELECT workspace_id::text FROM noteflow.webhook_configs WHERE id = %s"
        [[self.ids["workspace"]]] = self._rig.database.execute(owner, [made[0].id]).fetchall()
        self._write_files()

    def hold_one_back(self) -> None:
        """Have a delivery that waits, in place of the one that succeeded."""
        held = self._rig.webhook(a_path(), name="held")
        mask = FieldMask(paths=["paused"])
        self._rig.client.webhooks.UpdateWebhook(
            pb.UpdateWebhookRequest(webhook_id=held.id, update_mask=mask, paused=True)
        )
        self._rig.publish()
        [delivery] = self._rig.settled(held, "pending")
        self.ids["delivery"] = delivery.id

    def _write_files(self) -> None:
        pair = Issuer.root().pair(name="CRM")
        event = {"event_type": "meeting.completed", "payload": a_payload(), "idempotency_key": self.ids["event"]}
        texts = {
            "client.pem": pair.certificate,
            "renewed.pem": pair.certificate,
            "client.key": pair.key,
            "ca.pem": Issuer.root().pem,
            "order.json": json.dumps({"type": "object", "properties": {"order": {"type": "object"}}}),
            "url.txt": self._rig.receiver.url(a_path()),
            "FILE": json.dumps(event),
        }
        for name, text in texts.items():
            Path(name).write_text(text)

    def type(self, line: str) -> str:
        """Run a line; return what it says, and fail where it does not end with 0."""
        if line.startswith("eval "):
            path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
            command = line.replace(".venv/bin/", "")
            subprocess.run(["bash", "-c", command], check=True, env={"PATH": path}, timeout=60)  # noqa: S607 - any bash
            return ""
        command, _, file = line.partition(" < ")
        if file:
            self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path(file).read_bytes())))
        words = self._mine(shlex.split(command)[1:])
        code = run(root, words)
        printed = self._capsys.readouterr()
        assert code == 0, f"{line}: {printed.out}{printed.err}"
        return printed.out

    def _newest_token(self) -> str:
        found = "SELECT id::text FROM noteflow.api_tokens WHERE workspace_id = %s ORDER BY created_at DESC LIMIT 1"
        [[token]] = self._rig.database.execute(found, [self.ids["workspace"]]).fetchall()
        return str(token)

    def _mine(self, words: list[str]) -> list[str]:
        given = list(words)
        for place, word in enumerate(words):
            if re.match(r"https?://", word):
                given[place] = self._rig.receiver.url(a_path())
            elif word == "ID" and words[place - 1] in ("--webhook", "--workspace"):
                given[place] = self.ids[words[place - 1].removeprefix("--")]
            elif word == "ID" and words[0] == "tokens":
                given[place] = self._newest_token()
            elif word == "EVENT":
                given[place] = self.ids["event"]
            elif _ID.fullmatch(word):
                given[place] = self.ids[_OF[words[0]]]
            elif "…" in word:
                given[place] = word.replace("…", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        return given


@pytest.fixture
def reader(
    rig: SystemRig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Reader:
    """Somebody in an empty folder, whose environment names the system and a token of their own."""
    monkeypatch.chdir(tmp_path)
    settings: dict[str, Any] = rig.settings
    for name in ("database_url", "redis_url", "secret_keys", "preset_hosts"):
        monkeypatch.setenv(PREFIX + name.upper(), str(settings[name]))
    monkeypatch.setenv(f"{PREFIX}SERVER", rig.system.grpc)
    monkeypatch.setenv(f"{PREFIX}TOKEN", rig.token)
    return Reader(rig, capsys, monkeypatch)


def typed(page: str) -> list[str]:
    """Return the lines of a page's commands, as they are typed where the program is installed."""
    text = (ROOT / page).read_text("utf-8").replace("\n.venv/bin/noteflow-hooks ", "\nnoteflow-hooks ")
    return lines(text)


def elsewhere(line: str) -> str | None:
    """Return the test that runs such a command, where it can't be run here."""
    words = line.removeprefix("noteflow-hooks ")
    return next((test for name, test in ELSEWHERE.items() if words.split()[: len(name.split())] == name.split()), None)


@pytest.mark.parametrize("page", PAGES)
def test_each_command_of_a_page_does_its_work(page: str, reader: Reader) -> None:
    """In the order of the page, and with its options; what stands for an id or an address is the reader's own."""
    found = typed(page)
    reader.prepare(with_crm=not any("--name CRM" in line for line in found))
    for line in found:
        if "deliveries skip" in line:
            reader.hold_one_back()
        if elsewhere(line) is None:
            reader.type(line)


def test_what_is_run_elsewhere_is_understood_and_has_its_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Option for option, without being run; and no exception is left over."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a-secret-of-mine")))
    shown = [line for page in PAGES for line in typed(page)]
    for line in shown:
        if elsewhere(line) is not None and line.startswith("noteflow-hooks "):
            understood(root, shlex.split(line)[1:])
    used = {elsewhere(line) for line in shown} - {None}
    assert used == set(ELSEWHERE.values())
    assert [test for test in (*used, *BY_OTHERS.values()) if not (ROOT / str(test)).is_file()] == []
