"""Run by test_executor_gevent.py in a process of its own: posts to a quiet endpoint alone, and beside a hostile one.

Under gevent's patches; prints how long the quiet one's posts took, in seconds, alone and beside.
"""
# ruff: noqa: E402, T201 - gevent patches before anything else is imported; what is printed is the output

from gevent import monkey

monkey.patch_all()

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor, wait

from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.domain.webhooks import WebhookConfig
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from tests.support.builders import a_delivery, a_webhook

#: As many of each as there were in the attack.
HOSTILE, QUIET = 40, 20
#: Values each of whose beginnings the answer repeats, and one that it has.
HEADERS = (*((f"X-{number}", "a" * 4000 + end) for number, end in enumerate("\"'&")), ("X-Found", "cccccccc"))


def main(hostile_url: str, quiet_url: str) -> None:
    """Post to the quiet one, and then to both."""
    executor = WebhookExecutor(EgressPolicy(allow_http_loopback=True))
    hostile, quiet = a_webhook(url=hostile_url, headers=HEADERS), a_webhook(url=quiet_url, timeout_ms=60_000)

    def post(webhook: WebhookConfig) -> None:
        executor.post(Claim(a_delivery(), webhook, b"{}"))

    def took_s(*, beside: int) -> float:
        with ThreadPoolExecutor(HOSTILE + QUIET) as greenlets:
            began = time.monotonic()
            for _ in range(beside):
                greenlets.submit(post, hostile)
            wait([greenlets.submit(post, quiet) for _ in range(QUIET)])
            return time.monotonic() - began

    took_s(beside=0)
    print(json.dumps([min(took_s(beside=0) for _ in range(3)), min(took_s(beside=HOSTILE) for _ in range(3))]))
    executor.close()


main(*sys.argv[1:])
