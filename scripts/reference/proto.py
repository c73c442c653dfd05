"""What the proto says: its services and messages, with the comments that stand at them."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.rpc import status_pb2
from grpc_tools import protoc  # type: ignore[import-untyped]  # it has no types

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import DescriptorProto, ServiceDescriptorProto

ROOT: Final = Path(__file__).resolve().parents[2]
PROTO_PATH: Final = ROOT / "noteflow_hooks" / "rpc" / "proto"
PROTO: Final = "noteflow/v1/noteflow.proto"
#: Field numbers in descriptor.proto, of which a comment's path is made.
_MESSAGE, _SERVICE, _SYNTAX = 4, 6, 12
_FIELD, _METHOD = 2, 2
_REASON: Final = re.compile(r" {3}([A-Z_]+) {2,}(.*?)(?: {2,}([A-Z_]+))?")


@dataclass(frozen=True)
class Reason:
    """Why a call is refused, for programs."""

    name: str
    meaning: str
    #: The status that comes with it; empty where it may be any.
    status: str


class Proto:
    """The file, parsed."""

    def __init__(self) -> None:
        self.file = _parsed()
        self._comments = {
            tuple(each.path): (each.leading_comments, list(each.leading_detached_comments))
            for each in self.file.source_code_info.location
        }

    @property
    def services(self) -> list[tuple[int, ServiceDescriptorProto]]:
        """The services, with their places."""
        return list(enumerate(self.file.service))

    @property
    def messages(self) -> list[tuple[int, DescriptorProto]]:
        """The messages, with their places."""
        return list(enumerate(self.file.message_type))

    def of_service(self, place: int, method: int | None = None) -> str:
        """Return what is said of a service, or of one of its methods."""
        return self._comment_at(_SERVICE, place, *(() if method is None else (_METHOD, method)))

    def of_message(self, place: int, field: int | None = None) -> str:
        """Return what is said of a message, or of one of its fields."""
        return self._comment_at(_MESSAGE, place, *(() if field is None else (_FIELD, field)))

    def _comment_at(self, *path: int) -> str:
        return " ".join(self._comments.get(path, ("", []))[0].split())

    @property
    def opening(self) -> list[str]:
        """What is said at the top of the file, in paragraphs."""
        comment, detached = self._comments[(_SYNTAX,)]
        return "\n".join([*detached, comment]).split("\n\n")

    @property
    def reasons(self) -> list[Reason]:
        """The reasons that the top of the file lists."""
        lines = [line for text in self.opening for line in text.splitlines()]
        return [Reason(found[1], found[2], found[3] or "") for each in lines if (found := _REASON.fullmatch(each))]


def kind(field: FieldDescriptorProto) -> str:
    """Return a field's type: of a message the name, without this package."""
    if field.type_name:
        return field.type_name.removeprefix(".noteflow.v1.").removeprefix(".")
    return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()


def _parsed() -> FileDescriptorProto:
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "set")
        status = protoc.main(
            [
                "protoc",
                f"--proto_path={PROTO_PATH}",
                f"--proto_path={files('grpc_tools') / '_proto'}",
                f"--proto_path={Path(status_pb2.__file__).parents[2]}",
                "--include_source_info",
                f"--descriptor_set_out={made}",
                PROTO,
            ]
        )
        if status != 0:
            raise SystemExit(f"protoc failed with status {status}")
        [file] = FileDescriptorSet.FromString(made.read_bytes()).file
        if file.enum_type or any(each.enum_type for each in file.message_type):
            raise ValueError("the page has no place for enums yet")
        return file
