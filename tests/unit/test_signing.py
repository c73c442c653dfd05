"""Signatures against published vectors and the Standard Webhooks authors' own library."""

from __future__ import annotations

import base64
import hmac
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from noteflow_hooks.domain.secrets import check_secret
from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.signing import (
    generate_secret,
    secret_hint,
    sign,
    sign_standard,
    verify_signature,
    verify_standard,
)

#: The vector of the Standard Webhooks libraries' own tests.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE = "msg_p5jXN8AQM9LWM0D4loKWxJek"
SENT_AT = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def headers(**changed: str) -> dict[str, str]:
    made = {"webhook-id": MESSAGE, "webhook-timestamp": str(SENT_AT), "webhook-signature": SIGNATURE}
    return made | {f"webhook-{name}": value for name, value in changed.items()}


def test_the_hex_signature_is_githubs() -> None:
    """GitHub's documented example, with the same construction."""
    expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert sign(b"Hello, World!", "It's a Secret to Everybody") == expected


def test_the_standard_signature_is_the_libraries_vector() -> None:
    """The published vector comes out, and verifies."""
    assert sign_standard(MESSAGE, SENT_AT, BODY, [SECRET]) == SIGNATURE
    assert verify_standard(BODY, headers(), SECRET, now=SENT_AT)


@given(body=st.binary(max_size=512), text=st.text(max_size=64))
def test_the_authors_library_accepts_what_is_signed(body: bytes, text: str) -> None:
    """Any bytes, JSON or not, verify with independent code; so do our own helpers."""
    payload = body + text.encode()
    secret, now = generate_secret(), int(datetime.now(UTC).timestamp())
    signed = headers(timestamp=str(now), signature=sign_standard(MESSAGE, now, payload, [secret]))
    assert verify_standard(payload, signed, secret)
    assert verify_signature(payload, sign(payload, secret), secret)
    try:
        payload.decode()
    except UnicodeDecodeError:
        return  # The library takes text only.
    standardwebhooks.Webhook(secret).verify(payload, signed, json_parse=False)


def test_a_plain_secrets_key_is_its_text() -> None:
    """A secret without whsec_ signs with its own bytes in both schemes."""
    key = "whsec_" + base64.b64encode(b"a plain-secret of mine, long enough").decode()
    plain = "a plain-secret of mine, long enough"
    assert sign_standard(MESSAGE, SENT_AT, BODY, [plain]) == sign_standard(MESSAGE, SENT_AT, BODY, [key])


def test_each_live_secret_signs_in_order() -> None:
    """Several secrets give several signatures, one space between, and each verifies."""
    new = generate_secret()
    both = sign_standard(MESSAGE, SENT_AT, BODY, [new, SECRET])
    assert both.split(" ") == [sign_standard(MESSAGE, SENT_AT, BODY, [new]), SIGNATURE]
    for secret in (new, SECRET):
        assert verify_standard(BODY, headers(signature=both), secret, now=SENT_AT)


@pytest.mark.parametrize("offset", [-300, -299, 0, 299, 300])
def test_a_timestamp_within_the_tolerance_is_accepted(offset: int) -> None:
    """Five minutes either way."""
    assert verify_standard(BODY, headers(), SECRET, now=SENT_AT + offset)


@pytest.mark.parametrize("offset", [-301, 301, 10**9])
def test_a_timestamp_beyond_the_tolerance_is_refused(offset: int) -> None:
    """An old message may be a replayed one."""
    assert not verify_standard(BODY, headers(), SECRET, now=SENT_AT + offset)


@pytest.mark.parametrize(
    "changed",
    [
        {"id": "msg_other"},
        {"id": ""},
        {"timestamp": str(SENT_AT + 1)},
        {"timestamp": "soon"},
        {"timestamp": "1e9"},
        {"signature": ""},
        {"signature": "v1,"},
        {"signature": SIGNATURE[:-1]},
        {"signature": SIGNATURE.replace("v1,", "v2,")},
        {"signature": "✓"},
        {"signature": "\udcff"},
    ],
)
def test_a_changed_header_is_refused_without_an_error(changed: dict[str, str]) -> None:
    """Whatever is malformed is False."""
    assert not verify_standard(BODY, headers(**changed), SECRET, now=SENT_AT)


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header_is_refused(missing: str) -> None:
    """All three are needed."""
    given_headers = headers()
    del given_headers[missing]
    assert not verify_standard(BODY, given_headers, SECRET, now=SENT_AT)


def test_header_names_may_have_any_case() -> None:
    """HTTP's names have no case."""
    assert verify_standard(BODY, {name.upper(): value for name, value in headers().items()}, SECRET, now=SENT_AT)


@pytest.mark.parametrize("position", range(len(BODY)))
def test_a_changed_body_is_refused(position: int) -> None:
    """One flipped bit is enough, in both schemes."""
    changed = BODY[:position] + bytes([BODY[position] ^ 1]) + BODY[position + 1 :]
    assert not verify_signature(changed, sign(BODY, SECRET), SECRET)
    assert not verify_standard(changed, headers(), SECRET, now=SENT_AT)


@pytest.mark.parametrize(
    "signature", ["", "sha256=", "sha256=zz", "sha1=00", "✓", "\udcff", sign(BODY, SECRET).upper()]
)
def test_a_malformed_signature_is_refused_without_an_error(signature: str) -> None:
    """False, never an exception, also for what is not ASCII."""
    assert not verify_signature(BODY, signature, SECRET)


