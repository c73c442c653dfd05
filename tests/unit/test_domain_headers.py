"""Custom headers: what may be sent along, and refusals that tell a header's name and never its value."""

from __future__ import annotations

import pytest

from noteflow_hooks.domain.headers import DENIED, DENIED_PREFIXES, check_headers, check_stored_headers, is_once_allowed
from noteflow_hooks.errors import InvalidInputError

CANARY = "c4n4ry-of-a-value"


def refusal(*pairs: tuple[str, str]) -> str:
    """Return what the refusal of these headers says."""
    with pytest.raises(InvalidInputError) as caught:
        check_headers(pairs)
    assert caught.value.field == "headers"
    return str(caught.value)


def test_headers_come_back_as_they_were_given() -> None:
    """In their order, names in their case."""
    pairs = [("X-Zeta", "2"), ("Authorization", "Bearer abc.def=="), ("x-alpha", "a\tb c")]
    assert check_headers(iter(pairs)) == tuple(pairs)
    assert check_headers([]) == ()


@pytest.mark.parametrize(
    "name",
    ["Authorization", "X-Api-Key", "api_key", "Cookie", "Accept", "Idempotency-Key", "!#$%&'*+-.^_`|~09", "Hosts"],
)
def test_what_a_receiver_may_ask_for_is_allowed(name: str) -> None:
    """Credentials above all, and any other token that nothing else sets."""
    assert check_headers([(name, "v")]) == ((name, "v"),)


@pytest.mark.parametrize("name", ["ce-id", "CE_Source", "Traceparent", "tracestate"])
def test_what_was_once_allowed_may_be_stored(name: str) -> None:
    """It goes out as it did; only new ones are refused, and all else that is refused is so wherever it comes from."""
    assert check_stored_headers([(name, "v")]) == ((name, "v"),)
    assert is_once_allowed(name)
    for denied in (*DENIED, *DENIED_PREFIXES):
        if not is_once_allowed(denied):
            with pytest.raises(InvalidInputError):
                check_stored_headers([(denied, "v")])


@pytest.mark.parametrize("value", ["x", "~", "a b", "a\tb", "v" * 4096])
def test_a_value_at_its_bounds_is_allowed(value: str) -> None:
    """One character to 4,096, with spaces and tabs inside."""
    assert check_headers([("X-A", value)]) == (("X-A", value),)


@pytest.mark.parametrize(
    "name",
    [
        *DENIED,
        *(f"{prefix}x" for prefix in DENIED_PREFIXES),
        "host",
        "TRANSFER-ENCODING",
        "Transfer_Encoding",
        "Webhook-Signature",
        "webhook_signature",
        "X-NoteFlow-Signature",
        "Proxy-Authorization",
        "Proxy-Connection",
        "Sec-Fetch-Site",
        "X-Forwarded-For",
        "ce-id",
        "CE_Source",
        "Traceparent",
    ],
)
def test_what_the_request_sets_and_what_frames_or_routes_it_is_refused(name: str) -> None:
    """In any case, and with the underscores that many receivers take for hyphens; the refusal lists them all."""
    said = refusal((name, CANARY))
    assert said.startswith(f"headers: {name!r} can't be set; not allowed are ")
    assert all(each in said for each in (*DENIED, *DENIED_PREFIXES))
    assert CANARY not in said


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "the name of header 2 has 0 characters; allowed are 1 to 255"),
        ("n" * 256, "the name of header 2 has 256 characters; allowed are 1 to 255"),
        ("X A", "the name of header 2 has ' ' after 'X'; allowed are letters, digits and any of"),
        ("X-A:", "the name of header 2 has ':' after 'X-A'"),
        (f"Authorization: Bearer {CANARY}", "the name of header 2 has ':' after 'Authorization'"),
        ("X\r\nHost", r"has '\r' after 'X'"),
        ("X-A\n", r"has '\n' after 'X-A'"),
        ("X\x00", r"has '\x00' after 'X'"),
        ("X\x85", r"has '\x85' after 'X'"),
        ("Schlüssel", "has 'ü' after 'Schl'"),
        ("\u212aey", "the name of header 2 has '\u212a'; allowed"),
        ("(x)", "the name of header 2 has '('; allowed"),
    ],
)
def test_a_name_that_is_no_token_is_refused_by_its_place(name: str, says: str) -> None:
    """With the character at fault; what follows it stays unsaid, since it may be a value in the wrong place."""
    said = refusal(("X-Fine", "v"), (name, CANARY))
    assert says in said
    assert CANARY not in said
    assert said.isprintable()


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        f" {CANARY}",
        f"{CANARY} ",
        f"\t{CANARY}",
        f"{CANARY}\n",
        f"{CANARY}\r\nHost: other",
        f"{CANARY}\r\n folded",
        f"{CANARY}\n\tfolded",
        f"{CANARY}\x00",
        f"{CANARY}\x7f",
        f"{CANARY}\x85",
        f"{CANARY}\u2028",
        f"{CANARY} ✓",
        f"{CANARY} é",
        f"{CANARY}\ud800",
        CANARY + "v" * 4096,
    ],
)
def test_a_value_that_could_not_be_sent_as_it_stands_is_refused_and_not_repeated(value: str) -> None:
    """The refusal names the header and what is allowed."""
    said = refusal(("X-Api-Key", value))
    assert "the value of 'X-Api-Key'" in said
    assert "allowed" in said
    assert CANARY not in said


@pytest.mark.parametrize("second", ["X-Api-Key", "x-api-key"])
def test_a_name_is_given_once(second: str) -> None:
    """Whatever its case: receivers differ in which of two they take."""
    said = refusal(("X-Api-Key", CANARY), (second, CANARY))
    assert said == f"headers: {second!r} is given twice; each name may be given once, whatever its case"


def test_there_are_at_most_twenty() -> None:
    """And one more is refused with the bound."""
    twenty = [(f"X-{number}", "v") for number in range(20)]
    assert len(check_headers(twenty)) == 20
    assert refusal(*twenty, ("X-20", "v")) == "headers: there are 21 headers; at most 20 are allowed"


def test_a_head_stays_small() -> None:
    """All of them have at most 16 KiB as they are sent, colons and line ends included."""
    full = [(f"X-{number}", "v" * (4096 - len("X-0: \r\n"))) for number in range(4)]
    assert len(check_headers(full)) == 4
    said = refusal(*full[:3], ("X-33", full[3][1]))
    assert said == "headers: have 16385 bytes as sent; at most 16384 in all are allowed"
