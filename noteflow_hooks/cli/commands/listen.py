"""`listen`: a receiver on this machine that checks both signatures and prints what comes."""

from __future__ import annotations

import contextlib
import json
import shlex
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click
from click.core import ParameterSource

from noteflow_hooks.cli.commands.forwarded import forward
from noteflow_hooks.cli.support.endpoint_options import header_option
from noteflow_hooks.cli.support.formats import attributes, format_of
from noteflow_hooks.cli.support.helping import Command, example
from noteflow_hooks.cli.support.options import Moment, remote_options, secret_option
from noteflow_hooks.cli.support.output import pretty_json
from noteflow_hooks.cli.support.program import program_name
from noteflow_hooks.cli.support.receiver import UNREADABLE, Received, Receiver, Reply
from noteflow_hooks.domain.attempts import SUCCESS
from noteflow_hooks.domain.challenges import VERIFICATION
from noteflow_hooks.domain.events import PUBLISHABLE
from noteflow_hooks.domain.secrets import check_secret
from noteflow_hooks.errors import NoteFlowHooksError
from noteflow_hooks.printable import escape
from noteflow_hooks.signing import generate_secret, verify_signature, verify_standard

if TYPE_CHECKING:
    from collections.abc import Callable

_OK: Final = 200
#: Requests come in threads of their own; what is printed of one stays together.
_printing: Final = threading.Lock()


@click.command(cls=Command)
@example(
    "listen --port 8787 --status 204",
    "listen --forward-to http://localhost:3000/hooks --events meeting.completed --since 5m",
)
@remote_options
@click.option("--port", type=click.IntRange(0, 65_535), default=8787, show_default=True, help="0 takes a free one.")
@secret_option("What signatures are checked, or made, with; else a new one.")
@click.option("--status", type=click.IntRange(200, 599), default=200, show_default=True, help="What to answer.")
@click.option("--forward-to", metavar="URL", help="Post the workspace's events there, from this machine.")
@click.option("--events", metavar="TYPES", help="Forward these types alone, separated by commas.")
@click.option("--webhook", metavar="NAME|ID", help="Forward what this endpoint gets, in its format.")
@click.option("--since", type=Moment(), help="Forward first what was stored since: ISO 8601, or 5m ago.")
@header_option("Send this header with each that is forwarded; can be given several times.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to print them.")
@click.pass_context
def listen(ctx: click.Context, /, *, port: int, secret: str | None, status: int, **forwarded: Any) -> None:  # noqa: ANN401 - each option has its own type
    """Receive webhooks on this machine, verify and print them, until Ctrl-C; or forward events to a program here.

    What can't be read, as a body that is no JSON, is answered with 400, whatever --status says. A challenge that is
    signed, or comes unsigned, is given back, unless --status says that it fails.

    With --forward-to, events come from the server over gRPC and are posted from here, signed with --secret: no tunnel
    is needed, no endpoint has to be registered, and the server writes nothing. It goes on where it was when the
    connection breaks; what the receiver does not take is not posted again.
    """
    _check_together(ctx, forwards=forwarded["forward_to"] is not None)
    secret = generate_secret() if secret is None else check_secret(secret)
    if forwarded["forward_to"] is not None:
        forward(secret=secret, is_own=ctx.params["secret"] is None, **forwarded)
    else:
        _receive(port=port, secret=secret, status=status)


def _check_together(ctx: click.Context, *, forwards: bool) -> None:
    """Raise UsageError for an option that belongs to the other half of the command."""
    others = ("port", "status") if forwards else ("events", "webhook", "since", "header", "form")
    for name in others:
        if ctx.get_parameter_source(name) not in (ParameterSource.DEFAULT, None):
            option = "--format" if name == "form" else f"--{name}"
            raise click.UsageError(f"{option} goes {'without' if forwards else 'with'} --forward-to")


def _receive(*, port: int, secret: str, status: int) -> None:
    """Receive, until interrupted."""

    def answer(received: Received) -> int | Reply:
        code = status if is_json(received.body) else UNREADABLE
        given = answer_to(received, secret=secret) if code in SUCCESS else None
        with _printing:
            click.echo(described(received, secret=secret, status=code))
        # A 204 would have no body.
        return code if given is None else Reply(_OK, given)

    receiver = _receiver(answer, port)
    click.echo(_welcome(receiver.url, secret))
    with contextlib.closing(receiver), contextlib.suppress(KeyboardInterrupt):
        receiver.serve()


