"""From a name or the beginning of an id to one id, or to a refusal with all that it fits."""

from __future__ import annotations

import pytest

from noteflow_hooks.cli.support.finding import chosen, is_whole
from noteflow_hooks.errors import InvalidInputError, NotFoundError

ROWS = [
    {"id": "0192f3c1-8a52-7bd1-9e0b-6c1f2a3b4c5d", "name": "CRM"},
    {"id": "0192f3c1-8a53-7bd1-9e0b-6c1f2a3b4c5d", "name": "Twin"},
    {"id": "ff92f3c1-8a53-7bd1-9e0b-6c1f2a3b4c5d", "name": "Twin"},
    {"id": "aa92f3c1-8a53-7bd1-9e0b-6c1f2a3b4c5d", "name": "ff92"},
]


def find(given: str, *, changes: bool = False) -> str:
    return chosen(ROWS, given, what="webhook", shown=("id", "name"), changes=changes)


@pytest.mark.parametrize(
    ("given", "place"), [("CRM", 0), ("0192f3c1-8a52", 0), ("0192F3C1-8A53", 1), ("ff92", 3), ("ff92f", 2)]
)
def test_a_name_or_the_beginning_of_an_id_is_enough_to_look(given: str, place: int) -> None:
    """A name counts before an id that begins so."""
    assert find(given) == ROWS[place]["id"]


@pytest.mark.parametrize(("given", "fits"), [("Twin", [1, 2]), ("0192", [0, 1])])
@pytest.mark.parametrize("changes", [False, True])
def test_what_fits_several_is_refused_with_them(given: str, fits: list[int], changes: bool) -> None:  # noqa: FBT001 - the case's
    """Each whole, to be copied."""
    with pytest.raises(InvalidInputError) as caught:
        find(given, changes=changes)
    _, *lines = str(caught.value).splitlines()
    assert [line.split()[0] for line in lines] == [ROWS[place]["id"] for place in fits]


def test_what_changes_something_takes_no_beginning() -> None:
    """Tomorrow it may begin another's id; the refusal shows the whole one."""
    assert find("CRM", changes=True) == find(ROWS[0]["id"], changes=True) == ROWS[0]["id"]
    with pytest.raises(InvalidInputError, match=f"takes a whole id or a name; 'aa92' begins:\n  {ROWS[3]['id']}"):
        find("aa92", changes=True)


@pytest.mark.parametrize("given", ["", "crm", "0192f3c1-8a54", "%", "x\x1b"])
def test_what_fits_nothing_is_not_found(given: str) -> None:
    """Names have their case."""
    with pytest.raises(NotFoundError, match="no webhook"):
        find(given)


def test_only_a_few_of_many_are_shown() -> None:
    """The terminal stays readable."""
    many = [{"id": f"0192f3c1-8a52-7bd1-9e0b-6c1f2a3b4c{number:02x}", "name": "n"} for number in range(20)]
    with pytest.raises(InvalidInputError) as caught:
        chosen(many, "0192", what="webhook", shown=("id",))
    assert len(str(caught.value).splitlines()) == 7


def test_a_whole_id_is_known_by_its_form() -> None:
    """The server says whether it is there."""
    assert is_whole(ROWS[0]["id"])
    assert is_whole(ROWS[0]["id"].upper())
    assert not is_whole("0192f3c1")
