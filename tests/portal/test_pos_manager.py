"""POS Manager: certificates take seats, give them back, and are told apart."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from playwright.sync_api import Page, expect

from tests.portal import certificates
from tests.portal.vendor import Customer, Vendor

MIB = 1024 * 1024


def at_the_manager(vendor: Vendor, page: Page, seats: int = 2) -> Customer:
    account = vendor.account()
    vendor.redeem(account, seats=seats)
    customer = vendor.customer(page, account)
    customer.go("POS Manager")
    return customer


@pytest.mark.parametrize(
    ("data", "name"), [(certificates.pem(), "till.pem"), (certificates.der(), "till.cer")]
)
def test_an_uploaded_certificate_takes_a_seat_under_its_fingerprint(
    vendor: Vendor, page: Page, data: bytes, name: str
) -> None:
    customer = at_the_manager(vendor, page)
    customer.upload(data, name)
    expect(page.get_by_role("status")).to_contain_text("Added.")
    row = customer.row("Certificates")
    assert row["Name"] == f"Till 1 {certificates.fingerprint()[:12]}"
    assert row["Status"] == "Active"
    (seat,) = vendor.seats(customer.account)
    assert seat["holder"] == certificates.fingerprint()
    assert (seat["product"], seat["licensed"]) == ("cloud_pos", True)


def test_its_validity_is_shown(vendor: Vendor, page: Page) -> None:
    customer = at_the_manager(vendor, page)
    customer.upload(certificates.pem())
    ends = certificates.certificate("Till 1").not_valid_after_utc
    shown = customer.panel("Certificates").locator("td[data-label='Valid until'] time")
    expect(shown).to_have_attribute("datetime", f"{ends:%Y-%m-%dT%H:%M:%S}.000000Z")


def test_a_certificate_out_of_its_time_is_marked(vendor: Vendor, page: Page) -> None:
    customer = at_the_manager(vendor, page)
    customer.upload(certificates.pem("New till", starts_days=1, ends_days=9))
    assert customer.row("Certificates")["Status"] == "Not yet valid"
    old = certificates.known("Old till", starts_days=-9, ends_days=-1)
    vendor.sit(customer.account, old.holder, label=old.label)
    page.reload()
    assert customer.row("Certificates", 2)["Status"] == "Expired certificate"


def test_a_renewed_certificate_takes_the_seat_of_the_one_before(vendor: Vendor, page: Page) -> None:
    customer = at_the_manager(vendor, page, seats=1)
    customer.upload(certificates.as_pem(certificates.issued("Till 1", ends_days=9)))
    customer.upload(certificates.as_pem(certificates.issued("Till 1", ends_days=400)))
    page.get_by_role("button", name="Replace", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Replaced.")
    (seat,) = vendor.seats(customer.account)
    new = certificates.known_as(certificates.issued("Till 1", ends_days=400))
    assert seat["holder"] == new.holder


def test_a_till_is_renamed(vendor: Vendor, page: Page) -> None:
    customer = at_the_manager(vendor, page)
    customer.upload(certificates.pem("Till 1"))
    page.get_by_text("Rename", exact=True).click()
    page.get_by_label("New name: Till 1").fill("At the door")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("Renamed.")
    assert customer.row("Certificates")["Name"].startswith("At the door")


def test_removing_a_certificate_frees_its_seat(vendor: Vendor, page: Page) -> None:
    customer = at_the_manager(vendor, page, seats=1)
    customer.upload(certificates.pem())
    customer.remove("Till 1")
    expect(page.get_by_role("status")).to_contain_text("Removed.")
    expect(customer.panel("Certificates")).to_contain_text("Used 0 / 1")
    assert vendor.seats(customer.account) == []


def test_at_the_limit_a_certificate_is_removed_before_a_new_one_is_added(
    vendor: Vendor, page: Page
) -> None:
    customer = at_the_manager(vendor, page, seats=1)
    customer.upload(certificates.pem("Till 1"))
    shown = customer.panel("Certificates")
    expect(shown).to_contain_text("Remove a certificate before adding a new one.")
    customer.upload(certificates.pem("Till 2"))
    told = page.get_by_role("alert")
    expect(told).to_contain_text("No seat is free: 1 of 1 are taken.")
    expect(told).to_contain_text("Remove a certificate before adding a new one.")
    expect(told).to_contain_text("Upgrade Plan")
    assert [seat["holder"] for seat in vendor.seats(customer.account)] == [
        certificates.fingerprint("Till 1")
    ]
    customer.remove("Till 1")
    customer.upload(certificates.pem("Till 2"))
    expect(page.get_by_role("status")).to_contain_text("Added.")


def test_without_a_subscription_no_certificate_is_taken(vendor: Vendor, page: Page) -> None:
    customer = vendor.customer(page)
    customer.go("POS Manager")
    customer.upload(certificates.pem())
    expect(page.get_by_role("alert")).to_contain_text("You have no seats here yet.")


UPLOADS = {
    "empty": (b"", "The file is empty."),
    "blank": (b" \n", "The file is empty."),
    "chain": (certificates.chain(), "The file contains more than one certificate."),
    "bundle": (certificates.bundle(Encoding.DER), "The file contains more than one certificate."),
    "private key": (
        certificates.private_keys()["PEM"],
        "This file contains a private key. Never send one to anybody.",
    ),
    "key store": (
        certificates.private_keys()["PKCS#12"],
        "This file contains a private key. Never send one to anybody.",
    ),
    "no certificate": (certificates.strangers()["text"], "The file is not a certificate."),
    "100 KiB": (bytes(100 * 1024), "The file is too large for a certificate."),
    "10 MiB": (bytes(10 * MIB), "What you sent is too large"),
}


@pytest.mark.parametrize(("data", "says"), UPLOADS.values(), ids=UPLOADS)
def test_a_broken_upload_has_its_own_message_and_nothing_is_kept(
    vendor: Vendor, page: Page, data: bytes, says: str
) -> None:
    customer = at_the_manager(vendor, page)
    before = vendor.head()
    # As a browser without our script would send it.
    page.evaluate("document.querySelector('#certificate').removeAttribute('data-bytes-max')")
    customer.upload(data)
    told = page.get_by_role("alert")
    expect(told).to_contain_text(says)
    expect(told).to_contain_text("kept")
    assert vendor.head() == before


def test_a_large_file_is_not_even_sent(vendor: Vendor, page: Page) -> None:
    customer = at_the_manager(vendor, page)
    customer.upload(bytes(10 * MIB))
    field = page.get_by_label("Certificate file")
    expect(field).to_have_js_property(
        "validationMessage", "The file is too large for a certificate."
    )
    expect(page.get_by_role("alert")).to_have_count(0)


def test_the_same_certificate_twice_counts_once(vendor: Vendor, page: Page) -> None:
    customer = at_the_manager(vendor, page)
    customer.upload(certificates.pem())
    customer.upload(certificates.der(), "again.der")
    expect(page.get_by_role("alert")).to_contain_text("This certificate already has a seat.")
    expect(customer.panel("Certificates")).to_contain_text("Used 1 / 2")


def test_the_file_itself_is_nowhere_and_its_name_only_sealed(vendor: Vendor, page: Page) -> None:
    customer = at_the_manager(vendor, page)
    customer.upload(certificates.pem("Jane's till"))
    expect(page.get_by_role("status")).to_contain_text("Added.")
    der = certificates.der("Jane's till")
    for file in vendor.program.folder.glob("keyfold.db*"):
        kept = file.read_bytes()
        assert b"Jane" not in kept
        assert der[40:60] not in kept
        assert certificates.pem("Jane's till")[40:80] not in kept
