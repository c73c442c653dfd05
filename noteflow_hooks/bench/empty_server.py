"""The baseline of a call's cost: a server of ``grpc.aio`` with one method, which takes nothing and answers nothing.

It prints its port and serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Final

import grpc

from noteflow_hooks.bench.lines import say
from noteflow_hooks.bench.surroundings import HOST

#: Its one method.
METHOD: Final = "/bench.Empty/Call"


async def _answer(_: bytes, __: Any) -> bytes:  # noqa: ANN401 - gRPC's context, which no call here needs
    return b""


async def _serve() -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    service, _, method = METHOD.strip("/").partition("/")
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {method: grpc.unary_unary_rpc_method_handler(_answer)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
    port = server.add_insecure_port(f"{HOST}:0")
    await server.start()
    say(port)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(_serve())
