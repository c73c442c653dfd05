"""The vectors by which each receiver kit is checked, and what the Python one says of them."""

from __future__ import annotations

import base64
import re
import shutil
import sys
from typing import Any, Final

import pytest

from conformance.make_vectors import FILE, written
from kits.python.noteflow_webhooks import Verifier, WebhookError
from kits.python.noteflow_webhooks.receiver import STATUS
from noteflow_hooks.domain.catalogue import CATALOGUE
from noteflow_hooks.signing import verify_signature, verify_standard
from tests.support.document_pages import Page
from tests.support.kits import KITS, SAMPLES, VECTORS

#: Where the kits are stricter than `noteflow_hooks.signing`: an id's form, a bad secret beside a good one, a long list.
_STRICTER: Final = {
    "an empty webhook-id",
    "a webhook-id with a dot, so that what is signed has two readings",
    "a webhook-id with a blank",
    "a webhook-id of 129 characters",
    "one of several is malformed",
    "the seventeenth signature",
}
#: Beside what a request is refused for: a secret is looked at before there is any.
_NAMES: Final = {*STATUS, "secret_malformed"}
#: A hundred and fifty, or so.
_LINES: Final = 192
_SOURCES: Final = (
    "node/noteflow-webhooks.mjs",
    "go/receiver.go",
    "ruby/noteflow_webhooks.rb",
    "php/noteflow_webhooks.php",
    "java/noteflow/webhooks/Receiver.java",
)


def said(vector: dict[str, Any]) -> str:
    """Return what the kit says."""
    options = {"scheme": vector["scheme"], "tolerance_s": vector["tolerance_s"], "now": lambda: vector["now"]}
    try:
        Verifier(vector["secrets"], **options).verify(base64.b64decode(vector["body_base64"]), vector["headers"])
    except WebhookError as error:
        return error.reason
    return "ok"


@pytest.mark.parametrize("installed", [True, False], ids=["cryptography", "plain"])
def test_the_python_kit_says_of_each_vector_what_it_must(installed: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001 - a parameter
    """With `cryptography` and without it."""
    if not installed:
        monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    checked = [*VECTORS, *SAMPLES]
    assert {each["name"]: said(each) for each in checked} == {each["name"]: each["expected"] for each in checked}


def test_the_samples_are_signed_events_of_every_type() -> None:
    """Each for a secret and for a public key; there is none but one that is right."""
    assert {each["event_type"] for each in SAMPLES} == set(map(str, CATALOGUE))
    assert {(each["scheme"], each["expected"]) for each in SAMPLES} == {("both", "ok"), ("standard", "ok")}


def test_no_file_of_a_kit_is_longer_than_a_reader_takes() -> None:
    """What verifies is a file of its own in each language."""
    files = [path for path in KITS.rglob("*") if re.fullmatch(r".*\.(py|mjs|go|rb|php|java)", path.name)]
    long = {path.name: lines for path in files if (lines := len(path.read_text("utf-8").splitlines())) > _LINES}
    assert long == {}
    assert {path.stem for path in files} >= {"noteflow-verifier", "noteflow_verifier", "verifier", "Verifier"}


def test_the_vectors_are_what_openssl_makes() -> None:
    """The file is the script's, whatever anybody has written into it."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl on this machine")
    assert FILE.read_text("utf-8") == written(), "run python -m conformance.make_vectors"


def test_what_signs_for_us_agrees_with_the_vectors() -> None:
    """All that are right it takes, and of those that are wrong none but what the kits look at more closely."""
    taken = {each["name"] for each in VECTORS if is_taken_by_us(each)}
    right = {each["name"] for each in VECTORS if each["expected"] == "ok"}
    assert right <= taken
    assert taken - right == _STRICTER


def is_taken_by_us(vector: dict[str, Any]) -> bool:
    body, sent = (
        base64.b64decode(vector["body_base64"]),
        {name.lower(): each for name, each in vector["headers"].items()},
    )
    times = {"tolerance_s": vector["tolerance_s"], "now": vector["now"]}
    standard = any(verify_standard(body, sent, each, **times) for each in vector["secrets"])
    plain = any(verify_signature(body, sent.get("x-noteflow-signature", ""), each) for each in vector["secrets"])
    return {"standard": standard, "plain": plain, "both": standard and plain}[vector["scheme"]]


def test_every_name_of_a_request_is_in_the_vectors_or_is_no_request_s() -> None:
    """What a verifier says is in the vectors; what a receiver says beside that is in the kits' other tests."""
    of_receivers = {"not_post", "body_too_large", "in_progress", "store_failed"}
    assert {each["expected"] for each in VECTORS} == _NAMES - of_receivers | {"ok"}


def test_the_page_has_every_name_with_its_answer() -> None:
    """And no other."""
    table = Page("kits").sections()["What is wrong has a name"]
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| `")]
    listed = {name: answer.strip() for names, answer in rows for name in re.findall(r"`(\w+)`", names)}
    assert listed == {name: str(STATUS.get(name, "none: at the start")) for name in _NAMES}


@pytest.mark.parametrize("source", _SOURCES)
def test_each_language_answers_each_name_alike(source: str) -> None:
    """By the table that each kit has."""
    text = (KITS / source).read_text("utf-8")
    table = re.search(
        r"\bSTATUS\b.*?;|^var status.*?^}|^STATUS = .*?^}|STATUS = .*?freeze", text, re.DOTALL | re.MULTILINE
    )
    assert table is not None
    pairs = re.findall(r"""["']?(\w+)["']?\s*(?::|=>|,)\s*(\d{3})""", table.group())
    assert {name: int(status) for name, status in pairs} == STATUS
