"""The bytes of a payload: compact UTF-8 JSON of at most 10,240 bytes, checked where it enters and never later."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

from noteflow_hooks.errors import InvalidInputError

#: The most bytes a payload may have as sent.
PAYLOAD_LIMIT_BYTES: Final = 10_240
#: The most characters a title may have.
TITLE_LIMIT: Final = 500
#: The most characters of any name, of a meeting's id, and of an idempotency key.
NAME_LIMIT: Final = 255

#: How deep the payload of a workspace's own type may be nested, itself included: some readers of JSON stop soon after.
DEPTH_LIMIT: Final = 32

_SHORTENED: Final = "executive_summary"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
#: Made once: for a small payload that takes as long as writing it.
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)
#: The integers that 64 bits hold, signed or unsigned; many JSON parsers round, cut or refuse others.
_WHOLE: Final = range(-(2**63), 2**64)
#: How many characters of a field's name an error repeats.
_NAMED: Final = 100


def check_text(name: str, value: str, *, limit: int | None = None, allow_empty: bool = True) -> str:
    """Return the text if it can be stored and sent, else raise :class:`InvalidInputError`.

    Refused are NUL, which PostgreSQL can't store, and lone surrogates, which UTF-8 can't.
    """
    if limit is not None and len(value) > limit:
        raise InvalidInputError(name, f"has {len(value)} characters; at most {limit} are allowed")
    if "\x00" in value:
        raise InvalidInputError(name, "must not contain the character NUL")
    if _SURROGATE.search(value):
        raise InvalidInputError(name, "must be Unicode text without lone surrogates")
    if not allow_empty and not value.strip():
        raise InvalidInputError(name, "must not be empty")
    return value


def check_name(field: str, value: str) -> str:
    """Return the text if it can be a name, or an id that a caller chooses; else raise :class:`InvalidInputError`."""
    return check_text(field, value, limit=NAME_LIMIT, allow_empty=False)


def encode(payload: dict[str, Any]) -> bytes:
    """Return the bytes to send, shortening an ``executive_summary`` that is too long for the limit.

    Raise :class:`InvalidInputError` for a value that JSON, UTF-8 or PostgreSQL can't carry, and for what stays too
    large.
    """
    for name, value in payload.items():
        _check_value(name, value)
    body = _dump(payload)
    if len(body) <= PAYLOAD_LIMIT_BYTES:
        return body
    if isinstance(payload.get(_SHORTENED), str):
        body = _dump(_shortened(payload))
    return _fitting(body)


def encode_nested(payload: dict[str, Any]) -> bytes:
    """Return the bytes to send of a payload that may be nested; of this one nothing is ever shortened.

    Raise :class:`InvalidInputError` as :func:`encode` does, and for what is nested too deep.
    """
    _check_nested("payload", payload, depth=1)
    return _fitting(_dump(payload))


def _fitting(body: bytes) -> bytes:
    if len(body) > PAYLOAD_LIMIT_BYTES:
        raise InvalidInputError("payload", f"has {len(body)} bytes as sent; at most {PAYLOAD_LIMIT_BYTES} are allowed")
    return body


def _check_nested(name: str, value: object, *, depth: int) -> None:
    if isinstance(value, (dict, list)):
        if depth > DEPTH_LIMIT:
            raise InvalidInputError("payload", f"is nested more than {DEPTH_LIMIT} deep")
        inner = value.items() if isinstance(value, dict) else ((name, each) for each in value)
        for key, each in inner:
            check_text("payload field name", key)
            _check_nested(key, each, depth=depth + 1)
    else:
        _check_value(name[:_NAMED], value)


def _shortened(payload: dict[str, Any]) -> dict[str, Any]:
    """Cut the summary to the longest beginning that fits, between two characters, and set ``truncated``."""
    summary: str = payload[_SHORTENED]
    fixed = len(_dump({**payload, _SHORTENED: "", "truncated": True}))
    room = PAYLOAD_LIMIT_BYTES - fixed
    kept = 0
    for character in summary:
        room -= len(_dump(character)) - len(b'""')
        if room < 0:
            break
        kept += 1
    return {**payload, _SHORTENED: summary[:kept], "truncated": True}


def _check_value(name: str, value: object) -> None:
    check_text("payload field name", name)
    name = name[:_NAMED]
    if isinstance(value, str):
        check_text(name, value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise InvalidInputError(name, "must be a finite number")
    elif isinstance(value, int) and value not in _WHOLE:
        raise InvalidInputError(name, "must be a whole number of at most 64 bits")
    elif not isinstance(value, (bool, int, float, type(None))):
        raise InvalidInputError(name, "must be text, a number, true, false or null: a payload is one flat object")


def _dump(value: object) -> bytes:
    return _ENCODER.encode(value).encode()
