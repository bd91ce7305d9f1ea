"""A certificate that a customer uploads: read, and forgotten but for what the seat is known by.

One till's certificate, as PEM, DER or PKCS#7, with or without the chain of those that vouch for it,
and nothing else. The seat's holder is the certificate's fingerprint (SHA-256 of its DER), which
names nobody. The subject may name a person, so it goes into the seat's label, which is sealed, with
the days between which the certificate is valid, and its series: which subject it is of, by which
issuer, so that a renewed one is known.

    >>> read_label("Till 4 (valid 2026-01-01T00:00:00Z/2027-01-01T00:00:00Z)").name
    'Till 4'
"""

from __future__ import annotations

import base64
import re
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, Literal, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key, pkcs7
from cryptography.x509.oid import NameOID

from ledger.limits import unreadable

# Older programs write PKCS#7 in BER, which is no reason for a line in the log.
warnings.filterwarnings("ignore", message="PKCS#7 certificates could not be parsed as DER")

FILE_BYTES_MAX: Final = 64 * 1024
# A chain has a few; whoever sends more has put something else together.
CERTIFICATES_MAX: Final = 20
_NAME_LENGTH_MAX: Final = 400
_MALFORMED: Final = (
    *(ValueError, UserWarning, UnsupportedAlgorithm),
    *(x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType),
)
_SERIES_LENGTH: Final = 16
_BEGIN: Final = b"-----BEGIN "
_DASHES: Final = b"-----"
_LABEL: Final = re.compile(rb"[A-Z0-9 #]{1,60}")
_CERTIFICATE_LABELS: Final = frozenset({b"CERTIFICATE", b"X509 CERTIFICATE"})
_PKCS7_LABELS: Final = frozenset({b"PKCS7", b"CMS"})
# In whatever armour: of OpenSSL, OpenSSH, PuTTY and PGP, as XML and as JSON.
_PRIVATE: Final = re.compile(
    rb"PRIVATE[ -]?KEY|PuTTY-User-Key-File|<RSAKeyValue|\"kty\"", re.IGNORECASE
)
# What OpenSSL writes above a certificate that it takes out of a store.
_ATTRIBUTES: Final = re.compile(
    rb"Bag Attributes(: <Empty Attributes>)?|localKeyID: (?:[0-9A-F]{2} ?){1,20}"
    rb"|Key Attributes: <No Attributes>|(?:friendlyName: |(?:subject|issuer) ?=).{0,500}"
)
# So long without a space, a name may be a key in base 64: the shortest has 32 bytes.
_KEY_MAYBE: Final = re.compile(rb"[A-Za-z0-9+/=_-]{40}")
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/=\s]+")
# What PKCS#7 adds to certificates alone; anything else in it would take more.
_PKCS7_BYTES_MAX: Final = 64
_SIGNED_DATA: Final = bytes.fromhex("06092a864886f70d010702")
# PKCS#12: SEQUENCE, version 3, and data by its object id; it is made to carry private keys.
_KEY_STORE: Final = re.compile(
    rb"\A\x30.{1,5}\x02\x01\x03\x30.{1,5}\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07", re.DOTALL
)
_VALIDITY: Final = re.compile(
    r"(?P<name>.*) \(valid (?P<start>[0-9T:-]{19}Z)/(?P<end>[0-9T:-]{19}Z)"
    r"(?:, series (?P<series>[0-9a-f]{16}))?\)"
)


# A certificate that ends within this time is to be renewed.
SOON: Final = timedelta(days=30)

Validity = Literal["expired", "not_yet_valid", "ends_soon"]
Fault = Literal[
    "empty", "too_large", "private_key", "other_content", "chain", "authority", "no_certificate"
]


class NotUsable(Exception):
    """The file is no certificate of one till.

    Attributes:
        fault: it is empty, or larger than a certificate; it holds a private key, or anything else
            beside certificates; the certificates of several tills, only those of authorities, or
            none.
    """

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


