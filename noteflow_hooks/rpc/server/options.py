"""What a server can be started with, and what each option is for."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from noteflow_hooks.application.endpoints import EndpointRules
from noteflow_hooks.application.summarizer import Summarize, summarize_briefly
from noteflow_hooks.domain.system_state import Periods
from noteflow_hooks.rpc.interceptors.limits import CallerLimits
from noteflow_hooks.rpc.runtime.database import DEADLINE, READS_SHARE
from noteflow_hooks.rpc.services.no_schemas import NoSchemas
from noteflow_hooks.rpc.watching.audience import HEARTBEAT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from noteflow_hooks.domain.ports.schemas import SchemaChecker
    from noteflow_hooks.rpc.server.tls import TlsFiles
    from noteflow_hooks.rpc.sharing.member import Group
    from noteflow_hooks.telemetry.memory import Figures
    from noteflow_hooks.telemetry.tracing import SpanRecorder


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """The options of a server."""

    #: ``host:port`` or ``unix:path``; port 0 takes a free one.
    bind: str = "127.0.0.1:50051"
    #: The files for TLS. Without them the server listens only where no other machine reaches it.
    tls: TlsFiles | None = None
    #: Whether it may listen anywhere without TLS, as behind a proxy that ends TLS in a private network.
    plaintext: bool = False
    limits: CallerLimits = field(default_factory=CallerLimits)
    #: gRPC's arguments by name, which replace ours.
    channel: Mapping[str, int] = field(default_factory=dict)
    #: Whether callers may ask which services there are, without a token.
    reflection: bool = False
    endpoints: EndpointRules = field(default_factory=EndpointRules)
    summarize: Summarize = summarize_briefly
    #: What checks payloads of the workspaces' own types.
    schemas: SchemaChecker = field(default_factory=NoSchemas)
    #: The name under which recordings are kept. A server that starts ends the recordings that one of the same name left
    #: open, so two servers that run at once need two names. Empty means the host's name and the bound address, and in a
    #: group the server's number.
    name: str = ""
    #: This server's place among several that share the port, and with it limits and streams; None for none.
    group: Group | None = None
    #: Whether its health is that of its database, too.
    needs_database: bool = False
    #: Called about once a second in its event loop, to show that this turns; None for not.
    show_life: Callable[[], None] | None = None
    #: Where calls are counted; None for nowhere.
    figures: Figures | None = None
    #: Told of calls that are traced; None where none is.
    recorder: SpanRecorder | None = None
    #: Threads for the database, as many as its pool has connections.
    database_threads: int = 10
    #: Whether the store's units wait so that they may run in the event loop's own thread; in threads otherwise.
    in_loop: bool = False
    #: The most of those threads that lists may take.
    reads_share: float = READS_SHARE
    #: How long the database may be silent before calls are refused.
    database_deadline: timedelta = DEADLINE
    #: How long arrived transcript segments may wait until they are stored.
    store_segments_every: timedelta = timedelta(seconds=1)
    heartbeat_every: timedelta = timedelta(seconds=5)
    #: How often the open streams' tokens are looked up: a stream ends so soon after its token. As often, those of other
    #: callers that are remembered.
    check_tokens_every: timedelta = timedelta(seconds=1.5)
    #: How often it is looked what those are told who watch, while anybody does.
    look_every: timedelta = timedelta(seconds=1)
    #: After so long without a message a watch gets a heartbeat.
    watch_heartbeat: timedelta = timedelta(seconds=HEARTBEAT_S)
    #: How often relay and sweep come by, for GetSystemState to judge by.
    periods: Periods = field(default_factory=Periods)
    #: Tells whether Redis answers; it may block for as long as its own timeouts.
    redis_answers: Callable[[], bool] = lambda: True
    #: After so long without a heartbeat any server ends a recording.
    silent_for: timedelta = timedelta(seconds=15)
