"""Certificates and other files that customers upload, made for the test."""

from __future__ import annotations

import functools
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs7,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from web.portal.certificates import Certificate, read

DAY: Final = timedelta(days=1)


@functools.cache
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@functools.cache
def certificate(
    name: str | None = "Till 1", starts_days: int = -1, ends_days: int = 365
) -> x509.Certificate:
    """Return a certificate that is valid between two days, counted from today."""
    attributes = [] if name is None else [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    subject = x509.Name(attributes)
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key().public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + starts_days * DAY)
        .not_valid_after(now + ends_days * DAY)
        .sign(key(), SHA256())
    )


@functools.cache
def issued(
    name: str = "Till 1",
    issuer: str = "Authority",
    *,
    authority: bool = False,
    ends_days: int = 365,
) -> x509.Certificate:
    """Return a certificate that an authority has issued, with the extensions that it gives."""
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key().public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + ends_days * DAY)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .sign(key(), SHA256())
    )


def as_pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


def full_chain() -> list[x509.Certificate]:
    """Return what an authority sends: the till's, its own, and the one above it."""
    root, middle = issued("Root", "Root", authority=True), issued("CA", "Root", authority=True)
    return [root, issued("Till 1", "CA"), middle]


def pem(name: str | None = "Till 1", **days: int) -> bytes:
    return certificate(name, **days).public_bytes(Encoding.PEM)


def der(name: str | None = "Till 1", **days: int) -> bytes:
    return certificate(name, **days).public_bytes(Encoding.DER)


def fingerprint(name: str | None = "Till 1", **days: int) -> str:
    return certificate(name, **days).fingerprint(SHA256()).hex()


def known(name: str, **days: int) -> Certificate:
    """Return what the program keeps of a certificate."""
    return read(pem(name, **days))


def known_as(certificate: x509.Certificate) -> Certificate:
    """Return what the program keeps of a certificate."""
    return read(as_pem(certificate))


def chain() -> bytes:
    return pem("Till 1") + pem("Issuer")


def bundle(encoding: Encoding) -> bytes:
    """Return a PKCS#7 file, which is made to carry several."""
    return pkcs7.serialize_certificates([certificate("Till 1"), certificate("Issuer")], encoding)


def private_keys() -> dict[str, bytes]:
    """Return a private key in each of the ways in which people have one."""
    behind = BestAvailableEncryption(b"password")
    pkcs8, openssl = PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL
    private = key()
    return {
        "PEM": private.private_bytes(Encoding.PEM, pkcs8, NoEncryption()),
        "PEM of old": private.private_bytes(Encoding.PEM, openssl, NoEncryption()),
        "PEM behind a password": private.private_bytes(Encoding.PEM, pkcs8, behind),
        "DER": private.private_bytes(Encoding.DER, pkcs8, NoEncryption()),
        "DER behind a password": private.private_bytes(Encoding.DER, pkcs8, behind),
        "OpenSSH": private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
        "PKCS#12": pkcs12.serialize_key_and_certificates(
            b"till", private, certificate("Till 1"), None, behind
        ),
        "with its certificate": pem("Till 1")
        + private.private_bytes(Encoding.PEM, pkcs8, NoEncryption()),
        "SSH2 armour": pem("Till 1") + b"---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nAAAA\n",
        "PGP armour": b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nAAAA\n" + pem("Till 1"),
        "PuTTY": b"PuTTY-User-Key-File-3: ecdsa-sha2-nistp256\n" + pem("Till 1"),
        "small letters": pem("Till 1") + b"-----begin private key-----\nAAAA\n",
        "XML": b"<RSAKeyValue><D>AAAA</D></RSAKeyValue>" + pem("Till 1"),
        "JSON": b'{"kty": "EC", "d": "AAAA"}\n' + pem("Till 1"),
        "UTF-16": private.private_bytes(Encoding.PEM, pkcs8, NoEncryption())
        .decode()
        .encode("utf-16"),
    }


def mixtures() -> dict[str, bytes]:
    """Return certificates with something beside them that may be anything."""
    private = key().private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    around = (
        pkcs7.PKCS7SignatureBuilder()
        .set_data(private)
        .add_signer(issued("Till 1"), key(), SHA256())
        .sign(Encoding.DER, [pkcs7.PKCS7Options.Binary])
    )
    first, rest = pem("Till 1").split(b"\n", 1)
    return {
        "a private key behind PKCS#7": bundle(Encoding.DER) + private,
        "a private key in PKCS#7": around,
        "a private key as a header": first + b"\nX: " + b64encode(private) + b"\n\n" + rest,
        "a private key as an attribute": b"friendlyName: "
        + b64encode(private)
        + b"\n"
        + pem("Till 1"),
        "a private key without armour": pem("Till 1") + b64encode(private),
        "a private key in hexadecimal": pem("Till 1") + private.hex().encode(),
        "a word": b"Till 1, made by hand\n" + pem("Till 1"),
        "another armour": pem("Till 1") + b"-----BEGIN DH PARAMETERS-----\nAAAA\n"
        b"-----END DH PARAMETERS-----\n",
    }


def strangers() -> dict[str, bytes]:
    """Return files that are no certificate."""
    return {
        "text": b"Hello",
        "picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "public key": key()
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "cut off": pem("Till 1")[:200],
        "cut off in DER": der("Till 1")[:-10],
        "empty frame": b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        "request": x509.CertificateSigningRequestBuilder()
        .subject_name(certificate("Till 1").subject)
        .sign(key(), SHA256())
        .public_bytes(Encoding.PEM),
    }
