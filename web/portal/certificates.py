"""A certificate that a customer uploads: read, and forgotten but for what the seat is known by.

PEM or DER, one certificate and nothing else. The seat's holder is the certificate's fingerprint
(SHA-256 of its DER), which names nobody. The subject may name a person, so it goes into the seat's
label, which is sealed, with the days between which the certificate is valid:

    >>> read_label("Till 4 (valid 2026-01-01T00:00:00Z/2027-01-01T00:00:00Z)").name
    'Till 4'
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key
from cryptography.x509.oid import NameOID

from ledger.limits import unreadable

FILE_BYTES_MAX: Final = 64 * 1024
_NAME_LENGTH_MAX: Final = 400
_PEM_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_PEM_END: Final = b"-----END CERTIFICATE-----"
_PRIVATE: Final = re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----|PuTTY-User-Key-File")
_SEVERAL: Final = (b"-----BEGIN PKCS7-----", bytes.fromhex("06092a864886f70d010702"))
# PKCS#12: SEQUENCE, version 3, and data by its object id; it is made to carry private keys.
_KEY_STORE: Final = re.compile(
    rb"\A\x30.{1,5}\x02\x01\x03\x30.{1,5}\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07", re.DOTALL
)
_VALIDITY: Final = re.compile(
    r"(?P<name>.*) \(valid (?P<start>[0-9T:-]{19}Z)/(?P<end>[0-9T:-]{19}Z)\)"
)


Fault = Literal["empty", "too_large", "private_key", "chain", "no_certificate"]


class NotUsable(Exception):
    """The file is no single certificate.

    Attributes:
        fault: it is empty, or larger than a certificate; it holds a private key, more than one
            certificate, or none.
    """

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


class Certificate(NamedTuple):
    """What is kept of a certificate: a holder, and the label that its seat is known by."""

    holder: str
    label: str


class HolderLabel(NamedTuple):
    """What a seat's label says of its holder.

    Attributes:
        name: of a certificate, from its subject; or the whole label, when somebody else wrote it.
        starts_at, ends_at: between which a certificate is valid; None when the label does not say.
    """

    name: str
    starts_at: datetime | None = None
    ends_at: datetime | None = None

    def validity(self, at: datetime) -> Literal["expired", "not_yet_valid"] | None:
        """Return what is the matter with a certificate at a time, if anything is."""
        if self.starts_at is None or self.ends_at is None:
            return None
        if at > self.ends_at:
            return "expired"
        return "not_yet_valid" if at < self.starts_at else None


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
    if len(_armoured(data)) > 1 or any(mark in data[:100] for mark in _SEVERAL):
        raise NotUsable("chain")
    found = _certificate(data)
    holder = found.fingerprint(SHA256()).hex()
    start, end = found.not_valid_before_utc, found.not_valid_after_utc
    name = as_kept(_name(found, holder))
    return Certificate(holder, f"{name} (valid {_second(start)}/{_second(end)})")


def read_label(label: str) -> HolderLabel:
    """Return what a label says; one that is no certificate's is a name as a whole."""
    found = _VALIDITY.fullmatch(label)
    if found is None:
        return HolderLabel(label)
    try:
        start, end = (
            datetime.fromisoformat(found[one]).astimezone(UTC) for one in ("start", "end")
        )
        return HolderLabel(found["name"], start, end)
    except ValueError:
        return HolderLabel(label)


def _is_private(data: bytes) -> bool:
    if _PRIVATE.search(data) or _KEY_STORE.match(data):
        return True
    try:
        load_der_private_key(data, None)
    except TypeError:
        return True  # one behind a password
    except Exception:  # no private key, in one of its many ways
        return False
    return True


def _armoured(data: bytes) -> list[bytes]:
    """Return what stands between each BEGIN and the next END, with both; in one pass.

    A pattern would look for an END from each BEGIN to the end of the file.
    """
    found = []
    start = data.find(_PEM_BEGIN)
    while start >= 0:
        end = data.find(_PEM_END, start)
        if end < 0:
            break
        end += len(_PEM_END)
        found.append(data[start:end])
        start = data.find(_PEM_BEGIN, end)
    return found


def _certificate(data: bytes) -> x509.Certificate:
    try:
        armoured = _armoured(data)
        if armoured:
            return x509.load_pem_x509_certificate(armoured[0])
        return x509.load_der_x509_certificate(data)
    except ValueError:
        raise NotUsable("no_certificate") from None


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
