"""Codes that stand where none belongs: as the name of a certificate, or in Stripe's metadata."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from commands.issue_keys import issue_keys
from commands.record_stripe_event import record_event
from ledger.stripe.objects import read_event
from tests.portal import certificates as files
from tests.stripe import payloads
from tests.web.api import memory_api
from tests.web.test_portal_lifetime import visitor
from tests.worlds import POS_ORDER, context, recorded, services

SEATS = "/v1/accounts/acme/seats?product=cloud_pos"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("POS Till Nord West", "POS Till Nord West"),
        ("POS-TILL-0012-WEST", "POS-TILL-0012-WEST"),
        ("POS-TILL-NORD-WEST", "POS-••••-••••-WEST"),
        ("pos-2345-abcd-wxyz", "POS-••••-••••-WXYZ"),
        ("POS-ABCD-EFGH-7K2M Wien Shop", "POS-••••-••••-7K2M WIEN SHOP"),
        ("POS till 4477 Graz", "POS till 4477 Graz"),
        ("{code}", "POS-••••-••••-{last}"),
        ("Till {code}", "TILL POS-••••-••••-{last}"),
    ],
)
def test_a_till_whose_name_looks_like_a_code_is_added_and_shows_none(name: str, shown: str) -> None:
    api = memory_api()
    api.redeem()
    code = api.issue()["code"]
    name, shown = name.format(code=code), shown.format(last=code[-4:])
    upload = (io.BytesIO(files.pem(name)), "till.pem")
    added = visitor(api).post("manage/cloud_pos/add", certificate=upload)
    assert added.status_code == 303
    (seat,) = api.get("support", SEATS).body["items"]
    assert seat["label"].partition(" (valid")[0] == shown
    assert code not in api.get("admin", "/v1/accounts/acme/timeline").raw.decode()


@pytest.mark.parametrize("spell", [str, str.lower, lambda code: code.replace("-", "")])
def test_an_activation_code_in_stripes_metadata_names_no_account(
    spell: Callable[[str], str],
) -> None:
    world = services()
    code = issue_keys(world, context(), POS_ORDER).keys[0].code
    of = payloads.subscription(metadata={"keyfold_account": spell(code)})
    told = payloads.event("customer.subscription.created", of)
    found = record_event(world, context(), read_event(told), "webhook")
    assert (found.outcome, found.account) == ("waiting", None)
    session = {
        "id": "cs_1",
        "object": "checkout.session",
        "client_reference_id": spell(code),
        "customer": "cus_2",
    }
    told = payloads.event("checkout.session.completed", session)
    record_event(world, context(), read_event(told), "webhook")
    kept = str(recorded(world))
    assert spell(code) not in kept
    assert "metadata.keyfold_account" in kept
    assert "client_reference_id" in kept
