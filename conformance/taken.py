"""The vectors that a receiver takes."""

from __future__ import annotations

from typing import Any, Final

from conformance.signatures import (
    MESSAGE,
    NEW,
    NOW,
    OLDER_PAIR,
    OTHER,
    OTHER_PAIR,
    PAIR,
    PLAIN,
    PUBLISHED,
    PUBLISHED_SIGNATURE,
    headers,
    plain,
    public,
    v1,
    v1a,
    vector,
)

_BYTES: Final = bytes(range(256))
_NAMED: Final = {"Webhook-Id": MESSAGE, "WEBHOOK-TIMESTAMP": str(NOW), "Webhook-Signature": v1(NEW)}
_PLAIN: Final = "X-NoteFlow-Signature"


def taken(name: str, secrets: list[str], sent: dict[str, str], **changed: Any) -> dict[str, Any]:  # noqa: ANN401 - as vector takes them
    """Return a vector that is right."""
    return vector(name, "ok", secrets, sent, **changed)


#: What the right one must be found behind: as many as are looked at, less one.
_FIFTEEN: Final = " ".join([v1(OTHER)] * 15)

TAKEN: Final = [
    taken("the published vector of Standard Webhooks", [PUBLISHED], headers(PUBLISHED_SIGNATURE)),
    taken("both signatures by one secret", [NEW], {**headers(v1(NEW)), _PLAIN: plain(NEW)}, scheme="both"),
    taken("both signatures by a plain secret", [PLAIN], {**headers(v1(PLAIN)), _PLAIN: plain(PLAIN)}, scheme="both"),
    taken("X-NoteFlow-Signature alone", [NEW], {_PLAIN: plain(NEW)}, scheme="plain"),
    taken("X-NoteFlow-Signature by the second secret", [OTHER, NEW], {_PLAIN: plain(NEW)}, scheme="plain"),
    taken("X-NoteFlow-Signature alone has no time", [NEW], {_PLAIN: plain(NEW)}, scheme="plain", now=NOW + 10**6),
    taken(
        "the plain one is another secret's, and is not looked at",
        [PUBLISHED],
        {**headers(f"{v1(NEW)} {v1(PUBLISHED)}"), _PLAIN: plain(NEW)},
    ),
    taken("while a secret rotates: the older one is known", [PUBLISHED], headers(f"{v1(NEW)} {v1(PUBLISHED)}")),
    taken("while a secret rotates: the newer one is known", [NEW], headers(f"{v1(NEW)} {v1(PUBLISHED)}")),
    taken("several secrets, the first one signed", [NEW, OTHER], headers(v1(NEW))),
    taken("several secrets, the last one signed", [OTHER, PLAIN, NEW], headers(v1(NEW))),
    taken("a public key", [public(PAIR)], headers(v1a(PAIR))),
    taken("a public key, both kinds were sent", [public(PAIR)], headers(f"{v1(NEW)} {v1a(PAIR)}")),
    taken("a secret, both kinds were sent", [NEW], headers(f"{v1(NEW)} {v1a(PAIR)}")),
    taken("a secret and a public key, the key signed", [OTHER, public(PAIR)], headers(v1a(PAIR))),
    taken("a secret and a public key, the secret signed", [public(OTHER_PAIR), NEW], headers(v1(NEW))),
    taken(
        "while a pair rotates: the older one is known", [public(OLDER_PAIR)], headers(f"{v1a(PAIR)} {v1a(OLDER_PAIR)}")
    ),
    taken("several public keys", [public(OTHER_PAIR), public(PAIR)], headers(v1a(PAIR))),
    taken("versions that are still to be invented", [NEW], headers(f"v2,AAAA {v1(NEW)} v3")),
    taken("more blanks between", [NEW], headers(f"{v1(OTHER)}  {v1(NEW)}")),
    taken("the sixteenth signature", [NEW], headers(f"{_FIFTEEN} {v1(NEW)}")),
    taken("names in another case", [NEW], _NAMED),
    taken("a body of any bytes", [NEW], headers(v1(NEW, _BYTES)), body=_BYTES),
    taken("a body of any bytes, by a key", [public(PAIR)], headers(v1a(PAIR, _BYTES)), body=_BYTES),
    taken("a body of any bytes, the plain one", [NEW], {_PLAIN: plain(NEW, _BYTES)}, body=_BYTES, scheme="plain"),
    taken("an empty body", [NEW], headers(v1(NEW, b"")), body=b""),
    taken("as old as may be", [NEW], headers(v1(NEW)), now=NOW + 300),
    taken("as early as may be", [NEW], headers(v1(NEW)), now=NOW - 300),
    taken("a tolerance of one's own", [NEW], headers(v1(NEW)), now=NOW + 3600, tolerance_s=3600),
    taken("a length that fits", [NEW], headers(v1(NEW), content_length="20")),
    taken("a length that was the compressed one's", [NEW], headers(v1(NEW), content_length="12")),
]
