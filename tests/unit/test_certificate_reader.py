"""Which certificates and keys an endpoint may have: each refusal names the field and what is allowed, and no key."""

from __future__ import annotations

import hashlib
import random
import time
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from noteflow_hooks.certificates.reader import PemReader
from noteflow_hooks.domain.client_certificates import CERTIFICATES_SIZE, KEY_SIZE
from noteflow_hooks.errors import InvalidInputError
from tests.support.client_certificates import Issuer, key_pem, rsa_key
from tests.support.shares import first_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.client_certificates import Key

ROOT: Final = Issuer.root()
PAIR: Final = ROOT.pair()
#: How many times the processor time of some 10 ms' other work, measured beside it, one text may cost at most.
BUDGET: Final = 25
#: How many texts are fuzzed.
#: So many texts for each of these, ten thousand in all.
FUZZED: Final = 1_000
SEEDS: Final = range(10)


def refused(certificate: str | None = PAIR.certificate, key: str | None = PAIR.key, ca: str | None = None) -> str:
    """Return all that is said of a refusal."""
    with pytest.raises(InvalidInputError) as caught:
        PemReader().read(certificate, key, ca)
    said = "; ".join(f"{field}: {problem}" for field, problem in caught.value.violations)
    assert "PRIVATE" not in said
    return said


@pytest.mark.parametrize(
    "key",
    [ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1()), rsa_key(2048), rsa_key(3072)],
    ids=["P-256", "P-384", "RSA 2048", "RSA 3072"],
)
def test_what_is_read_is_shown(key: Key) -> None:
    """Whose it is, who has signed it, when it ends, and its digest."""
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(days=40)
    pair = ROOT.pair(key=key, name="CRM", not_after=end)
    info = PemReader().read(pair.certificate, pair.key, None).client
    assert info is not None
    assert (info.subject, info.issuer, info.not_after, len(info.sha256)) == ("CN=CRM", "CN=Root", end, 64)


def test_a_chain_of_five_is_taken() -> None:
    """The client's own first; it is the one that is shown."""
    issuer, behind = ROOT, [ROOT.pem]
    for number in range(3):
        issuer = issuer.below(f"Below {number}")
        behind.insert(0, issuer.pem)
    pair = issuer.pair()
    info = PemReader().read("".join([pair.certificate, *behind]), pair.key, None).client
    assert info is not None
    assert info.issuer == "CN=Below 2"
    assert "has 6 certificates; allowed are 1 to 5" in refused("".join([pair.certificate, *behind, ROOT.pem]), pair.key)


def test_a_chain_out_of_order_is_refused() -> None:
    """Receivers would not find their way along it."""
    said = refused(PAIR.certificate + Issuer.root("Other").pem)
    assert "client_certificate: certificate 1 is not issued by certificate 2; allowed is" in said


@pytest.mark.parametrize(
    ("certificate", "problem"),
    [
        ("", "has 0 certificates; allowed are 1 to 5"),
        ("not PEM", "has 0 certificates"),
        (PAIR.key, "has something that is no certificate in it; allowed are"),
        (PAIR.certificate + PAIR.key, "has something that is no certificate in it"),
        (PAIR.certificate[:-40], "can't be read; allowed are"),
        (PAIR.certificate.replace("MII", "NII", 1), "can't be read"),
        (PAIR.certificate + "ü", "is not ASCII text; allowed is PEM"),
        (PAIR.certificate + "\0", "is not ASCII text"),
        (
            "-" * (CERTIFICATES_SIZE + 1),
            f"has {CERTIFICATES_SIZE + 1} characters; at most {CERTIFICATES_SIZE} are allowed",
        ),
        (ROOT.pair(not_after=datetime.now(UTC) - timedelta(hours=1)).certificate, "certificate 1 has ended at 20"),
        (ROOT.pair(key=rsa_key(1024)).certificate, "is RSA of 1024 bits; allowed keys are RSA of 2,048"),
        (ROOT.pair(key=ec.generate_private_key(ec.SECP521R1())).certificate, "is of the curve secp521r1; allowed"),
        (ROOT.pair(key=ed25519.Ed25519PrivateKey.generate()).certificate, "is of another kind; allowed keys are"),
    ],
)
def test_such_a_certificate_is_refused(certificate: str, problem: str) -> None:
    """With the field, what is wrong, and what is allowed."""
    assert f"client_certificate: {problem}" in refused(certificate)


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("", "is not one private key; allowed is one in PEM, unencrypted"),
        (PAIR.certificate, "is not one private key"),
        (PAIR.key + PAIR.key, "is not one private key"),
        (PAIR.key[:-60], "can't be read; allowed is one in PEM, unencrypted"),
        ("A" * (KEY_SIZE + 1), f"has {KEY_SIZE + 1} characters; at most {KEY_SIZE} are allowed"),
        (key_pem(rsa_key(2048), password=b"secret"), "is encrypted; allowed is one in PEM, unencrypted"),
        (key_pem(rsa_key(1024)), "is RSA of 1024 bits; allowed keys are"),
        (key_pem(ed25519.Ed25519PrivateKey.generate()), "is of another kind; allowed keys are RSA"),
        (ROOT.pair().key, "does not fit client_certificate; allowed is the key of its first one"),
        (key_pem(rsa_key(2048)), "does not fit client_certificate"),
        (None, "is needed too"),
    ],
)
def test_such_a_key_is_refused(key: str | None, problem: str) -> None:
    """The words say nothing of what stands in it."""
    assert f"client_key: {problem}" in refused(key=key)


