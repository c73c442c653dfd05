"""The settings as they are set: where each comes from, and all that is wrong with them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

from noteflow_hooks import bootstrap
from noteflow_hooks.broker.environment import refuse_celerys_variables
from noteflow_hooks.cli.support.dashboard_address import check_tls
from noteflow_hooks.errors import SettingsError
from noteflow_hooks.logs import redacted
from noteflow_hooks.rpc.server.tls import ServerCertificates, TlsFiles
from noteflow_hooks.settings import CallerSettings, Settings, TraceSettings, named_in_env_file
from noteflow_hooks.telemetry.starting import require_tracing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

#: What each program can't start without.
REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "all": ("database_url", "redis_url", "secret_keys"),
    "serve": ("database_url", "redis_url", "secret_keys"),
    "worker": ("database_url", "redis_url", "secret_keys"),
    "beat": ("database_url", "redis_url"),
    "dashboard": (),
}
#: All that is set by variables, the callers' own last.
KINDS: Final = (Settings, TraceSettings, CallerSettings)
_HIDDEN: Final = "(hidden)"


@dataclass(frozen=True, slots=True)
class Shown:
    """A setting as it may be shown."""

    #: The variable's name.
    setting: str
    #: None where nothing is set and there is no default.
    value: str | None
    #: ``environment``, ``.env`` or ``default``.
    source: str


def settings_shown() -> list[Shown]:
    """Return each setting, in the order of the settings' own list."""
    # A .env that is no text is told of as everywhere.
    named_in_env_file()
    given = _given()
    return [_shown(kind.variable(name), field, given) for kind in KINDS for name, field in kind.model_fields.items()]


def problems(program: str) -> list[str]:
    """Return all that keeps the program from starting, a line each."""
    try:
        named_in_env_file()
    except SettingsError as error:
        return [str(error)]
    found = [line for kind in KINDS for line in kind.problems()]
    if found:
        return found
    return list(_together(Settings.load(), program))


def _together(settings: Settings, program: str) -> Iterator[str]:
    """Yield what is wrong with settings that are good by themselves."""
    is_dashboard, is_server = program == "dashboard", program in ("all", "serve")
    traces = program in ("all", "serve", "worker") and TraceSettings.load().plan is not None
    checks: list[Callable[[], object]] = [partial(settings.require, name) for name in _names(program)]
    if not is_dashboard:
        checks += [refuse_celerys_variables, lambda: bootstrap.egress_policy(settings)]
    if is_server:
        checks.append(lambda: _check_server_tls(settings))
    if traces:
        checks.append(require_tracing)
    if is_dashboard or program == "all":
        checks.append(lambda: check_tls(settings))
    for each in checks:
        try:
            each()
        except SettingsError as error:
            yield str(error)


def _names(program: str) -> Iterator[Any]:
    yield from REQUIRED[program]


def _check_server_tls(settings: Settings) -> None:
    files = TlsFiles.of(cert=settings.grpc_tls_cert, key=settings.grpc_tls_key, client_ca=settings.grpc_tls_client_ca)
    if files is not None:
        ServerCertificates(files)


def _given() -> Mapping[str, tuple[str, str]]:
    """Return what is set, by the variable's name: the text, and where it stands."""
    found: dict[str, tuple[str, str]] = {}
    # The environment goes before the file.
    for source, variables in ((".env", DotEnvSettingsSource(Settings).env_vars), ("environment", _environment())):
        for name, text in variables.items():
            if text:
                found[name.upper()] = (text, source)
    return found


def _environment() -> Mapping[str, str | None]:
    return EnvSettingsSource(Settings).env_vars if os.environ else {}


def _shown(variable: str, field: Any, given: Mapping[str, tuple[str, str]]) -> Shown:  # noqa: ANN401 - pydantic's own
    if variable not in given:
        default = field.default
        return Shown(variable, None if default is None or default == "" else _text(default), "default")
    text, source = given[variable]
    if field.repr:
        return Shown(variable, text, source)
    # Of a URL the user, the path and what follows are left out; of what is no URL, all.
    address = redacted(text) if "://" in text else _HIDDEN
    return Shown(variable, address if address != text or "@" not in text else _HIDDEN, source)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
