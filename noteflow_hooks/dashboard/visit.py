"""One request of somebody who is signed in, and what a page answers to it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import parse_qsl, urlencode

from noteflow_hooks.errors import InvalidInputError, ScopeError, TooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from noteflow_hooks.client import Client
    from noteflow_hooks.dashboard.sessions import Session

#: The most bytes of a form. Ten certificates, a key and twenty headers have 64 KiB at the most.
_MOST_BYTES: Final = 256 * 1024
_MOST_FIELDS: Final = 1000
#: How long a form may take to arrive.
_PATIENCE_S: Final = 20


@dataclass(frozen=True, slots=True)
class Page:
    """A template and what it is filled with."""

    template: str
    values: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where to go on, after a form was dealt with."""

    to: str


@dataclass(frozen=True, slots=True)
class Stream:
    """Lines that come one by one, each when there is one; ``cancel`` ends them from any thread."""

    lines: Iterator[str]
    cancel: Callable[[], object]


Answer: TypeAlias = "Page | Redirect | Stream | Response"


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form, or of a query."""

    fields: Mapping[str, tuple[str, ...]]

    @classmethod
    def parse(cls, text: str) -> Form:
        """Read it as browsers send it; raise InvalidInputError for more fields than any of ours has."""
        try:
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError:
            raise InvalidInputError("form", f"has more than {_MOST_FIELDS} fields") from None
        found: dict[str, list[str]] = {}
        for name, value in pairs:
            found.setdefault(name, []).append(value)
        return cls({name: tuple(values) for name, values in found.items()})

    def text(self, name: str) -> str:
        """Return a field's first value without blanks around it; empty where there is none."""
        return next(iter(self.fields.get(name, ())), "").strip()

    def several(self, name: str) -> tuple[str, ...]:
        """Return all values of a field."""
        return self.fields.get(name, ())

    def says(self, name: str) -> bool:
        """Tell whether a box is ticked."""
        return bool(self.text(name))


@dataclass(frozen=True, slots=True)
class Visit:
    """What a page is made from: who asks, for what, and the server to ask in turn."""

    client: Client
    session: Session
    path: str
    ids: Mapping[str, str]
    query: Form
    form: Form
    #: Makes HTML of a template, as pages are made.
    render: Callable[[str, Mapping[str, Any]], str]
    #: Why the query can't be taken, where it can't.
    refused: str = ""

    @property
    def asked(self) -> Form:
        """The query's fields as the server is asked by them: none of a query that can't be taken."""
        return Form({}) if self.refused else self.query

    def id(self, name: str = "id") -> str:
        """Return what stands in that place of the path."""
        return self.ids[name]


View: TypeAlias = "Callable[[Visit], Answer]"


def for_managers(view: View) -> View:
    """Return the view of a form: who may only look is told so, and sees none of its buttons."""

    @wraps(view)
    def answer(visit: Visit) -> Answer:
        if not visit.session.may_manage:
            raise ScopeError("this page needs a token with the scope manage; yours may only look")
        return view(visit)

    return answer


def with_refusals(view: View) -> View:
    """Return the view of a list: filters that can't be taken are shown again as they were typed, with the reason."""

    @wraps(view)
    def answer(visit: Visit) -> Answer:
        try:
            return view(visit)
        except InvalidInputError as error:
            page = view(replace(visit, refused=str(error)))
            if not isinstance(page, Page):
                raise
            return replace(page, values={**page.values, "refused": str(error)}, status=400)

    return answer


async def read_form(request: Request) -> Form:
    """Return the form that a request brings; raise for one that is too large, or is no form."""
    body = bytearray()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            async for piece in request.stream():
                body += piece
                if len(body) > _MOST_BYTES:
                    raise TooLargeError(f"the form has more than {_MOST_BYTES} bytes")
    except TimeoutError:
        raise InvalidInputError("form", f"has not arrived within {_PATIENCE_S} s") from None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise InvalidInputError("form", "is not sent as application/x-www-form-urlencoded")
    return Form.parse(body.decode("utf-8", errors="replace"))


def address(path: str, **query: str | Sequence[str] | None) -> str:
    """Return a path of ours with those of the query's fields that say something; one may say several things."""
    kept = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(kept, doseq=True)}" if kept else path


def without(path: str, query: Mapping[str, str | Sequence[str]], name: str) -> str:
    """Return a path of ours with the query's fields but for that one."""
    return address(path, **{each: value for each, value in query.items() if each != name})
