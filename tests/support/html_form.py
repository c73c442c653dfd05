"""What a browser would send of a page's form that nobody has filled in."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def fields_of(page: str, *, marked: str) -> list[tuple[str, str]]:
    """Return the fields of the form with that class or id, in their order."""
    reader = _Reader(marked)
    reader.feed(page)
    assert reader.fields, f"no form is marked {marked}"
    return reader.fields


def filled(fields: Sequence[tuple[str, str]], **values: str) -> list[tuple[str, str]]:
    """Return the fields with other values in place of some, or beside them where they were not there."""
    kept = [(name, values.get(name, value)) for name, value in fields]
    names = {name for name, _ in fields}
    return [*kept, *((name, value) for name, value in values.items() if name not in names)]


class _Reader(HTMLParser):
    """Reads one form."""

    def __init__(self, marked: str) -> None:
        super().__init__()
        self.fields: list[tuple[str, str]] = []
        self._marked = marked
        self._is_inside = False
        self._select = ""
        self._options: list[tuple[str, bool]] = []
        self._text: list[str] | None = None
        self._name = ""

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found: Mapping[str, str | None] = dict(attrs)
        if tag == "form":
            self._is_inside = self._marked in f"{found.get('class')} {found.get('id')}".split()
        if not self._is_inside:
            return
        name = found.get("name") or ""
        if tag == "input" and (found.get("type") != "checkbox" or "checked" in found):
            self.fields.append((name, found.get("value") or ""))
        elif tag == "select":
            self._select, self._options = name, []
        elif tag == "option":
            self._options.append((found.get("value") or "", "selected" in found))
            self._text = [] if "value" not in found else None
        elif tag == "textarea":
            self._name, self._text = name, []

    @override
    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    @override
    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._is_inside = False
        if not self._is_inside:
            return
        if tag == "option" and self._text is not None:
            self._options[-1] = ("".join(self._text), self._options[-1][1])
            self._text = None
        elif tag == "select":
            first = self._options[0][0] if self._options else ""
            self.fields.append((self._select, next((value for value, on in self._options if on), first)))
        elif tag == "textarea":
            self.fields.append((self._name, "".join(self._text or ())))
            self._text = None
