"""Reading what a customer uploads as a certificate."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from ledger.limits import HOLDER_ID, TEXT_LENGTH_MAX, unreadable
from tests.portal import certificates as files
from web.portal import certificates
from web.portal.certificates import HolderLabel, NotUsable, is_renewal, read_label


@pytest.mark.parametrize(
    "data",
    [
        files.pem(),
        files.der(),
        b"  \r\n" + files.pem().replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + files.pem() + b"\n\n",
        b"Bag Attributes\n    friendlyName: till\nsubject=CN = Till 1\n" + files.pem(),
        files.pem() * 2,
    ],
)
def test_pem_and_der_of_one_certificate_are_the_same_holder(data: bytes) -> None:
    read = certificates.read(data)
    assert read.holder == files.fingerprint()
    assert len(read.holder) == 64


def test_a_label_says_the_name_and_the_validity() -> None:
    known = read_label(certificates.read(files.pem("Till 4")).label)
    assert known.name == "Till 4"
    found = files.certificate("Till 4")
    assert (known.starts_at, known.ends_at) == (
        found.not_valid_before_utc,
        found.not_valid_after_utc,
    )
    assert known.ends_at
    assert known.starts_at
    assert known.ends_at - known.starts_at > timedelta(365)


@pytest.mark.parametrize(
    "name",
    [None, " ", "\u202e\u200b", "x" * 64, "Käthe\u0000s Kasse", "a\nb", "東京の店", "(valid x/y)"],
)
def test_any_subject_makes_a_label_that_a_person_can_read(name: str | None) -> None:
    read = certificates.read(files.pem(name))
    assert len(read.label) <= TEXT_LENGTH_MAX
    assert unreadable(read.label) is None
    assert read_label(read.label).name.strip()
    assert read_label(read.label).ends_at


def test_a_label_of_somebody_else_is_a_name_and_nothing_more() -> None:
    for label in ("Till at the door", "x (valid 2026-13-01T00:00:00Z/2027-01-01T00:00:00Z)"):
        assert read_label(label) == certificates.HolderLabel(label)


@pytest.mark.parametrize("data", files.private_keys().values(), ids=files.private_keys())
def test_a_private_key_is_known_in_all_its_forms(data: bytes) -> None:
    with pytest.raises(NotUsable, match="private_key"):
        certificates.read(data)


@pytest.mark.parametrize("data", files.strangers().values(), ids=files.strangers())
def test_what_is_no_certificate_is_told_so(data: bytes) -> None:
    with pytest.raises(NotUsable, match="no_certificate"):
        certificates.read(data)


@pytest.mark.filterwarnings("ignore")  # of serial numbers that no certificate should have
@pytest.mark.parametrize("other", [0x00, 0x13, 0xED])
def test_whatever_is_damaged_within_it_is_read_or_refused(other: int) -> None:
    """The parts of a certificate are parsed when they are asked for."""
    data = files.certificate().public_bytes(Encoding.DER)
    for place in range(len(data)):
        with suppress(NotUsable):
            certificates.read(data[:place] + bytes([other]) + data[place + 1 :])


@pytest.mark.parametrize(
    "data",
    [
        files.chain(),
        files.bundle(Encoding.PEM),
        files.bundle(Encoding.DER),
        files.as_pem(files.issued("Till 1"), files.issued("Till 2")),
        files.as_pem(*(files.issued(f"CA {n}", authority=True) for n in range(25))),
    ],
)
def test_the_certificates_of_several_tills_are_told_so(data: bytes) -> None:
    with pytest.raises(NotUsable, match="chain"):
        certificates.read(data)


def chains() -> dict[str, bytes]:
    chain = files.full_chain()
    pem, der = (pkcs7.serialize_certificates(chain, one) for one in (Encoding.PEM, Encoding.DER))
    return {
        "PEM": files.as_pem(*chain),
        "the other way round": files.as_pem(*chain[::-1]),
        "PKCS#7 in PEM": pem,
        "PKCS#7 in DER": der,
        "CMS": pem.replace(b"PKCS7", b"CMS"),
        "without BasicConstraints": files.as_pem(
            files.issued("Till 1", "CA"), files.certificate("CA")
        ),
    }


@pytest.mark.parametrize("data", chains().values(), ids=chains())
def test_of_a_chain_the_tills_own_is_taken(data: bytes) -> None:
    assert (
        certificates.read(data).holder == files.issued("Till 1", "CA").fingerprint(SHA256()).hex()
    )


def test_an_authoritys_certificate_is_told_so() -> None:
    for chain in ([files.issued("Root", "Root", authority=True)], files.full_chain()[::2]):
        with pytest.raises(NotUsable, match="authority"):
            certificates.read(files.as_pem(*chain))


@pytest.mark.parametrize("data", files.mixtures().values(), ids=files.mixtures())
def test_beside_the_certificate_nothing_may_be_in_the_file(data: bytes) -> None:
    with pytest.raises(NotUsable, match=r"other_content|no_certificate"):
        certificates.read(data)


def test_a_renewed_certificate_is_of_the_same_subject_by_the_same_issuer() -> None:
    def known(*args: str, **options: int) -> HolderLabel:
        found = certificates.read(files.as_pem(files.issued(*args, **options)))
        return read_label(found.label)

    new = known("Till 1", ends_days=700)
    assert is_renewal(new, known("Till 1"))
    assert not is_renewal(new, known("Till 2"))
    assert not is_renewal(new, known("Till 1", "Another authority"))
    # Whatever it was renamed to; and by the name, of labels that are older than the series.
    assert is_renewal(new, known("Till 1")._replace(name="At the door"))
    old = read_label("Till 1 (valid 2026-01-01T00:00:00Z/2027-01-01T00:00:00Z)")
    assert is_renewal(new, old)
    assert not is_renewal(new, old._replace(name="Till 2"))
    assert not is_renewal(new, HolderLabel("Till 1"))


@pytest.mark.parametrize("data", [b"", b" \r\n\t"])
def test_nothing_is_told_so(data: bytes) -> None:
    with pytest.raises(NotUsable, match="empty"):
        certificates.read(data)


def test_too_much_is_told_so() -> None:
    with pytest.raises(NotUsable, match="too_large"):
        certificates.read(files.pem() + b"#" * certificates.FILE_BYTES_MAX)


def test_a_fingerprint_is_an_id_that_a_holder_may_have() -> None:
    assert HOLDER_ID.endswith("{1,128}")
    assert certificates.read(files.pem()).holder.isalnum()


@pytest.mark.parametrize(
    "unit",
    [
        b"-----BEGIN CERTIFICATE-----",
        b"-----END CERTIFICATE-----",
        b"-----BEGIN CERTIFICATE-----\n",
        b"-----BEGIN ",
        b"-----BEGIN PRIVATE KEY",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"\x30\x80",
        b"-",
        b"\x30",
    ],
)
def test_a_file_four_times_as_long_takes_no_longer_than_a_few_times(unit: bytes) -> None:
    """Work that grows with the square would take sixteen times as long."""
    long = unit * (certificates.FILE_BYTES_MAX // len(unit))
    short = long[: len(long) // 4]

    assert least_time(long) < 10 * least_time(short) + 0.005


def least_time(data: bytes) -> float:
    """Return the shortest of several times that reading takes on this thread, in seconds."""
    times = []
    for _ in range(7):
        began = time.thread_time()
        with suppress(NotUsable):
            certificates.read(data)
        times.append(time.thread_time() - began)
    return min(times)
