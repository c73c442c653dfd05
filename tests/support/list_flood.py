"""Callers who list deliveries without a pause, in a process of its own: ADDRESS TOKEN CALLERS. Says so once the first is answered."""

from __future__ import annotations

import sys
import threading

import grpc

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2_grpc as pb_grpc


def main() -> None:
    """List until the process is ended."""
    address, token, callers = sys.argv[1:]
    metadata = (("authorization", f"Bearer {token}"),)
    stub = pb_grpc.WebhookServiceStub(grpc.insecure_channel(address))
    answered = threading.Event()

    def list_on() -> None:
        while True:
            try:
                stub.ListDeliveries(pb.ListDeliveriesRequest(page_size=500), metadata=metadata)
                answered.set()
            except grpc.RpcError:
                continue

    threads = [threading.Thread(target=list_on, daemon=True) for _ in range(int(callers))]
    for thread in threads:
        thread.start()
    answered.wait()
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    threads[0].join()


if __name__ == "__main__":
    main()
