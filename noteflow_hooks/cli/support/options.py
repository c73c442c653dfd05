"""Options that several commands share."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from noteflow_hooks.cli.support.helping import ConnectionOption
from noteflow_hooks.cli.support.screen import WIDE
from noteflow_hooks.domain.paging import DEFAULT_PAGE_SIZE
from noteflow_hooks.errors import NoteFlowHooksError

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

SERVER: Final = "noteflow_hooks.server"
TOKEN: Final = "noteflow_hooks.token"  # noqa: S105 - where the option is kept, no token
TLS_CA: Final = "noteflow_hooks.tls_ca"
TLS_CERT: Final = "noteflow_hooks.tls_cert"
TLS_KEY: Final = "noteflow_hooks.tls_key"
INSECURE: Final = "noteflow_hooks.insecure"
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

limit_option = click.option(
    "--limit", type=click.IntRange(1), default=DEFAULT_PAGE_SIZE, show_default=True, help="The most to list."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def table_options(command: Decorated) -> Decorated:
    """Add ``--json`` and ``--wide``, for what lists."""
    wide = click.option(
        "--wide",
        is_flag=True,
        expose_value=False,
        callback=_note_wide,
        help="Show all of each cell, however wide the table becomes.",
    )
    return as_json(wide(command))


def _note_wide(ctx: click.Context, _: click.Parameter, value: object) -> None:
    if value:
        ctx.meta[WIDE] = True


def _keep(key: str) -> Callable[[click.Context, click.Parameter, object], None]:
    """Keep the value for the whole command line; the one that stands last on it counts."""

    def keep(ctx: click.Context, _: click.Parameter, value: object) -> None:
        if value is not None:
            ctx.meta[key] = value

    return keep


def remote_options(command: Decorated) -> Decorated:
    """Add ``--server``, ``--token`` and those of TLS; ``cli.support.remote`` looks at what is given."""
    token = click.option(
        "--token",
        cls=ConnectionOption,
        expose_value=False,
        callback=_keep(TOKEN),
        help="An API token; else NOTEFLOW_HOOKS_TOKEN, else that of `up`.",
    )
    return _server_option(token(_tls_options(command)))


def server_options(command: Decorated) -> Decorated:
    """Add these without ``--token``, for whoever calls with other people's."""
    return _server_option(_tls_options(command))


def _server_option(command: Decorated) -> Decorated:
    server = click.option(
        "--server",
        cls=ConnectionOption,
        metavar="HOST:PORT",
        expose_value=False,
        callback=_keep(SERVER),
        help="The gRPC server; else NOTEFLOW_HOOKS_SERVER, else that of `up`, else the one at GRPC_BIND.",
    )
    return server(command)


def _tls_options(command: Decorated) -> Decorated:
    """Add what says how the server is known, and how the caller."""
    ca = click.option(
        "--tls-ca",
        cls=ConnectionOption,
        metavar="FILE|system",
        expose_value=False,
        callback=_keep(TLS_CA),
        help="Speak TLS, and trust these authorities, or the system's; else NOTEFLOW_HOOKS_TLS_CA.",
    )
    cert = click.option(
        "--tls-cert",
        cls=ConnectionOption,
        metavar="FILE",
        expose_value=False,
        callback=_keep(TLS_CERT),
        help="Your own certificate, for a server that wants one; else NOTEFLOW_HOOKS_TLS_CERT.",
    )
    key = click.option(
        "--tls-key",
        cls=ConnectionOption,
        metavar="FILE",
        expose_value=False,
        callback=_keep(TLS_KEY),
        help="Its key; else NOTEFLOW_HOOKS_TLS_KEY.",
    )
    insecure = click.option(
        "--insecure",
        cls=ConnectionOption,
        is_flag=True,
        default=None,
        expose_value=False,
        callback=_keep(INSECURE),
        help="Send the token to another machine without TLS; else NOTEFLOW_HOOKS_INSECURE=true.",
    )
    return ca(cert(key(insecure(command))))


def standard_input() -> str:
    """Return what ``-`` stands for, as UTF-8."""
    if sys.stdin is None:
        raise click.UsageError("- stands for standard input, which is closed")
    return sys.stdin.buffer.read().decode()


