"""A connection to the server: the stubs of its services. A token goes unencrypted to this machine alone."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, Self

import grpc

from noteflow_hooks.client.batches import Batches
from noteflow_hooks.client.calls import Authorizing, Translating
from noteflow_hooks.errors import InvalidInputError, UnencryptedError
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from noteflow_hooks.errors import NoteFlowHooksError
    from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

#: How long a call may take that names no timeout of its own.
TIMEOUT: Final = timedelta(seconds=15)
#: For how long the events of a batch are tried again that the server was not there for.
PATIENCE: Final = timedelta(seconds=30)
#: The environment's proxies are meant for the web: gRPC would send even calls to this machine through one.
OPTIONS: Final = (("grpc.enable_http_proxy", 0),)


def connect(
    server: str,
    token: str,
    *,
    credentials: grpc.ChannelCredentials | None = None,
    server_name: str | None = None,
    plaintext: bool = False,
    timeout: timedelta = TIMEOUT,
) -> Client:
    """Return a client for the server at ``host:port`` or ``unix:path``; nothing is sent before the first call.

    ``credentials`` are those of TLS: ``grpc.ssl_channel_credentials()`` trusts the authorities that gRPC brings along.
    ``server_name`` is what the server's certificate must be for, where that is another name than the host. Without
    credentials the server must be on this machine, unless ``plaintext`` allows the token to go over the network
    unencrypted.

    ``timeout`` is how long a call may take; a stream of audio may take any time. A call's own ``timeout``, in seconds,
    goes before it: ``client.events.PublishEvent(request, timeout=2.5)``.

    Raises UnencryptedError where the token would go over the network unencrypted, and InvalidInputError for a token
    that can't be one.
    """
    return Client(server, token, credentials=credentials, server_name=server_name, plaintext=plaintext, timeout=timeout)


class Client:
    """A connection, with the stubs of the services; :func:`connect` makes it.

    Any number of threads may share it. It connects by itself, and anew where the connection is lost. Leaving its
    ``with`` block closes it.

    A call that fails raises an error of ``noteflow_hooks.errors`` there and then. Its ``reason`` says more exactly why,
    and what gRPC said stands in its ``__cause__``:

    - InvalidInputError: a field is wrong; ``violations`` has all that are.
    - UnauthenticatedError, ScopeError: the token opens nothing, or not this.
    - NotFoundError: the workspace has no such thing.
    - AlreadyExistsError: the idempotency key, or the request id, was used for something else.
    - PreconditionError: it comes at the wrong moment.
    - LimitError, RateLimitError, TooLargeError: there is too much of something; ``retry_after`` says when to try again,
      and is None where that is no help.
    - UnavailableError: the server, or what it needs, does not answer, or not in time. Try again, with the same
      idempotency key: what was called for may have been done all the same.
    - NoteFlowHooksError: anything else, such as a certificate that is not trusted.

    A call's ``future`` raises them from its ``result``.
    """

    def __init__(
        self,
        server: str,
        token: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        server_name: str | None = None,
        plaintext: bool = False,
        timeout: timedelta = TIMEOUT,
    ) -> None:
        """Take what :func:`connect` takes."""
        # gRPC's own error for what can't be sent would quote it.
        if not token or not all("!" <= character <= "~" for character in token):
            raise InvalidInputError(
                "token", "is empty, or holds characters that no token has; visible ASCII is allowed"
            )
        if credentials is None and not plaintext and not _is_here(server):
            raise UnencryptedError(f"{server} may be another machine, where a token does not go unencrypted")
        self._channel = open_channel(server, credentials, server_name)
        channel = grpc.intercept_channel(self._channel, Translating(server), Authorizing(token, timeout=timeout))
        #: MeetingService: meetings, their recordings and summaries.
        self.meetings = pb_grpc.MeetingServiceStub(channel)
        #: WebhookService: endpoints, deliveries and replays.
        self.webhooks = pb_grpc.WebhookServiceStub(channel)
        #: EventService: events, from any program.
        self.events = pb_grpc.EventServiceStub(channel)
        #: AuditService: who changed what.
        self.audit = pb_grpc.AuditServiceStub(channel)
        self._batches = Batches(self.events.PublishEvents, server)

    def publish_events(
        self,
        requests: Iterable[pb.PublishEventRequest],
        *,
        patience: timedelta = PATIENCE,
        keyed: bool = False,
    ) -> list[pb.Event | NoteFlowHooksError]:
        """Publish any number of events, in their order; return for each the stored event, or why it is not stored.

        They go in calls of up to 500. What was UNAVAILABLE is tried again for ``patience``, where it has an idempotency
        key; another one may be stored all the same, and would be stored twice. ``keyed`` gives each that has none a key
        of its own. Where the token may not make so many calls a second, this waits, too.

        What the first call fails with as a whole is raised; of a later one it stands in the place of its events.
        """
        return self._batches.publish(requests, patience=patience, keyed=keyed)

    def close(self) -> None:
        """Close the connection; calls that are under way are cancelled."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_channel(
    server: str, credentials: grpc.ChannelCredentials | None = None, server_name: str | None = None
) -> grpc.Channel:
    """Return a connection as a client's is, for services that need no token."""
    if credentials is None:
        return grpc.insecure_channel(server, options=OPTIONS)
    named = () if server_name is None else (("grpc.ssl_target_name_override", server_name),)
    return grpc.secure_channel(server, credentials, options=(*OPTIONS, *named))


def _is_here(server: str) -> bool:
    """Tell by its form alone whether the address is this machine: a name server's answer may change."""
    if server.startswith("unix:"):
        return True
    host = server.rpartition(":")[0].removeprefix("[").removesuffix("]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
