"""Signatures by key pairs, against RFC 8032's vectors and three implementations that are not ours."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from noteflow_hooks import signing
from noteflow_hooks.key_pairs import KeySigner, generate_key_pair, public_key
from noteflow_hooks.signing import secret_problem, sign, sign_standard, verify_signature, verify_standard

#: RFC 8032, section 7.1, all of its vectors: seed, public key, message, signature.
VECTORS: Final = json.loads((Path(__file__).parents[1] / "support" / "rfc8032.json").read_text("utf-8"))
MESSAGE: Final = "msg_p5jXN8AQM9LWM0D4loKWxJek"
SENT_AT: Final = 1614265330
BODY: Final = b'{"test": 2432232314}'
KEY: Final = generate_key_pair()
PUBLIC: Final = public_key(KEY)
ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_NODE: Final = """
const crypto = require("crypto"), given = JSON.parse(require("fs").readFileSync(0, "utf8"));
const raw = Buffer.from(given.key.slice(5), "base64");
const der = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), raw]);
const key = crypto.createPublicKey({key: der, format: "der", type: "spki"});
const signature = Buffer.from(given.signature.slice(4), "base64");
console.log(crypto.verify(null, Buffer.from(given.content), key, signature));
"""


def headers(signature: str, **changed: str) -> dict[str, str]:
    made = {"webhook-id": MESSAGE, "webhook-timestamp": str(SENT_AT), "webhook-signature": signature}
    return made | {f"webhook-{name}": value for name, value in changed.items()}


def signed(key: str = KEY, body: bytes = BODY) -> str:
    return KeySigner(key).sign_standard(MESSAGE, SENT_AT, body)


@pytest.fixture(params=["cryptography", "plain"])
def verifier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both of our ways to check a signature; the plain one is that of a receiver without `cryptography`."""
    if request.param == "plain":
        monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    return str(request.param)


def is_plainly(key: bytes, signature: bytes, content: bytes) -> bool:
    return signing._is_ed25519_plainly(key, signature, content)  # noqa: SLF001 - what stands in for the library