class HolderLabel(NamedTuple):
    """What a seat's label says of its holder.

    Attributes:
        name: of a certificate, from its subject; or the whole label, when somebody else wrote it.
        starts_at, ends_at: between which a certificate is valid; None when the label does not say.
        series: the same for a certificate and the one that is to take its place; None when the
            label does not say.
    """

    name: str
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    series: str | None = None

    def validity(self, at: datetime) -> Validity | None:
        """Return what is the matter with a certificate at a time, if anything is."""
        if self.starts_at is None or self.ends_at is None:
            return None
        if at > self.ends_at:
            return "expired"
        if at < self.starts_at:
            return "not_yet_valid"
        return "ends_soon" if self.ends_at - at < SOON else None

    @property
    def text(self) -> str:
        """Return the label as it is sealed; `read_label` reads it."""
        if self.starts_at is None or self.ends_at is None:
            return self.name
        series = f", series {self.series}" if self.series else ""
        return f"{self.name} (valid {_second(self.starts_at)}/{_second(self.ends_at)}{series})"


class Certificate(NamedTuple):
    """What is kept of a certificate: a holder, and what its seat is known by."""

    holder: str
    known_by: HolderLabel

    @property
    def label(self) -> str:
        """Return what is sealed."""
        return self.known_by.text


def read(data: bytes, as_kept: Callable[[str], str] = str) -> Certificate:
    """Read the bytes of a file, and return what is kept of its certificate.

    Args:
        as_kept: makes of the name what may be kept of it.

    Raises:
        NotUsable: with the faults in their order.
    """
    if not data.strip():
        raise NotUsable("empty")
    if len(data) > FILE_BYTES_MAX:
        raise NotUsable("too_large")
    if _is_private(data):
        raise NotUsable("private_key")
    try:
        found = _leaf(_certificates(data))
        holder = found.fingerprint(SHA256()).hex()
        name, begins, ends = (
            _name(found, holder),
            found.not_valid_before_utc,
            found.not_valid_after_utc,
        )
        series = _series(found)
    except _MALFORMED:  # the parts of a certificate are parsed when they are asked for
        raise NotUsable("no_certificate") from None
    return Certificate(holder, HolderLabel(as_kept(name), begins, ends, series))


def read_label(label: str) -> HolderLabel:
    """Return what a label says; one that is no certificate's is a name as a whole."""
    found = _VALIDITY.fullmatch(label)
    if found is None:
        return HolderLabel(label)
    try:
        start, end = (
            datetime.fromisoformat(found[one]).astimezone(UTC) for one in ("start", "end")
        )
        return HolderLabel(found["name"], start, end, found["series"])
    except ValueError:
        return HolderLabel(label)


def is_renewal(new: HolderLabel, known: HolderLabel | None) -> bool:
    """Return whether a certificate is of the same subject, by the same issuer, as a holder's.

    Of labels that do not say the series, the name tells.
    """
    if known is None or known.ends_at is None:
        return False
    if known.series is None:
        return known.name == new.name
    return known.series == new.series


def _is_private(data: bytes) -> bool:
    # Not in binary, where it may be somebody's name. In UTF-16, every second byte of it is zero.
    is_text = not data.startswith(b"\x30")
    if (is_text and _PRIVATE.search(data.replace(b"\0", b""))) or _KEY_STORE.match(data):
        return True
    try:
        load_der_private_key(data, None)
    except TypeError:
        return True  # one behind a password
    except Exception:  # no private key, in one of its many ways
        return False
    return True


def _certificates(data: bytes) -> list[x509.Certificate]:
    """Return the certificates of a file that holds nothing else, each once.

    Raises:
        NotUsable: it holds something else, too many of them, or none.
        _MALFORMED: what is there is no certificate.
    """
    found = _armoured(data) if _BEGIN in data else _binary(data)
    if len(found) > CERTIFICATES_MAX:
        raise NotUsable("chain")
    return list(dict.fromkeys(found))


def _binary(data: bytes) -> list[x509.Certificate]:
    if _SIGNED_DATA not in data[:40]:
        return [x509.load_der_x509_certificate(data)]
    found = pkcs7.load_der_pkcs7_certificates(data)
    if len(data) - sum(len(one.public_bytes(Encoding.DER)) for one in found) > _PKCS7_BYTES_MAX:
        raise NotUsable("other_content")
    return found


