"""The vectors that a receiver refuses, by the name of what is wrong."""

from __future__ import annotations

import base64
import json
from functools import partial
from typing import Any, Final

from conformance.signatures import (
    BODY,
    MESSAGE,
    NEUTRAL,
    NEW,
    NOW,
    OF_ORDER_8,
    OTHER,
    OTHER_PAIR,
    PAIR,
    PLAIN,
    PUBLISHED,
    base64_of,
    content_of,
    headers,
    hmac,
    plain,
    public,
    v1,
    v1a,
    vector,
    with_other_half,
)

_PLAIN: Final = "X-NoteFlow-Signature"
_RIGHT: Final = v1(NEW)
_PARSED: Final = json.dumps(json.loads(BODY), separators=(",", ":")).encode()
_SIXTEEN: Final = " ".join([v1(OTHER)] * 16)
_MISSING: Final = partial(vector, expected="missing_header", secrets=[NEW])
_MALFORMED: Final = partial(vector, expected="malformed_header", secrets=[NEW])
_SECRET: Final = partial(vector, expected="secret_malformed", sent=headers(_RIGHT))
_UNFIT: Final = partial(vector, expected="no_match")
_NOT_RAW: Final = partial(vector, expected="body_not_raw")


def _signed(**changed: str) -> dict[str, str]:
    """Return headers with an id or a time that is signed as it stands there, well or not."""
    message, at = changed.get("webhook_id", MESSAGE), changed.get("webhook_timestamp", str(NOW))
    return headers(v1(NEW, message=message, at=at), **changed)


def _by_text(key: str) -> str:
    return "v1," + base64_of(hmac(key.encode(), content_of()))


def _by_bytes(key: str) -> str:
    return "v1," + base64_of(hmac(base64.b64decode(key.removeprefix("whpk_")), content_of()))


_HEADERS: Final[list[dict[str, Any]]] = [
    _MISSING("no webhook-id", sent=headers(_RIGHT, webhook_id=None)),
    _MISSING("no webhook-timestamp", sent=headers(_RIGHT, webhook_timestamp=None)),
    _MISSING("no webhook-signature", sent=headers(None)),
    _MISSING("an empty webhook-id", sent=_signed(webhook_id="")),
    _MISSING("the plain one alone does not do", sent={_PLAIN: plain(NEW)}),
    _MISSING("no X-NoteFlow-Signature", sent=headers(_RIGHT), scheme="plain"),
    _MISSING("both are asked for, the plain one is not there", sent=headers(_RIGHT), scheme="both"),
    _MISSING("both are asked for, the standard one is not there", sent={_PLAIN: plain(NEW)}, scheme="both"),
    *[
        _MALFORMED(f"a webhook-timestamp of {written!r}", sent=_signed(webhook_timestamp=written))
        for written in ("now", "-1", f"+{NOW}", f"{NOW}.5", f"0{NOW}", "1e9", "0x60379a02", "9" * 13, "9" * 40)
    ],
    _MALFORMED("a webhook-id with a dot, so that what is signed has two readings", sent=_signed(webhook_id="a.1")),
    _MALFORMED("a webhook-id with a blank", sent=_signed(webhook_id="a b")),
    _MALFORMED("a webhook-id of 129 characters", sent=_signed(webhook_id="a" * 129)),
]

_TIMES: Final = [
    vector("a second too old", "too_old", [NEW], headers(_RIGHT), now=NOW + 301),
    vector("too old, by a key", "too_old", [public(PAIR)], headers(v1a(PAIR)), now=NOW + 301),
    vector("too old, and wrong besides", "too_old", [OTHER], headers(_RIGHT), now=NOW + 301),
    vector("a second too new", "too_new", [NEW], headers(_RIGHT), now=NOW - 301),
    vector("milliseconds for seconds", "malformed_header", [NEW], _signed(webhook_timestamp=f"{NOW}000")),
    vector("the epoch", "too_old", [NEW], _signed(webhook_timestamp="0")),
    vector("a tolerance of one's own, passed", "too_old", [NEW], headers(_RIGHT), now=NOW + 11, tolerance_s=10),
]

