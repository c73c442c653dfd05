"""A gRPC server that answers by a script: how a client calls, and how often, shows in what came in."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

import grpc

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Mapping


class ScriptedServer(grpc.GenericRpcHandler):
    """Refuses the first calls of each method as UNAVAILABLE, and answers the later ones with an empty message.

    With an event for ``PublishEvent``, whose id is the key that it was published under.
    """

    def __init__(self, refused: Mapping[str, int]) -> None:
        """Take how many calls of each method are refused."""
        self._refused = Counter(refused)
        #: The requests that came in, by method, as bytes.
        self.came: list[tuple[str, bytes]] = []
        #: For how many seconds each said that it may take.
        self.remaining_s: list[float] = []
        self._server = grpc.server(ThreadPoolExecutor(4), handlers=[self])
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Return what answers a call."""
        method = handler_call_details.method.rpartition("/")[2]

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            self.came.append((method, request))
            self.remaining_s.append(context.time_remaining() or 0.0)
            if self._refused[method] > 0:
                self._refused[method] -= 1
                context.abort(grpc.StatusCode.UNAVAILABLE, "away")
            return bytes(_answered(method, request).SerializeToString())

        return grpc.unary_unary_rpc_method_handler(answer)

    def requests(self, kind: type[Any]) -> list[Any]:
        """Return what came in, read as that message."""
        return [kind.FromString(request) for _, request in self.came]

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(0).wait()


def _answered(method: str, request: bytes) -> Any:  # noqa: ANN401 - each method has its own message
    if method == "PublishEvent":
        return pb.Event(id=pb.PublishEventRequest.FromString(request).idempotency_key)
    return pb.Webhook()