def _armoured(data: bytes) -> list[x509.Certificate]:
    found: list[x509.Certificate] = []
    for label, block in _blocks(data):
        if len(found) > CERTIFICATES_MAX:
            break
        if label in _CERTIFICATE_LABELS:
            found.append(x509.load_der_x509_certificate(_decoded(block)))
        elif label in _PKCS7_LABELS:
            found += _binary(_decoded(block))
        else:
            raise NotUsable("no_certificate" if label.startswith(_NO_SECRETS) else "other_content")
    return found


_NO_SECRETS: Final = (b"PUBLIC KEY", b"RSA PUBLIC KEY", b"CERTIFICATE REQUEST", b"NEW CERTIFICATE")


def _decoded(block: bytes) -> bytes:
    """Return what is in an armour, without its first and last line.

    Raises:
        NotUsable: it has headers.
        ValueError: it is not base 64.
    """
    body = block[block.index(_DASHES, len(_BEGIN)) + len(_DASHES) : block.rindex(b"-----END ")]
    if body.strip() and not _BASE64.fullmatch(body):
        raise NotUsable("other_content")
    return base64.b64decode(b"".join(body.split()), validate=True)


def _blocks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield what is in armour, each with its label, in one pass.

    A pattern would look for an END from each BEGIN to the end of the file.

    Raises:
        NotUsable: there is something between them.
        ValueError: an armour does not end.
    """
    place = 0
    while (start := data.find(_BEGIN, place)) >= 0:
        _hold_to_nothing(data[place:start])
        label_start = start + len(_BEGIN)
        label_end = data.find(_DASHES, label_start)
        label = data[label_start:label_end]
        if label_end < 0 or not _LABEL.fullmatch(label):
            raise ValueError("an armour without a label")
        closing = b"-----END " + label + _DASHES
        end = data.find(closing, label_end)
        if end < 0:
            raise ValueError("an armour without an end")
        place = end + len(closing)
        yield label, data[start:place]
    _hold_to_nothing(data[place:])


def _hold_to_nothing(between: bytes) -> None:
    for line in between.removeprefix(b"\xef\xbb\xbf").splitlines():
        text = line.strip()
        if text and (not _ATTRIBUTES.fullmatch(text) or _KEY_MAYBE.search(text)):
            raise NotUsable("other_content")


def _leaf(found: list[x509.Certificate]) -> x509.Certificate:
    """Return the certificate that the others vouch for.

    Raises:
        NotUsable: there is none, or only authorities', or several.
    """
    if not found:
        raise NotUsable("no_certificate")
    leaves = [one for one in found if not _is_authority(one)]
    if not leaves:
        raise NotUsable("authority")
    if len(leaves) > 1:
        issuers = {one.issuer for one in leaves if one.issuer != one.subject}
        leaves = [one for one in leaves if one.subject not in issuers]
    if len(leaves) != 1:
        raise NotUsable("chain")
    return leaves[0]


def _is_authority(certificate: x509.Certificate) -> bool:
    for extension in certificate.extensions:
        match extension.value:
            case x509.BasicConstraints(ca=True) | x509.KeyUsage(key_cert_sign=True):
                return True
    return False


def _series(certificate: x509.Certificate) -> str | None:
    """Return what a certificate and the one that is to take its place have in common."""
    if not list(certificate.subject):
        return None
    names = certificate.issuer.public_bytes(), certificate.subject.public_bytes()
    return sha256(b"".join(sha256(one).digest() for one in names)).hexdigest()[:_SERIES_LENGTH]


def _name(certificate: x509.Certificate, holder: str) -> str:
    """Return what people know it by: its common name, else its subject, else its fingerprint."""
    try:
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        text = str(names[0].value) if names else certificate.subject.rfc4514_string()
    except ValueError:
        text = ""
    shown = "".join(" " if unreadable(letter) else letter for letter in text)
    return " ".join(shown.split())[:_NAME_LENGTH_MAX].strip() or f"Certificate {holder[:8]}"


def _second(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
