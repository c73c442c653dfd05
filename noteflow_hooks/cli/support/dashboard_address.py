"""Where the dashboard listens and under which names it is reached, as the settings say it."""

from __future__ import annotations

import ssl
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from noteflow_hooks.errors import SettingsError
from noteflow_hooks.rpc.server.transport import is_local
from noteflow_hooks.settings import PREFIX

if TYPE_CHECKING:
    from pathlib import Path

    from noteflow_hooks.settings import Settings

BIND: Final = f"{PREFIX}DASHBOARD_BIND"
_CERT: Final = f"{PREFIX}DASHBOARD_TLS_CERT"
_KEY: Final = f"{PREFIX}DASHBOARD_TLS_KEY"
#: What the extra `dashboard` installs.
_NEEDED: Final = ("jinja2", "starlette", "uvicorn")
_PLAINTEXT: Final = f"{PREFIX}DASHBOARD_INSECURE_PLAINTEXT"


def can_run() -> bool:
    """Tell whether what the extra `dashboard` installs is there."""
    return all(find_spec(each) is not None for each in _NEEDED)


def host_names(settings: Settings) -> frozenset[str]:
    """Return the names, in lower case, under which it is reached; none where those of loopback count."""
    return frozenset(name.strip().lower() for name in settings.dashboard_hosts.split(",") if name.strip())


def check_tls(settings: Settings) -> None:
    """Raise SettingsError where others would reach it without TLS, or where TLS has not all that it needs."""
    cert, key, bind = settings.dashboard_tls_cert, settings.dashboard_tls_key, settings.dashboard_bind
    if (cert is None) != (key is None):
        named, missing = (_CERT, _KEY) if key is None else (_KEY, _CERT)
        raise SettingsError(f"{named} is set, and {missing} is not: TLS needs a certificate and its key")
    if cert is None and not is_local(bind) and not settings.dashboard_insecure_plaintext:
        raise SettingsError(
            f"{BIND} is '{bind}': others than this machine may reach that, and tokens would go unencrypted; "
            f"set {_CERT} and {_KEY}, or, behind a proxy that speaks TLS, {_PLAINTEXT}=true"
        )
    if cert is not None and key is not None:
        _check_pair(cert, key)


def _check_pair(cert: Path, key: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{_CERT} is '{cert}' and {_KEY} is '{key}': they hold no certificate with its key: "
            f"{getattr(error, 'reason', None) or getattr(error, 'strerror', None) or error}"
        ) from None


def _no_password() -> str:
    # OpenSSL would ask at the terminal.
    raise ValueError("the key is encrypted")
