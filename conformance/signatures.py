"""Signatures for the vectors, made by the ``openssl`` command: nothing here is the project's.

The secrets protect nothing; the key pairs are those of RFC 8032, section 7.1.
"""

from __future__ import annotations

import base64
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Final

NOW: Final = 1614265330
MESSAGE: Final = "msg_p5jXN8AQM9LWM0D4loKWxJek"
BODY: Final = b'{"test": 2432232314}'
#: The vector that the Standard Webhooks libraries are tested with: secret, and signature of the three above.
PUBLISHED: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PUBLISHED_SIGNATURE: Final = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
NEW: Final = "whsec_" + base64.b64encode(bytes(range(32))).decode()
PLAIN: Final = "a-plain-secret-of-our-own"
OTHER: Final = "whsec_" + base64.b64encode(bytes(range(32, 64))).decode()
#: RFC 8032, section 7.1, tests 1 to 3: seed and public key.
_PAIRS: Final = (
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    ),
)
PAIR, OLDER_PAIR, OTHER_PAIR = range(3)
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_PKCS8: Final = bytes.fromhex("302e020100300506032b657004220420")
#: Points of small order, by which everybody can sign: the neutral one, and one of order 8.
NEUTRAL: Final = (1).to_bytes(32, "little")
OF_ORDER_8: Final = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")


def openssl(*arguments: str, fed: bytes = b"") -> bytes:
    """Run it, and return what it writes."""
    return subprocess.run(["openssl", *arguments], input=fed, capture_output=True, check=True).stdout  # noqa: S607 - the machine's own


@cache
def hmac(key: bytes, content: bytes) -> bytes:
    """Return the HMAC-SHA256."""
    return openssl("dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{key.hex()}", "-binary", fed=content)


@cache
def ed25519(pair: int, content: bytes) -> bytes:
    """Return that pair's signature."""
    with tempfile.TemporaryDirectory() as folder:
        key, message = Path(folder, "key.der"), Path(folder, "message")
        key.write_bytes(_PKCS8 + bytes.fromhex(_PAIRS[pair][0]))
        message.write_bytes(content)
        shown = openssl("pkey", "-inform", "DER", "-in", str(key), "-pubout", "-outform", "DER")
        if shown[-32:].hex() != _PAIRS[pair][1]:
            raise RuntimeError("openssl and RFC 8032 do not agree")
        return openssl("pkeyutl", "-sign", "-rawin", "-keyform", "DER", "-inkey", str(key), "-in", str(message))


def base64_of(raw: bytes) -> str:
    """Return it as text."""
    return base64.b64encode(raw).decode()


def public(pair: int) -> str:
    """Return a pair's public key as an endpoint shows it."""
    return "whpk_" + base64_of(bytes.fromhex(_PAIRS[pair][1]))


def content_of(body: bytes = BODY, *, message: str = MESSAGE, at: int | str = NOW) -> bytes:
    """Return what Standard Webhooks has one sign."""
    return f"{message}.{at}.".encode() + body


def key_of(secret: str) -> bytes:
    """Return the bytes that a secret stands for in Standard Webhooks."""
    encoded = secret.removeprefix("whsec_")
    return secret.encode() if encoded == secret else base64.b64decode(encoded)


def v1(secret: str, body: bytes = BODY, **changed: Any) -> str:  # noqa: ANN401 - as content_of takes them
    """Return a secret's part of webhook-signature."""
    return "v1," + base64_of(hmac(key_of(secret), content_of(body, **changed)))


def v1a(pair: int, body: bytes = BODY, **changed: Any) -> str:  # noqa: ANN401 - as content_of takes them
    """Return a key pair's part of webhook-signature."""
    return "v1a," + base64_of(ed25519(pair, content_of(body, **changed)))


def plain(secret: str, body: bytes = BODY) -> str:
    """Return X-NoteFlow-Signature."""
    return "sha256=" + hmac(secret.encode(), body).hex()


def with_other_half(signature: str) -> str:
    """Return the other number that fits the same equation: a check that takes it takes two signatures for one."""
    raw = base64.b64decode(signature.removeprefix("v1a,"))
    number = int.from_bytes(raw[32:], "little") + _ORDER
    return "v1a," + base64_of(raw[:32] + number.to_bytes(32, "little"))


def headers(signature: str | None, **changed: str | None) -> dict[str, str]:
    """Return Standard Webhooks' headers with these changes; None leaves one out."""
    made: dict[str, str | None] = {"webhook-id": MESSAGE, "webhook-timestamp": str(NOW), "webhook-signature": signature}
    made |= {name.replace("_", "-"): value for name, value in changed.items()}
    return {name: value for name, value in made.items() if value is not None}


def vector(name: str, expected: str, secrets: list[str], sent: dict[str, str], **changed: Any) -> dict[str, Any]:  # noqa: ANN401 - the fields of a vector
    """Return one vector; ``changed`` is ``body``, ``scheme``, ``now`` or ``tolerance_s``."""
    body = changed.pop("body", BODY)
    usual = {"scheme": "standard", "now": NOW, "tolerance_s": 300}
    fields = {"headers": sent, "body_base64": base64_of(body), "expected": expected}
    return {"name": name, "secrets": secrets, **usual, **changed, **fields}
