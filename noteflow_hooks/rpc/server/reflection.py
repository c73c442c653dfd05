"""Reflection under both of its names: newer tools ask for ``v1``, older ones for ``v1alpha``, in the same messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection, reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer

if TYPE_CHECKING:
    from collections.abc import Iterable

_ALPHA: Final = "grpc.reflection.v1alpha"
_STABLE: Final = "grpc.reflection.v1"
#: The full names of both services.
NAMES: Final = (f"{_STABLE}.ServerReflection", reflection.SERVICE_NAME)


def enable_reflection(services: Iterable[str], server: grpc.aio.Server) -> None:
    """Have the server answer which services there are, these and reflection itself."""
    names = (*services, *NAMES)
    _describe_stable()
    reflection.enable_server_reflection(names, server)
    servicer: Any = ReflectionServicer(names)  # its package has no types
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    generic = grpc.method_handlers_generic_handler(NAMES[0], {"ServerReflectionInfo": handler})
    server.add_generic_rpc_handlers((generic,))


def _describe_stable() -> None:
    """Add the description of ``v1``, which is that of ``v1alpha`` under another name, so that tools can ask for it."""
    described = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(described)
    described.name = "grpc/reflection/v1/reflection.proto"
    described.package = _STABLE
    described.ClearField("options")
    for message in described.message_type:
        for each in message.field:
            if each.type_name:
                each.type_name = each.type_name.replace(f".{_ALPHA}.", f".{_STABLE}.")
    for service in described.service:
        for method in service.method:
            method.input_type = method.input_type.replace(f".{_ALPHA}.", f".{_STABLE}.")
            method.output_type = method.output_type.replace(f".{_ALPHA}.", f".{_STABLE}.")
    descriptor_pool.Default().Add(described)
