"""The proof of the stand-in: what it sends and takes is held against the SDK's own annotations."""

from __future__ import annotations

from typing import Any

import pytest

from tests.stripe_server import ApiError, ShapeDeviation, StripeServer
from tests.stripe_server.annotations import fields_of, params_shape
from tests.stripe_server.requests import read
from tests.stripe_server.routes import ROUTES
from tests.stripe_server.shapes import deviation, object_check
from tests.stripe_server.shop import Shop, subscribe


def _with(obj: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    here: Any = obj
    *outer, last = path.split(".")
    for name in outer:
        here = here[int(name)] if name.isdigit() else here[name]
    here[last] = value
    return obj


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("current_period_end", 1, ".current_period_end: unknown field"),
        ("created", "yesterday", "no int"),
        ("cancel_at_period_end", None, "no bool"),
        ("cancel_at_period_end", 1, "no bool"),
        ("status", "happy", "none of"),
        ("customer", None, "no"),
        ("billing_mode.type", "loose", "none of"),
        ("items.data.0.current_period_end", None, ".items.data[0].current_period_end"),
        ("items.data.0.price.unit_amount_decimal", 2000, "no decimal"),
        ("items.data.0.price.recurring.interval", "moon", ".recurring.interval"),
        ("items.has_more", "no", "has_more"),
        ("discounts", None, "not a list"),
        ("metadata", {"a": 1}, ".metadata[a]"),
        ("pause_collection", {"resumes_at": None}, ".pause_collection.behavior: missing"),
    ],
)
def test_a_subscription_that_is_not_like_stripes_is_found_out(
    stripe: StripeServer, shop: Shop, path: str, value: Any, said: str
) -> None:
    subscription = subscribe(stripe, shop)
    assert deviation(subscription) is None
    found = deviation(_with(subscription, path, value))
    assert found is not None
    assert said in found


def test_a_missing_field_is_found_out(stripe: StripeServer, shop: Shop) -> None:
    subscription = subscribe(stripe, shop)
    del subscription["items"]
    assert deviation(subscription) == "subscription.items: missing"


def test_an_event_is_checked_with_the_object_in_it(stripe: StripeServer, shop: Shop) -> None:
    event = stripe.get(f"/v1/events/{stripe.events[-1]['id']}")
    assert deviation(event) is None
    event["data"]["object"]["surprise"] = 1
    assert deviation(event) == "customer.surprise: unknown field"
    event["type"] = "customer.smiled"
    assert "none of" in str(deviation(event))


def test_a_deviation_stops_the_call_and_is_raised_again_at_the_end() -> None:
    stripe = StripeServer(serve=False)
    name = stripe.post("/v1/products", {"name": "x"})["id"]
    stripe.world.tables["product"][name]["active"] = "yes"
    with pytest.raises(ShapeDeviation):
        stripe.get(f"/v1/products/{name}")
    assert stripe.deviations
    with pytest.raises(ShapeDeviation, match=r"product\.active"), stripe:
        pass


@pytest.mark.parametrize(
    ("call", "given", "code", "param"),
    [
        ("subscription_update", {"colour": "red"}, "parameter_unknown", "colour"),
        (
            "subscription_update",
            {"items": [{"prize": "x"}]},
            "parameter_unknown",
            "items[0][prize]",
        ),
        ("subscription_item_create", {}, "parameter_missing", "subscription"),
        ("checkout.session_create", {"ui_mode": "hosted"}, None, "ui_mode"),
        ("subscription_update", {"proration_behavior": "some"}, None, "proration_behavior"),
        ("subscription_item_update", {"quantity": "many"}, "parameter_invalid_integer", "quantity"),
        ("invoice_create_preview", {"preview_mode": "soon"}, None, "preview_mode"),
        (
            "price_create",
            {"currency": "usd", "recurring": {"interval": "moon"}},
            None,
            "recurring[interval]",
        ),
        ("subscription_update", {"metadata": "text"}, None, "metadata"),
        ("subscription_list", {"created": {"after": 1}}, "parameter_unknown", "created[after]"),
    ],
)
def test_a_request_that_stripe_would_not_take_is_refused(
    call: str, given: dict[str, Any], code: str | None, param: str
) -> None:
    with pytest.raises(ApiError) as refused:
        read(call, given)
    body = refused.value.body
    assert (body.get("code"), body["param"]) == (code, param)
    assert refused.value.status == 400


def test_a_form_and_a_call_in_process_are_read_alike() -> None:
    form = {"items": [{"id": "si_1", "quantity": "3", "deleted": "false"}], "trial_end": "now"}
    call = {"items": [{"id": "si_1", "quantity": 3, "deleted": False}], "trial_end": "now"}
    assert read("subscription_update", form) == read("subscription_update", call) == call


def test_every_route_is_read_by_a_typed_dict_of_the_sdk() -> None:
    for route in ROUTES:
        if route.params:
            assert fields_of(params_shape(route.params)) is not None, route
    undocumented = {route.path for route in ROUTES if not route.params}
    assert undocumented == {"/v1/payment_pages/*", "/v1/payment_pages/*/confirm"}


def test_what_stripe_has_and_the_stand_in_does_not_do_is_refused(
    stripe: StripeServer, shop: Shop
) -> None:
    with pytest.raises(ApiError, match="does nothing with \\['billing_thresholds'\\]"):
        subscribe(stripe, shop, billing_thresholds={"amount_gte": 1})


def test_every_kind_of_object_the_stand_in_keeps_is_one_of_stripes(
    stripe: StripeServer, shop: Shop
) -> None:
    subscribe(stripe, shop)
    for kind, table in stripe.world.tables.items():
        for obj in table.values():
            assert object_check(kind)(obj) is None
