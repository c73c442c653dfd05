"""What an endpoint has of its own in TLS: what goes with what, and when people are told that a certificate ends."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest

from noteflow_hooks.domain.client_certificates import (
    PLAIN_TLS,
    CertificateInfo,
    ClientTls,
    Read,
    expiring_event,
)
from noteflow_hooks.errors import InvalidInputError
from tests.support.builders import NOON, a_webhook

if TYPE_CHECKING:
    from datetime import datetime

DAY: Final = timedelta(days=1)


def info(not_after: datetime = NOON) -> CertificateInfo:
    return CertificateInfo("CN=client", "CN=root", not_after, "ab" * 32)


def read(client_certificate: str | None, client_key: str | None, server_ca: str | None) -> Read:
    """Read texts that are names."""
    assert (client_certificate is None) or (client_key is not None)
    return Read(None if client_certificate is None else info(), () if server_ca is None else (info(),))


def changed(before: ClientTls = PLAIN_TLS, **named: Any) -> ClientTls:  # noqa: ANN401 - its fields
    return before.changed(named, read)  # type: ignore[arg-type]  # the fields' names


PAIRED: Final = changed(client_certificate="cert", client_key="key", server_ca="ca")


def test_a_certificate_and_its_key_are_set_together() -> None:
    """Neither is of use without the other."""
    assert (PAIRED.client_certificate, PAIRED.client_key, PAIRED.info) == ("cert", "key", info())
    for field, missing in (("client_certificate", "client_key"), ("client_key", "client_certificate")):
        with pytest.raises(InvalidInputError, match=f"{missing}: is needed too"):
            changed(PLAIN_TLS, **{field: "text"})


def test_a_certificate_that_is_taken_away_takes_its_key_along() -> None:
    """And what people were to be told of it; the authorities stay."""
    after = changed(PAIRED, client_certificate="")
    assert (after.client_certificate, after.client_key, after.info, after.warn_at) == (None, None, None, None)
    assert after.server_ca == "ca"
    assert changed(after, server_ca="") == PLAIN_TLS
    with pytest.raises(InvalidInputError, match="client_key: is needed too"):
        changed(PAIRED, client_key="")


def test_a_new_certificate_goes_with_the_stored_key() -> None:
    """A renewal often keeps the key; whether it fits is looked at."""
    seen: list[Any] = []

    def looks(client_certificate: str | None, client_key: str | None, server_ca: str | None) -> Read:
        seen.append((client_certificate, client_key, server_ca))
        return read(client_certificate, client_key, server_ca)

    PAIRED.changed({"client_certificate": "newer"}, looks)
    assert seen == [("newer", "key", None)]


def test_what_can_not_be_read_is_replaced_or_named() -> None:
    """A certificate alone does not help where no key decrypts its key."""
    lost = ClientTls(server_ca="ca", info=info(), unreadable=frozenset({"client_certificate", "client_key"}))
    with pytest.raises(InvalidInputError, match="client_key: must be given too: no key decrypts"):
        changed(lost, client_certificate="cert")
    assert changed(lost, client_certificate="cert", client_key="key").unreadable == frozenset()
    assert changed(lost, client_certificate="").unreadable == frozenset()
    assert not lost.is_plain
    assert not ClientTls(unreadable=frozenset({"server_ca"})).is_plain


def test_people_are_told_thirty_seven_and_one_days_before() -> None:
    """Once each, whenever somebody comes to look; a certificate that is set late begins with what is still ahead."""
    told, tls = [], PAIRED
    now = NOON - 40 * DAY
    while tls.warn_at is not None:
        if tls.warn_at <= now:
            told.append(round((NOON - now) / DAY))
            tls = tls.warned(now)
        now += DAY / 24
    assert told == [30, 7, 1]
    assert PAIRED.warned(NOON - 3 * DAY).warn_at == NOON - DAY
    assert PAIRED.warned(NOON + DAY).warn_at is None


def test_the_event_says_which_certificate_ends_and_when() -> None:
    """In words and for programs."""
    webhook = a_webhook()
    for now, words in ((NOON - DAY, "certificate ends at 2024-01-31 12:00:00 UTC"), (NOON, "certificate ended at")):
        payload = json.loads(expiring_event(uuid4(), webhook.workspace_id, webhook.id, info(), now).payload)
        assert (payload["event"], payload["webhook_id"]) == ("webhook.certificate_expiring", str(webhook.id))
        assert (payload["expires_at"], payload["sha256"]) == (NOON.isoformat(), "ab" * 32)
        assert words in payload["reason"]


def test_neither_repr_shows_what_is_inside() -> None:
    """They end up in logs."""
    assert "key" not in repr(PAIRED).replace("client_key", "")
    assert "cert" not in repr(a_webhook(tls=PAIRED))
