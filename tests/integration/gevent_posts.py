"""Run by test_executor_gevent.py in a process of its own: posts under gevent's patches, and prints the results."""
# ruff: noqa: E402, T201 - gevent patches before anything else is imported; what is printed is the output

from gevent import monkey

monkey.patch_all()

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from tests.support.builders import a_delivery, a_webhook


def main(bundle: str, timeout_ms: str, *urls: str) -> None:
    """Post to all URLs at once and print each one's kind and time, in order."""
    executor = WebhookExecutor(
        EgressPolicy(allow=["127.0.0.0/8", "::1/128"], allow_http_loopback=True), ca_bundle=Path(bundle)
    )
    claims = [Claim(a_delivery(), a_webhook(url=url, timeout_ms=int(timeout_ms)), b"{}") for url in urls]
    with ThreadPoolExecutor(len(claims)) as greenlets:
        results = list(greenlets.map(executor.post, claims))
    executor.close()
    print(json.dumps([[result.error_kind, result.duration_ms] for result in results]))


main(*sys.argv[1:])
