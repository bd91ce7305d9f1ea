"""A subscription of more items than Stripe sends along."""

from __future__ import annotations

from typing import NoReturn

import pytest

from commands.gateways.stripe import StripeGateway
from commands.gateways.stripe_responses import StripeKeyRefused
from commands.occupy_seat import Sitting, occupy_seat
from commands.reconcile_stripe import reconcile_stripe
from commands.record_stripe_event import record_event
from ledger.stripe.objects import read_event
from tests.stripe.payloads import Json, changed, deliver, event
from tests.stripe.shop import CHECKOUTS, Shop, shop
from tests.stripe_server import StripeServer
from tests.worlds import MINUTE, NOON, context

MANY = 12
LEFT_OUT = "lines.data"


def sold(it: Shop, *, named: bool = True) -> tuple[Json, Json]:
    """Sell Cloud POS beside eleven add-ons; return the subscription, and as an event has it."""
    product = it.stripe.post("/v1/products", {"name": "Add-on"})["id"]
    money = {"currency": "eur", "unit_amount": 100, "recurring": {"interval": "month"}}
    prices = [it.stripe.post("/v1/prices", {**money, "product": product})["id"] for _ in range(11)]
    (pos,) = it.stripe.get("/v1/prices", {"lookup_keys": ["cloud_pos_month"]})["data"]
    customer = it.stripe.post("/v1/customers", {})["id"]
    made = it.stripe.post(
        "/v1/subscriptions",
        {
            "customer": customer,
            "items": [*({"price": one} for one in prices), {"price": pos["id"], "quantity": 4}],
            "metadata": {"keyfold_account": "acme"} if named else {},
        },
    )
    sub = it.stripe.get(f"/v1/subscriptions/{made['id']}")
    assert (len(sub["items"]["data"]), sub["items"]["has_more"]) == (10, True)
    return sub, changed(sub, at=it.api.clock.now)


def look_at(it: Shop) -> list[str]:
    found = it.api.get("admin", "/v1/overview").body["items_missing"]
    return [one["stripe_subscription"] for one in found]


def missing(it: Shop) -> bytes:
    """Return how many subscriptions lack items, as Prometheus reads it."""
    name = b'keyfold_stripe_subscriptions_to_look_at{why="items_missing"} '
    page = it.api.get("admin", "/metrics").raw
    return page.partition(name)[2].partition(b"\n")[0]


def test_items_that_an_event_leaves_out_are_listed() -> None:
    with shop() as it:
        _, sent = sold(it)
        assert deliver(it.api, sent).status == 200
        assert (it.seats(), look_at(it)) == (4, [])
        (sub,) = it.account().stripe.subscriptions.values()
        assert len(sub.items) == MANY


def test_until_the_items_are_listed_the_account_is_flagged() -> None:
    with shop() as it:
        sub, sent = sold(it)
        stripe = it.api.services.stripe
        gone = it.api.services._replace(stripe=None)
        now = it.api.clock.now
        record_event(gone, context(now), read_event(sent), "webhook")
        assert (it.seats(), look_at(it), missing(it)) == (0, [sub["id"]], b"1.0")
        assert stripe is not None
        (drift,) = [
            one
            for one in reconcile_stripe(it.api.services, lambda: context(now), [], dry_run=True)
            if one.kind == "subscription"
        ]
        assert (drift.account, "items" in drift.what) == ("acme", True)
        list(reconcile_stripe(it.api.services, lambda: context(now), []))
        assert (it.seats(), look_at(it), missing(it)) == (4, [], b"0.0")


def cut_invoice(it: Shop) -> tuple[Json, Json]:
    """Record an invoice while Stripe is away; return it whole, and as the event had it."""
    sub, sent = sold(it)
    deliver(it.api, sent)
    whole = it.stripe.get(f"/v1/invoices/{sub['latest_invoice']}")
    first = {**whole["lines"], "data": whole["lines"]["data"][:10], "has_more": True}
    said = event("invoice.paid", {**whole, "lines": first}, at=it.api.clock.now)
    gone = it.api.services._replace(stripe=None)
    record_event(gone, context(it.api.clock.now), read_event(said), "webhook")
    return whole, said


def lines_missing(it: Shop) -> tuple[list[Json], bytes]:
    """Return the invoices that lack lines by the overview, and how many by Prometheus."""
    name = b'keyfold_stripe_invoices_to_look_at{why="lines_missing"} '
    page = it.api.get("admin", "/metrics").raw
    count = page.partition(name)[2].partition(b"\n")[0]
    return it.api.get("admin", "/v1/overview").body["lines_missing"], count


