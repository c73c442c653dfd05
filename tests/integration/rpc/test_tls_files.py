"""TLS files: one line names the setting for each that is wrong; those that don't change are not read again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from noteflow_hooks.errors import SettingsError
from noteflow_hooks.rpc.server.tls import ServerCertificates, TlsFiles
from noteflow_hooks.settings import PREFIX
from tests.integration.rpc.world import World
from tests.support.certificates import authority, write_pair
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    """The server's certificate for loopback, and its key."""
    return write_pair(tmp_path, authority().issue_cert("localhost", "127.0.0.1"))


def _encrypted(files: TlsFiles) -> None:
    key = load_pem_private_key(files.key.read_bytes(), password=None)
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"canary")))


def _other_key(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, files: TlsFiles
) -> None:
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _lasting(files: TlsFiles, *, from_days: int, to_days: int) -> None:
    now = datetime.now(UTC)
    begins, ends = now + timedelta(days=from_days), now + timedelta(days=to_days)
    write_pair(files.cert.parent, authority().issue_cert("localhost", not_before=begins, not_after=ends))


def _swapped(files: TlsFiles) -> None:
    cert, key = files.cert.read_bytes(), files.key.read_bytes()
    files.cert.write_bytes(key)
    files.key.write_bytes(cert)


BAD_FILES: Final = [
    pytest.param("CERT", "can't be read: No such file", lambda files: files.cert.unlink(), id="no certificate"),
    pytest.param("KEY", "can't be read: No such file", lambda files: files.key.unlink(), id="no key"),
    pytest.param("CERT", "holds no PEM certificate", lambda files: files.cert.write_bytes(b""), id="empty"),
    pytest.param("CERT", "holds no PEM certificate", lambda files: files.cert.write_bytes(bytes(99)), id="zeros"),
    pytest.param("KEY", "holds no PEM private key", lambda files: files.key.write_bytes(b"\xff"), id="garbage"),
    pytest.param("CERT", "holds no PEM certificate", _swapped, id="swapped"),
    pytest.param("KEY", "is encrypted, and nobody is there", _encrypted, id="encrypted"),
    pytest.param(
        "KEY", "is not the key of", lambda files: _other_key(ec.generate_private_key(ec.SECP256R1()), files), id="other"
    ),
    pytest.param(
        "KEY", "must be an RSA key of", lambda files: _other_key(ed25519.Ed25519PrivateKey.generate(), files), id="kind"
    ),
    pytest.param(
        "KEY",
        "must be an RSA key of",
        lambda files: _other_key(rsa.generate_private_key(65537, 1024), files),  # noqa: S505 - it is refused
        id="short",
    ),
    pytest.param("CERT", "expired at 2", lambda files: _lasting(files, from_days=-3, to_days=-1), id="expired"),
    pytest.param("CERT", "is not valid before 2", lambda files: _lasting(files, from_days=1, to_days=3), id="early"),
]


@pytest.mark.parametrize(("setting", "says", "spoil"), BAD_FILES)
def test_a_server_with_a_bad_file_does_not_start_and_names_the_setting(
    files: TlsFiles, setting: str, says: str, spoil: Callable[[TlsFiles], object]
) -> None:
    """In one line, which repeats nothing of a file; gRPC by itself would listen, and fail each handshake in silence."""
    spoil(files)
    with pytest.raises(SettingsError) as caught:
        World(tls=files).__enter__()
    line = str(caught.value)
    assert line.startswith(f"{PREFIX}GRPC_TLS_{setting}: {files.cert.parent}")
    assert says in line
    assert "\n" not in line


def test_an_authority_for_callers_that_is_none_is_named(files: TlsFiles, tmp_path: Path) -> None:
    """As the other two are."""
    for path, says in ((tmp_path, "can't be read: Is a directory"), (files.key, "holds no PEM certificate")):
        with pytest.raises(SettingsError, match=rf"GRPC_TLS_CLIENT_CA: {path} {says}"):
            World(tls=TlsFiles(cert=files.cert, key=files.key, client_ca=path)).__enter__()


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"cert": "x"}, "GRPC_TLS_CERT is set, and NOTEFLOW_HOOKS_GRPC_TLS_KEY is not"),
        ({"key": "x"}, "GRPC_TLS_KEY is set, and NOTEFLOW_HOOKS_GRPC_TLS_CERT is not"),
        (
            {"client_ca": "x"},
            "GRPC_TLS_CLIENT_CA is set, and NOTEFLOW_HOOKS_GRPC_TLS_CERT and NOTEFLOW_HOOKS_GRPC_TLS_KEY",
        ),
    ],
)
def test_half_of_a_pair_is_refused(given: dict[str, Any], line: str) -> None:
    """And none of them is no TLS."""
    with pytest.raises(SettingsError, match=line):
        TlsFiles.of(**{"cert": None, "key": None, "client_ca": None, **given})
    assert TlsFiles.of(cert=None, key=None, client_ca=None) is None


def test_files_that_do_not_change_are_not_read_again(files: TlsFiles) -> None:
    """A look at each connection is all that it costs; one that vanishes changes nothing."""
    certificates = ServerCertificates(files)
    assert certificates.renewed() is None
    files.key.unlink()
    assert certificates.renewed() is None
    assert certificates.renewed() is None


def test_a_certificate_that_ends_while_it_is_in_use_is_told_of_once(
    files: TlsFiles, caplog: pytest.LogCaptureFixture
) -> None:
    """At the next connection; one that was renewed is told of when it ends itself."""
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    write_pair(files.cert.parent, authority().issue_cert("localhost", not_after=ends))
    certificates = ServerCertificates(files)
    certificates.renewed()
    assert caplog.messages == []
    until(lambda: certificates.renewed() is None and caplog.messages, what="it ends")
    certificates.renewed()
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        (
            "WARNING",
            "the TLS certificate has ended, and callers refuse it: renew the file of NOTEFLOW_HOOKS_GRPC_TLS_CERT",
        )
    ]
    write_pair(files.cert.parent, authority().issue_cert("localhost"))
    assert certificates.renewed() is not None
    certificates.renewed()
    assert len(caplog.messages) == 1
