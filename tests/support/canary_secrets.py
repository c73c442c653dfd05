"""Canaries: made-up secrets that are put through everything, and the search for them in what must not hold one.

A value is looked for piece by piece, so one that was cut or escaped on the way is found too; and in base64, whatever
stands before it, in hex and in percent-encoding.
"""

from __future__ import annotations

import base64
import secrets
import string
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from noteflow_hooks.crypto import generate_key
from noteflow_hooks.domain.access import generate_token
from noteflow_hooks.signing import generate_secret
from tests.support.client_certificates import Issuer, Pair

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LETTERS: Final = string.ascii_letters + string.digits
#: So many bytes of a value are no coincidence: of 62 letters each, there are 8e17 of them.
_PIECE: Final = 10
#: What quoting, escaping and encoding change.
AWKWARD: Final = "\"\\'/+=&%<"


@dataclass(frozen=True, slots=True)
class CanarySecret:
    """A value, and what it is called where it was found."""

    name: str
    value: bytes

    def __post_init__(self) -> None:
        assert len(self.value) >= _PIECE, f"{self.name}: what is shorter is found by chance"

    @classmethod
    def of(cls, name: str, text: str) -> Self:
        """Make one of a text."""
        return cls(name, text.encode())

    @property
    def text(self) -> str:
        """The value as a text."""
        return self.value.decode()

    def found_in(self, corpus: bytes) -> set[str]:
        """Return the forms in which it, or a piece of it, stands there."""
        return {f"{self.name}, {form}" for form, needle in _needles(self.value) if needle in corpus}


def found(canaries: Iterable[CanarySecret], corpus: bytes) -> set[str]:
    """Return which of the canaries stand there, and in which forms."""
    return {each for canary in canaries for each in canary.found_in(corpus)}


def letters(count: int = 40) -> str:
    """Return so many letters and digits that stand nowhere else."""
    return "".join(secrets.choice(_LETTERS) for _ in range(count))


def awkward() -> str:
    """Return a value full of what is quoted or escaped on its way, between letters that are found all the same."""
    return f"{letters(20)}{AWKWARD}{letters(20)}"


@dataclass(slots=True)
class CanarySecrets:
    """A canary of each kind."""

    #: Plain text, ``whsec_``, and what a server has made.
    of_endpoints: list[str] = field(default_factory=lambda: [awkward(), generate_secret()])
    headers: dict[str, str] = field(
        default_factory=lambda: {"Authorization": f"Bearer {awkward()}", "X-Api-Key": letters()}
    )
    later_headers: dict[str, str] = field(default_factory=lambda: {"Authorization": f"Bearer {letters()}"})
    passwords: dict[str, str] = field(default_factory=lambda: {"database": letters()})
    keys: list[str] = field(default_factory=lambda: [generate_key(), generate_key()])
    token: str = field(default_factory=generate_token)
    #: The private keys that the server has made for its endpoints.
    private_keys: list[str] = field(default_factory=list)
    #: What an endpoint shows in TLS.
    client: Pair = field(default_factory=lambda: Issuer.root().pair())
    #: A URL's; they are no secret to the endpoint's owner.
    path: str = field(default_factory=letters)
    query: str = field(default_factory=letters)

    #: A chat's URL, which is a credential, by its parts.
    chat: list[str] = field(default_factory=lambda: [letters(), letters(), letters()])

    @property
    def chat_target(self) -> str:
        """The path and the query of a chat's URL."""
        channel, token, signature = self.chat
        return f"/services/{channel}/{token}?sig={signature}"

    @property
    def sent(self) -> list[str]:
        """What an endpoint is sent, or signs with."""
        return [*self.headers.values(), *self.of_endpoints]

    @property
    def everywhere(self) -> list[CanarySecret]:
        """What must be nowhere."""
        named = {
            **{f"secret {number}": each for number, each in enumerate(self.of_endpoints, start=1)},
            **{f"header {name}": value for name, value in self.headers.items()},
            **{f"later header {name}": value for name, value in self.later_headers.items()},
            **{f"{name} password": value for name, value in self.passwords.items()},
            **{f"key {number}": key for number, key in enumerate(self.keys, start=1)},
            **{f"chat's URL, part {number}": part for number, part in enumerate(self.chat, start=1)},
            "token": self.token,
        }
        return [*(CanarySecret.of(name, value) for name, value in named.items()), *self._decoded()]

    def _decoded(self) -> Iterator[CanarySecret]:
        """Yield the bytes that keys and secrets stand for, which say as much."""
        for number, key in enumerate(self.keys, start=1):
            yield CanarySecret(f"key {number}, decoded", base64.urlsafe_b64decode(key))
        for number, secret in enumerate(self.of_endpoints, start=1):
            if secret.startswith("whsec_"):
                yield CanarySecret(f"secret {number}, decoded", base64.b64decode(secret.removeprefix("whsec_")))
        for number, key in enumerate(self.private_keys, start=1):
            # What follows these is the public key, which is shown.
            yield CanarySecret(f"private key {number}", base64.b64decode(key.removeprefix("whsk_"))[:32])
        # In base64 it is most of the PEM text; the rest of that is in the certificate too.
        yield CanarySecret("client key", self.client.number.to_bytes(32))

    @property
    def of_urls(self) -> list[CanarySecret]:
        """What only the endpoint's owner sees."""
        return [CanarySecret.of("path", self.path), CanarySecret.of("query", self.query)]


def _needles(value: bytes) -> Iterator[tuple[str, bytes]]:
    yield from (("as it is", each) for each in _pieces(value, _PIECE))
    for encoded in (value.hex(), value.hex().upper()):
        yield from (("in hex", each) for each in _pieces(encoded.encode(), 2 * _PIECE))
    for format_ in ("%{:02x}", "%{:02X}"):
        encoded = "".join(map(format_.format, value))
        yield from (("in percent-encoding", each) for each in _pieces(encoded.encode(), 3 * _PIECE))
    for before in range(3):
        # The first and the last digits hold bits of what stands before and behind the value.
        first, last = -(-before * 8 // 6), (before + len(value)) * 8 // 6
        for digits in (b"+/", b"-_"):
            encoded_ = base64.b64encode(bytes(before) + value, altchars=digits)[first:last]
            yield from (("in base64", each) for each in _pieces(encoded_, _PIECE * 4 // 3))


def _pieces(value: bytes, size: int) -> set[bytes]:
    """Return pieces that cover the value; the last one overlaps the one before."""
    starts = {*range(0, len(value) - size, size), max(0, len(value) - size)}
    return {value[start : start + size] for start in starts}
