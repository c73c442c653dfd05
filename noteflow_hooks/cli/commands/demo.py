"""`demo`: a meeting on a system of its own, whose four events must arrive, signed, at a receiver of its own."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

import click

from noteflow_hooks.cli.demo.ledger import Ledger
from noteflow_hooks.cli.demo.meeting import hold_meeting, register
from noteflow_hooks.cli.demo.next_steps import next_steps
from noteflow_hooks.cli.demo.places import demo_folder, trusted_certificate
from noteflow_hooks.cli.demo.report import Report, report
from noteflow_hooks.cli.support.helping import Command, example
from noteflow_hooks.cli.support.interruption import Interruption
from noteflow_hooks.cli.support.options import as_json
from noteflow_hooks.cli.support.output import show_json
from noteflow_hooks.cli.support.program import program_name
from noteflow_hooks.cli.support.receiver import HOST, Receiver
from noteflow_hooks.client import connect
from noteflow_hooks.crypto import generate_key
from noteflow_hooks.local.stack import System, forget_foreign_variables
from noteflow_hooks.local.stack.background import until
from noteflow_hooks.local.stack.ports import free_address

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from noteflow_hooks.client import Client

#: How long the four events may take to arrive. They take a fraction of a second.
_ARRIVAL_S: Final = 30.0
_FAILED: Final = 1


@click.command(cls=Command)
@example("demo")
@as_json
def demo(*, as_json: bool) -> int:
    """See a meeting's four events delivered and verified, on servers of its own, which are gone afterwards."""
    logging.basicConfig(level=logging.WARNING, format="noteflow-hooks: %(message)s")
    forget_foreign_variables()
    started_at = time.monotonic()
    say: Callable[[str], None] = (lambda _: None) if as_json else click.echo
    with Interruption() as interruption, demo_folder() as folder:
        result = _run(folder, say=say, check=interruption.check)
    if as_json:
        show_json(result.rows)
    else:
        say(f"{result.text}\n\n{result.verdict} in {time.monotonic() - started_at:.1f} s")
        if result.is_good:
            say(f"\n{next_steps(program_name())}")
    return 0 if result.is_good else _FAILED


def _run(folder: Path, *, say: Callable[[str], None], check: Callable[[], None]) -> Report:
    """Start everything, hold the meeting, and wait for what comes of it."""
    ledger = Ledger()
    context, ca_bundle = trusted_certificate(folder)
    with Receiver(ledger.answer, tls=context) as receiver, System(folder, throwaway=True) as system:
        say("starting PostgreSQL, Valkey, a gRPC server, a Celery worker and beat ...")
        system.start(_settings(ca_bundle), check=check)
        with connect(system.grpc, system.identity.token) as client:
            webhook = register(client, receiver.url)
            ledger.secret = webhook.secret

            def alive() -> None:
                check()
                system.check()

            say(f"registered {webhook.url}; a meeting is created, recorded, summarised and stopped ...")
            hold_meeting(client)
            return _outcome(client, webhook.id, ledger, check=alive)


def _outcome(client: Client, webhook_id: str, ledger: Ledger, *, check: Callable[[], Any]) -> Report:
    """Return the report once it is good, or as it is when time is up."""
    latest = report(client, webhook_id, ledger)

    def is_good() -> bool:
        nonlocal latest
        latest = report(client, webhook_id, ledger)
        return latest.is_good

    until(is_good, check=check, timeout_s=_ARRIVAL_S)
    return latest


def _settings(ca_bundle: Path) -> dict[str, Any]:
    return {
        "grpc_bind": free_address(),
        "grpc_reflection": True,
        "secret_keys": generate_key(),
        # https to this machine, which the egress rules would else refuse, and the authority that was made for it.
        "egress_allow": f"{HOST}/32",
        "ca_bundle": ca_bundle,
    }
