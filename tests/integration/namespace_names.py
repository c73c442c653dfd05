"""Run by test_namespace_faults.py inside a namespace: posts to names of a real name server that fails in every way.

``gevent`` as its argument patches first, as a worker's pool does, ``threads`` does not.
"""

from __future__ import annotations

import sys

if "gevent" in sys.argv:
    from gevent import monkey

    monkey.patch_all()

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from tests.support import namespace_script as interfaces
from tests.support.builders import a_delivery, a_webhook
from tests.support.canary_servers import SECRET, CanaryServers
from tests.support.certificates import authority_pem
from tests.support.egress_rows import PUBLIC
from tests.support.name_server import NXDOMAIN, SERVFAIL, NameServer, Zone
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from noteflow_hooks.domain.deliveries import AttemptResult

_ONE: Final = ((PUBLIC,),)
_MANY: Final = tuple(f"93.184.{n // 250}.{n % 250 + 1}" for n in range(500))
_FAULTS: Final[Mapping[str, Zone]] = {
    "unknown.example": Zone(code=NXDOMAIN),
    "failing.example": Zone(code=SERVFAIL),
    "silent.example": Zone(is_silent=True),
    "late.example": Zone(turns=_ONE, delay_s=100),
    "slow.example": Zone(turns=_ONE, delay_s=0.1),
    "many.example": Zone(turns=(_MANY,)),
    "many-and-one-inside.example": Zone(turns=((*_MANY, "10.0.0.5"),)),
}
#: What an attempt is given whose look-up never comes to an end in time, and one whose does.
_SHORT_MS: Final = 800
_PLENTY_MS: Final = 60_000
_HOPELESS: Final = frozenset({"silent.example", "late.example"})
#: More than the look-ups that gevent makes at once by itself.
_HELD: Final = tuple(f"held-{n}.example" for n in range(24))
_WELL: Final = "well.example"


def main(_: str) -> dict[str, Any]:
    """Return each fault's outcome, and what became of a post beside many that wait for a silent name server."""
    interfaces.take_every_address()
    zones = {**_FAULTS, _WELL: Zone(turns=_ONE), **dict.fromkeys(_HELD, Zone(code=NXDOMAIN, is_held=True))}
    names = {"slow.example", "many.example", _WELL}
    with CanaryServers([443], names), NameServer(zones) as name_server:
        name_server.serve("127.0.0.1", 53)
        interfaces.ask_only("127.0.0.1", folder=Path(tempfile.mkdtemp()))
        with ThreadPoolExecutor(len(_HELD) + len(_FAULTS)) as threads:
            faults = threads.map(_post, _FAULTS)
            beside = _beside_silence(threads, name_server)
            outcomes = [(each.error_kind, each.duration_ms) for each in faults]
        return {"faults": dict(zip(_FAULTS, outcomes, strict=True)), **beside}


def _beside_silence(threads: ThreadPoolExecutor, name_server: NameServer) -> dict[str, Any]:
    """Post to a name while all the held ones wait; tell its outcome, theirs, and how many were over by then."""
    waiting = [threads.submit(_post, name) for name in _HELD]
    until(lambda: {name for name, _ in name_server.asked} >= set(_HELD), what="all names are asked for")
    result = _post(_WELL)
    over = sum(each.done() for each in waiting)
    name_server.release()
    return {"well": result.error_kind, "over": over, "held": [each.result().error_kind for each in waiting]}


def _post(name: str) -> AttemptResult:
    timeout_ms = _SHORT_MS if name in _HOPELESS else _PLENTY_MS
    webhook = a_webhook(url=f"https://{name}/hooks", secret=SECRET, timeout_ms=timeout_ms)
    return _EXECUTOR.post(Claim(a_delivery(), webhook, b"{}"))


_EXECUTOR: Final = WebhookExecutor(EgressPolicy(), ca_bundle=authority_pem())

if __name__ == "__main__":
    interfaces.report(main)
