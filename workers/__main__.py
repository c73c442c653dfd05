"""``python -m workers worker …`` and ``python -m workers beat …``: Celery's own two commands, and nothing besides.

``celery -A workers.app`` does the same with all its other commands and those of its plugins: a web server, a shell and
their libraries, which take thirteen megabytes of each process and are of no use to these two.
"""

from __future__ import annotations

import gc
import sys
import warnings

# What is imported stays: looking through it for garbage again and again is a tenth of the start.
gc.disable()

# What is None there can't be imported. Where pygments is missing, Celery shows tables without colours, where yaml is,
# kombu reads no messages in YAML, and where charset_normalizer is, requests guesses at no body's encoding, and warns of
# that: some four megabytes, of no use here.
sys.modules.update(dict.fromkeys(("pygments", "yaml", "charset_normalizer")))  # type: ignore[arg-type]  # as said
warnings.filterwarnings("ignore", message="Unable to find acceptable character detection")

from celery import maybe_patch_concurrency  # noqa: E402 - as said

# Before anything else is imported: where the pool is gevent's, all that waits is to wait its way.
maybe_patch_concurrency()

import click  # noqa: E402 - as said
from celery.bin.base import CLIContext  # noqa: E402 - as said

del sys.modules["pygments"]
from celery.bin.beat import beat  # noqa: E402 - as said
from celery.bin.worker import worker  # noqa: E402 - as said

from workers.app import app as workers_app  # noqa: E402 - as said

gc.freeze()
gc.enable()


@click.group()
@click.option(
    "-A", "--app", type=click.Choice(["workers.app"]), default="workers.app", help="As Celery's own takes it."
)
@click.option("-q", "--quiet", is_flag=True, help="Print no banner.")
@click.pass_context
def main(context: click.Context, *, app: str, quiet: bool) -> None:  # noqa: ARG001 - there is one app
    """Run a worker, or beat."""
    context.obj = CLIContext(app=workers_app, no_color=False, workdir=None, quiet=quiet)


main.add_command(worker)
main.add_command(beat)

if __name__ == "__main__":
    main(prog_name="workers", auto_envvar_prefix="CELERY")
