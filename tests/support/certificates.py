"""Certificates for tests: one authority a process, and whatever it signs."""

from __future__ import annotations

import atexit
import functools
import shutil
import ssl
import tempfile
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from noteflow_hooks.rpc.server.tls import TlsFiles


@functools.cache
def authority() -> trustme.CA:
    """Return the authority that :func:`authority_pem` makes a client trust."""
    return trustme.CA()


@functools.cache
def authority_pem() -> Path:
    """Return the authority's certificate as a file, which is there as long as the process."""
    folder = Path(tempfile.mkdtemp(prefix="noteflow-hooks-ca-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    authority().cert_pem.write_to_path(str(folder / "ca.pem"))
    return folder / "ca.pem"


def write_pair(folder: Path, leaf: trustme.LeafCert, *, name: str = "server") -> TlsFiles:
    """Write a certificate and its key as a server's files."""
    made = TlsFiles(cert=folder / f"{name}.crt", key=folder / f"{name}.key")
    made.cert.write_bytes(b"".join(each.bytes() for each in leaf.cert_chain_pems))
    made.key.write_bytes(leaf.private_key_pem.bytes())
    return made


def server_context(ca: trustme.CA, names: tuple[str, ...], version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """Return a server's context with a certificate for those names; None speaks all current versions."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if version is not None:
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            context.minimum_version = context.maximum_version = version
    ca.issue_cert(*names).configure_cert(context)
    return context


def expired_context(*names: str) -> ssl.SSLContext:
    """Return a server's context whose certificate, good until then, ended an hour ago."""
    now = datetime.now(UTC)
    leaf = authority().issue_cert(*names, not_before=now - timedelta(days=2), not_after=now - timedelta(hours=1))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    return context


def client_context(*names: str) -> ssl.SSLContext:
    """Return the context of a server that wants its client's certificate too."""
    context = server_context(authority(), names)
    context.verify_mode = ssl.CERT_REQUIRED
    authority().configure_trust(context)
    return context


def self_signed_context(name: str) -> ssl.SSLContext:
    """Return a server's context with a certificate that nobody has signed but itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    signed = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False).sign(
        key, hashes.SHA256()
    )
    return _context(key, signed)


def common_name_context(ca: trustme.CA, name: str) -> ssl.SSLContext:
    """Return a server's context whose certificate has the name as its common name, and no alternative names."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    issuer = x509.load_pem_x509_certificate(ca.cert_pem.bytes())
    signer = serialization.load_pem_private_key(ca.private_key_pem.bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = x509.CertificateBuilder(issuer.subject, subject, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    return _context(key, made.sign(signer, hashes.SHA256()))


def dhe_context(folder: Path, *, bits: int) -> ssl.SSLContext:
    """Return the context of a server that speaks TLS 1.2 with DHE alone, over a modulus of so many bits.

    It is no prime, for finding one takes hours; computing with it takes as long.
    """
    path = folder / "dh.pem"
    path.write_text(ssl.DER_cert_to_PEM_cert(_der(0x30, _number(2**bits - 2 ** (bits - 64) - 1) + _number(2))))
    path.write_text(path.read_text().replace("CERTIFICATE", "DH PARAMETERS"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # All suites of DHE that clients offer have an RSA signature.
    authority().issue_cert("localhost", key_type=trustme.KeyType.RSA).configure_cert(context)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("DHE:@SECLEVEL=0")
    context.load_dh_params(str(path))
    return context


def _context(key: ec.EllipticCurvePrivateKey, signed: x509.Certificate) -> ssl.SSLContext:
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with trustme.Blob(private + signed.public_bytes(pem)).tempfile() as path:
        context.load_cert_chain(path)
    return context


def _number(value: int) -> bytes:
    return _der(0x02, value.to_bytes(value.bit_length() // 8 + 1))


def _der(tag: int, content: bytes) -> bytes:
    """Return the content with its tag and its length (X.690, 8.1.3)."""
    length = len(content).to_bytes(2)
    return bytes([tag, 0x82]) + length + content if len(content) > 127 else bytes([tag, len(content)]) + content
