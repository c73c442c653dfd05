"""Short names for the types of gRPC's that handlers and interceptors work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc

#: What every handler gets beside its request.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
#: What answers an RPC.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
#: What an interceptor calls to get the handler from those behind it.
Continuation: TypeAlias = Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]]
