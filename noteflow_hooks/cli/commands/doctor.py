"""The command: finds the system, has it examined, and shows what came of it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from noteflow_hooks.cli.doctor import broker, database, endpoints, flow, mails, place, server
from noteflow_hooks.cli.doctor.broker import Broker
from noteflow_hooks.cli.doctor.examination import examine
from noteflow_hooks.cli.doctor.findings import State
from noteflow_hooks.cli.support.failures import DONE, FAILED
from noteflow_hooks.cli.support.helping import Command, example
from noteflow_hooks.cli.support.options import as_json
from noteflow_hooks.cli.support.output import show_json
from noteflow_hooks.cli.support.screen import screen
from noteflow_hooks.cli.support.tables import with_text_behind
from noteflow_hooks.domain.contacts import check_address
from noteflow_hooks.printable import cell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from noteflow_hooks.cli.doctor.findings import Verdict
    from noteflow_hooks.cli.doctor.place import Place


@click.command(cls=Command)
@example("doctor", "doctor --json", "doctor --mail-to ops@example.com")
@click.option("--mail-to", metavar="ADDRESS", help="Send a mail there, by the mail server of the settings.")
@as_json
def doctor(*, mail_to: str | None, as_json: bool) -> int:
    """Check what deliveries need, in a few seconds, and say what to do where something is wrong.

    It looks at the system of the settings, as `serve` and the workers read them; where they name no database, at that
    of a running `up`. It changes nothing, and sends nothing but the mail that is asked for. It exits with 1 if anything
    has failed; warnings are no failures.
    """
    if mail_to is not None:
        check_address(mail_to, field="--mail-to")
    verdicts = _examined(place.find(), mail_to)
    _show(verdicts, as_json=as_json)
    broken = sum(each.state is State.FAILED for each in verdicts.values())
    if broken:
        click.echo(f"noteflow-hooks: {broken} of {len(verdicts)} checks failed", err=True)
    return FAILED if broken else DONE


def _examined(there: Place, mail_to: str | None) -> Mapping[str, Verdict]:
    with database.opened(there.settings) as parts, closing(Broker(there.settings)) as redis:
        stored = [
            place.check(there),
            *database.checks(there.settings, parts),
            *flow.checks(there.settings, parts),
            *endpoints.checks(there.settings, parts),
            *mails.checks(there.settings, parts),
        ]
        mail_server = mails.server_checks(there.settings, mail_to=mail_to)
        return examine([stored, broker.checks(redis), [server.check(there)], mail_server])


def _show(verdicts: Mapping[str, Verdict], *, as_json: bool) -> None:
    if as_json:
        show_json([_object(name, each) for name, each in verdicts.items()])
    else:
        rows = [(each.state, name, _line(each)) for name, each in verdicts.items()]
        where = screen()
        click.echo(with_text_behind(rows, ("STATE", "CHECK", "FOUND"), screen=where), color=where.has_colours)


def _object(name: str, verdict: Verdict) -> dict[str, Any]:
    return {
        "check": name,
        "state": verdict.state,
        "found": verdict.found,
        "advice": verdict.advice,
        "numbers": dict(verdict.numbers),
    }


def _line(verdict: Verdict) -> str:
    return cell(f"{verdict.found}; {verdict.advice}" if verdict.advice is not None else verdict.found)
