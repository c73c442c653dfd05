"""One server in the foreground, by itself or as one of a group: imported only by a process that serves."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from noteflow_hooks import bootstrap
from noteflow_hooks.application.endpoints import EndpointRules
from noteflow_hooks.broker.redis_mode import refuse_mode
from noteflow_hooks.concurrency.identity import name_process
from noteflow_hooks.concurrency.outage import COLLECTOR
from noteflow_hooks.concurrency.pulse import Pulse, default_folder
from noteflow_hooks.domain.system_state import Periods
from noteflow_hooks.rpc.interceptors.limits import CallerLimits
from noteflow_hooks.rpc.runtime.greenlets import LoopWaits
from noteflow_hooks.rpc.server.options import ServerOptions
from noteflow_hooks.rpc.server.serve import serve
from noteflow_hooks.rpc.server.server import HooksServer
from noteflow_hooks.rpc.server.tls import TlsFiles
from noteflow_hooks.rpc.sharing.member import Group
from noteflow_hooks.rpc.sharing.membership import Membership
from noteflow_hooks.settings import TraceSettings

if TYPE_CHECKING:
    from noteflow_hooks.settings import Settings
    from noteflow_hooks.telemetry.memory import Figures
    from noteflow_hooks.telemetry.tracing import SpanRecorder


def serve_alone(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; raise SettingsError for what keeps the server from it."""
    _serve(settings, None)


def serve_as_member(settings: Settings, member: str) -> None:
    """The same, as the server of a group that ``member`` names."""
    _serve(settings, Group(Membership.parse(member)))


def _serve(settings: Settings, group: Group | None) -> None:
    number = "" if group is None else str(group.number)
    name_process("server", number)
    figures, recorder, pulse = _measured(settings, group), _recorder(), Pulse()
    parts = bootstrap.server(settings, waits=LoopWaits(), figures=figures)
    try:
        bootstrap.refuse_pooler(settings)
        refuse_mode(settings.redis)
        pulse.open(settings.run_dir or default_folder(), "server", f"{settings.grpc_bind} {number}".strip())
        options = _options(settings, parts.database_threads, group)
        endpoints = replace(
            options.endpoints,
            certificates=parts.certificates,
            previewer=parts.previewer,
            codes=parts.codes,
            filters=parts.filters,
        )
        options = replace(
            options,
            schemas=parts.schemas,
            endpoints=endpoints,
            figures=figures,
            recorder=recorder,
            show_life=pulse.show,
            redis_answers=parts.redis_answers,
        )
        server = HooksServer(parts.units, parts.webhook_service, options)
        parts.report_backlog(lambda: server.backlog)
        serve(server, ready=lambda address: _say_ready(address, group))
    finally:
        parts.close()
        if recorder is not None:
            recorder.close()
        pulse.close()


def _measured(settings: Settings, group: Group | None) -> Figures | None:
    """Begin to count, and by itself to answer; of a group, the process that has started it answers for all."""
    if settings.metrics_bind is None:
        return None
    from noteflow_hooks.telemetry.memory import SharedFigures  # noqa: PLC0415 - nobody else measures
    from noteflow_hooks.telemetry.starting import answer_metrics, measure  # noqa: PLC0415 - as said

    if group is not None:
        return measure(SharedFigures.opened(group.figures), slot=group.number - 1)
    shared = SharedFigures.made(1)
    answer_metrics(settings.metrics_bind, shared)
    return measure(shared)


def _recorder() -> SpanRecorder | None:
    """Begin to trace, where a collector is named."""
    plan = TraceSettings.load().plan
    if plan is None:
        return None
    from noteflow_hooks.telemetry.starting import start_tracing  # noqa: PLC0415 - nobody else traces

    return start_tracing(plan, "server", COLLECTOR)


def _say_ready(address: str, group: Group | None) -> None:
    # A group says so once, for all of its servers.
    if group is None:
        click.echo(f"serving gRPC on {address} (pid {os.getpid()})")


def _options(settings: Settings, database_threads: int, group: Group | None) -> ServerOptions:
    return ServerOptions(
        bind=settings.grpc_bind,
        group=group,
        tls=TlsFiles.of(cert=settings.grpc_tls_cert, key=settings.grpc_tls_key, client_ca=settings.grpc_tls_client_ca),
        plaintext=settings.grpc_insecure_plaintext,
        limits=CallerLimits(
            registrations_per_minute=settings.registrations_per_minute,
            token_calls_per_s=settings.token_calls_per_s,
            streams_per_workspace=settings.streams_per_workspace,
            watches_per_workspace=settings.watches_per_workspace,
        ),
        reflection=settings.grpc_reflection,
        endpoints=EndpointRules(
            allow_http_loopback=settings.allow_http_loopback,
            timeout_ms=settings.default_timeout_ms,
            max_retries=settings.default_max_retries,
            preset_hosts=settings.preset_hosts_named,
        ),
        needs_database=settings.health_needs_database,
        database_threads=database_threads,
        in_loop=True,
        reads_share=settings.reads_share,
        periods=Periods(
            relay=timedelta(seconds=settings.relay_every_s),
            relay_after=timedelta(seconds=settings.relay_after_s),
            sweep=timedelta(seconds=settings.sweep_every_s),
        ),
    )
