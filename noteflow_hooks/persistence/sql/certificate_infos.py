"""What is shown of certificates, as it is stored: JSON, since what a name may hold PostgreSQL's text may not."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from noteflow_hooks.domain.client_certificates import CertificateInfo


def packed_infos(client: CertificateInfo | None, server_ca: tuple[CertificateInfo, ...]) -> str | None:
    """Return the text to store; None where there are no certificates."""
    if client is None and not server_ca:
        return None
    own = None if client is None else _packed(client)
    return json.dumps({"client": own, "server_ca": [_packed(each) for each in server_ca]})


def infos_of(text: str | None) -> tuple[CertificateInfo | None, tuple[CertificateInfo, ...]]:
    """Return what is stored of the client's certificate and of the authorities; nothing where that is no such text."""
    if text is None:
        return None, ()
    try:
        stored = json.loads(text)
        own = stored["client"]
        return None if own is None else _info(own), tuple(map(_info, stored["server_ca"]))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None, ()


def _packed(info: CertificateInfo) -> list[str]:
    return [info.subject, info.issuer, info.not_after.isoformat(), info.sha256]


def _info(stored: Any) -> CertificateInfo:  # noqa: ANN401 - whatever JSON has
    subject, issuer, not_after, sha256 = stored
    return CertificateInfo(str(subject), str(issuer), datetime.fromisoformat(not_after).astimezone(UTC), str(sha256))
