"""Run by test_executor_memory.py in a process of its own: posts to hostile endpoints over and over, as a worker does.

Reads the addresses from its input, and prints what the process held of memory, descriptors and threads before and
after, and what came of each address.
"""
# ruff: noqa: T201 - what is printed is the output

from __future__ import annotations

import gc
import itertools
import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from noteflow_hooks.concurrency.bulkhead import Bulkhead
from noteflow_hooks.delivery.tuning import BULKHEAD
from noteflow_hooks.domain.deliveries import AttemptResult, Claim
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from tests.support.builders import a_delivery, a_webhook

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: As many POSTs at once as one task of a worker has.
_CHUNK: Final = 50

Answered = tuple[Claim, AttemptResult]


def posts(executor: WebhookExecutor, pool: Bulkhead, claims: Iterable[Claim]) -> Iterator[Answered]:
    """Make all these POSTs through the pool, a chunk at a time."""
    left = iter(claims)
    while chunk := list(itertools.islice(left, _CHUNK)):
        while chunk:
            with pool.reserve(len(chunk)) as room:
                for group in room.begin(executor.post, chunk[: room.size]).groups():
                    yield from group
                del chunk[: room.size]


def held() -> dict[str, int]:
    """Return what this process holds, in bytes or in number, and the most memory that it ever held."""
    gc.collect()
    process = psutil.Process()
    rss = process.memory_info().rss
    return {"rss": rss, "peak": _peak() or rss, "fds": process.num_fds(), "threads": process.num_threads()}


def _peak() -> int | None:
    # Not getrusage's: that begins with the memory of whoever started this process.
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    [line] = [each for each in status.read_text().splitlines() if each.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def main(bundle: str, count: str) -> None:
    """Post to every address twice to warm up, then so many times in all."""
    asked: dict[str, tuple[str, int]] = json.load(sys.stdin)
    webhooks = {name: a_webhook(url=url, timeout_ms=timeout_ms) for name, (url, timeout_ms) in asked.items()}
    names = {webhook.id: name for name, webhook in webhooks.items()}
    claims = (Claim(a_delivery(), webhook, b"{}") for webhook in itertools.cycle(webhooks.values()))
    executor = WebhookExecutor(
        EgressPolicy(allow=["127.0.0.0/8", "::1/128"], allow_http_loopback=True), ca_bundle=Path(bundle)
    )
    pool = Bulkhead(_CHUNK, tuning=BULKHEAD)
    for _ in posts(executor, pool, itertools.islice(claims, 2 * len(webhooks))):
        pass
    executor.close()
    before = held()
    outcomes: dict[str, Counter[str]] = {name: Counter() for name in webhooks}
    for claim, result in posts(executor, pool, itertools.islice(claims, int(count))):
        outcomes[names[claim.webhook.id]][str(result.error_kind)] += 1
    executor.close()
    print(json.dumps({"before": before, "after": held(), "outcomes": outcomes}))
    pool.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
