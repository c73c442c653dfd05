"""Somebody in front of a dashboard without a browser: what is sent, byte for byte, and what comes back."""

from __future__ import annotations

import http.client
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: What a browser sends with a form of the page that it shows.
OWN: Final = {"sec-fetch-site": "same-origin", "origin": "null"}
_FORM_TOKEN: Final = re.compile(r'name="form_token" value="([0-9a-f]{64})"')


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    cookies: tuple[str, ...]
    text: str

    @property
    def location(self) -> str:
        """Where it leads."""
        return self.headers.get("location", "")

    @property
    def form_token(self) -> str:
        """What its forms send along."""
        found = _FORM_TOKEN.search(self.text)
        assert found is not None, self.text
        return found[1]


@dataclass
class Visitor:
    """Keeps cookies as a browser does."""

    port: int
    host: str = ""
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **headers: str) -> Answered:
        """Ask for a page."""
        return self.send("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def post(
        self,
        path: str,
        fields: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        *,
        headers: Mapping[str, str] = OWN,
    ) -> Answered:
        """Send a form."""
        given = {"content-type": "application/x-www-form-urlencoded", **headers}
        return self.send("POST", path, body=urlencode(fields).encode(), headers=given)

    def send(self, method: str, path: str, *, headers: Mapping[str, str], body: bytes | None = None) -> Answered:
        """Send anything, and keep the cookies of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            jar = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            sent = {"host": self.host or f"127.0.0.1:{self.port}", **({"cookie": jar} if jar else {}), **headers}
            connection.request(method, path, body=body, headers=sent)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        cookies = tuple(value for name, value in response.getheaders() if name.lower() == "set-cookie")
        self._keep(cookies)
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answered(response.status, found, cookies, text)

    def sign_in(self, token: str) -> Answered:
        """Sign in by the form."""
        page = self.get("/sign-in")
        return self.post("/sign-in", {"token": token, "form_token": page.form_token})

    def press(self, path: str, fields: Mapping[str, str] | None = None, *, on: str = "/endpoints") -> Answered:
        """Send a form that the page ``on`` shows."""
        return self.post(path, {**(fields or {}), "form_token": self.get(on).form_token})

    def _keep(self, cookies: Sequence[str]) -> None:
        for cookie in cookies:
            pair, _, rest = cookie.partition(";")
            name, _, value = pair.partition("=")
            if "max-age=0" in rest.lower():
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