_SECRETS: Final = [
    _SECRET("no secret at all", secrets=[]),
    _SECRET("an empty secret", secrets=[""]),
    _SECRET("a plain secret of seven characters", secrets=["sevench"]),
    _SECRET("a plain secret with a blank", secrets=["a secret with blanks"]),
    _SECRET("a plain secret of 257 characters", secrets=["a" * 257]),
    _SECRET("a secret with the end of its line", secrets=[NEW + "\n"]),
    _SECRET("a secret in quotes", secrets=['whsec_"AAAA"']),
    _SECRET("whsec_ and no base64", secrets=["whsec_not-base64-at-all-but-long-enough"]),
    _SECRET("whsec_ and base64 without its padding", secrets=[NEW.rstrip("=")]),
    _SECRET("whsec_ and unused bits that are not zero", secrets=[NEW.removesuffix("8=") + "9="]),
    _SECRET("whsec_ of 23 bytes", secrets=["whsec_" + base64_of(bytes(23))]),
    _SECRET("whsec_ of 65 bytes", secrets=["whsec_" + base64_of(bytes(65))]),
    _SECRET("whsec_ alone", secrets=["whsec_"]),
    _SECRET("a private key", secrets=["whsk_" + base64_of(bytes(64))]),
    _SECRET("a public key of 31 bytes", secrets=["whpk_" + base64_of(bytes(31))]),
    _SECRET("a public key that is no base64", secrets=["whpk_?"]),
    _SECRET("a public key by which everybody signs", secrets=["whpk_" + base64_of(NEUTRAL)]),
    _SECRET("a public key of order 8", secrets=["whpk_" + base64_of(OF_ORDER_8)]),
    _SECRET("a public key of order 8, its sign turned", secrets=["whpk_" + base64_of(OF_ORDER_8[:31] + b"\x85")]),
    _SECRET("one of several is malformed", secrets=[NEW, "whsec_"]),
]