def test_until_the_lines_of_an_invoice_are_listed_the_account_is_flagged() -> None:
    with shop() as it:
        whole, _ = cut_invoice(it)
        assert lines_missing(it) == ([{"account": "acme", "invoice": whole["id"]}], b"1.0")
        at, cut = context(it.api.clock.now), [("acme", whole["id"])]

        def drift(*, dry_run: bool) -> list[tuple[str, str | None, str]]:
            found = reconcile_stripe(
                it.api.services, lambda: at, [], cut_invoices=cut, dry_run=dry_run
            )
            return [(one.id, one.account, one.what) for one in found if one.kind == "invoice"]

        assert drift(dry_run=True) == [(whole["id"], "acme", "lines")]
        assert lines_missing(it)[1] == b"1.0"
        assert drift(dry_run=False) == [(whole["id"], "acme", "lines")]
        (invoice,) = it.account().stripe.invoices.values()
        assert (len(invoice.latest.lines), invoice.latest.source) == (MANY, "retrieved")
        assert lines_missing(it) == ([], b"0.0")


def test_an_invoice_that_stripe_does_not_tell_of_stays_flagged() -> None:
    with shop() as it:
        whole, _ = cut_invoice(it)
        head, at = it.api.head, context(it.api.clock.now)
        with StripeServer() as other:
            elsewhere = StripeGateway(other.api_key, other.url)
            there = it.api.services._replace(stripe=elsewhere)
            (drift,) = reconcile_stripe(there, lambda: at, [], cut_invoices=[("acme", whole["id"])])
        assert (drift.kind, drift.what) == ("invoice", "Stripe knows nothing of it")
        assert (it.api.head, lines_missing(it)[1]) == (head, b"1.0")


def test_a_purchase_finds_the_item_that_stripe_leaves_out() -> None:
    with shop() as it:
        _, sent = sold(it)
        deliver(it.api, sent)
        got = it.buy(seats=1)
        assert (got.status, got.body["changed"], it.seats()) == (201, "quantity", 5)
        assert len(it.stripe.get("/v1/subscriptions")["data"]) == 1


def test_the_items_of_a_customer_that_nobody_knows_are_listed_too() -> None:
    with shop() as it:
        sub, sent = sold(it, named=False)
        deliver(it.api, sent)
        it.api.put("portal", "/v1/accounts/acme/stripe-customer", {"customer": sub["customer"]})
        assert (it.seats(), look_at(it)) == (4, [])


def test_lines_that_an_invoice_leaves_out_are_listed() -> None:
    with shop() as it:
        sub, sent = sold(it)
        deliver(it.api, sent)
        whole = it.stripe.get(f"/v1/invoices/{sub['latest_invoice']}")
        assert len(whole["lines"]["data"]) == MANY
        first = {**whole["lines"], "data": whole["lines"]["data"][:10], "has_more": True}
        said = event("invoice.paid", {**whole, "lines": first}, at=it.api.clock.now)
        world = it.api.services
        record_event(world._replace(stripe=None), context(NOON), read_event(said), "webhook")
        (invoice,) = it.account().stripe.invoices.values()
        assert (len(invoice.latest.lines), invoice.latest.problems) == (10, ("lines.has_more",))
        again = event("invoice.paid", {**whole, "lines": first}, at=it.api.clock.now + MINUTE)
        assert deliver(it.api, again).status == 200
        (invoice,) = it.account().stripe.invoices.values()
        assert (len(invoice.latest.lines), invoice.latest.problems) == (MANY, ())


def test_lines_are_asked_for_once_however_often_the_account_moves_meanwhile() -> None:
    with shop() as it:
        sub, sent = sold(it)
        deliver(it.api, sent)
        whole = it.stripe.get(f"/v1/invoices/{sub['latest_invoice']}")
        first = {**whole["lines"], "data": whole["lines"]["data"][:10], "has_more": True}
        said = event("invoice.paid", {**whole, "lines": first}, at=it.api.clock.now)
        world = it.api.services

        class Moving(StripeGateway):
            asked = 0

            def invoice_lines(self, id: str, count: int) -> list[Json]:
                self.asked += 1
                sitting = Sitting("acme", "cloud_pos", None, f"till-{self.asked}")
                occupy_seat(world, context(NOON), sitting)
                return super().invoice_lines(id, count)

        it.stripe.fail("refused", path=f"/v1/invoices/{whole['id']}/lines")
        stripe = Moving(it.stripe.api_key, it.stripe.url)
        asking = world._replace(stripe=stripe)
        recorded = record_event(asking, context(NOON), read_event(said), "webhook")
        assert (recorded.outcome, recorded.account, stripe.asked) == ("reported", "acme", 1)
        (invoice,) = it.account().stripe.invoices.values()
        assert invoice.latest.problems == ("lines.has_more",)


