"""The types of what gRPC gives for a call: its own stubs have no shorter names for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc

#: What every handler is given beside its request.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
#: What answers an RPC.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
#: What an interceptor calls for what stands behind it.
Continuation: TypeAlias = Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]]
