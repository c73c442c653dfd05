"""A server in the foreground: it runs until SIGTERM or SIGINT, for the ``serve`` command."""

from __future__ import annotations

import asyncio
import gc
import signal
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.rpc.server.server import HooksServer


def serve(
    server: HooksServer,
    *,
    ready: Callable[[str], None] = lambda _: None,
    grace: timedelta = timedelta(seconds=5),
) -> None:
    """Serve until the process is told to end, then stop within about twice ``grace``. Needs the main thread.

    ``ready`` is called once with the bound ``host:port``.
    """
    asyncio.run(_serve(server, ready, grace))


async def _serve(server: HooksServer, ready: Callable[[str], None], grace: timedelta) -> None:
    told_to_end = asyncio.Event()
    loop = asyncio.get_running_loop()
    # Before the start, so that a signal during it isn't lost.
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, told_to_end.set)
    address = await server.start()
    # What was imported stays for good. The collector would go through all of it again and again, a tenth of a second
    # each time, with every call waiting.
    gc.collect()
    gc.freeze()
    ready(address)
    await told_to_end.wait()
    await server.stop(grace)