def long_invoice(it: Shop, count: int) -> Json:
    """Make a long invoice of a subscription at Stripe; return it as an event has it."""
    sub, sent = sold(it)
    deliver(it.api, sent)
    it.stripe.advance(seconds=60)
    it.api.clock.forward(minutes=1)
    whole = it.stripe.world.find(sub["latest_invoice"])
    assert whole is not None
    first = whole["lines"]["data"][0]
    whole["lines"]["data"] = [{**first, "id": f"il_{n}", "amount": 0} for n in range(count)]
    shown = {**whole["lines"], "data": whole["lines"]["data"][:10], "has_more": True}
    return event("invoice.paid", {**whole, "lines": shown}, at=it.api.clock.now)


@pytest.mark.parametrize(
    ("count", "kept", "problems"),
    [(100, 100, ()), (101, 100, (LEFT_OUT,)), (250, 100, (LEFT_OUT,))],
)
@pytest.mark.parametrize("how", ["webhook", "reconcile"])
def test_of_an_invoice_with_more_lines_than_are_kept_it_is_said_that_there_are_more(
    how: str, count: int, kept: int, problems: tuple[str, ...]
) -> None:
    with shop() as it:
        said = long_invoice(it, count)
        if how == "webhook":
            assert deliver(it.api, said).status == 200
        else:
            gone = it.api.services._replace(stripe=None)
            record_event(gone, context(it.api.clock.now), read_event(said), "webhook")
            cut = [("acme", said["data"]["object"]["id"])]
            at = context(it.api.clock.now)
            list(reconcile_stripe(it.api.services, lambda: at, [], cut_invoices=cut))
        (invoice,) = it.account().stripe.invoices.values()
        assert (len(invoice.latest.lines), invoice.latest.problems) == (kept, problems)
        assert invoice.latest.has_all_lines is (not problems)
        # Nobody is told to ask again: there is no more to be had.
        assert lines_missing(it) == ([], b"0.0")


def unlisted(*_: object) -> NoReturn:
    raise StripeKeyRefused("this key may not list items")


def test_nothing_is_sold_beside_a_subscription_whose_items_stripe_does_not_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with shop() as it:
        sub, sent = sold(it)
        with monkeypatch.context() as patched:
            patched.setattr(StripeGateway, "_with_all_items", unlisted)
            deliver(it.api, sent)
            assert look_at(it) == [sub["id"]]
            got = it.buy(seats=1)
        assert (got.status, got.code) == (409, "subscription_not_changeable")
        assert sub["id"] in got.body["detail"]
        assert "items" in got.body["detail"]
        assert it.asked("POST", CHECKOUTS) == []
        got = it.buy(seats=1)
        assert (got.status, got.body["changed"], it.seats()) == (201, "quantity", 5)


def test_nothing_is_sold_beside_one_that_stripe_has_just_told_of_without_its_items(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with shop() as it:
        sub, _ = sold(it, named=False)
        link = {"customer": sub["customer"]}
        assert it.api.put("portal", "/v1/accounts/acme/stripe-customer", link).status == 200
        assert it.account().stripe.subscriptions == {}
        with monkeypatch.context() as patched:
            patched.setattr(StripeGateway, "_with_all_items", unlisted)
            got = it.buy(seats=1)
        assert (got.status, got.code) == (409, "subscription_not_changeable")
        assert it.asked("POST", CHECKOUTS) == []
        assert it.buy(seats=1).body["changed"] == "quantity"


def test_what_has_ended_is_in_the_way_of_nothing_whatever_its_items(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with shop() as it:
        sub, sent = sold(it)
        with monkeypatch.context() as patched:
            patched.setattr(StripeGateway, "_with_all_items", unlisted)
            deliver(it.api, sent)
            ended = {**sub, "status": "canceled", "ended_at": int(it.api.clock.now.timestamp())}
            deliver(it.api, event("customer.subscription.deleted", ended, at=it.api.clock.now))
            got = it.buy(seats=1)
        assert (got.status, got.body["changed"]) == (201, None)
