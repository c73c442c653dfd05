"""requests' adapter, from a prepared request to a response, over connections of our own.

Only the adapter is used, because what ``Session.send`` adds must not happen: proxies and credentials from the
environment, cookies, and reading the whole body of a redirect that isn't followed. urllib3's pools are not used either:
they would share connections between webhooks and log each URL's path. There is no proxy but the one that the operator
has named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar, cast

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from urllib3.util import Timeout

from noteflow_hooks.executor.http.connections import Connection, IdleConnections
from noteflow_hooks.executor.http.dialling import Laps, dialled
from noteflow_hooks.executor.http.faults import ExchangeError, from_network, is_ours
from noteflow_hooks.executor.http.trust import OwnContexts, tls_context
from noteflow_hooks.executor.http.tunnel import tunnelled

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from requests.structures import CaseInsensitiveDict
    from urllib3 import BaseHTTPResponse
    from urllib3.connectionpool import ConnectionPool

    from noteflow_hooks.egress import EgressPolicy
    from noteflow_hooks.executor.http.prepared import PreparedEndpoint, Request
    from noteflow_hooks.executor.http.reply import Reply
    from noteflow_hooks.executor.http.stream import Deadline

Read = TypeVar("Read")

_IDLE_LIMIT: Final = 256
#: gunicorn closes a connection that has been idle for 2 s, uWSGI after 4, Node, uvicorn and Apache after 5. A POST that
#: goes out at that moment is sent twice.
_IDLE_MAX_AGE_S: Final = 1.5
#: The most bytes that are sent ahead: what is larger takes long to encrypt, and others wait for their turn meanwhile.
_BEGUN_LIMIT: Final = 65_536
#: Without timeouts, since each wait ends at the deadline. Made once: requests, given none, makes a new one at each
#: call. Its type stubs don't know that it takes one.
_TIMEOUT: Final = Timeout()


class SignedPost(PreparedRequest):
    """A POST that is ready to be sent as it is: requests encodes, adds and looks up nothing more."""

    method = "POST"
    url = None
    #: All that the adapter looks for among headers; ``head`` has them all.
    headers = cast("CaseInsensitiveDict[str]", {"Content-Length": ""})

    def __init__(self, endpoint: PreparedEndpoint, request: Request, deadline: Deadline) -> None:
        """``deadline`` is the whole exchange's."""
        # Not PreparedRequest's own: what it makes, hooks and a place for cookies, is never looked at.
        self.body = request.body
        #: Head and body together: one packet and one TLS record instead of two.
        self.request = request.head + request.body
        #: The headers as they go on record.
        self.sent = request.sent
        self.endpoint = endpoint
        self.deadline = deadline
        #: The connection over which it was sent; None before.
        self.connection: Connection | None = None
        #: Whether it counts among those that use its route's connections.
        self.is_under_way = False
        #: Whether it was begun on a kept connection, ahead of the rest.
        self.is_begun = False
        #: Whether a kept connection turned out to have ended, and a new one was dialled in its place.
        self.redialled = False
        #: How long the parts of dialling took, where that was done.
        self.laps: Laps | None = None
        #: The answer, once its head was read.
        self.reply: Reply | None = None