@pytest.mark.parametrize(
    ("ca", "problem"),
    [
        ("not PEM", "has 0 certificates; allowed are 1 to 5"),
        (ROOT.pem * 6, "has 6 certificates"),
        (ROOT.pem + PAIR.key, "has something that is no certificate in it"),
        (ROOT.pair(not_after=datetime.now(UTC) - timedelta(days=1)).certificate, "certificate 1 has ended"),
    ],
)
def test_such_an_authority_is_refused(ca: str, problem: str) -> None:
    """By the same rules."""
    assert f"server_ca: {problem}" in refused(None, None, ca)


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Of all three fields."""
    said = refused("no certificate", "no key", "no authority")
    assert [each.partition(":")[0] for each in said.split("; ") if ": " in each] == [
        "client_certificate",
        "client_key",
        "server_ca",
    ]


def test_an_rsa_key_whose_factors_are_others_does_not_fit() -> None:
    """Its modulus is the certificate's, and it signs nothing that the certificate verifies."""
    own = rsa_key(2048)
    pair = ROOT.pair(key=own)
    lines = pair.key.splitlines()
    half = len(lines) // 2
    damaged = "\n".join([*lines[:half], *(each.swapcase() for each in lines[half:-2]), *lines[-2:]])
    said = refused(pair.certificate, damaged)
    assert "client_key: does not fit" in said or "client_key: can't be read" in said


@pytest.mark.parametrize("seed", first_of(SEEDS, 2))
def test_of_ten_thousand_fuzzed_texts_none_raises_anything_else_or_costs_much(seed: int) -> None:
    """Cut, flipped, doubled, spliced certificates and keys of every kind: taken or refused, each within its budget."""
    chance = random.Random(seed)
    pairs = [
        ROOT.pair(key=each) for each in (None, rsa_key(2048), rsa_key(4096), ec.generate_private_key(ec.SECP384R1()))
    ]
    texts = [text for pair in pairs for text in (pair.certificate, pair.key)] + [ROOT.pem]
    slowest: tuple[float, list[str | None]] = (0.0, [])
    taken = 0
    for number in range(FUZZED):
        pair = chance.choice(pairs)
        given: list[str | None] = [pair.certificate, pair.key, ROOT.pem if number % 3 == 0 else None]
        place = chance.randrange(3)
        given[place] = mutated(chance, given[place] or ROOT.pem, texts)
        began = time.thread_time()
        taken += is_taken(given)
        slowest = max(slowest, (time.thread_time() - began, given), key=itemgetter(0))
    # Again, beside the other work, since one measurement among so many says more of the machine.
    assert cost(lambda: is_taken(slowest[1])) < BUDGET * cost(lambda: hashlib.pbkdf2_hmac("sha256", b"a", b"b", 40_000))
    assert 0 < taken < FUZZED // 2


def is_taken(given: list[str | None]) -> bool:
    """Tell whether these are taken; whatever is not a refusal is raised."""
    try:
        PemReader().read(*given)
    except InvalidInputError:
        return False
    return True


def cost(work: Callable[[], object]) -> float:
    """Return the processor time that it takes, in seconds, where nothing else is in its way."""

    def once() -> float:
        began = time.thread_time()
        work()
        return time.thread_time() - began

    return min(once() for _ in range(3))


def mutated(chance: random.Random, text: str, others: list[str]) -> str:
    """Return the text with something done to it, at several places maybe."""
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        place = chance.randrange(len(text) or 1)
        match chance.randrange(6):
            case 0:
                text = text[:place]
            case 1:
                text = text[:place] + chance.choice("ABCabc012+/=-\n\0 ü") + text[place + 1 :]
            case 2:
                text = text[:place] + text[place : place + chance.randrange(200)] * 2 + text[place:]
            case 3:
                other = chance.choice(others)
                text = text[:place] + other[chance.randrange(len(other)) :]
            case 4:
                text = text[:place] + text[place + chance.randrange(1, 80) :]
            case _:
                text = text + chance.choice(others)
    return text
