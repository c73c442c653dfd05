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
    """Serve until SIGTERM or SIGINT, then stop within about twice ``grace``. Call it in the main thread.

    ``ready`` is called once with the bound ``host:port``.
    """
    asyncio.run(_serve(server, ready, grace))


async def _serve(server: HooksServer, ready: Callable[[str], None], grace: timedelta) -> None:
    end_signal = asyncio.Event()
    loop = asyncio.get_running_loop()
    # Before the start, so that a signal during it isn't lost.
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, end_signal.set)
    address = await server.start()
    # What was imported is never freed. The garbage collector would go through all of it again and again, which takes a
    # tenth of a second each time, while every call waits.
    gc.collect()
    gc.freeze()
    ready(address)
    await end_signal.wait()
    await server.stop(grace)
