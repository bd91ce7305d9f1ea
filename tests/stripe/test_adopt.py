"""Customers that Stripe has already come in at one go, and again without any change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stripe.test_reconcile import program
from tests.stripe_server import StripeServer


@pytest.fixture
def stripe() -> Iterator[StripeServer]:
    with StripeServer() as server:
        yield server


def bought(stripe: StripeServer, price: str, account: str | None, seats: int = 2) -> str:
    """Return a customer that has bought seats before there was a ledger."""
    metadata = {"metadata": {"account_id": account}} if account else {}
    customer = stripe.post("/v1/customers", metadata)["id"]
    item = {"price": price, "quantity": seats}
    stripe.post("/v1/subscriptions", {"customer": customer, "items": [item]})
    return str(customer)


def price(stripe: StripeServer, key: str) -> str:
    product = stripe.post("/v1/products", {"name": "Seats"})["id"]
    terms = {"currency": "eur", "unit_amount": 1500, "recurring": {"interval": "month"}}
    made = stripe.post("/v1/prices", {"product": product, "lookup_key": key, **terms})
    return str(made["id"])


def seats(keyfold: Any, account: str) -> int:
    return int(keyfold.json("subscriptions", account)["products"][0]["seats"])


def test_by_metadata_what_they_bought_gives_seats_and_a_second_run_changes_nothing(
    stripe: StripeServer, tmp_path: Path
) -> None:
    pos = price(stripe, "cloud_pos_month")
    first = bought(stripe, pos, "acme", seats=2)
    bought(stripe, pos, None)
    bought(stripe, pos, "no account", seats=4)
    keyfold = program(stripe, tmp_path)
    adopt = ("stripe", "adopt", "--metadata", "account_id")
    dry = keyfold.run(*adopt, "--dry-run", "--json").json
    assert [one["outcome"] for one in dry["customers"]].count("linked") == 1
    assert [one["account"] for one in dry["subscriptions"]] == ["acme"]
    assert seats(keyfold, "acme") == 0
    ran = keyfold.run(*adopt)
    assert (ran.code, ran.err.split(":")[0]) == (1, "customers_not_linked")
    assert "no account" not in ran.out + ran.err
    assert (first in ran.out, seats(keyfold, "acme")) == (True, 2)
    head = keyfold.json("audit", "verify")
    again = keyfold.run(*adopt)
    assert again.out.split()[-8:] == [
        *("linked", "0", "unchanged", "1", "refused", "1", "recorded", "0")
    ]
    assert keyfold.json("audit", "verify") == head


def test_by_a_table_and_what_is_linked_elsewhere_or_means_nothing_is_told(
    stripe: StripeServer, tmp_path: Path
) -> None:
    pos = price(stripe, "cloud_pos_month")
    known, other = bought(stripe, pos, None), bought(stripe, pos, None)
    strange = bought(stripe, price(stripe, "nobody_knows"), None)
    keyfold = program(stripe, tmp_path)
    table = tmp_path / "customers.csv"
    table.write_text(f"customer;account\n{known};acme\n{strange};beta\n")
    ran = keyfold.run("stripe", "adopt", "--table", str(table))
    assert (ran.code, ran.err.split(":")[0]) == (1, "prices_unmapped")
    assert seats(keyfold, "acme") == 2
    table.write_text(f"account,customer\ngamma,{other}\ngamma,{known}\n")
    ran = keyfold.run("stripe", "adopt", "--table", str(table))
    assert "is linked to another account" in ran.out
    assert (seats(keyfold, "acme"), seats(keyfold, "gamma")) == (2, 2)


def test_a_customer_that_stripe_does_not_have_is_told_and_not_linked(
    stripe: StripeServer, tmp_path: Path
) -> None:
    known = bought(stripe, price(stripe, "cloud_pos_month"), None)
    keyfold = program(stripe, tmp_path)
    table = tmp_path / "customers.csv"
    table.write_text(f"customer,account\n{known},acme\n{known}x,beta\n")
    for more in (["--dry-run"], []):
        ran = keyfold.run("stripe", "adopt", "--table", str(table), *more)
        assert (ran.code, ran.err.split(":")[0]) == (1, "customers_not_linked")
        assert "Stripe has no such customer" in ran.out
    assert seats(keyfold, "acme") == 2
    table.write_text(f"customer,account\n{known}x,gamma\n")
    ran = keyfold.run("stripe", "adopt", "--table", str(table))
    assert "refused   1" in ran.out


def test_a_table_with_faults_changes_nothing_and_each_is_told_by_line_and_column(
    stripe: StripeServer, tmp_path: Path
) -> None:
    customer = bought(stripe, price(stripe, "cloud_pos_month"), None)
    keyfold = program(stripe, tmp_path)
    table = tmp_path / "customers.csv"
    table.write_text(f"customer,account\n{customer},acme\nacme,{customer}\n{customer},b b\n")
    ran = keyfold.run("stripe", "adopt", "--table", str(table))
    assert ran.code == 1
    for place in ("line 3/customer", "line 4/account", "repeats line 2"):
        assert place in ran.err
    assert seats(keyfold, "acme") == 0
    assert keyfold.run("stripe", "adopt").code == 2
