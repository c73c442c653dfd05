"""A connection to the server: the stubs of its services, and what most programs do by one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, cast

from noteflow_hooks.client.batches import Batches
from noteflow_hooks.client.calls import Calls
from noteflow_hooks.client.opening import PATIENCE, TIMEOUT, checked, open_channel
from noteflow_hooks.client.requests import event_request
from noteflow_hooks.client.retrying import ATTEMPTS, new_key
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import timedelta
    from types import TracebackType

    import grpc

    from noteflow_hooks.errors import NoteFlowHooksError
    from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb


def connect(
    server: str,
    token: str,
    *,
    credentials: grpc.ChannelCredentials | None = None,
    server_name: str | None = None,
    plaintext: bool = False,
    timeout: timedelta = TIMEOUT,
    attempts: int = ATTEMPTS,
) -> Client:
    """Return a client for the server at ``host:port`` or ``unix:path``; nothing is sent before the first call.

    ``credentials`` are those of TLS: ``grpc.ssl_channel_credentials()`` trusts the authorities that gRPC brings along.
    ``server_name`` is what the server's certificate must be for, where that is another name than the host. Without
    credentials the server must be on this machine, unless ``plaintext`` allows the token to go over the network
    unencrypted.

    ``timeout`` is how long a call may take, with all its attempts; a stream of audio may take any time. A call's own
    ``timeout``, in seconds, goes before it: ``client.events.PublishEvent(request, timeout=2.5)``.

    ``attempts``, 1 to 5, is how often a call is attempted that the server was not there for, where a second time can do
    no harm. Publishing, and what takes a ``request_id``, gets a key of its own for that, unless it has one; with 1,
    nothing is made again and no key is made.

    Raises UnencryptedError where the token would go over the network unencrypted, and InvalidInputError for a token
    that can't be one.
    """
    return Client(
        server,
        token,
        credentials=credentials,
        server_name=server_name,
        plaintext=plaintext,
        timeout=timeout,
        attempts=attempts,
    )


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
        attempts: int = ATTEMPTS,
    ) -> None:
        """Take what :func:`connect` takes."""
        manner = checked(
            server, token, credentials=credentials, plaintext=plaintext, timeout=timeout, attempts=attempts
        )
        self._channel = open_channel(server, credentials, server_name, attempts=attempts)
        self._has_keys = manner.has_keys
        # A stub uses of a channel what this one has.
        channel = cast("grpc.Channel", Calls(self._channel, manner))
        #: MeetingService: meetings, their recordings and summaries.
        self.meetings = pb_grpc.MeetingServiceStub(channel)
        #: WebhookService: endpoints, deliveries and replays.
        self.webhooks = pb_grpc.WebhookServiceStub(channel)
        #: EventService: events, from any program.
        self.events = pb_grpc.EventServiceStub(channel)
        #: AuditService: who changed what.
        self.audit = pb_grpc.AuditServiceStub(channel)
        self._batches = Batches(self.events.PublishEvents, server)

    def publish(
        self,
        event_type: str,
        payload: Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
        timeout: timedelta | None = None,
    ) -> pb.Event:
        """Publish one event, and return it as it is stored.

        With the key of an earlier event of the same type and payload, that one is returned and nothing is stored.
        Raises what a call raises, and InvalidInputError where the payload holds what JSON has not, such as a
        ``datetime``.
        """
        key = new_key() if idempotency_key is None and self._has_keys else idempotency_key
        request = event_request(event_type, payload, idempotency_key=key)
        return self.events.PublishEvent(request, timeout=None if timeout is None else timeout.total_seconds())

    def publish_events(
        self,
        requests: Iterable[pb.PublishEventRequest],
        *,
        patience: timedelta = PATIENCE,
        keyed: bool = True,
    ) -> list[pb.Event | NoteFlowHooksError]:
        """Publish any number of events, in their order; return for each the stored event, or why it is not stored.

        They go in calls of up to 500. What was UNAVAILABLE is tried again for ``patience``, by its idempotency key; one
        that has none is given one. With ``keyed=False`` it is not, and not tried again: it may be stored all the same,
        and would be stored twice. Where the token may not make so many calls a second, this waits, too.

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
