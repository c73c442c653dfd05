"""How ids begin, and how many rows a page has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noteflow_hooks.domain.paging import IdRange
from noteflow_hooks.errors import InvalidInputError

if TYPE_CHECKING:
    from uuid import UUID


@given(st.uuids(), st.uuids(), st.integers(1, 36))
def test_a_range_holds_exactly_what_begins_so(one: UUID, other: UUID, length: int) -> None:
    """As the text of the id does, hyphens included."""
    prefix = str(one)[:length]
    ids = IdRange.of_prefix(prefix)
    assert one in ids
    assert (other in ids) == str(other).startswith(prefix)


@pytest.mark.parametrize(
    "prefix", ["", "g", "0192F3C1", "0192f3c18", "-", "0192-f3c1", "0192f3c1-8a52-7bd1-9e0b-6c1f2a3b4c5d0", "0 ", "%"]
)
def test_what_begins_no_id_is_refused(prefix: str) -> None:
    """By the field's name."""
    with pytest.raises(InvalidInputError, match="id_prefix: must be how an id begins"):
        IdRange.of_prefix(prefix)
