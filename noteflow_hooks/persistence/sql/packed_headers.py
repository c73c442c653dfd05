"""An endpoint's custom headers as the text that is encrypted."""

from __future__ import annotations

import json


def packed_headers(headers: tuple[tuple[str, str], ...]) -> str | None:
    """Return the headers as text; None where there are none."""
    return json.dumps(headers, separators=(",", ":")) if headers else None


def unpacked_headers(packed: str | None) -> tuple[tuple[str, str], ...]:
    """Return the headers; none where that is no list of pairs, as of a row in which ciphertexts changed places."""
    if packed is None:
        return ()
    try:
        pairs = [(name, value) for name, value in json.loads(packed)]
    except (ValueError, TypeError):
        return ()
    return tuple(pairs) if all(isinstance(part, str) for pair in pairs for part in pair) else ()
