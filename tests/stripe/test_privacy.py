"""Nothing of a person's reaches the disk: every text of Stripe's that is not to be kept is nowhere.

It runs on payloads that are built here, and on those of any folder:

    ./dev test tests/stripe/test_privacy.py --payloads FOLDER
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import Program, Server
from tests.stripe import kept
from tests.stripe.payloads import (
    WEBHOOK_SECRET,
    changed,
    event,
    invoice,
    item,
    signature,
    subscription,
)
from tests.test_stolen_database import left_behind
from web.app.clock import system_clock

Json = dict[str, Any]

# Shorter ones are in every file by chance.
LENGTH_MIN = 4
PERSON = {
    "name": "Ada Example",
    "email": "ada@people.example",
    "phone": "+34 600 111 222",
    "address": {"line1": "1 Long Street", "city": "Smalltown", "postal_code": "ZX1 2AB"},
}
CARD = {"last4": "4242-ada", "fingerprint": "ZoVSX2dK5igWt2SB", "brand": "visa-ada", "exp": "12/31"}
LINK = "https://invoice.stripe.example/i/acct_1/live_YWRh"


def built() -> Iterator[Json]:
    """Answer events with something of a person's where Stripe may put it, and where it may not."""
    told = {"description": "For Ada", "metadata": {"contact": PERSON["email"], "note": "Ada's"}}
    whole = subscription(
        customer={"id": "cus_1", "object": "customer", **PERSON},
        default_payment_method={"id": "pm_1", "card": CARD, "billing_details": PERSON},
        cancellation_details={"reason": "cancellation_requested", "comment": "Ada is leaving"},
        invoice_settings={"custom_fields": [{"name": "VAT", "value": "ES-ADA-1"}]},
        latest_invoice=invoice("in_2", hosted_invoice_url=LINK),
        discounts=[{"id": "di_1", "promotion_code": "ADA-SUMMER"}],
        description="For Ada",
        metadata={"keyfold_account": "acme", "contact": PERSON["email"]},
    )
    yield changed(whole, previous_attributes={"description": "Was Ada's mother's"})
    before = {"default_payment_method": {"billing_details": PERSON}}
    other = subscription("sub_2")
    yield changed(other, data={"object": other, "previous_attributes": before})
    yield event(
        "invoice.paid",
        invoice(
            customer_name=PERSON["name"],
            customer_email=PERSON["email"],
            customer_address=PERSON["address"],
            hosted_invoice_url=LINK,
            invoice_pdf=LINK + "/pdf",
            lines={"data": [{"id": "il_1", "amount": 5, "description": "2 × till for Ada"}]},
            description=told["description"],
            metadata=told["metadata"],
        ),
    )
    yield event(
        "checkout.session.completed",
        {
            "id": "cs_1",
            "object": "checkout.session",
            "client_reference_id": PERSON["email"],
            "customer": "cus_1",
            "customer_details": PERSON,
            "custom_fields": [{"text": {"value": "Ada's till"}}],
            "success_url": "https://shop.example/ada",
            "url": LINK,
            **told,
        },
    )
    yield event(
        "charge.refunded",
        {
            "id": "ch_1",
            "object": "charge",
            "customer": "cus_1",
            "billing_details": PERSON,
            "payment_method_details": {"card": CARD},
            "receipt_email": PERSON["email"],
            "receipt_url": LINK,
            "statement_descriptor": "ADA TILLS",
            **told,
        },
    )
    yield event(
        "charge.dispute.created",
        {
            "id": "dp_1",
            "object": "dispute",
            "charge": "ch_1",
            "evidence": {"customer_name": PERSON["name"], "customer_purchase_ip": "198.51.100.7"},
            **told,
        },
    )
    for type in ("customer.created", "customer.updated", "customer.deleted"):
        yield event(type, {"id": "cus_1", "object": "customer", **PERSON, **told})
    # Where a field one day holds something else than it does today.
    yield changed(subscription("sub_3", status="Ada Example", currency="Ada Example"))
    yield changed(subscription("sub_4", customer="ada@people.example"))
    odd = item("ada@people.example", 1, price="Ada's own price")
    yield changed(subscription("sub_5", items=[odd]))
    yield event("invoice.paid", invoice("in_3", number="Ada Example", billing_reason="For Ada"))