@pytest.mark.parametrize(("seed", "public", "message", "signature"), VECTORS, ids=range(len(VECTORS)))
def test_the_published_vectors_come_out(seed: str, public: str, message: str, signature: str) -> None:
    """Signed by what signs for us, checked by the plain check; a bit more or less is refused."""
    made = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
    key, content, expected = bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature)
    assert (made.public_key().public_bytes_raw(), made.sign(content)) == (key, expected)
    assert is_plainly(key, expected, content)
    assert not is_plainly(key, expected, content + b"\0")
    for place in range(0, 512, 37):
        changed = bytearray(expected)
        changed[place // 8] ^= 1 << place % 8
        assert not is_plainly(key, bytes(changed), content)


@given(seed=st.binary(min_size=32, max_size=32), content=st.binary(max_size=200), flips=st.sets(st.integers(0, 767)))
def test_the_plain_check_says_what_pynacl_says(seed: bytes, content: bytes, flips: set[int]) -> None:
    """Of signatures that are right, and of those in which bits of the key or the signature are others."""
    signer = SigningKey(seed)
    both = bytearray(bytes(signer.verify_key) + signer.sign(content).signature)
    for flip in flips:
        both[flip // 8] ^= 1 << flip % 8
    key, signature = bytes(both[:32]), bytes(both[32:])
    assert is_plainly(key, signature, content) == is_by_pynacl(key, signature, content) == (not flips)


def is_by_pynacl(key: bytes, signature: bytes, content: bytes) -> bool:
    try:
        VerifyKey(key).verify(content, signature)
    except BadSignatureError:
        return False
    return True


def test_a_signature_is_taken_in_one_form_alone() -> None:
    """With the group's order added to its second half it would be another one for the same bytes."""
    signature = base64.b64decode(signed().removeprefix("v1a,"))
    other = signature[:32] + (int.from_bytes(signature[32:], "little") + ORDER).to_bytes(32, "little")
    key, content = base64.b64decode(PUBLIC.removeprefix("whpk_")), signing.standard_content(MESSAGE, SENT_AT, BODY)
    assert is_plainly(key, signature, content)
    assert not is_plainly(key, other, content)
    assert not is_by_pynacl(key, other, content)


@pytest.mark.parametrize("number", [0, 1, 2**255 - 20, 2**255 - 19, 2**255 - 1, 2**255, 2**255 + 1, 2**256 - 1])
def test_what_is_no_point_or_an_odd_one_is_no_error(number: int, verifier: str) -> None:
    """As a public key that somebody has mistyped."""
    key = "whpk_" + base64.b64encode(number.to_bytes(32, "little")).decode()
    assert not verify_standard(BODY, headers(signed()), key, now=SENT_AT), verifier


def test_by_a_public_key_of_small_order_nothing_verifies(verifier: str) -> None:
    """Everybody can sign by the neutral point, whatever the body is; no pair that was made has such a key."""
    neutral = (1).to_bytes(32, "little")
    assert Ed25519PublicKey.from_public_bytes(neutral).verify(neutral + bytes(32), BODY) is None
    forged = f"v1a,{base64.b64encode(neutral + bytes(32)).decode()}"
    key = "whpk_" + base64.b64encode(neutral).decode()
    assert not verify_standard(BODY, headers(forged), key, now=SENT_AT), verifier


@pytest.mark.usefixtures("verifier")
@given(body=st.binary(max_size=300))
def test_what_we_sign_is_verified(body: bytes) -> None:
    """By our own check, in both ways, and by PyNaCl; by another key it is not."""
    signature = signed(body=body)
    assert verify_standard(body, headers(signature), PUBLIC, now=SENT_AT)
    assert not verify_standard(body + b" ", headers(signature), PUBLIC, now=SENT_AT)
    assert not verify_standard(body, headers(signature), public_key(generate_key_pair()), now=SENT_AT)
    content = MESSAGE.encode() + b"." + str(SENT_AT).encode() + b"." + body
    key = base64.b64decode(PUBLIC.removeprefix("whpk_"))
    assert is_by_pynacl(key, base64.b64decode(signature.removeprefix("v1a,")), content)


def test_node_verifies_what_we_sign() -> None:
    """By its own crypto module, which has nothing of ours."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node on this machine")
    content = f"{MESSAGE}.{SENT_AT}.{BODY.decode()}"
    for text, verdict in ((content, "true\n"), (f"{content} ", "false\n")):
        asked = json.dumps({"key": PUBLIC, "signature": signed(), "content": text})
        done = subprocess.run([node, "-e", _NODE], input=asked, capture_output=True, text=True, check=True)
        assert done.stdout == verdict


@pytest.mark.usefixtures("verifier")
def test_one_signature_of_several_is_enough() -> None:
    """Each check passes over those of the other kind, and over kinds that are still to be invented."""
    secret, older = signing.generate_secret(), generate_key_pair()
    by_secret = sign_standard(MESSAGE, SENT_AT, BODY, [secret])
    both = headers(f"{by_secret} v2,AAAA {signed()} {signed(older)}")
    for good in (secret, PUBLIC, public_key(older)):
        assert verify_standard(BODY, both, good, now=SENT_AT)
    assert not verify_standard(BODY, headers(by_secret), PUBLIC, now=SENT_AT)
    assert not verify_standard(BODY, headers(signed()), secret, now=SENT_AT)


def test_nobody_signs_by_taking_a_public_key_for_a_secret() -> None:
    """Everybody may know it: what is made with it as HMAC's key verifies nowhere."""
    for key in (PUBLIC, KEY):
        assert secret_problem(key) == "must not be a key of a pair, whpk_… or whsk_…"
        assert not verify_signature(BODY, sign(BODY, key), key)
        forged = sign_standard(MESSAGE, SENT_AT, BODY, [key])
        for form in (forged, forged.replace("v1,", "v1a,")):
            assert not verify_standard(BODY, headers(form), key, now=SENT_AT)


@pytest.mark.parametrize("changed", [{"timestamp": str(SENT_AT - 301)}, {"id": "msg_other"}, {"timestamp": "x"}])
def test_id_and_time_are_signed_too(changed: dict[str, str], verifier: str) -> None:
    """And what is too old is refused, whoever signed it."""
    assert not verify_standard(BODY, headers(signed(), **changed), PUBLIC, now=SENT_AT), verifier


@pytest.mark.usefixtures("verifier")
@given(signature=st.text(max_size=200), key=st.text(max_size=80))
def test_whatever_comes_is_false_and_never_an_error(signature: str, key: str) -> None:
    """Keys and signatures of any form."""
    for given_key in (key, f"whpk_{key}", PUBLIC):
        for text in (signature, f"v1a,{signature}"):
            assert not verify_standard(BODY, headers(text), given_key, now=SENT_AT)


def test_so_many_signatures_are_looked_at_and_no_more() -> None:
    """Each takes a plain receiver milliseconds, and whoever knows its URL can send as many as fit into a header."""
    wrong = f"v1a,{base64.b64encode(bytes(64)).decode()}"
    for count, verdict in ((15, True), (16, False)):
        assert verify_standard(BODY, headers(" ".join([wrong] * count + [signed()])), PUBLIC, now=SENT_AT) is verdict


@pytest.mark.parametrize(
    "text",
    ["", "whsk_", "whsk_AAAA", PUBLIC, KEY.removeprefix("whsk_"), f"{KEY}!", "whsec_AAAA"],
    ids=["nothing", "no key", "a short one", "a public one", "no prefix", "one more character", "a secret"],
)
def test_what_is_no_private_key_is_refused_and_not_repeated(text: str) -> None:
    """It may be one that was cut."""
    for call in (public_key, KeySigner):
        with pytest.raises(ValueError, match=r"^it is no private key$"):
            call(text)


def test_a_private_key_with_another_public_key_signs_nothing() -> None:
    """Its owner would be shown a key that checks none of it."""
    seed, other = (base64.b64decode(each.removeprefix("whsk_")) for each in (KEY, generate_key_pair()))
    mixed = "whsk_" + base64.b64encode(seed[:32] + other[32:]).decode()
    with pytest.raises(ValueError, match="not that of its public key"):
        KeySigner(mixed)


def test_the_module_checks_public_keys_alone(tmp_path: Path) -> None:
    """Copied beside a receiver, where there is neither anything else of ours nor any library."""
    (tmp_path / "signing.py").write_bytes(Path(signing.__file__).read_bytes())
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import signing;"
        f"good, bad = (signing.verify_standard(body, {headers(signed())!r}, {PUBLIC!r}, now={SENT_AT})"
        f" for body in ({BODY!r}, b'other'));"
        "print(good, bad, [each for each in sys.modules if each.startswith(('noteflow_hooks', 'cryptography'))])"
    )
    ended = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("True False []\n", "")
