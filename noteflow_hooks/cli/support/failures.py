"""From errors to exit codes: whatever can be expected to go wrong is one line on stderr, never a traceback."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final

import click

from noteflow_hooks.errors import (
    ClosedConnectionError,
    InvalidInputError,
    NoteFlowHooksError,
    UnauthenticatedError,
    UnavailableError,
    UnencryptedError,
)
from noteflow_hooks.printable import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

DONE: Final = 0
FAILED: Final = 1
WRONG_USE: Final = 2
#: What a shell reports for a process that SIGINT ended.
INTERRUPTED: Final = 130
#: Which options help; the client's errors name none, since programs read them too.
_REMEDIES: Final[dict[type[Exception], str]] = {
    UnauthenticatedError: ", in --token or NOTEFLOW_HOOKS_TOKEN",
    ClosedConnectionError: " (--tls-ca, --tls-cert)",
    UnencryptedError: ": give --tls-ca FILE or --tls-ca system, or --insecure to send it all the same",
}


def run(command: click.Command, arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code; a command may return one itself."""
    try:
        result = command.main(list(arguments), prog_name="noteflow-hooks", standalone_mode=False)
        # A reader that has left shows here at the latest, and not in an interpreter that ends.
        if sys.stdout is not None:
            sys.stdout.flush()
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        return _left_alone()
    except (click.ClickException, NoteFlowHooksError, OSError, UnicodeError) as error:
        return _report(error)
    return result if isinstance(result, int) else DONE


def _report(error: Exception) -> int:
    """Say what went wrong and return the exit code for it."""
    match error:
        case click.exceptions.NoArgsIsHelpError():
            error.show()
            return WRONG_USE
        case click.UsageError():
            return _say(_usage(error), WRONG_USE)
        case click.ClickException():
            return _say(error.format_message(), FAILED)
        case UnicodeError():
            return _say("an argument, or what was read, is not valid UTF-8 text", WRONG_USE)
        case InvalidInputError():
            return _say(str(error), WRONG_USE)
        case _:
            return _say(f"{error}{_detail(error)}{_remedy(error)}", FAILED)


def _remedy(error: Exception) -> str:
    """Return by which options of ours it may be mended; the client that raised it knows of none."""
    return next((remedy for kind, remedy in _REMEDIES.items() if isinstance(error, kind)), "")


def _detail(error: Exception) -> str:
    """Return what an operator may know beyond the error's own words."""
    detail = error.detail if isinstance(error, UnavailableError) else ""
    return f": {' '.join(detail.split())}" if detail else ""


def _say(line: str, code: int) -> int:
    # A server may have said it, or it repeats what somebody else wrote.
    shown = escape(line, keep="\n")
    click.echo(f"noteflow-hooks: {shown}", err=True)
    return code


def _usage(error: click.UsageError) -> str:
    message = " ".join(error.format_message().split()).removesuffix(".")
    # Not what they are: a secret, maybe, without its option.
    message = re.sub(r"^(Got unexpected extra arguments?) \(.*\)$", r"\1", message)
    return f"{message} (see {error.ctx.command_path} --help)" if error.ctx is not None else message


def _left_alone() -> int:
    """Whoever read our output has had enough: end quietly, and keep Python from flushing into nothing."""
    sys.stdout = open("/dev/null", "w", encoding="utf-8")  # noqa: SIM115, PTH123 - for the rest of the process
    return FAILED
