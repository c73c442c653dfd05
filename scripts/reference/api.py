"""The page of the API, made of the proto and the scopes: each service, each call, each message and its fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from noteflow_hooks.errors import Reason
from noteflow_hooks.rpc.interceptors.scopes import SCOPES
from scripts.reference.markdown import anchor, code, page, table, words
from scripts.reference.proto import PROTO, Proto, kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, MethodDescriptorProto

_SOURCE: Final = f"{PROTO} and the scopes"
_LEAD: Final = """\
gRPC, package `noteflow.v1`. The proto is in the wheel, under `noteflow_hooks/rpc/proto/`; with `GRPC_REFLECTION` tools
such as grpcurl ask the server for it. From Python, take [the client](../client.md)."""
#: The lists in the proto's comments begin so.
_LIST: Final = "   "


def generate() -> str:
    """Return the page."""
    proto = Proto()
    opening = [words(" ".join(text.split())) for text in proto.opening if not text.startswith(_LIST)][1:]
    return page(
        "API: all calls and messages",
        _SOURCE,
        _LEAD,
        *([text] for text in opening if not text.endswith(":")),
        *_reasons(proto, [text for text in opening if text.endswith(":")]),
        *(part for place, _ in proto.services for part in _service(proto, place)),
        ["## Messages"],
        *(part for place, _ in proto.messages for part in _message(proto, place)),
    )


def _reasons(proto: Proto, lead: list[str]) -> Iterator[list[str]]:
    found = proto.reasons
    if {each.name for each in found} != set(Reason):
        raise ValueError(f"the proto lists other reasons than there are: {set(Reason) ^ {each.name for each in found}}")
    yield ["## Error reasons"]
    yield lead
    rows = [[code(each.name), each.status and code(each.status), words(each.meaning)] for each in found]
    yield table(("reason", "status", "why"), rows)


def _service(proto: Proto, place: int) -> Iterator[list[str]]:
    service = proto.file.service[place]
    yield [f"## {service.name}"]
    yield [words(proto.of_service(place))]
    rows = [[f"[`{method.name}`](#{anchor(method.name)})", _scope(service.name, method)] for method in service.method]
    yield table(("call", "scope"), rows)
    for number, method in enumerate(service.method):
        yield [f"### {method.name}"]
        yield [words(proto.of_service(place, number))]
        yield [_signature(service.name, method)]


def _scope(service: str, method: MethodDescriptorProto) -> str:
    scope = SCOPES[f"/noteflow.v1.{service}/{method.name}"]
    return "any token" if scope is None else code(scope)


def _signature(service: str, method: MethodDescriptorProto) -> str:
    takes = _sent(method.input_type, streams=method.client_streaming)
    answers = _sent(method.output_type, streams=method.server_streaming)
    return f"Scope: {_scope(service, method)}. Takes {takes}; answers {answers}."


def _sent(name: str, *, streams: bool) -> str:
    return f"{'a stream of ' if streams else ''}{_type_link(name.removeprefix('.noteflow.v1.'))}"


def _type_link(name: str) -> str:
    return code(name) if name.startswith("google.") or name[0].islower() else f"[`{name}`](#{anchor(name)})"


def _message(proto: Proto, place: int) -> Iterator[list[str]]:
    message = proto.file.message_type[place]
    yield [f"### {message.name}"]
    yield [words(proto.of_message(place))]
    rows = [
        [code(field.name), _field_type(message, field), words(proto.of_message(place, number))]
        for number, field in enumerate(message.field)
    ]
    if rows:
        yield table(("field", "type", "what"), rows)


def _field_type(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    name = kind(field)
    for nested in message.nested_type:
        if nested.options.map_entry and name == f"{message.name}.{nested.name}":
            key, value = (_type_link(kind(each)) for each in nested.field)
            return f"map of {key} to {value}"
    if field.label == field.LABEL_REPEATED:
        return f"repeated {_type_link(name)}"
    if field.proto3_optional:
        return f"optional {_type_link(name)}"
    if field.HasField("oneof_index"):
        return f"{_type_link(name)}, one of {code(message.oneof_decl[field.oneof_index].name)}"
    return _type_link(name)
