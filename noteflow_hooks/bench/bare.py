"""The first baseline: as many POSTs as bare loops can make, one process for each core."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from noteflow_hooks.bench.stage import WORKERS
from noteflow_hooks.bench.traffic import BODY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noteflow_hooks.bench.processes import LineProcess
    from noteflow_hooks.bench.stage import Stage

_CONNECTIONS: Final = 20
#: How many POSTs a loop makes before it is measured, so that its connections exist.
_FIRST_POSTS: Final = 200


def bare_rate(stage: Stage, posts: int, *, loops: int = WORKERS, is_tls: bool = False, dials: bool = False) -> float:
    """Return the POSTs a second of so many bare loops together; with ``dials`` each POST has a new connection."""
    processes = _loops(stage, is_tls=is_tls, dials=dials)[:loops]
    stage.receiver.ask("reset")
    began = time.monotonic()
    for each in processes:
        each.tell(str(posts // loops))
    for each in processes:
        each.heard()
    counted = stage.receiver.ask("count")
    rate: float = counted["posts"] / (counted["last"] - began)
    return rate


def _loops(stage: Stage, *, is_tls: bool, dials: bool) -> Sequence[LineProcess]:
    return stage.kept(
        f"bare loops, TLS {is_tls}, each dials {dials}",
        lambda: [_loop(stage, is_tls=is_tls, dials=dials) for _ in range(WORKERS)],
    )


def _loop(stage: Stage, *, is_tls: bool, dials: bool) -> LineProcess:
    options = ["--ca", str(stage.ca_bundle)] if is_tls else []
    if dials:
        options.append("--dial")
    url = stage.url("/ok", is_tls=is_tls)
    loop = stage.process("bare_loop", url, BODY, "--connections", str(_CONNECTIONS), *options)
    loop.ask(str(_FIRST_POSTS))
    return loop
