"""The list of commands. Each lives in the module of its name, which is imported only when that command runs."""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Final

import click

from noteflow_hooks import __version__
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.cli.support.groups import LazyGroup
from noteflow_hooks.cli.support.helping import example, write_whole
from noteflow_hooks.cli.support.options import remote_options
from noteflow_hooks.concurrency.identity import name_process

if TYPE_CHECKING:
    from typing import Never

#: What `--help` says of each, so that nothing has to be imported for it.
COMMANDS: Final = {
    "demo": "See a meeting's four events delivered and verified, on servers of its own.",
    "up": "Run the whole system on embedded servers, until Ctrl-C.",
    "serve": "Run the gRPC server.",
    "dashboard": "See in a browser what was delivered.",
    "exporter": "Answer /metrics for Prometheus.",
    "health": "Ask whether a process of this machine is alive, and ready.",
    "doctor": "Check what deliveries need, and say what to do where something is wrong.",
    "config": "See what is set and from where, and check it.",
    "migrate": "Bring the database to the newest schema.",
    "listen": "Receive webhooks on this machine and verify them, or forward events to a program here.",
    "trigger": "Make a real meeting's events, to try a receiver.",
    "bench": "Measure the whole system against a bare loop, in ratios.",
    "webhooks": "Register and change endpoints.",
    "deliveries": "Look at what was delivered, and send it again.",
    "events": "Publish and list events.",
    "meetings": "List meetings.",
    "stats": "See how much there was, what became of it, and how long it took.",
    "audit": "See who changed what.",
    "whoami": "See whose the token is, what it may do, and the limits.",
    "system": "See whether relay, sweep, workers and Redis are well.",
    "workspaces": "Make and list workspaces, in the database.",
    "tokens": "Make, list and revoke API tokens, in the database.",
    "keys": "Make keys for the stored secrets, and re-encrypt those, in the database.",
}


class _Root(LazyGroup):
    """The list of commands, whose help also says how a shell completes them."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Write where each shell reads it."""
        with formatter.section("Completion, for the shell's own start file"):
            write_whole(formatter, COMPLETION)


COMPLETION: Final = (
    'eval "$(_NOTEFLOW_HOOKS_COMPLETE=bash_source noteflow-hooks)"   # bash: ~/.bashrc',
    'eval "$(_NOTEFLOW_HOOKS_COMPLETE=zsh_source noteflow-hooks)"    # zsh: ~/.zshrc',
    "_NOTEFLOW_HOOKS_COMPLETE=fish_source noteflow-hooks | source    # fish: config.fish",
)


@click.group(
    cls=_Root,
    modules={name: f"noteflow_hooks.cli.commands.{name}" for name in COMMANDS},
    summaries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="noteflow-hooks")
@example("demo", "up", "webhooks add https://crm.example/hooks --name CRM", "deliveries tail")
@remote_options
def root() -> None:
    """Tell other systems what happens in NoteFlow's meetings, by signed and recorded webhooks.

    Settings are environment variables that start with NOTEFLOW_HOOKS_, or lines of .env. Endpoints go by name or id; of
    an id, as many characters are enough as make it the only one, but for what changes something.
    """


def main() -> Never:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong use, 130 interrupted."""
    # gRPC reads it when it is imported. What it would log of an error, beside our one line, is for its own developers.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    for stream in (sys.stdout, sys.stderr):
        # Python has None for a stream that was closed before it started.
        if stream is not None:
            # A terminal that can't show a character must not turn a result into an error.
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a TextIOWrapper here
    # What goes wrong is one line of the command's own; Python would print records of those that log nowhere, too.
    logging.getLogger("noteflow_hooks").addHandler(logging.NullHandler())
    name_process("cli", next((each for each in sys.argv[1:] if each in COMMANDS), ""))
    code = run(root, sys.argv[1:])
    # The command is done: a Ctrl-C from here on would only break into Python's own end, with a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)
