"""People in front of a dashboard: they sign in, look at pages, and let those keep themselves up to date.

Its argument is the dashboard's ``HOST:PORT``. It reads lines of JSON: ``{"alive": true}`` asks
whether it is there; ``{"token": ...}`` signs in; ``{"paths": [...],
"times": N}`` asks for each page so often, one after another, and answers with each one's milliseconds; ``{"people": N,
"paths": [...]}`` lets so many browse, until ``{}``, whose answer is how many pages were asked for, and the slowest's
milliseconds. An answer that is no page is an error.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPResponse
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from noteflow_hooks.bench.lines import say, told

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: What a page that is seen does, if it has something that changes by itself: it asks whether it has, every two seconds.
_EVERY_S: Final = 2.0
#: So often, until its reader goes on to another.
_LOOKS: Final = 4
_TIMEOUT_S: Final = 30.0
_OK: Final = (HTTPStatus.OK, HTTPStatus.NOT_MODIFIED)
#: What such a page has, as its script knows it.
_LIVE: Final = re.compile(r"\sdata-(?:live|rows)\b")
_FORM_TOKEN: Final = re.compile(r'name="form_token" value="([0-9a-f]{64})"')


@dataclass
class Person:
    """A browser's part of it: one connection, the session's cookie, and what is remembered of a page."""

    address: str
    cookies: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    #: The pages that keep themselves up to date, of those that were looked at.
    live: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Connect with the first request."""
        self._connection = HTTPConnection(self.address, timeout=_TIMEOUT_S)

    def sign_in(self, token: str) -> None:
        """Sign in by the form."""
        _, page = self._ask("GET", "/sign-in")
        found = _FORM_TOKEN.search(page)
        body = urlencode({"token": token, "form_token": found[1] if found else ""})
        kind = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin"}
        status, _ = self._ask("POST", "/sign-in", body=body, **kind)
        if status != HTTPStatus.SEE_OTHER:
            raise ValueError(f"the sign-in was answered with {status}")

    def is_answered(self) -> bool:
        """Tell whether the dashboard is there."""
        try:
            return self._ask("GET", "/alive")[0] == HTTPStatus.OK
        except OSError:
            self._connection.close()
            return False

    def look(self, path: str, *, again: bool = False) -> float:
        """Ask for a page, or whether it has changed; return how long that took, in milliseconds."""
        headers = {"x-live": "1", "if-none-match": self.tags.get(path, "")} if again else {}
        began = time.perf_counter()
        status, page = self._ask("GET", path, **headers)
        took_ms = (time.perf_counter() - began) * 1000
        if status not in _OK:
            raise ValueError(f"{path} was answered with {status}")
        if _LIVE.search(page):
            self.live.add(path)
        return took_ms

    def _ask(self, method: str, path: str, *, body: str | None = None, **headers: str) -> tuple[int, str]:
        jar = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        wanted = {"cookie": jar, **headers}
        try:
            response = self._answer(method, path, body, wanted)
        except ConnectionError:
            # The dashboard ends a connection that stood still; a browser asks again by a new one, too.
            self._connection.close()
            response = self._answer(method, path, body, wanted)
        text = response.read().decode()
        for each in response.headers.get_all("set-cookie", []):
            name, _, value = each.partition(";")[0].partition("=")
            self.cookies[name] = value
        self.tags[path] = response.headers.get("etag", "")
        return response.status, text

    def _answer(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> HTTPResponse:
        self._connection.request(method, path, body=body, headers=headers)
        return self._connection.getresponse()


class People:
    """Those who browse."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._first = Person(address)
        self._leaving = threading.Event()
        self._threads: list[threading.Thread] = []
        #: Where each has come to; it goes on there when people browse again.
        self._ways: list[tuple[Person, Iterator[tuple[str, bool]]]] = []
        self._took: list[float] = []
        self._problems: list[str] = []

    def do(self, task: dict[str, Any]) -> object:
        """Do what a line says."""
        if "alive" in task:
            return self._first.is_answered()
        if "token" in task:
            self._first.sign_in(task["token"])
            return None
        if "times" in task:
            return {path: [self._first.look(path) for _ in range(task["times"])] for path in task["paths"]}
        if "people" not in task:
            return self._end()
        self._begin(task["people"], task["paths"])
        return None

    def _begin(self, people: int, paths: list[str]) -> None:
        """Let them browse as if they had for long: each has a page before it, and they leave those one by one."""
        self._leaving.clear()
        self._took.clear()
        for number in range(len(self._ways), people):
            own = Person(self._address, cookies=dict(self._first.cookies))
            # Each is at another page, and at another moment of it.
            begins = number * len(paths) // people
            way = _way(paths[begins:] + paths[:begins])
            own.look(paths[begins])
            self._ways.append((own, islice(way, 1 + number % _LOOKS, None)))
        for number, (own, way) in enumerate(self._ways):
            later_s = number * _EVERY_S / people
            thread = threading.Thread(target=self._browse, args=(own, way, later_s), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _browse(self, own: Person, way: Iterator[tuple[str, bool]], later_s: float) -> None:
        self._leaving.wait(later_s)
        try:
            while not self._leaving.is_set():
                path, again = next(way)
                if not again or path in own.live:
                    self._took.append(own.look(path, again=again))
                self._leaving.wait(_EVERY_S)
        except (OSError, ValueError) as error:
            self._problems.append(str(error))

    def _end(self) -> dict[str, Any]:
        self._leaving.set()
        for each in self._threads:
            each.join()
        self._threads.clear()
        if self._problems:
            return {"error": f"somebody could not browse: {self._problems[0]}"}
        return {"looks": len(self._took), "slowest_ms": max(self._took, default=0.0)}


def _way(paths: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Return which page is looked at next, and whether again, for ever."""
    return cycle([(path, again) for path in paths for again in (False, *[True] * _LOOKS)])


def main() -> None:
    """Answer each line until the standard input ends."""
    people = People(sys.argv[1])
    say("ready")
    for line in told():
        try:
            say(people.do(json.loads(line)))
        except (OSError, ValueError) as error:
            say({"error": str(error)})


if __name__ == "__main__":
    main()
