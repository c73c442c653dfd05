"""The options that say what an endpoint is told: `webhooks add` and `webhooks update` share them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import click

from noteflow_hooks.cli.support.options import standard_input
from noteflow_hooks.domain.contacts import Digest
from noteflow_hooks.domain.endpoint_keys import Signing
from noteflow_hooks.domain.options import BATCH_MAX, BATCH_WAIT_MS, NO_BATCHES, Format, OnDead, Ordering
from noteflow_hooks.domain.payload_versions import PAYLOAD_VERSION
from noteflow_hooks.domain.webhooks import MAX_CONCURRENCY, MAX_RETRIES, RATE_LIMIT_PER_S, TIMEOUT_MS
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
Pair: TypeAlias = tuple[str, str]

#: None of these messages repeats what was given: it may be a secret.
_FORM: Final = "'Name: value' is needed, with a colon"

timeout_option = click.option(
    "--timeout-ms",
    type=click.IntRange(TIMEOUT_MS.start, TIMEOUT_MS.stop - 1),
    help="How long one attempt may take.",
)
retries_option = click.option(
    "--max-retries",
    type=click.IntRange(MAX_RETRIES.start, MAX_RETRIES.stop - 1),
    help="The most attempts of a delivery, the first one included.",
)
rate_option = click.option(
    "--rate-limit-per-s",
    type=click.FloatRange(*RATE_LIMIT_PER_S),
    help="The most requests a second.",
)
concurrency_option = click.option(
    "--max-concurrency",
    type=click.IntRange(MAX_CONCURRENCY.start, MAX_CONCURRENCY.stop - 1),
    help="The most requests at once.",
)
_CERTIFICATES: Final = {
    "client-certificate": "Show the certificate in this file to the receiver, those behind it included.",
    "client-key": "The file with the certificate's key, unencrypted.",
    "server-ca": "Trust the authorities in this file alone for this endpoint, up to five.",
}
payload_version_option = click.option(
    "--payload-version",
    type=click.IntRange(PAYLOAD_VERSION.start, PAYLOAD_VERSION.stop - 1),
    help="The version of payloads to send; the newest where a registration names none.",
)
signing_option = click.option(
    "--signing",
    type=click.Choice([each.value for each in Signing]),
    help="What signs: its secret (hmac), a key pair that the server makes and shows the public key of, or both.",
)


_OPTIONS: Final[Sequence[tuple[str, dict[str, Any]]]] = (
    ("--filter", {"metavar": "CEL", "help": "Send only events for which this expression is true; '' for all."}),
    ("--format", {"type": click.Choice([each.value for each in Format]), "help": "In which shape events are sent."}),
    (
        "--batch-max",
        {
            "type": click.IntRange(NO_BATCHES, BATCH_MAX.stop - 1),
            "help": f"The most events in a request, {BATCH_MAX.start} or more; {NO_BATCHES} sends each alone.",
        },
    ),
    (
        "--batch-wait-ms",
        {
            "type": click.IntRange(BATCH_WAIT_MS.start, BATCH_WAIT_MS.stop - 1),
            "help": "How long the first event of a batch waits for others.",
        },
    ),
    (
        "--batch-partial/--no-batch-partial",
        {"default": None, "help": "Whether an answer may name those of a batch that have failed."},
    ),
    (
        "--ordering",
        {
            "type": click.Choice([each.value for each in Ordering]),
            "help": "Whether an event waits for its meeting's earlier ones.",
        },
    ),
    (
        "--contact",
        {"metavar": "ADDRESS", "help": "Who hears by mail of its trouble, once the address has confirmed."},
    ),
    ("--digest", {"type": click.Choice([each.value for each in Digest]), "help": "How often that gets a summary."}),
    (
        "--on-dead",
        {"type": click.Choice([each.value for each in OnDead]), "help": "What follows a dead one of the same meeting."},
    ),
    (
        "--send-traceparent/--no-send-traceparent",
        {"default": None, "help": "Whether requests have the traceparent of their event."},
    ),
)


def behaviour_options(command: Decorated) -> Decorated:
    """Add filter, format, batches, order, contact, and what else is off where nobody asks for it."""
    for name, settings in reversed(_OPTIONS):
        command = click.option(name, **settings)(command)
    return command


def certificate_options(command: Decorated) -> Decorated:
    """Add the files of a client certificate, its key, and the authorities that vouch for the receiver."""
    for name, what in reversed(_CERTIFICATES.items()):
        command = click.option(f"--{name}", metavar="FILE|-", type=_PemFile(), help=f"{what} - reads standard input.")(
            command
        )
    return command


def headers_options(command: Decorated) -> Decorated:
    """Add ``--header`` and ``--headers-file``; :func:`given_headers` puts together what they were given."""
    one = header_option("Send this header with every request; can be given several times.")
    file = click.option(
        "--headers-file",
        metavar="FILE|-",
        type=_HeadersFile(),
        help="Send the headers in this file, one a line, as 'Name: value'. - reads standard input.",
    )
    return one(file(command))


def header_option(what: str) -> Callable[[Decorated], Decorated]:
    """Add ``--header`` alone."""
    return click.option(
        "--header",
        "header",
        metavar="'NAME: VALUE'",
        type=_Header(),
        multiple=True,
        help=f"{what} `ps` shows it to everybody.",
    )


def given_headers(header: tuple[Pair, ...], headers_file: tuple[Pair, ...] | None) -> list[pb.Header]:
    """Return the headers of both options, the command line's first."""
    return [pb.Header(name=name, value=value) for name, value in (*header, *(headers_file or ()))]


class _Header(click.ParamType[Pair]):
    """One header; the server says what it may hold."""

    name = "header"

    def convert(self, value: str | Pair, param: click.Parameter | None, ctx: click.Context | None) -> Pair:
        """Return the name and the value."""
        if isinstance(value, tuple):
            return value
        return _split(value) or self.fail(_FORM, param, ctx)


class _PemFile(click.ParamType[str]):
    """A file of PEM, or ``-`` for standard input; the server says what it may hold."""

    name = "file"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text."""
        try:
            text = _text(value)
        except UnicodeError:
            self.fail("it is not valid UTF-8 text", param, ctx)
        except (OSError, ValueError) as error:
            self.fail(f"can't read {value!r}: {getattr(error, 'strerror', None) or error}", param, ctx)
        return text if text.strip() else self.fail("it is empty", param, ctx)


class _HeadersFile(click.ParamType[tuple[Pair, ...]]):
    """A file of headers, or ``-`` for standard input."""

    name = "file"

    def convert(
        self, value: str | tuple[Pair, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Pair, ...]:
        """Return the headers, at least one."""
        if isinstance(value, tuple):
            return value
        headers = tuple(
            _split(line) or self.fail(f"line {number}: {_FORM}", param, ctx)
            for number, line in enumerate(self._read(value, param, ctx).split("\n"), start=1)
            if line.strip()
        )
        return headers or self.fail("it holds no header", param, ctx)

    def _read(self, path: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return _text(path)
        except UnicodeError:
            self.fail("it is not valid UTF-8 text", param, ctx)
        except (OSError, ValueError) as error:
            self.fail(f"can't read {path!r}: {getattr(error, 'strerror', None) or error}", param, ctx)


def _text(path: str) -> str:
    return standard_input() if path == "-" else Path(path).read_text("utf-8")


def _split(line: str) -> Pair | None:
    """Return name and value, without the spaces around the value that HTTP takes for none of it."""
    name, colon, value = line.strip("\r").partition(":")
    return (name, value.strip(" \t")) if colon else None
