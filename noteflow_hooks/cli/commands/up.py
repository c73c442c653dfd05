"""`up`: the whole system on embedded servers, kept running until Ctrl-C, with its data kept for the next time."""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from noteflow_hooks.cli.support.dashboard_address import BIND, can_run
from noteflow_hooks.cli.support.helping import Command, example
from noteflow_hooks.cli.support.interruption import Interruption
from noteflow_hooks.cli.support.program import program_name
from noteflow_hooks.cli.support.variables import read_settings
from noteflow_hooks.errors import SettingsError
from noteflow_hooks.local.files import link_file
from noteflow_hooks.local.private import NotPrivateError
from noteflow_hooks.local.servers import EmbeddedServerError
from noteflow_hooks.local.stack import System, forget_foreign_variables, keep_running
from noteflow_hooks.local.stack.ports import free_address, why_not
from noteflow_hooks.local.stack.rotation import Rotation
from noteflow_hooks.local.up_state import UpState
from noteflow_hooks.rpc.server.transport import is_local
from noteflow_hooks.settings import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from noteflow_hooks.settings import Settings

#: Settings that are `up`'s own business, whatever the environment says. It speaks no TLS, and only to this machine.
_OURS: Final = {
    *("database_url", "redis_url", "secret_keys", "data_dir"),
    *("grpc_tls_cert", "grpc_tls_key", "grpc_tls_client_ca"),
    *("dashboard_tls_cert", "dashboard_tls_key", "dashboard_insecure_plaintext"),
}
#: Where the dashboard listens if nobody says otherwise, and nobody else does.
DASHBOARD: Final = "127.0.0.1:8088"
_DATA_DIR: Final = f"{PREFIX}DATA_DIR"


@click.command(cls=Command)
@example("up --workers 2")
@click.option("--workers", type=click.IntRange(1, 32), default=1, show_default=True, help="How many worker processes.")
def up(*, workers: int) -> None:
    """Run the whole system on embedded servers, until Ctrl-C. Its data is kept for the next time."""
    logging.basicConfig(level=logging.WARNING, format="noteflow-hooks: %(message)s")
    settings = read_settings()
    forget_foreign_variables()
    with Interruption() as interruption, _system(settings.data_dir) as system:
        _run(system, settings, workers=workers, interruption=interruption)


@contextmanager
def _system(folder: Path) -> Iterator[System]:
    """Yield a system that has taken its folder; what is wrong with that is said of the setting that names it."""
    with ExitStack() as stack:
        try:
            system = stack.enter_context(System(folder))
            system.take_folder()
        except EmbeddedServerError as error:
            raise SettingsError(f"{error} in {_DATA_DIR}") from None
        except NotPrivateError as error:
            raise SettingsError(f"{_DATA_DIR} is '{folder}': {error}") from None
        except OSError as error:
            raise SettingsError(f"{_DATA_DIR} is '{folder}': {_problem(error)}") from None
        yield system


def _problem(error: OSError) -> str:
    if isinstance(error, FileExistsError | NotADirectoryError):
        return f"{error.filename} is no folder"
    return f"{error.filename or 'it'} can't be made or used: {error.strerror}"


def _run(system: System, settings: Settings, *, workers: int, interruption: Interruption) -> None:
    """Start the system and keep it running; `up.json` is there while the server serves, and only then."""
    state = UpState(settings.data_dir)
    state.withdraw()
    with ExitStack() as stack:
        stack.callback(state.withdraw)
        told = _told(settings, state)
        click.echo("starting PostgreSQL, Valkey, a gRPC server, Celery workers and beat ...")
        link = link_file(settings.data_dir) if can_run() else None
        system.start(told, workers=workers, kept=state.identity, dashboard_link=link, check=interruption.check)
        state.keep(system)
        state.announce(system)
        click.echo(_welcome(system, settings.data_dir, _dashboard(system, state)))

        rotation = Rotation(settings.data_dir / "logs")

        def ended() -> bool:
            state.announce(system)
            rotation.look()
            return interruption.seen

        keep_running(system.parts, ended=ended)


def _told(settings: Settings, state: UpState) -> dict[str, Any]:
    """Return what the programs are told: what the user has set, our own, and what suits a newcomer."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set - _OURS}
    host, _, port = str(given.pop("grpc_bind", "")).rpartition(":")
    bind = free_address(state.grpc) if port in ("", "0") else _checked(f"{host}:{port}", settings=settings)
    dashboard = _dashboard_bind(str(given.pop("dashboard_bind", "")), state)
    suiting = {"grpc_reflection": True, "allow_http_loopback": True}
    ours = {"grpc_bind": bind, "dashboard_bind": dashboard, "secret_keys": state.secret_keys()}
    return {**suiting, **given, **ours}


def _dashboard_bind(bind: str, state: UpState) -> str:
    """Return where the dashboard listens: where the user says, else where it did, else at its usual port or any."""
    if bind.rpartition(":")[2] in ("", "0"):
        return free_address(state.dashboard or DASHBOARD)
    reason = why_not(bind) if is_local(bind) else "others than this machine may reach that, and `up` speaks no TLS"
    if reason is not None:
        raise SettingsError(f"{BIND} is '{bind}': can't listen there: {reason}")
    return bind


def _checked(bind: str, *, settings: Settings) -> str:
    """Return the address, or say at once what the server would only say in its log."""
    reason = why_not(bind)
    if reason is not None:
        raise SettingsError(f"{PREFIX}GRPC_BIND is '{bind}': can't listen there: {reason}")
    if not settings.grpc_insecure_plaintext and not is_local(bind):
        raise SettingsError(
            f"{PREFIX}GRPC_BIND is '{bind}': others than this machine may reach that, and `up` speaks no TLS; "
            "name a loopback address, or use `serve`"
        )
    return bind


def _dashboard(system: System, state: UpState) -> str:
    """Return where the dashboard is, and the link that signs in once."""
    if system.dashboard is None:
        return "needs more packages: pip install 'noteflow-hooks[dashboard]'"
    at = f"http://{system.dashboard}"
    link = f"{at}/once/{state.make_link(system.identity.token)}"
    return f"{at}\n                signs you in, once, within a minute: {link}"


def _welcome(system: System, folder: Path, dashboard: str) -> str:
    name = program_name()
    return f"""\
NoteFlow Hooks is up. Its data, logs and addresses (up.json) are in {folder}.

  dashboard     {dashboard}
  grpc          {system.grpc}
  token         {system.identity.token}
  workspace_id  {system.identity.workspace_id}
  database_url  {system.database_url}
  redis_url     {system.redis_url}

To try it, in another terminal:

  {name} listen

which prints how to register itself, and then:

  {name} webhooks list
  {name} webhooks test NAME
  {name} deliveries tail

Ctrl-C ends it."""
