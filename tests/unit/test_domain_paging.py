"""How ids begin, and which periods there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noteflow_hooks.domain.paging import IdRange, check_period
from noteflow_hooks.errors import InvalidInputError
from tests.support.builders import NOON, hours

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


@pytest.mark.parametrize("may_be_empty", [False, True])
def test_a_period_may_not_end_before_it_begins(may_be_empty: bool) -> None:  # noqa: FBT001 - a case of the table
    """One without an end or a beginning may be anything; it is empty only where that is allowed."""
    check_period(NOON, None, may_be_empty=may_be_empty)
    check_period(None, NOON, may_be_empty=may_be_empty)
    check_period(NOON, NOON + hours(1), may_be_empty=may_be_empty)
    with pytest.raises(InvalidInputError, match="created_after: must be before created_before"):
        check_period(NOON + hours(1), NOON, may_be_empty=may_be_empty)


def test_a_period_without_length_is_refused_where_it_may_not_be_empty() -> None:
    """A list of nothing is an answer; a replay of nothing is a mistake."""
    check_period(NOON, NOON, may_be_empty=True)
    with pytest.raises(InvalidInputError, match="created_after: must be before created_before"):
        check_period(NOON, NOON, may_be_empty=False)