def in_folder(folder: Path) -> Iterator[Json]:
    """Answer the events in a folder's JSON files; objects are put into events of their own."""
    for file in sorted(folder.rglob("*.json")):
        told = json.loads(file.read_text("utf-8"))
        if told.get("object") == "event":
            yield told
        for kind, one in told.get("resources", {}).items():
            for type in TYPES.get(kind, (f"{kind}.updated",)):
                yield event(type, one)


TYPES = {
    "subscription": ("customer.subscription.updated", "customer.subscription.deleted"),
    "invoice": ("invoice.paid", "invoice.finalized"),
    "checkout.session": ("checkout.session.completed",),
    "charge": ("charge.refunded",),
    "dispute": ("charge.dispute.created",),
    "customer": ("customer.updated", "customer.deleted"),
}


def events_of(request: pytest.FixtureRequest) -> list[Json]:
    folder = request.config.getoption("--payloads")
    told = [*built(), *(in_folder(Path(folder)) if folder else ())]
    # Saved events share their ids, and an event that was taken before is not looked at again.
    return [one | {"id": f"evt_{n}", "livemode": False} for n, one in enumerate(told, start=1)]


def live_through(keyfold: Program, events: list[Json], folder: Path) -> bytes:
    """Have the served program, and an import of the same, take events; answer all it leaves."""
    with keyfold.served() as server:
        for one in events:
            taken, answer = post(server, json.dumps(one).encode())
            assert taken == 200, (one["type"], answer)
            refused, _ = post(server, json.dumps(one).encode() + b"!")
            assert refused == 400
        server.stop()
    file = folder / "events.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in events))
    imported = keyfold.run("stripe", "import", str(file))
    assert (imported.code, imported.err) == (0, "")
    return b"\0".join(left_behind(keyfold))


def post(server: Server, body: bytes) -> tuple[int, str]:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        headers = {"Stripe-Signature": signature(body, system_clock())}
        connection.request("POST", "/webhooks/stripe", body, headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


@pytest.fixture
def keyfold(tmp_path: Path) -> Program:
    (tmp_path / "ledger").mkdir()
    program = Program(tmp_path / "ledger", {"STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET})
    program.done("db", "upgrade")
    return program


def test_every_text_that_is_not_to_be_kept_is_nowhere(
    request: pytest.FixtureRequest, keyfold: Program, tmp_path: Path
) -> None:
    numbers = count(1)
    markers = (f"marked{next(numbers):06d}x" for _ in iter(int, 1))
    events = [kept.replaced(one, one, markers) for one in events_of(request)]
    left = live_through(keyfold, events, tmp_path)
    assert next(numbers) > 50
    assert b"marked" not in left
    assert b"sub_2" in left, "what is to be kept would have been found"


def test_no_text_that_is_kept_only_elsewhere_gets_in(
    request: pytest.FixtureRequest, keyfold: Program, tmp_path: Path
) -> None:
    events = events_of(request)
    told = [(one, path, text) for one in events for path, text in kept.texts(one)]
    allowed = {text for one, path, text in told if kept.may_be_kept(one, path)}
    hidden = {text for _, _, text in told if len(text) >= LENGTH_MIN} - allowed
    left = live_through(keyfold, events, tmp_path)
    own = words_of_an_empty_ledger(tmp_path)
    found = {text for text in hidden if holds(left, text) and not holds(own, text)}
    assert found == set()


def holds(haystack: bytes, text: str) -> bool:
    """Tell whether a text is in there: a word of Stripe's as a whole value, all else anywhere."""
    word = re.fullmatch(r"[a-z0-9_.-]*", text)
    return (json.dumps(text) if word else text).encode() in haystack


def words_of_an_empty_ledger(tmp_path: Path) -> bytes:
    """Answer what the program writes by itself: names of tables, of fields, of routes."""
    folder = tmp_path / "own"
    folder.mkdir()
    program = Program(folder, {"STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET})
    program.done("db", "upgrade")
    bare = [
        event(type, {"id": f"bare_{kind}", "object": kind}, id=f"evt_{kind}")
        for kind, (type, *_) in TYPES.items()
    ]
    told = changed(subscription("sub_bare", account=None), id="evt_told")
    return live_through(program, [*bare, told], folder)


def test_a_text_that_was_kept_by_mistake_would_be_found(keyfold: Program, tmp_path: Path) -> None:
    allowed = changed(subscription("sub_marked000001x"), id="evt_1")
    assert b"marked" in live_through(keyfold, [allowed], tmp_path)