def described(received: Received, *, secret: str, status: int) -> str:
    """Return what is printed of a request."""
    headers = received.headers
    signature = headers.get("x-noteflow-signature")
    standard = headers.get("webhook-signature")
    found = format_of(received)
    event_type = headers.get("x-noteflow-event", f"{found} message" if found.is_preset else "no event type")
    lines = [
        f"{datetime.now(UTC).isoformat(timespec='milliseconds')}  {event_type}",
        f"  delivery               {headers.get('x-noteflow-delivery', '-')}",
        f"  format                 {found}",
        *(f"  {name:22} {value}" for name, value in attributes(received).items()),
        f"  X-NoteFlow-Signature   {_verdict(signature, verify_signature(received.body, signature or '', secret))}",
        f"  Standard Webhooks      {_verdict(standard, verify_standard(received.body, headers, secret))}",
        *_batch_lines(received),
        f"  answered               {status}",
    ]
    head = "\n".join(map(escape, lines))
    return f"{head}\n{pretty_json(received.body.decode('utf-8', 'backslashreplace'))}\n"


def _batch_lines(received: Received) -> list[str]:
    """Return a line for the batch and one for each of its events; none where it is no batch."""
    count = received.headers.get("x-noteflow-batch")
    if count is None:
        return []
    events = _events(received.body)
    lines = [f"  - {_words(each)}" for each in events]
    said = "" if count == str(len(events)) else f", though it says {count}"
    return [f"  batch of               {len(events)}{said}", *lines]


def _events(body: bytes) -> list[Any]:
    """Return the events of a batch, in whichever format; none where the body is no batch."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return []
    events = found.get("events") if isinstance(found, dict) else found
    return events if isinstance(events, list) else []


def _words(event: Any) -> str:  # noqa: ANN401 - whatever a stranger has sent
    if not isinstance(event, dict):
        return "no event"
    sequence = f"  sequence {event['sequence']}" if event.get("sequence") is not None else ""
    return f"{event.get('id')}  {event.get('type')}{sequence}"


def answer_to(received: Received, *, secret: str) -> bytes | None:
    """Return what answers a challenge; None where the request has none, or is signed with another secret."""
    headers, body = received.headers, received.body
    signature, standard = headers.get("x-noteflow-signature"), headers.get("webhook-signature")
    is_good = verify_signature(body, signature or "", secret) or verify_standard(body, headers, secret)
    if not is_good and not (signature is None and standard is None):
        return None
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        return None
    challenge = _challenge_in(payload)
    return None if challenge is None else json.dumps({"challenge": challenge}).encode()


def _challenge_in(payload: Any) -> str | None:  # noqa: ANN401 - whatever JSON has
    """Return the challenge of a verification; in other formats than ``noteflow`` it is in ``data``."""
    if not isinstance(payload, dict):
        return None
    if payload.get("event") == VERIFICATION and isinstance(payload.get("challenge"), str):
        return str(payload["challenge"])
    return _challenge_in(payload.get("data"))


def is_json(body: bytes) -> bool:
    """Tell whether the body is JSON, in UTF-8."""
    try:
        json.loads(body.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(constant: str) -> NoReturn:
    """Refuse what Python reads beyond JSON: NaN and the infinities."""
    raise ValueError(constant)


def _verdict(signature: str | None, is_good: bool) -> str:  # noqa: FBT001 - private, and clear where it is called
    if signature is None:
        return "absent"
    return "verified" if is_good else "WRONG: not made with this secret, or not over these bytes"


def _receiver(answer: Callable[[Received], int | Reply], port: int) -> Receiver:
    try:
        return Receiver(answer, port=port)
    except OSError as error:
        raise NoteFlowHooksError(f"--port is {port}, where this can't listen: {error.strerror}") from None


def _welcome(url: str, secret: str) -> str:
    register = f"{program_name()} webhooks add {url} --secret {shlex.quote(secret)}"
    return f"""\
listening on {url}, which a server takes while NOTEFLOW_HOOKS_ALLOW_HTTP_LOOPBACK is set (`up` sets it).
To register it, in another terminal:

  {register} --events {",".join(PUBLISHABLE)}

Ctrl-C ends it.
"""
