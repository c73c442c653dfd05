"""The receiver of a run, a process of its own that survives everything: it writes each POST down before it answers.

Started with the run's seed and the ledger's path, it says its port, is told each endpoint's secret in one line of JSON,
by path, and serves until its standard input ends.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from noteflow_hooks.bench.lines import say, told
from noteflow_hooks.signing import verify_signature, verify_standard
from tests.chaos.ledgers import Book, Pair, Post
from tests.chaos.script import Did, body, chosen
from tests.support.receiver import Receiver
from tests.support.receiver_connection import Answer

if TYPE_CHECKING:
    from tests.support.receiver_connection import ReceivedRequest, ReceiverConnection

#: How long it takes over an answer, so that there are POSTs in flight whenever somebody dies.
_TAKES_S: Final = 0.05
_STATUS: Final = {Did.ANSWERED: 200, Did.FAILED: 500}


class Recipient:
    """Serves connections by the run's script."""

    def __init__(self, seed: int, book: Book) -> None:
        self._seed = seed
        self._book = book
        self._lock = threading.Lock()
        self._counts: Counter[Pair] = Counter()
        #: The endpoints' secrets, by path.
        self.secrets: dict[str, str] = {}

    def serve(self, connection: ReceiverConnection) -> None:
        """Take one connection's requests until one is not answered, or no more come."""
        while request := connection.read_request():
            did, nth = self._noted(request)
            match did:
                case Did.RESET:
                    return connection.reset()
                case Did.HUNG:
                    return connection.wait_for_end()
            connection.pause(_TAKES_S)
            connection.send(Answer(_STATUS[did], body=body(did, nth)).encode())
        return None

    def _noted(self, request: ReceivedRequest) -> tuple[Did, int]:
        """Write down what has come; return what is to be done with it, and the how manieth time it came."""
        at, clock_at = time.monotonic(), time.time()
        webhook_id = request.header("webhook-id") or ""
        with self._lock:
            self._counts[webhook_id, request.path] += 1
            nth = self._counts[webhook_id, request.path]
        did = chosen(self._seed, webhook_id, request.path, nth)
        digest, is_signed = hashlib.sha256(request.body).hexdigest(), self._is_signed(request)
        for event_id, delivery_id, sequence in _events(request):
            post = Post(
                event_id,
                request.path,
                nth,
                at,
                clock_at,
                did,
                delivery_id,
                is_signed,
                webhook_id=webhook_id,
                digest=digest,
                sequence=sequence,
            )
            self._book.write(post)
        return did, nth

    def _is_signed(self, request: ReceivedRequest) -> bool:
        secret, headers = self.secrets.get(request.path, ""), dict(request.headers)
        own = verify_signature(request.body, request.header("X-NoteFlow-Signature") or "", secret)
        return own and verify_standard(request.body, headers, secret)


def _events(request: ReceivedRequest) -> list[tuple[str, str, int]]:
    """Return the events that a request has, each with its delivery and its place in its meeting: at least one."""
    if request.header("X-NoteFlow-Batch") is None:
        ids = request.header("webhook-id") or "", request.header("X-NoteFlow-Delivery") or ""
        return [(*ids, int(request.header("X-NoteFlow-Sequence") or 0))]
    elements = json.loads(request.body)["events"]
    return [(each["id"], each["delivery_id"], each["sequence"]) for each in elements]


def main() -> None:
    """Serve until the standard input ends."""
    recipient = Recipient(int(sys.argv[1]), Book(Path(sys.argv[2])))
    with Receiver(greeting=recipient.serve) as receiver:
        say(receiver.port)
        for line in told():
            recipient.secrets = json.loads(line)
            say("ready")


if __name__ == "__main__":
    main()
