"""Checks Ed25519 signatures (RFC 8032): by ``cryptography`` where it is installed, else in plain Python, some 3 ms.

All that is worked on here is public, so that it doesn't matter how long it takes for what.
"""

from __future__ import annotations

import hashlib

_Point = tuple[int, int, int, int]
_P, _ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
#: Public keys by which everybody can sign, without their sign: the points of small order.
_ORDER_8 = 2707385501144840649318225287225658788936804267575313519463743609750303402022
EVERYBODYS = frozenset(y.to_bytes(32, "little") for y in (0, 1, _P - 1, _P, _P + 1, _ORDER_8, _P - _ORDER_8))


def is_signed(key: bytes, signature: bytes, content: bytes) -> bool:
    """Tell whether the signature is that public key's; False, and never an error, for whatever is malformed."""
    if len(signature) != 64 or len(key) != 32:  # noqa: PLR2004 - bytes
        return False
    try:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - it may be missing
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - as above
    except ImportError:
        return is_signed_plainly(key, signature, content)
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, content)
    except (InvalidSignature, ValueError):
        return False
    return True


def is_signed_plainly(key: bytes, signature: bytes, content: bytes) -> bool:
    """Tell it without any library."""
    nonce, scalar = signature[:32], int.from_bytes(signature[32:], "little")
    public, base = _point(key), _point((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))
    if public is None or base is None or scalar >= _ORDER:
        return False
    challenge = int.from_bytes(hashlib.sha512(nonce + key + content).digest(), "little") % _ORDER
    x, y, z, t = public
    x, y, z, _ = _sum(_times(scalar, base), _times(challenge, (-x, y, z, -t)))
    inverse = pow(z, -1, _P)
    return (y * inverse % _P | (x * inverse % _P & 1) << 255).to_bytes(32, "little") == nonce


def _point(encoded: bytes) -> _Point | None:
    number = int.from_bytes(encoded, "little")
    y, sign = number % 2**255, number >> 255
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    if y >= _P or (x * x - square) % _P or (x == 0 and sign):
        return None
    x = x if x & 1 == sign else _P - x
    return x, y, 1, x * y % _P


def _sum(first: _Point, second: _Point) -> _Point:
    (x1, y1, z1, t1), (x2, y2, z2, t2) = first, second
    a, b, c, d = (y1 - x1) * (y2 - x2), (y1 + x1) * (y2 + x2), 2 * t1 * t2 * _D, 2 * z1 * z2
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(number: int, point: _Point) -> _Point:
    total = (0, 1, 1, 0)
    while number:
        total = _sum(total, point) if number & 1 else total
        point, number = _sum(point, point), number >> 1
    return total
