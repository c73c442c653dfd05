"""Sample events, signed as the workers sign them: the catalogue's examples, byte for byte as they would be sent."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from noteflow_hooks import __version__
from noteflow_hooks.signing import DEFAULT_TOLERANCE_S, generate_secret, sign, sign_standard
from noteflow_hooks.testing.keys import sign_by_key

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping, Sequence

#: What samples are signed with, unless another secret is given. Everybody knows it.
SECRET: Final = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="  # noqa: S105 - it protects nothing
#: A key pair that everybody knows, for receivers that verify by a public key.
PRIVATE_KEY: Final = "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8DoQe/884Qvh1w3RjnS8CZZ+TWMJulDV8d3IZkElUxuA=="
PUBLIC_KEY: Final = "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
_CUSTOM: Final = "custom."


@dataclass(frozen=True)
class SignedEvent:
    """A request that brings an event: ``body`` and ``headers`` are what is posted."""

    #: The event's type, such as ``meeting.completed``.
    type: str
    #: The bytes that are signed and sent.
    body: bytes
    #: The event's id, the same on every attempt and at every endpoint: ``webhook-id``.
    id: str
    #: The delivery's id, the same on every attempt.
    delivery_id: str
    #: When this attempt is made, in Unix seconds; what it was signed at.
    timestamp: int
    #: The secrets (``whsec_…``, or plain text) and private keys (``whsk_…``) that sign it.
    signed_by: tuple[str, ...] = field(repr=False)
    #: The version of its payload; None for a type of the workspace's own.
    version: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The request's headers, with the signatures."""
        version = {} if self.version is None else {"X-NoteFlow-Payload-Version": str(self.version)}
        sequence = {"X-NoteFlow-Sequence": "1"} if "meeting_id" in self.payload else {}
        return {
            "Content-Type": "application/json",
            "User-Agent": f"NoteFlow-Hooks/{__version__}",
            "X-NoteFlow-Event": self.type,
            **version,
            "X-NoteFlow-Delivery": self.delivery_id,
            "webhook-id": self.id,
            "webhook-timestamp": str(self.timestamp),
            **sequence,
            **self._signatures(),
        }

    @property
    def payload(self) -> dict[str, Any]:
        """What the body says."""
        payload: dict[str, Any] = json.loads(self.body)
        return payload

    def again(self) -> SignedEvent:
        """Return a later attempt of the same delivery, which a receiver must not handle twice."""
        return replace(self, timestamp=self.timestamp + 1)

    def stale(self) -> SignedEvent:
        """Return it as it was signed ten minutes ago: too old, as one that somebody has kept and sends again."""
        return replace(self, timestamp=self.timestamp - 2 * DEFAULT_TOLERANCE_S)

    def forged(self) -> SignedEvent:
        """Return it signed by a secret that nobody knows."""
        return replace(self, signed_by=(generate_secret(),))

    def unsigned(self) -> SignedEvent:
        """Return it without signatures, as an endpoint without a secret gets it."""
        return replace(self, signed_by=())

    def tampered(self) -> TamperedEvent:
        """Return it with a blank behind its body, and the signatures of the body without."""
        mine = {each: getattr(self, each) for each in self.__dataclass_fields__}
        return TamperedEvent(**mine | {"body": self.body + b" "}, signatures=self._signatures())

    def post(self, url: str, *, timeout_s: float = 10, tls: ssl.SSLContext | None = None) -> int:
        """Post it, and return the status code of the answer; ``tls`` says whom to trust over https."""
        request = Request(url, data=self.body, headers=self.headers, method="POST")  # noqa: S310 - the test's own URL
        try:
            with urlopen(request, timeout=timeout_s, context=tls) as answer:  # noqa: S310 - as above
                return int(answer.status)
        except HTTPError as refused:
            with refused:
                return refused.code

    def _signatures(self) -> dict[str, str]:
        keys = [each for each in self.signed_by if each.startswith("whsk_")]
        secrets = [each for each in self.signed_by if each not in keys]
        parts = [sign_standard(self.id, self.timestamp, self.body, secrets)] if secrets else []
        parts += [sign_by_key(self.id, self.timestamp, self.body, key) for key in keys]
        plain = {"X-NoteFlow-Signature": sign(self.body, secrets[0])} if secrets else {}
        return plain | ({"webhook-signature": " ".join(parts)} if parts else {})

    def __str__(self) -> str:
        """Return its type, by which pytest names a test's case."""
        return self.type


@dataclass(frozen=True)
class TamperedEvent(SignedEvent):
    """An event whose body was changed on its way."""

    #: Those of the body as it was.
    signatures: Mapping[str, str] = field(default_factory=dict)

    def _signatures(self) -> dict[str, str]:
        return dict(self.signatures)


def event_types() -> Sequence[str]:
    """Return the types that there are samples of; those of a workspace's own, ``custom.<name>``, are beside these."""
    return list(_bodies())


def sample(
    event_type: str = "meeting.completed",
    payload: Mapping[str, Any] | None = None,
    *,
    version: int | None = None,
    signed_by: Sequence[str] = (SECRET,),
    now: float | None = None,
) -> SignedEvent:
    """Return an event of that type, with an id of its own, signed now.

    ``payload`` has fields in place of the example's; of a type of your own, ``custom.<name>``, it is the payload.
    ``version`` is that of the payload, the newest one if none is given. ``signed_by`` are the secrets that sign, the
    newest first, and private keys. ``now`` is Unix seconds.

    Raises ValueError for a type or version that there is none of.
    """
    if event_type.startswith(_CUSTOM):
        body = _compact({"event": event_type, **(payload or {})})
        return signed(event_type, body, signed_by=signed_by, now=now)
    versions = _bodies().get(event_type)
    if versions is None:
        raise ValueError(f"event_type: {event_type!r} is none of {', '.join(event_types())}, nor custom.<name>")
    number = max(map(int, versions)) if version is None else version
    if str(number) not in versions:
        raise ValueError(f"version: {event_type} has no version {number}; it has {', '.join(versions)}")
    text = versions[str(number)]
    body = text.encode() if payload is None else _compact({**json.loads(text), **payload})
    return signed(event_type, body, version=number, signed_by=signed_by, now=now)


def samples(*, signed_by: Sequence[str] = (SECRET,)) -> list[SignedEvent]:
    """Return an event of every type, in the newest version of its payload, signed now."""
    return [sample(each, signed_by=signed_by) for each in event_types()]


def signed(
    event_type: str,
    body: bytes,
    *,
    version: int | None = None,
    signed_by: Sequence[str] = (SECRET,),
    now: float | None = None,
) -> SignedEvent:
    """Return a request with that very body."""
    at = int(time.time() if now is None else now)
    ids = (str(uuid.uuid4()), str(uuid.uuid4()))
    return SignedEvent(event_type, body, *ids, timestamp=at, signed_by=tuple(signed_by), version=version)


@cache
def _bodies() -> dict[str, dict[str, str]]:
    """Return the catalogue's examples as they are sent, by type and version."""
    found: dict[str, dict[str, str]] = json.loads((files(__package__) / "payloads.json").read_text("utf-8"))
    return found


def _compact(payload: Mapping[str, Any]) -> bytes:
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()
