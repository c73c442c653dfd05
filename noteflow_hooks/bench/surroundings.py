"""The measured system's settings, and its receiver's certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import trustme

from noteflow_hooks.crypto import generate_key
from noteflow_hooks.local.stack.ports import free_address

if TYPE_CHECKING:
    from pathlib import Path

HOST: Final = "127.0.0.1"


def write_certificate(ca_bundle: Path) -> str:
    """Write an authority's certificate and, beside it, the receiver's with its key; return the latter's path."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(ca_bundle))
    path = str(ca_bundle.with_name("receiver.pem"))
    authority.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(path)
    return path


def told(ca_bundle: Path) -> dict[str, Any]:
    """Return the system's settings: the defaults, except what a receiver on loopback and many calls need."""
    return {
        "grpc_bind": free_address(),
        "secret_keys": generate_key(),
        "allow_http_loopback": True,
        "egress_allow": f"{HOST}/32",
        "ca_bundle": ca_bundle,
        "registrations_per_minute": 0,
        "token_calls_per_s": 0,
    }