def text_of(source: str) -> str:
    """Return what is in a file, or what ``-`` stands for; say what is wrong with it where it can't be read."""
    if source == "-":
        return standard_input()
    try:
        return Path(source).read_text("utf-8")
    except UnicodeDecodeError:
        raise NoteFlowHooksError(f"{source} is not valid UTF-8 text") from None
    except (OSError, ValueError) as error:
        raise NoteFlowHooksError(f"{source} can't be read: {getattr(error, 'strerror', None) or error}") from None


def secret_option(what: str) -> Callable[[Decorated], Decorated]:
    """Add ``--secret``, which need not stand on the command line, where `ps` shows it to everybody."""
    return click.option(
        "--secret",
        metavar="SECRET|-",
        type=_Secret(),
        envvar="WEBHOOK_SECRET",
        show_envvar=True,
        help=f"{what} - reads it from standard input.",
    )


class UrlText(click.ParamType[str]):
    """A URL, or ``-`` for standard input: a chat's is a credential, and `ps` shows the command line to everybody."""

    name = "url"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the URL."""
        url = standard_input().strip() if value == "-" else value
        return url or self.fail("it is empty", param, ctx)


class Filled(click.ParamType[str]):
    """Text that is not empty: an empty filter would be none, and a script's unset variable would mean everything."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text."""
        return value or self.fail("it is empty", param, ctx)


webhook_argument = click.argument("webhook", metavar="NAME|ID")
webhook_option = click.option("--webhook", metavar="NAME|ID", help="Only this endpoint's.")
event_type_option = click.option("--event-type", type=Filled(), metavar="TYPE", help="Only those of this type.")


def period_options(command: Decorated) -> Decorated:
    """Add ``--since`` and ``--until``."""
    since = click.option("--since", type=Moment(), help="Only those made at this time or later: ISO 8601, or 2h ago.")
    until = click.option("--until", type=Moment(), help="Only those made before this time.")
    return since(until(command))


class _Secret(click.ParamType[str]):
    """A secret, or ``-`` for the line on standard input."""

    name = "secret"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the secret."""
        secret = standard_input().strip() if value == "-" else value
        return secret or self.fail("it is empty", param, ctx)


class FiniteRange(click.FloatRange):
    """A number within bounds; click's own lets NaN through, which compares false with both."""

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        number: float = super().convert(value, param, ctx)  # type: ignore[arg-type]  # it takes text, whatever it says
        return number if math.isfinite(number) else self.fail(f"{value!r} is no number", param, ctx)


class Moment(click.ParamType[datetime]):
    """A time: ISO 8601, in UTC where it names no zone, or so long ago: 90s, 30m, 2h, 7d."""

    name = "time"

    def convert(self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return an aware datetime."""
        if isinstance(value, datetime):
            return value
        try:
            return _ago(value) or _iso(value)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time; allowed: 2026-01-31T12:00:00Z, or 90s, 30m, 2h, 7d ago", param, ctx)


class Ahead(click.ParamType[datetime]):
    """A time that is still to come: ISO 8601, in UTC where it names no zone, or so long from now: 90s, 30m, 2h, 7d."""

    name = "time"

    def convert(self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return an aware datetime."""
        if isinstance(value, datetime):
            return value
        try:
            moment = _from_now(value) or _iso(value)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time; allowed: 2026-01-31T12:00:00Z, or 90s, 30m, 2h, 7d from now", param, ctx)
        return moment if moment > datetime.now(UTC) else self.fail(f"{value!r} is past", param, ctx)


class Length(click.ParamType[timedelta]):
    """A length of time: 90s, 30m, 2h, 7d."""

    name = "length"

    def convert(self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Return it."""
        if isinstance(value, timedelta):
            return value
        try:
            return _length(value) or self.fail(f"{value!r} is no length; allowed: 90s, 30m, 2h, 7d", param, ctx)
        except OverflowError:
            self.fail(f"{value!r} is too long", param, ctx)


def _ago(text: str) -> datetime | None:
    length = _length(text)
    return None if length is None else datetime.now(UTC) - length


def _from_now(text: str) -> datetime | None:
    length = _length(text)
    return None if length is None else datetime.now(UTC) + length


def _length(text: str) -> timedelta | None:
    found = re.fullmatch(r"([0-9]+)([smhd])", text)
    return found and timedelta(seconds=int(found[1]) * _UNITS[found[2]])


def _iso(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    # To UTC here, where the first and the last hours of what years there are can still be refused in a clear line.
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).astimezone(UTC)
