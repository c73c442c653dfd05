"""`health`: whether a process of this machine is alive, and whether it is ready, for probes and people."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final, TypeAlias

import click

from noteflow_hooks.cli.health.answers import Answer, alive, all_of, beat_ready, worker_ready
from noteflow_hooks.cli.health.dashboard import check_alive
from noteflow_hooks.cli.health.signs import signs_of
from noteflow_hooks.cli.support.failures import DONE, FAILED
from noteflow_hooks.cli.support.helping import Command, example
from noteflow_hooks.cli.support.own_server import OwnServer, own_certificate, own_server
from noteflow_hooks.cli.support.remote import check_called
from noteflow_hooks.cli.support.variables import read_settings
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.local.addresses import is_target
from noteflow_hooks.rpc.server.probe import check_serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.concurrency.pulse import Signs
    from noteflow_hooks.settings import Settings

#: What is asked, in a word, and its two questions.
Asked: TypeAlias = "tuple[str, Callable[[], Answer], Callable[[], Answer]]"

_TIMEOUT_S: Final = 3.0
#: Within which a process must have shown that it goes on.
_WITHIN_S: Final = 30.0
#: The longest that an endpoint's `timeout_ms` may be.
_LONGEST_POST_S: Final = 30.0


@click.command(cls=Command)
@example("health", "health 127.0.0.1:50051", "health --worker celery --alive", "health --beat --ready")
@click.argument("address", metavar="[HOST:PORT]", required=False)
@click.option("--server", is_flag=True, help="The gRPC server of this machine, each of its processes.")
@click.option("--worker", metavar="NAME", help="That worker, as in celery@host; %h is this host's name.")
@click.option("--beat", is_flag=True, help="The beat.")
@click.option("--dashboard", is_flag=True, help="The dashboard at DASHBOARD_BIND.")
@click.option("--alive", "only_alive", is_flag=True, help="Only whether its own loop turns: for liveness probes.")
@click.option("--ready", "only_ready", is_flag=True, help="Only whether it does its work.")
@click.option(
    "--within",
    "within_s",
    type=click.FloatRange(min=0, min_open=True, max=86_400),
    default=_WITHIN_S,
    show_default=True,
    metavar="SECONDS",
    help="How long ago its last sign may be.",
)
def health(
    *,
    address: str | None,
    server: bool,
    worker: str | None,
    beat: bool,
    dashboard: bool,
    only_alive: bool,
    only_ready: bool,
    within_s: float,
) -> int:
    """Say whether a process of this machine is alive, and whether it is ready; it needs no token.

    Alive is a process whose own loop turns, also while PostgreSQL or Redis is away: restart one that is not, and no
    other. Ready is one that does its work: a worker has its queues and does what it takes, beat has sent what was due,
    a server serves. Without --alive or --ready it has to be both. Of a server, an address, or nothing at all, asks
    whether it serves, without an address the server of a running `up`, else that of GRPC_BIND. A server that asks its
    callers for a certificate asks here too: NOTEFLOW_HOOKS_TLS_CERT and NOTEFLOW_HOOKS_TLS_KEY name one.

    It exits with 0 for yes, 1 for no, 2 for a wrong command line.
    """
    _check_use(address, named=[server, worker is not None, beat, dashboard], both=only_alive and only_ready)
    settings = read_settings()
    if address is not None or not (server or beat or dashboard or worker is not None):
        if only_alive or only_ready:
            raise click.UsageError("--alive and --ready need --server, --worker, --beat or --dashboard")
        at = own_server(settings) if address is None else OwnServer(address, settings.grpc_tls_cert)
        _check_serving(at)
        click.echo(f"{at.address} is serving")
        return DONE
    if worker is not None:
        name = worker.replace("%h", socket.gethostname())
        what, is_alive, is_ready = _of_worker(settings, name, within_s)
    elif server:
        what, is_alive, is_ready = _of_server(settings, within_s)
    else:
        what, is_alive, is_ready = _of_beat(settings, within_s) if beat else _of_dashboard(settings)
    return _say(what, is_alive=None if only_ready else is_alive, is_ready=None if only_alive else is_ready)


def _check_use(address: str | None, *, named: list[bool], both: bool) -> None:
    if address is not None and not is_target(address):
        raise click.UsageError(f"{address!r} is no address; it must be HOST:PORT, such as 127.0.0.1:50051")
    if sum(named) + (address is not None) > 1:
        raise click.UsageError("name one of HOST:PORT, --server, --worker, --beat and --dashboard")
    if both:
        raise click.UsageError("without --alive and --ready it says both")


def _of_worker(settings: Settings, name: str, within_s: float) -> Asked:
    [signs] = signs_of(settings, "worker", name)
    # For so long a delivery may be its worker's.
    longest_s = _LONGEST_POST_S + settings.lease_slack_s
    return (
        signs.name,
        lambda: alive(signs, within_s=within_s, task_s=longest_s),
        lambda: worker_ready(signs, within_s=within_s),
    )


def _of_beat(settings: Settings, within_s: float) -> Asked:
    [signs] = signs_of(settings, "beat")
    return "beat", lambda: alive(signs, within_s=within_s), lambda: beat_ready(signs)


def _of_server(settings: Settings, within_s: float) -> Asked:
    own = own_server(settings)

    def loops() -> Answer:
        # By the setting's own words: it may listen everywhere.
        names = dict.fromkeys((settings.grpc_bind, own.address))
        return all_of(alive(each, within_s=within_s) for each in _first(settings, names))

    return f"server {own.address}", loops, lambda: _answer(lambda: _check_serving(own), "it is serving")


def _first(settings: Settings, names: dict[str, None]) -> list[Signs]:
    *others, last = names
    for name in others:
        try:
            return signs_of(settings, "server", name)
        except UnavailableError:
            continue
    return signs_of(settings, "server", last)


def _of_dashboard(settings: Settings) -> Asked:
    def answers() -> Answer:
        return _answer(lambda: check_alive(settings, timeout_s=_TIMEOUT_S), "it answers")

    def serves() -> Answer:
        found = answers()
        # Of the server that the dashboard calls: both read the same settings.
        return _answer(lambda: check_called(timeout_s=_TIMEOUT_S), "its server is serving") if found.is_yes else found

    return "dashboard", answers, serves


def _check_serving(server: OwnServer) -> None:
    check_serving(server.address, timeout_s=_TIMEOUT_S, certificate=server.certificate, own=own_certificate())


def _answer(check: Callable[[], object], yes: str) -> Answer:
    try:
        check()
    except UnavailableError as error:
        return Answer(is_yes=False, why=str(error))
    return Answer(is_yes=True, why=yes)


def _say(what: str, *, is_alive: Callable[[], Answer] | None, is_ready: Callable[[], Answer] | None) -> int:
    asked = (("alive", is_alive), ("ready", is_ready))
    answers = [(word, ask()) for word, ask in asked if ask is not None]
    said = [f"{'' if each.is_yes else 'not '}{word} ({each.why})" for word, each in answers]
    is_yes = all(each.is_yes for _, each in answers)
    click.echo(f"{what} is {' and '.join(said)}", err=not is_yes)
    return DONE if is_yes else FAILED
