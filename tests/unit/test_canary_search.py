"""The search for canaries finds them in whatever form they were written down."""

from __future__ import annotations

import base64
import json
import zlib
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import pytest

from tests.support.canary_secrets import CanarySecret, awkward, found, letters

if TYPE_CHECKING:
    from collections.abc import Callable

NOISE = letters(200).encode()
#: How a value may get somewhere.
WAYS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "raw": lambda value: value,
    "repr of bytes": lambda value: repr(value).encode(),
    "repr of text": lambda value: repr(value.decode()).encode(),
    "JSON in JSON": lambda value: json.dumps({"a": json.dumps([value.decode()])}).encode(),
    "URL": lambda value: quote(value.decode(), safe="").encode(),
    "percent": lambda value: "".join(f"%{byte:02X}" for byte in value).encode(),
    "hex": lambda value: value.hex().encode(),
    "HEX": lambda value: value.hex().upper().encode(),
    "base64": base64.b64encode,
    "base64 behind one": lambda value: base64.b64encode(b"a" + value + b"b"),
    "base64 behind two": lambda value: base64.b64encode(b"ab" + value),
    "urlsafe base64": lambda value: base64.urlsafe_b64encode(b"abc" + value + b"d"),
    "its first half": lambda value: value[: len(value) // 2],
    "its last half": lambda value: value[-(len(value) // 2) :],
    "a middle": lambda value: value[5:30],
}


@pytest.mark.parametrize("written", WAYS.values(), ids=list(WAYS))
@pytest.mark.parametrize("value", [awkward(), letters()], ids=["awkward", "plain"])
def test_a_canary_is_found_in_every_form(written: Callable[[bytes], bytes], value: str) -> None:
    """Also where it was cut, and in the middle of something else."""
    canary = CanarySecret.of("secret", value)
    assert found([canary], NOISE + written(canary.value) + NOISE)


def test_what_is_not_there_is_not_found() -> None:
    """Neither in another value's noise, nor in what only its owner could have read it out of."""
    canary = CanarySecret.of("secret", awkward())
    assert found([canary], NOISE) == set()
    assert found([canary], zlib.compress(canary.value)) == set()


def test_what_is_found_says_what_it_is_and_how_it_was_written() -> None:
    """So that a failure names the leak, and repeats no value."""
    canary = CanarySecret.of("token", letters())
    assert found([canary], base64.b64encode(canary.value)) == {"token, in base64"}
