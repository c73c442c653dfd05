"""The endpoints of all workspaces, and the certificates that end: trouble of others, which an operator sees first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from cryptography import x509

from noteflow_hooks.cli.doctor.findings import Check, Verdict, failed, ok, warning

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from uuid import UUID

    from noteflow_hooks.parts import DiagnosticParts
    from noteflow_hooks.persistence.sql.maintenance.system_diagnostics import Endpoints
    from noteflow_hooks.settings import Settings

#: Some endpoint of a thousand is always down. From such a share of them on somebody should look for a common cause.
_MANY: Final = 0.05
_NAMED: Final = 3
#: A certificate that ends so soon wants to be renewed.
_SOON: Final = timedelta(days=14)
_AGAIN: Final = "see the log of PostgreSQL"
_LOOK: Final = (
    "see `webhooks list --state circuit_open` and `deliveries list --status dead`; where many fail alike, look at"
    " egress, the resolver and the proxy"
)
_RENEW: Final = "have their owners give a new one: `webhooks update ID --client-certificate FILE`"


def checks(settings: Settings, parts: DiagnosticParts) -> list[Check]:
    """Return the checks, which need the schema."""
    needs = ("postgres", "schema")
    ask = parts.system
    return [
        Check("endpoints", lambda: endpoints(ask.endpoints(named=_NAMED)), remedy=_AGAIN, needs=needs),
        Check(
            "certificates",
            lambda: certificates(ask.certificate_ends(), own=_end_of(settings.grpc_tls_cert), now=datetime.now(UTC)),
            remedy="see NOTEFLOW_HOOKS_GRPC_TLS_CERT, and the log of PostgreSQL",
            needs=needs,
        ),
    ]


def endpoints(found: Endpoints) -> Verdict:
    """Judge how many are in trouble."""
    numbers = {
        "enabled": found.enabled,
        "circuit_open": found.circuit_open,
        "failing": found.failing,
        "slow": found.slow,
        "paused": found.paused,
        "disabled": found.disabled,
        "disabled_today": found.disabled_today,
    }
    text = f"{found.enabled} enabled, {found.circuit_open} with an open breaker, {found.failing} failing"
    text += (
        f", {found.slow} slow; {found.disabled} disabled by the system, {found.disabled_today} of them in the last day"
    )
    down, all_of_them = found.circuit_open + found.disabled_today, found.enabled + found.disabled_today
    if not down or down < _MANY * all_of_them:
        return ok(text, numbers)
    named = f"; such as {', '.join(map(str, found.named))}" if found.named else ""
    return warning(f"{text}{named}", _LOOK, numbers)


def certificates(ends: Mapping[UUID, datetime], *, own: datetime | None, now: datetime) -> Verdict:
    """Judge the endpoints' client certificates, and the server's own."""
    over = [key for key, end in ends.items() if end <= now]
    soon = [key for key, end in ends.items() if now < end <= now + _SOON]
    numbers = {"endpoints": len(ends), "expired": len(over), "expiring": len(soon)}
    text = (
        f"client certificates of {len(ends)} endpoints, {len(over)} expired, {len(soon)} end within {_SOON.days} days"
    )
    if own is not None:
        numbers["server_days_left"] = (own - now) // timedelta(days=1)
        text += f"; the server's ends {own:%Y-%m-%d}"
        if own <= now:
            return failed(text, "renew the file of NOTEFLOW_HOOKS_GRPC_TLS_CERT: callers refuse it", numbers)
    named = ", ".join(map(str, (over + soon)[:_NAMED]))
    if over or soon:
        return warning(f"{text}; such as {named}", _RENEW, numbers)
    if own is not None and own <= now + _SOON:
        return warning(text, "renew the file of NOTEFLOW_HOOKS_GRPC_TLS_CERT", numbers)
    return ok(text, numbers)


def _end_of(path: Path | None) -> datetime | None:
    """Return when the first certificate of a PEM file ends; None without a file, ValueError where it holds none."""
    return None if path is None else x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
