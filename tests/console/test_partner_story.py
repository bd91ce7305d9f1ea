"""The whole story in a browser: a partner orders, its customer renews early, and both sides check.

A partner orders keys at the console, within what it was granted and no further. Its customer
activates the first on the pages; a month later it is told that this ends, and activates the second
to begin when it does. Afterwards the auditors' own program holds the partner's statement, and a
receipt that the partner downloaded, against an export and a checkpoint.
"""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.cli.program import Program
from tests.console.test_in_a_browser import sign_in
from tests.portal.conftest import NewPage
from tests.portal.vendor import Customer, Vendor

PARTNER = "Northwind"
ACCOUNT = "acme"
FIGURES = ("issued", "seats", "redeemed", "revoked", "lapsed")
VERIFIER = (sys.executable, "-I", "keyfold_verify.py")
MASKED = re.compile("POS-")
BEGAN, NEARLY_OVER, AFTERWARDS, NEXT_MONTH = (
    f"2026-{day}T09:00:00Z" for day in ("03-02", "03-30", "04-02", "05-01")
)


@pytest.fixture
def clock(tmp_path: Path) -> Path:
    clock = tmp_path / "clock"
    clock.write_text(BEGAN)
    return clock


@pytest.fixture
def vendor(tmp_path: Path, clock: Path) -> Iterator[Vendor]:
    program = Program(tmp_path, {"KEYFOLD_TEST_CLOCK": str(clock)})
    program.done("db", "upgrade")
    with program.served() as server:
        yield Vendor(program, server)


def order(page: Page, keys: int, seats: int) -> None:
    page.get_by_role("link", name="Issue", exact=False).first.click()
    page.get_by_label("Seats of each key").fill(str(seats))
    page.get_by_label("Months").fill("1")
    page.get_by_label("How many keys").fill(str(keys))
    page.get_by_label("Reason", exact=True).fill("For Acme")
    page.get_by_role("button", name="Issue").click()


def notices(vendor: Vendor, since: str, until: str) -> list[tuple[str, str]]:
    path = f"/v1/notices?from={since}&to={until}&account={ACCOUNT}"
    found: Any = vendor.ask("GET", path, role="support")
    items = found["items"] if isinstance(found, dict) else found
    return [(one["kind"], one["subject"]) for one in items]


def renew(customer: Customer, code: str) -> None:
    """Activate a key to begin when what there is ends."""
    dialog = customer.enter(code)
    dialog.get_by_label(re.compile("As a renewal")).check()
    dialog.get_by_role("button", name="Activate").click()


def test_a_partner_orders_its_customer_renews_and_an_auditor_checks(
    vendor: Vendor, new_page: NewPage, clock: Path, tmp_path: Path
) -> None:
    granted = ("--product", "cloud_pos", "--seats", "7", "--reason", "Contract")
    vendor.program.done("resellers", "grant", PARTNER, *granted)

    # The partner orders within its allowance, and not beyond it.
    partner = new_page()
    sign_in(vendor, partner, "reseller", "", "--reseller", PARTNER)
    order(partner, 2, 3)
    expect(partner.get_by_role("heading", level=1)).to_have_text("2 keys issued")
    codes = partner.get_by_role("list", name="Codes").get_by_role("listitem").all_inner_texts()
    order(partner, 1, 2)
    expect(partner.get_by_role("alert")).to_contain_text("1")
    left = vendor.ask("GET", f"/v1/resellers/{PARTNER}")["allowances"]
    assert [(one["granted"], one["spent"], one["left"]) for one in left] == [(7, 6, 1)]

    # The customer activates one, is told that it ends, and activates the other to follow.
    customer = vendor.customer(new_page(), ACCOUNT)
    customer.activate(codes[0])
    (first,) = vendor.view(ACCOUNT)["cloud_pos"]["rows"]
    clock.write_text(NEARLY_OVER)
    assert ("subscription.ending", first["subscription"]) in notices(vendor, BEGAN, NEARLY_OVER)
    customer = vendor.customer(new_page(), ACCOUNT)
    renew(customer, codes[1])
    expect(customer.page.get_by_role("status")).to_be_visible()
    customer.go("Subscriptions")
    expect(customer.page.get_by_role("heading", name="Upcoming")).to_be_visible()
    view = vendor.view(ACCOUNT)["cloud_pos"]
    (second,) = view["upcoming"]
    sign_in(vendor, partner, "reseller", "", "--reseller", PARTNER)
    with partner.expect_download() as download:
        partner.get_by_role("link", name="Download this month's statement").click()
    text = download.value.path().read_text(encoding="utf-8-sig")
    row, total = csv.DictReader(io.StringIO(text))
    assert total["product"] == "TOTAL"
    assert (view["seats"], second["started_at"]) == (3, first["expires_at"])
    clock.write_text(AFTERWARDS)
    told = notices(vendor, NEARLY_OVER, AFTERWARDS)
    assert ("subscription.started", second["subscription"]) in told
    assert ("subscription.ending", first["subscription"]) not in told, "it had been renewed"
    assert vendor.view(ACCOUNT)["cloud_pos"]["seats"] == 3

    # The month is over: what it says stays. An auditor checks it, and what the partner can show.
    statement = vendor.ask("GET", f"/v1/resellers/{PARTNER}/statement?month=2026-03")
    assert [line[name] for name in FIGURES for line in statement["lines"]] == [2, 6, 2, 0, 0]
    assert {row[name] for name in FIGURES} == {str(statement["totals"][name]) for name in FIGURES}
    sign_in(vendor, partner, "reseller", "keys", "--reseller", PARTNER)
    partner.locator("main").get_by_role("link", name=MASKED).first.click()
    with partner.expect_download() as receipt:
        partner.get_by_role("link", name="Download a receipt").click()
    receipt.value.save_as(tmp_path / "key.tlog-proof")
    audit(vendor.program, statement)


def audit(program: Program, statement: Any) -> None:
    """Hold a statement and a receipt against the ledger, and the statement when it is forged."""
    folder = program.folder
    (folder / "statement.json").write_text(json.dumps(statement))
    statement["lines"][0]["redeemed"] = 1
    (folder / "forged.json").write_text(json.dumps(statement))
    program.done("audit", "checkpoint", "-o", "kept.txt")
    (folder / "keys.txt").write_text(program.done("audit", "keys").out)
    program.done("audit", "export", "ledger.jsonl")
    program.done("audit", "verifier", "-o", "keyfold_verify.py")
    said = verify(folder, "key.tlog-proof", "--statement", "statement.json")
    assert said.returncode == 0, said.stderr
    assert "good   key.tlog-proof: position" in said.stderr
    assert "good   kept.txt was signed of the same events" in said.stderr
    assert f"good   statement.json is what follows from these events: {PARTNER}" in said.stderr
    said = verify(folder, "--statement", "forged.json")
    assert said.returncode == 1
    assert "redeemed of cloud_pos, 1 months, was 1, and is 2" in said.stderr


def verify(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the auditors' own program on the export, the checkpoint, and what else there is."""
    return subprocess.run(
        [*VERIFIER, "ledger.jsonl", *arguments, "--checkpoint", "kept.txt", "--key", "keys.txt"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
