"""Contacts' codes: under our keys, bound to endpoint, address and moment, and easy to type."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from noteflow_hooks.errors import SecretUnavailableError
from noteflow_hooks.mail.codes import KeyedContactCodes
from tests.support.builders import NOON
from tests.support.contacts import ADDRESS

OLD, NEW = bytes(32), bytes(range(32))


def test_a_code_counts_for_its_endpoint_address_and_moment_alone() -> None:
    """Typed in whatever case, with or without hyphens, and with letters for digits."""
    codes, key = KeyedContactCodes([NEW]), uuid4()
    code = codes.code(key, ADDRESS, NOON)
    assert len(code) == 14
    assert codes.is_right(code.lower().replace("-", " "), key, ADDRESS, NOON)
    assert codes.is_right(code.replace("0", "o").replace("1", "l"), key, ADDRESS, NOON)
    for others in ((uuid4(), ADDRESS, NOON), (key, f"x{ADDRESS}", NOON), (key, ADDRESS, NOON + timedelta(seconds=1))):
        assert not codes.is_right(code, *others)
    for wrong in ("", code[:-1], f"{code}A", "é" * 12):
        assert not codes.is_right(wrong, key, ADDRESS, NOON)


def test_codes_outlive_a_rotation_of_keys() -> None:
    """And are none once their key is gone."""
    key = uuid4()
    code = KeyedContactCodes([OLD]).code(key, ADDRESS, NOON)
    assert KeyedContactCodes([NEW, OLD]).is_right(code, key, ADDRESS, NOON)
    assert not KeyedContactCodes([NEW]).is_right(code, key, ADDRESS, NOON)
    assert not KeyedContactCodes([]).is_right(code, key, ADDRESS, NOON)
    with pytest.raises(SecretUnavailableError):
        KeyedContactCodes([]).code(key, ADDRESS, NOON)
