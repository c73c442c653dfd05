"""`exporter`: what the rows say, for Prometheus; in the foreground, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Final

import click

from noteflow_hooks import logs
from noteflow_hooks.cli.support.helping import Command, example
from noteflow_hooks.cli.support.variables import read_settings
from noteflow_hooks.errors import NoteFlowHooksError, SettingsError
from noteflow_hooks.telemetry.starting import has_client

if TYPE_CHECKING:
    from noteflow_hooks.exporter.collector import ExporterCollector
    from noteflow_hooks.settings import Settings

_BIND: Final = "127.0.0.1:9464"
#: A statement that takes longer is given up, and the database counts as away.
_ANSWER_WITHIN_S: Final = 5


@click.command(cls=Command)
@example("exporter", "exporter --bind 0.0.0.0:9464")
@click.option("--bind", default=_BIND, show_default=True, help="The address and port at which /metrics is answered.")
def exporter(*, bind: str) -> None:
    """Answer /metrics for Prometheus with what the database and Redis say, until SIGTERM or Ctrl-C.

    It reads and changes nothing; one is enough, and two say the same. While the database or Redis is away it goes on
    answering, and says so. It needs the extra `metrics`: pip install 'noteflow-hooks[metrics]'.
    """
    if not has_client():
        raise NoteFlowHooksError("the exporter needs one more package: pip install 'noteflow-hooks[metrics]'")
    settings = read_settings()
    logs.configure(settings.log_format)
    settings.require("database_url", "redis_url")
    _check(bind)
    _serve(settings, bind)


def _check(bind: str) -> None:
    host, _, port = bind.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:  # noqa: PLR2004 - the highest port
        raise SettingsError(f"--bind is '{bind}'; it may hold an address and a port, such as {_BIND}")


def _serve(settings: Settings, bind: str) -> None:
    from noteflow_hooks.telemetry.answering import MetricsServer  # noqa: PLC0415 - only this command needs it

    ended = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: ended.set())
    collector = _collector(settings)
    server = MetricsServer(bind, collector)
    try:
        address = server.listen()
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (")[0]
        raise SettingsError(f"--bind is '{bind}': can't listen there: {reason}") from None
    threading.Thread(target=collector.ask_on, args=[ended], name="broker", daemon=True).start()
    click.echo(f"/metrics is answered on {address}")
    ended.wait()
    server.close()


def _collector(settings: Settings) -> ExporterCollector:
    # All that only this command needs.
    from noteflow_hooks import bootstrap  # noqa: PLC0415 - as said
    from noteflow_hooks.crypto import SecretBox, key_id, parse_keys  # noqa: PLC0415 - as said
    from noteflow_hooks.exporter.broker import BrokerLooks  # noqa: PLC0415 - as said
    from noteflow_hooks.exporter.certificates import end_of  # noqa: PLC0415 - as said
    from noteflow_hooks.exporter.collector import ExporterCollector  # noqa: PLC0415 - as said
    from noteflow_hooks.exporter.database import DatabaseLooks  # noqa: PLC0415 - as said

    engine = bootstrap.engine_of(settings, connections=2, answer_within_s=_ANSWER_WITHIN_S)
    names = SecretBox(parse_keys(settings.secret_keys)).key_ids

    def state_of(sealed: bytes) -> str:
        name = key_id(sealed)
        return "missing" if name not in names else "current" if name == names[0] else "old"

    database = DatabaseLooks(engine, state_of=state_of if names else None)
    return ExporterCollector(
        database.look,
        BrokerLooks(settings.redis).look,
        server_certificate_end=lambda: end_of(settings.grpc_tls_cert),
    )
