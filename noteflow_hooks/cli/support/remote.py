"""The way to a server: the options first, then the environment, then a running `up`."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp

from noteflow_hooks.cli.support.options import SERVER, TOKEN
from noteflow_hooks.cli.support.own_server import own_server, running
from noteflow_hooks.cli.support.security import given, security
from noteflow_hooks.cli.support.variables import read_settings
from noteflow_hooks.client import connect
from noteflow_hooks.client.opening import open_channel
from noteflow_hooks.errors import NoteFlowHooksError
from noteflow_hooks.local.addresses import is_target
from noteflow_hooks.rpc.server.probe import check_over
from noteflow_hooks.settings import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from google.protobuf.message import Message

    from noteflow_hooks.client import Client
    from noteflow_hooks.settings import Settings

#: Who sits before a command or a page hears at once that no server answers, and tries again as they like.
_ATTEMPTS: Final = 1
_NOBODY: Final = (
    "no server is named: give --server and --token, or start `noteflow-hooks up`; one that runs is found from the "
    "folder that it was started in, or by NOTEFLOW_HOOKS_DATA_DIR"
)


@contextmanager
def client() -> Iterator[Client]:
    """Yield a client for the server and token that count here; its calls raise the project's own errors."""
    with connector()() as connected:
        yield connected


def connector() -> Callable[[], Client]:
    """Return what makes such clients, all for the server and token that count now."""
    server, token, secure = _called()
    return partial(connect, server, token, attempts=_ATTEMPTS, **secure)


def anybodys_connector() -> Callable[[str], Client]:
    """Return what makes clients of any token, all for the server that counts now."""
    server, secure = _server()
    return lambda token: connect(server, token, attempts=_ATTEMPTS, **secure)


def is_called_up() -> bool:
    """Tell whether the server that counts now is that of a running `up`, whose data is for trying things out."""
    found, server = running(read_settings()), _server()[0]
    return found is not None and found.address == server


def called() -> str:
    """Return the server that counts now, for people."""
    return _server()[0]


def check_called(*, timeout_s: float) -> None:
    """Return if the server that counts now answers that it serves, else raise UnavailableError; it needs no token."""
    server, secure = _server()
    with open_channel(server, secure.get("credentials"), secure.get("server_name")) as channel:
        check_over(channel, server, timeout_s=timeout_s)


def shown(message: Message) -> dict[str, Any]:
    """Return a message with its fields' own names, times in ISO 8601, and without what is absent."""
    found = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    ordered: dict[str, Any] = _ordered(found, message.DESCRIPTOR)
    return ordered


def timestamp(moment: datetime | None) -> Timestamp | None:
    """Return a moment as messages hold it."""
    if moment is None:
        return None
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def _ordered(value: Any, kind: Any) -> Any:  # noqa: ANN401 - whatever JSON has, and its descriptor or None
    """Put fields into the proto's order, at every depth; those without a value would else come last."""
    if isinstance(value, list):
        return [_ordered(each, kind) for each in value]
    if not isinstance(value, dict) or kind is None:
        return value
    if kind.GetOptions().map_entry:
        # Its keys are no fields; large numbers among its values are text, as below.
        return {name: _value(each, kind.fields_by_name["value"]) for name, each in sorted(value.items())}
    return {each.name: _value(value[each.name], each) for each in kind.fields if each.name in value}


def _value(value: Any, kind: Any) -> Any:  # noqa: ANN401 - as above
    # Large numbers are text in what protobuf makes of a message: no number of ours is one that JSON's readers spoil.
    return int(value) if kind.type == kind.TYPE_INT64 else _ordered(value, kind.message_type)


def _called() -> tuple[str, str, dict[str, Any]]:
    """Return the server, the token, and how to be sure of the server."""
    server, token, said = given(SERVER), given(TOKEN), read_settings()
    if server is not None:
        return *_checked(server, token or _token_of_up(said, server)), security()
    own = own_server(said)
    token = token or own.token
    if token is None and "grpc_bind" not in said.model_fields_set:
        raise NoteFlowHooksError(_NOBODY)
    return *_checked(own.address, token), security(own.certificate)


def _token_of_up(said: Settings, server: str) -> str | None:
    """Return the token of a running `up`, which goes to no server but its own."""
    found = running(said)
    return found.token if found is not None and found.address == server else None


def _server() -> tuple[str, dict[str, Any]]:
    """Return the server, whoever calls it, and how to be sure of it."""
    server = given(SERVER)
    if server is None:
        own = own_server(read_settings())
        return own.address, security(own.certificate)
    if not is_target(server):
        raise click.UsageError(f"--server is {server!r}; it must be HOST:PORT, such as 127.0.0.1:50051")
    return server, security()


def _checked(server: str, token: str | None) -> tuple[str, str]:
    if not is_target(server):
        raise click.UsageError(f"--server is {server!r}; it must be HOST:PORT, such as 127.0.0.1:50051")
    if token is None:
        raise NoteFlowHooksError(f"no token for {server}: give --token, or set {PREFIX}TOKEN")
    # What can't be sent as metadata is no token either, and gRPC's own error for it is no line to show.
    if not all("!" <= character <= "~" for character in token):
        raise click.UsageError("--token holds characters that no token has; visible ASCII is allowed")
    return server, token