class Transport(HTTPAdapter):
    """Sends posts over connections that were checked when they were dialled, and keeps some of those open."""

    def __init__(
        self,
        egress: EgressPolicy,
        *,
        ca_bundle: Path | None,
        monotonic: Callable[[], float],
        note: Callable[[bool], None] | None = None,
    ) -> None:
        """``ca_bundle`` is a PEM file with certificates to trust beside the system's.

        ``note`` is told of each connection that a post goes over whether it was kept from one before.
        """
        super().__init__()
        self._egress = egress
        self._monotonic = monotonic
        # Loaded now: the first POST would have to wait for it within its deadline.
        self._context = tls_context(ca_bundle)
        self._own_contexts = OwnContexts(ca_bundle)
        self._note = note
        self._idle = IdleConnections(limit=_IDLE_LIMIT, max_age_s=_IDLE_MAX_AGE_S, monotonic=monotonic)

    def begin(self, post: SignedPost) -> None:
        """Send it as far as that goes without waiting, if a connection is kept for it; :meth:`sent` must follow."""
        if len(post.request) > _BEGUN_LIMIT:
            return
        connection = self._idle.take_idle(post.endpoint.route)
        if connection is not None:
            post.is_under_way = post.is_begun = True
            post.connection = connection
            connection.begin(post.request, post.deadline)

    def sent(self, post: SignedPost, read: Callable[[Reply], Read]) -> Read:
        """Send the post and return what ``read`` makes of the answer, whose head is read and whose body is not.

        Raise ExchangeError if none came.
        """
        reply: Reply | None = None
        try:
            reply = post.reply = cast("Reply", self.send(post, timeout=cast("float", _TIMEOUT)).raw)
            return read(reply)
        finally:
            if post.is_under_way:
                self._done_with(post, reply)

    def close(self) -> None:
        """Close the idle connections; those in use are closed as their exchanges end."""
        self._idle.close()
        super().close()

    def exchange(self, post: SignedPost) -> Reply:
        """Send the post over an idle connection of its route, or else over a new one; return the answer, its head read.

        If the receiver closes a kept connection just then, that is no failure of the receiver's: if it ends before any
        byte of an answer, the post goes out once more over a new one. It may then have arrived twice.
        """
        kept = post.connection if post.is_begun else self._taken(post)
        if kept is not None:
            if self._note is not None:
                self._note(True)  # noqa: FBT003 - a callback has no keywords
            try:
                return kept.end() if post.is_begun else kept.post(post.request, post.deadline)
            except (ConnectionError, ExchangeError):
                if not kept.ended_unanswered:
                    raise
            kept.close()
            post.redialled = True
        return self._dial(post).post(post.request, post.deadline)

    def _taken(self, post: SignedPost) -> Connection | None:
        # Over http a new connection costs no more than the wait for another one.
        wait_s = post.deadline.remaining() if post.endpoint.url.scheme == "https" else 0.0
        post.is_under_way = True
        post.connection = self._idle.take(post.endpoint.route, wait_s=wait_s)
        return post.connection

    def _dial(self, post: SignedPost) -> Connection:
        laps = post.laps = Laps(self._monotonic)
        # Before anything is dialled: where it can't be made, nothing is.
        context = self._context if post.endpoint.tls.is_plain else self._own_contexts.of(post.endpoint)
        connection = post.connection = Connection(post.endpoint.route, self._reached(post, laps), post.deadline)
        if self._note is not None:
            self._note(False)  # noqa: FBT003 - as above
        if post.endpoint.url.scheme == "https":
            try:
                connection.secure(context)
            finally:
                laps.tls_s = laps.lap()
            self._idle.dialled(connection.route, laps.all_s)
        laps.is_done = True
        return connection

    def _reached(self, post: SignedPost, laps: Laps) -> socket.socket:
        url = post.endpoint.url
        proxy = self._egress.proxy_for(url)
        if proxy is not None:
            return tunnelled(url, proxy, egress=self._egress, deadline=post.deadline, laps=laps)
        return dialled(url, self._egress, post.deadline, laps)

    def _done_with(self, post: SignedPost, reply: Reply | None) -> None:
        connection = post.connection
        if connection is not None and reply is not None and reply.is_reusable:
            self._idle.put(connection, at_most_s=reply.kept_s)
            return
        if connection is not None:
            connection.close()
        self._idle.leave(post.endpoint.route)

    def get_connection_with_tls_context(self, request: PreparedRequest, *_: object, **__: object) -> ConnectionPool:
        """Return where to send the request: not a pool of urllib3's, but what has the one method that is called."""
        return cast("ConnectionPool", _Channel(self, cast("SignedPost", request)))

    def cert_verify(self, *_: object) -> None:
        """Do nothing: the TLS context verifies, whatever the environment says."""

    def request_url(self, request: PreparedRequest, _proxies: Mapping[str, str] | None) -> str:
        """Return path and query."""
        return cast("SignedPost", request).endpoint.url.target

    def build_response(self, req: PreparedRequest, resp: BaseHTTPResponse) -> Response:
        """Wrap the answer as it is: what requests would look for in its headers, charset and cookies, is of no use."""
        # Nor is what Response.__init__ makes, a jar of cookies above all.
        response = Response.__new__(Response)
        response.status_code, response.raw, response.request = resp.status, resp, req
        return response


class _Channel:
    """Stands where the adapter expects a pool."""

    __slots__ = ("_post", "_transport")

    def __init__(self, transport: Transport, post: SignedPost) -> None:
        self._transport = transport
        self._post = post

    def urlopen(self, **_: object) -> Reply:
        try:
            return self._transport.exchange(self._post)
        except OSError as error:
            if is_ours(error):
                raise
            raise from_network(error) from error
