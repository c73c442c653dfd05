"""`serve`: the gRPC server in the foreground, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import logging
import os

import click

from noteflow_hooks import bootstrap, logs
from noteflow_hooks.application.endpoints import EndpointRules
from noteflow_hooks.cli.support.helping import Command, example
from noteflow_hooks.rpc.interceptors.limits import CallerLimits
from noteflow_hooks.rpc.server.options import ServerOptions
from noteflow_hooks.rpc.server.serve import serve as run_server
from noteflow_hooks.rpc.server.server import HooksServer
from noteflow_hooks.rpc.server.tls import TlsFiles
from noteflow_hooks.settings import Settings, unknown_variables

log = logging.getLogger(__name__)


@click.command(cls=Command)
@example("serve")
def serve() -> None:
    """Run the gRPC server until SIGTERM or Ctrl-C; calls and recordings under way are finished first."""
    settings = Settings.load()
    logs.configure(settings.log_format)
    for line in unknown_variables():
        log.warning("%s", line)
    parts = bootstrap.server(settings)
    try:
        bootstrap.refuse_pooler(settings)
        server = HooksServer(parts.units, parts.webhook_service, _options(settings, parts.database_threads))
        parts.report_backlog(lambda: server.backlog)
        run_server(server, ready=lambda address: click.echo(f"serving gRPC on {address} (pid {os.getpid()})"))
    finally:
        parts.close()


def _options(settings: Settings, database_threads: int) -> ServerOptions:
    return ServerOptions(
        bind=settings.grpc_bind,
        tls=TlsFiles.of(cert=settings.grpc_tls_cert, key=settings.grpc_tls_key, client_ca=settings.grpc_tls_client_ca),
        plaintext=settings.grpc_insecure_plaintext,
        limits=CallerLimits(
            registrations_per_minute=settings.registrations_per_minute,
            token_calls_per_s=settings.token_calls_per_s,
            streams_per_workspace=settings.streams_per_workspace,
        ),
        reflection=settings.grpc_reflection,
        endpoints=EndpointRules(
            allow_http_loopback=settings.allow_http_loopback,
            timeout_ms=settings.default_timeout_ms,
            max_retries=settings.default_max_retries,
        ),
        database_threads=database_threads,
        reads_share=settings.reads_share,
    )
