"""JSON objects that callers give as text, parsed strictly: what readers take differently is refused."""

from __future__ import annotations

import json
from typing import Any, Final

from noteflow_hooks.errors import InvalidInputError

#: The most bytes of JSON text that are parsed; a larger payload can't fit, even shortened.
INPUT_LIMIT_BYTES: Final = 1_048_576


class _RefusedError(ValueError):
    """The text is JSON for some readers only."""


def parse_object(field: str, text: str) -> dict[str, Any]:
    """Return the object, or raise :class:`InvalidInputError` that names the field.

    Refused are a name that stands twice in one object, NaN and infinities, and what is nested beyond any use.
    """
    # A character has four bytes at the most.
    if len(text) * 4 > INPUT_LIMIT_BYTES < len(text.encode("utf-8", "surrogatepass")):
        raise InvalidInputError(field, f"has more than {INPUT_LIMIT_BYTES} bytes, the limit for what is read")
    try:
        given = _DECODER.decode(text)
    except _RefusedError as error:
        raise InvalidInputError(field, str(error)) from None
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "it can't be read"
        raise InvalidInputError(field, f"must be one JSON object: {reason}") from None
    if not isinstance(given, dict):
        raise InvalidInputError(field, "must be one JSON object")
    return given


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise _RefusedError("names a field twice")
    return dict(pairs)


def _refuse_constant(name: str) -> None:
    raise _RefusedError(f"holds {name}; numbers must be finite")


#: Made once: for a small payload that takes as long as reading it.
_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)
