"""Which system is looked at: that of the settings, or where they name no database, that of a running `up`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from noteflow_hooks import bootstrap
from noteflow_hooks.cli.doctor.findings import Check, Verdict, failed, ok, warning
from noteflow_hooks.cli.support.database import database_settings
from noteflow_hooks.cli.support.own_server import own_certificate, reachable
from noteflow_hooks.crypto import parse_keys
from noteflow_hooks.local.files import address_in, read_object, text_in, up_file
from noteflow_hooks.settings import PREFIX, Settings, TraceSettings, unknown_variables
from noteflow_hooks.telemetry.starting import NO_TRACING, has_tracing

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Place:
    """A system, as the settings describe it."""

    settings: Settings
    #: Whose settings they are, in words.
    origin: str
    #: Where its gRPC server is asked.
    server: str
    #: Whether somebody said that it is there, and not the default alone.
    server_is_named: bool
    #: Our own certificate and key, for a server that wants one.
    own: tuple[Path, Path] | None


def find() -> Place:
    """Return the system; raise SettingsError where none is named, or a setting holds what it may not."""
    given = Settings.load()
    settings = database_settings(given)
    bootstrap.egress_policy(settings)
    if given.database_url is None:
        return _running(given, settings)
    named = "grpc_bind" in given.model_fields_set
    origin = "the environment's and .env's"
    return Place(settings, origin, reachable(given.grpc_bind), server_is_named=named, own=own_certificate())


def check(place: Place) -> Check:
    """Return the check of the settings themselves; those that hold what they may not have ended the command."""
    return Check("settings", lambda: _judge(place), remedy="correct them")


def _running(given: Settings, settings: Settings) -> Place:
    """Return the system of a running `up`, whose database the settings have."""
    path = up_file(given.data_dir)
    running = read_object(path) or {}
    urls = {"database_url": settings.database_url, "redis_url": given.redis_url or text_in(running, "redis_url", path)}
    # It speaks no TLS, whatever is set for `serve`.
    settings = Settings.load(**urls, secret_keys=settings.secret_keys, grpc_tls_cert=None)
    server = address_in(running, "grpc", path)
    return Place(settings, f"those of `up` in {given.data_dir}", server, server_is_named=True, own=None)


def _judge(place: Place) -> Verdict:
    keys = len(parse_keys(place.settings.secret_keys))
    if not keys:
        name = f"{PREFIX}SECRET_KEYS"
        return failed(f"{name} is not set", "set it to the server's: no worker starts without, and no secret is read")
    slips = unknown_variables()
    plan = TraceSettings.load().plan
    if plan is not None and not has_tracing():
        return failed("traces are to be made, and what makes them is not installed", NO_TRACING)
    if slips:
        return warning("; ".join(slips), "correct the name, or remove it: the setting that was meant has its default")
    traces = "" if plan is None else f", traces go to {urlsplit(plan.url).hostname}"
    return ok(f"{place.origin}, with {keys} secret {'key' if keys == 1 else 'keys'}{traces}")
