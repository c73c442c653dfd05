"""Where a token may go, what can be one, and what comes with the client's import."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Final

import grpc
import pytest

from noteflow_hooks.client import connect
from noteflow_hooks.errors import InvalidInputError, UnencryptedError

#: All of ours that the client may bring along: itself, the errors, and the generated code in its rooms.
OURS: Final = {
    "noteflow_hooks",
    "noteflow_hooks.client",
    "noteflow_hooks.client.answers",
    "noteflow_hooks.client.async_calls",
    "noteflow_hooks.client.async_connection",
    "noteflow_hooks.client.batches",
    "noteflow_hooks.client.calls",
    "noteflow_hooks.client.connection",
    "noteflow_hooks.client.opening",
    "noteflow_hooks.client.requests",
    "noteflow_hooks.client.retrying",
    "noteflow_hooks.errors",
    "noteflow_hooks.rpc",
    "noteflow_hooks.rpc.proto",
    "noteflow_hooks.rpc.proto.noteflow",
    "noteflow_hooks.rpc.proto.noteflow.v1",
    "noteflow_hooks.rpc.proto.noteflow.v1.noteflow_pb2",
    "noteflow_hooks.rpc.proto.noteflow.v1.noteflow_pb2_grpc",
}
#: All of others': gRPC and protobuf, what grpcio needs, and those of its sisters that it imports where they are there.
OTHERS: Final = {
    "cython_runtime",
    "google",
    "grpc",
    "grpc_health",
    "grpc_reflection",
    "grpc_tools",
    "typing_extensions",
}


def test_nothing_but_grpc_comes_with_the_client() -> None:
    """No Celery, no SQLAlchemy, no settings: it is imported in a fresh interpreter, and all there is is looked at."""
    code = "import json, sys, noteflow_hooks.client; print(json.dumps([*sys.modules]))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = set(json.loads(ended.stdout))
    assert {name for name in found if name.split(".")[0] == "noteflow_hooks"} == OURS
    assert strangers(found) <= OTHERS
    assert strangers({*found, "sqlalchemy.orm", "json"}) - OTHERS == {"sqlalchemy"}


def strangers(modules: set[str]) -> set[str]:
    """Return the packages among the modules that are neither Python's own nor ours, nor an editable install's hook.

    A distribution's Python may start with modules of its own.
    """
    packages = {name.split(".")[0] for name in modules} - sys.stdlib_module_names - {"sitecustomize", "usercustomize"}
    return {name for name in packages if not name.startswith("_")} - {"noteflow_hooks"}


@pytest.mark.parametrize(
    "server", ["127.0.0.1:1", "127.0.0.2:1", "[::1]:1", "localhost:1", "LOCALHOST:1", "unix:/run/hooks.sock"]
)
def test_a_token_goes_to_this_machine_without_tls(server: str) -> None:
    """Whose addresses are known by their form."""
    connect(server, "t").close()


@pytest.mark.parametrize(
    "server",
    ["10.0.0.7:1", "0.0.0.0:1", "[::]:1", "host:1", "localhost.example:1", "127.0.0.1.example:1", "dns:///localhost:1"],
)
def test_a_token_goes_nowhere_else_without_tls(server: str) -> None:
    """Unless that is asked for; a name may stand for this machine now, and for another in a moment."""
    with pytest.raises(UnencryptedError) as refused:
        connect(server, "t")
    assert str(refused.value) == f"{server} may be another machine, where a token does not go unencrypted"
    connect(server, "t", plaintext=True).close()
    connect(server, "t", credentials=grpc.ssl_channel_credentials()).close()


@pytest.mark.parametrize("attempts", [0, 6])
def test_attempts_that_grpc_does_not_make_are_refused(attempts: int) -> None:
    """It would make five, whatever it was told."""
    with pytest.raises(InvalidInputError, match=rf"^attempts: is {attempts}; 1 to 5 are allowed$"):
        connect("127.0.0.1:1", "t", attempts=attempts)


@pytest.mark.parametrize("payload", [{"at": object()}, {"n": float("nan")}])
def test_a_payload_that_is_no_json_is_refused_before_it_is_sent(payload: dict[str, object]) -> None:
    """By its field, as the server does with its own."""
    with connect("127.0.0.1:1", "t") as client, pytest.raises(InvalidInputError, match=r"^payload: is no JSON: "):
        client.publish("recording.started", payload)


@pytest.mark.parametrize("token", ["", "nfh_ü", "nfh_ a", "nfh_a\n", "nfh_\0"])
def test_what_can_be_no_token_is_refused_and_not_repeated(token: str) -> None:
    """It may be a secret of another kind, and gRPC's own error would quote it."""
    with pytest.raises(InvalidInputError, match=r"^token: is empty, or holds characters that no token has") as refused:
        connect("127.0.0.1:1", token)
    assert "nfh_" not in str(refused.value)
