"""`listen`: a receiver on this machine that checks both signatures and prints what comes."""

from __future__ import annotations

import contextlib
import json
import shlex
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from noteflow_hooks.cli.support.formats import attributes, format_of
from noteflow_hooks.cli.support.helping import Command, example
from noteflow_hooks.cli.support.options import secret_option
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
@example("listen --port 8787 --status 204")
@click.option("--port", type=click.IntRange(0, 65_535), default=8787, show_default=True, help="0 takes a free one.")
@secret_option("The endpoint's secret; else a new one.")
@click.option("--status", type=click.IntRange(200, 599), default=200, show_default=True, help="What to answer.")
def listen(*, port: int, secret: str | None, status: int) -> None:
    """Receive webhooks on this machine, verify and print them, until Ctrl-C.

    What can't be read, as a body that is no JSON, is answered with 400, whatever --status says. A challenge that is
    signed, or comes unsigned, is given back, unless --status says that it fails.
    """
    secret = generate_secret() if secret is None else check_secret(secret)

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