def test_what_is_no_text_is_refused_without_an_error() -> None:
    """A receiver may pass on a header that isn't there."""
    assert not verify_signature(BODY, None, SECRET)  # type: ignore[arg-type]  # wrong on purpose
    assert not verify_standard(BODY, {"webhook-id": None}, SECRET)  # type: ignore[dict-item]  # as above


@pytest.mark.parametrize(
    "secret",
    [
        SECRET,
        "8letters",
        "!" * 256,
        "whsec_" + base64.b64encode(bytes(24)).decode(),
        "whsec_" + base64.b64encode(bytes(64)).decode(),
    ],
)
def test_an_allowed_secret_is_returned(secret: str) -> None:
    """The bounds are inside."""
    assert check_secret(secret) == secret


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "7letter",
        "!" * 257,
        "with space",
        "täglich-gut",
        "new\nline-",
        "whsec_",
        "whsec_nonsense!",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_" + base64.b64encode(bytes(32)).decode().rstrip("="),
        "whsec_" + base64.b64encode(bytes(32)).decode().replace("A=", "B="),
        SECRET[:10] + " " + SECRET[10:],
        SECRET[:10] + "-" + SECRET[11:],
    ],
)
def test_a_weak_or_malformed_secret_is_refused_and_not_repeated(secret: str) -> None:
    """Lenient base64 would sign with a shorter key than was given."""
    with pytest.raises(InvalidInputError) as caught:
        check_secret(secret)
    assert caught.value.field == "secret"
    assert not secret or secret not in str(caught.value).replace("whsec_", "", 1)


def test_a_generated_secret_is_allowed_and_never_the_same() -> None:
    """Thirty-two random bytes."""
    made = {check_secret(generate_secret()) for _ in range(100)}
    assert len(made) == 100
    assert all(len(base64.b64decode(secret.removeprefix("whsec_"))) == 32 for secret in made)


def test_a_hint_is_the_end_of_a_long_secret_only() -> None:
    """Four characters of twenty-four tell little; of eight they would tell half."""
    assert secret_hint(SECRET) == "LaSw"
    assert secret_hint("x" * 20 + "1234") == "1234"
    assert secret_hint("x" * 19 + "1234") == ""


MALFORMED = ["", "whsec_", "whsec_abc", "whsec_\n", f"{SECRET}\n", "new\nline-of-mine", "short", "\udcff" * 8, "ü" * 24]


@pytest.mark.parametrize("secret", MALFORMED)
def test_nothing_verifies_by_a_malformed_secret(secret: str) -> None:
    """Not by the empty key, which everybody has, nor by the secret's own bytes."""
    content = b"%s.%d.%s" % (MESSAGE.encode(), SENT_AT, BODY)
    for key in (b"", secret.encode("utf-8", "surrogatepass")):
        plain = "sha256=" + hmac.digest(key, BODY, "sha256").hex()
        standard = "v1," + base64.b64encode(hmac.digest(key, content, "sha256")).decode()
        assert not verify_signature(BODY, plain, secret)
        assert not verify_standard(BODY, headers(signature=standard), secret, now=SENT_AT)


@pytest.mark.parametrize("secret", ["whsec_", "whsec_abc", ""])
def test_nothing_is_signed_by_an_empty_key(secret: str) -> None:
    """Anybody could have made that signature."""
    with pytest.raises(ValueError, match="no bytes"):
        sign_standard(MESSAGE, SENT_AT, BODY, [secret])


@pytest.mark.parametrize(
    "timestamp",
    ["9" * 5000, "1" * 400, "-" + "1" * 400, f" {SENT_AT}", f"+{SENT_AT}", f"0{SENT_AT}", "16_14265330", "٣", ""],
)
def test_a_timestamp_of_any_length_or_form_is_refused_without_an_error(timestamp: str) -> None:
    """Some don't fit into a float, and some int() would take for another text than was signed."""
    assert not verify_standard(BODY, headers(timestamp=timestamp), SECRET, now=SENT_AT)


@given(
    secret=st.one_of(st.text(max_size=80), st.text(max_size=80).map("whsec_".__add__), st.sampled_from(MALFORMED)),
    values=st.dictionaries(
        st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature", "x"]),
        st.one_of(st.text(max_size=40), st.integers().map(str), st.none(), st.binary(max_size=8)),
    ),
    signature=st.one_of(st.text(max_size=80), st.none()),
)
def test_whatever_comes_is_false_and_never_an_error(
    secret: str, values: dict[str, object], signature: str | None
) -> None:
    """A receiver that raises answers 500 to what it should refuse."""
    assert not verify_signature(BODY, signature, secret)  # type: ignore[arg-type]  # wrong on purpose
    assert not verify_standard(BODY, values, secret)  # type: ignore[arg-type]  # as above


def test_the_module_imports_alone(tmp_path: Path) -> None:
    """Copied beside a receiver, where there is nothing else of ours."""
    source = Path(__file__).parents[2] / "noteflow_hooks" / "signing.py"
    (tmp_path / "signing.py").write_bytes(source.read_bytes())
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import signing;"
        f"ok = signing.verify_standard({BODY!r}, {headers()!r}, {SECRET!r}, now={SENT_AT});"
        "ours = [name for name in sys.modules if name.startswith('noteflow_hooks')]; print(ok, ours)"
    )
    ended = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("True []\n", "")