_SIGNATURES: Final = [
    _UNFIT("another secret", secrets=[OTHER], sent=headers(_RIGHT)),
    _UNFIT("another public key", secrets=[public(OTHER_PAIR)], sent=headers(v1a(PAIR))),
    _UNFIT("a body in which a digit is another", secrets=[NEW], sent=headers(_RIGHT), body=b'{"test": 2432232315}'),
    _UNFIT("another body, by a key", secrets=[public(PAIR)], sent=headers(v1a(PAIR)), body=BODY + b" "),
    _UNFIT("another webhook-id", secrets=[NEW], sent=headers(_RIGHT, webhook_id="msg_other")),
    _UNFIT("another webhook-timestamp", secrets=[NEW], sent=headers(_RIGHT, webhook_timestamp=str(NOW + 1))),
    _UNFIT(
        "a key's time is signed too", secrets=[public(PAIR)], sent=headers(v1a(PAIR), webhook_timestamp=str(NOW + 1))
    ),
    _UNFIT("a public key, and a secret's signature", secrets=[public(PAIR)], sent=headers(_RIGHT)),
    _UNFIT("a secret, and a key's signature", secrets=[NEW], sent=headers(v1a(PAIR))),
    _UNFIT("a public key's text taken for a secret", secrets=[public(PAIR)], sent=headers(_by_text(public(PAIR)))),
    _UNFIT("a public key's bytes taken for a secret", secrets=[public(PAIR)], sent=headers(_by_bytes(public(PAIR)))),
    _UNFIT("a secret's signature called v1a", secrets=[public(PAIR), NEW], sent=headers(_RIGHT.replace("v1,", "v1a,"))),
    _UNFIT("a key's signature called v1", secrets=[public(PAIR), NEW], sent=headers(v1a(PAIR).replace("v1a,", "v1,"))),
    _UNFIT("a secret's signature without its version", secrets=[NEW], sent=headers(_RIGHT.removeprefix("v1,"))),
    _UNFIT(
        "a key's signature without its version", secrets=[public(PAIR)], sent=headers(v1a(PAIR).removeprefix("v1a,"))
    ),
    _UNFIT("a key's signature in its other form", secrets=[public(PAIR)], sent=headers(with_other_half(v1a(PAIR)))),
    _UNFIT("a key's signature that was cut", secrets=[public(PAIR)], sent=headers(v1a(PAIR)[:-8])),
    _UNFIT("a key's signature of nought", secrets=[public(PAIR)], sent=headers("v1a," + base64_of(bytes(64)))),
    _UNFIT("a key's signature without its padding", secrets=[public(PAIR)], sent=headers(v1a(PAIR).rstrip("="))),
    _UNFIT("a public key that is no point", secrets=["whpk_" + base64_of(b"\2" + bytes(31))], sent=headers(v1a(PAIR))),
    _UNFIT("a signature that was cut", secrets=[NEW], sent=headers(_RIGHT[:-4])),
    _UNFIT("a signature without its padding", secrets=[NEW], sent=headers(_RIGHT.rstrip("="))),
    _UNFIT("a signature in small letters", secrets=[NEW], sent=headers(_RIGHT.lower())),
    _UNFIT("a signature without its version", secrets=[NEW], sent=headers(_RIGHT.removeprefix("v1,"))),
    _UNFIT("signatures between commas", secrets=[NEW], sent=headers(f"{v1(OTHER)},{_RIGHT}")),
    _UNFIT("a version alone", secrets=[NEW, public(PAIR)], sent=headers("v1, v1a, v1 v1a ,")),
    _UNFIT("the seventeenth signature", secrets=[NEW], sent=headers(f"{_SIXTEEN} {_RIGHT}")),
    _UNFIT("a secret's text in place of its bytes", secrets=[NEW], sent=headers(_by_text(NEW))),
    _UNFIT("the plain one of another secret", secrets=[OTHER], sent={_PLAIN: plain(NEW)}, scheme="plain"),
    _UNFIT("the plain one in capitals", secrets=[NEW], sent={_PLAIN: plain(NEW).upper()}, scheme="plain"),
    _UNFIT("the plain one without its name", secrets=[NEW], sent={_PLAIN: plain(NEW)[7:]}, scheme="plain"),
    _UNFIT("the plain one by a key's text", secrets=[public(PAIR)], sent={_PLAIN: plain(public(PAIR))}, scheme="plain"),
    _UNFIT(
        "both, the plain one is wrong", secrets=[NEW], sent={**headers(_RIGHT), _PLAIN: plain(PLAIN)}, scheme="both"
    ),
    _UNFIT(
        "both, the standard one is wrong", secrets=[NEW], sent={**headers(v1(OTHER)), _PLAIN: plain(NEW)}, scheme="both"
    ),
    _UNFIT(
        "the published vector, its end changed", secrets=[PUBLISHED], sent=headers(v1(PUBLISHED)), body=BODY[:-1] + b" "
    ),
]

_BODIES: Final = [
    _NOT_RAW("parsed and written again", secrets=[NEW], sent=headers(_RIGHT, content_length="20"), body=_PARSED),
    _NOT_RAW("somebody has read it before", secrets=[NEW], sent=headers(_RIGHT, content_length="20"), body=b""),
    _NOT_RAW(
        "by a key, with a line's end",
        secrets=[public(PAIR)],
        sent=headers(v1a(PAIR), content_length="20"),
        body=BODY + b"\n",
    ),
    _NOT_RAW(
        "the plain one, written again",
        secrets=[NEW],
        sent={_PLAIN: plain(NEW), "Content-Length": "20"},
        body=_PARSED,
        scheme="plain",
    ),
    _UNFIT(
        "a length that is no number says nothing", secrets=[NEW], sent=headers(_RIGHT, content_length="x"), body=_PARSED
    ),
    _UNFIT("a length that fits a wrong body", secrets=[OTHER], sent=headers(_RIGHT, content_length="20")),
]

REFUSED: Final = [*_HEADERS, *_TIMES, *_SECRETS, *_SIGNATURES, *_BODIES]
