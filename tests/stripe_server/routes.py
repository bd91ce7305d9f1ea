"""Which call does what, and by which TypedDict of the SDK its parameters are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.stripe_server import (
    cards,
    catalog,
    checkout,
    endpoints,
    invoices,
    item_calls,
    manual_invoices,
    pauses,
    payments,
    previews,
    refunds,
    schedules,
    subscriptions,
)
from tests.stripe_server.answers import listed, within
from tests.stripe_server.errors import ApiError, Json
from tests.stripe_server.subscription_items import item_with
from tests.stripe_server.world import World

Handler = Callable[..., Json]


OWN_ACCOUNT = "acct_1Ours"


class Route(NamedTuple):
    """A call: `*` in a path stands for an id."""

    method: str
    path: str
    params: str
    handle: Handler


def _retrieve(kind: str) -> Handler:
    def handle(world: World, params: Json, name: str) -> Json:
        gone = world.tables[kind].get(name)
        return gone if gone and gone.get("deleted") else world.get(kind, name)

    return handle


def _asked(params: Json, *names: str) -> Json:
    """Return the filters that were given; all are read, also when there is nothing to filter."""
    return {name: params[name] for name in names if name in params}


def _list(kind: str, url: str, *fields: str) -> Handler:
    def handle(world: World, params: Json) -> Json:
        asked, created = _asked(params, *fields), params.get("created")
        chosen = [
            one
            for one in world.all(kind)
            if not one.get("deleted")
            and all(one[field] == value for field, value in asked.items())
            and within(one.get("created", 0), created)
        ]
        return listed(chosen, params, url)

    return handle


def _delete(kind: str) -> Handler:
    def handle(world: World, params: Json, name: str) -> Json:
        obj = world.get(kind, name)
        if kind == "customer":
            for subscription in world.all("subscription"):
                if (
                    subscription["customer"] == name
                    and subscription["status"] in subscriptions.LIVE
                ):
                    subscriptions.end(world, subscription)
        if kind != "webhook_endpoint":
            world.emit(f"{kind}.deleted", obj)
        stub = {"id": name, "object": kind, "deleted": True}
        world.tables[kind][name] = stub
        return stub

    return handle


def _update(kind: str, *fields: str) -> Handler:
    def handle(world: World, params: Json, name: str) -> Json:
        return catalog.update_fields(world, world.get(kind, name), params, fields)

    return handle


def _list_prices(world: World, params: Json) -> Json:
    keys, created = params.get("lookup_keys"), params.get("created")
    asked = _asked(params, "active", "product", "currency", "type")
    chosen = [
        one
        for one in world.all("price")
        if (keys is None or one["lookup_key"] in keys)
        and all(one[name] == value for name, value in asked.items())
        and within(one["created"], created)
    ]
    return listed(chosen, params, "/v1/prices")


def _list_subscriptions(world: World, params: Json) -> Json:
    status, created = params.get("status"), params.get("created")
    customer, price = params.get("customer"), params.get("price")
    ended = {"canceled", "incomplete_expired"}

    def wanted(one: Json) -> bool:
        if status == "all":
            return True
        if status == "ended":
            return one["status"] in ended
        return bool(one["status"] == status if status else one["status"] not in ended)

    chosen = [
        one
        for one in world.all("subscription")
        if wanted(one)
        and customer in (None, one["customer"])
        and within(one["created"], created)
        and (price is None or price in _prices(one))
    ]
    return listed(chosen, params, "/v1/subscriptions")


def _prices(subscription: Json) -> set[str]:
    return {item["price"]["id"] for item in subscription["items"]["data"]}


def _list_items(world: World, params: Json) -> Json:
    subscription = world.get("subscription", params["subscription"], "subscription", 400)
    items = list(reversed(subscription["items"]["data"]))
    return listed(items, params, "/v1/subscription_items")


def _list_lines(world: World, params: Json, name: str) -> Json:
    lines = list(reversed(world.get("invoice", name, "invoice")["lines"]["data"]))
    return listed(lines, params, f"/v1/invoices/{name}/lines")


def _list_invoices(world: World, params: Json) -> Json:
    wanted, created = params.get("subscription"), params.get("created")
    asked = _asked(params, "customer", "status")
    chosen = [
        one
        for one in world.all("invoice")
        if all(one[name] == value for name, value in asked.items())
        and (wanted is None or _subscription_name(one) == wanted)
        and within(one["created"], created)
    ]
    return listed(chosen, params, "/v1/invoices")


def _subscription_name(invoice: Json) -> Any:
    details = (invoice["parent"] or {}).get("subscription_details") or {}
    return details.get("subscription")


def _list_events(world: World, params: Json) -> Json:
    kinds = params.get("types")
    kind = params.get("type")
    success, created = params.get("delivery_success"), params.get("created")
    chosen = [
        one
        for one in world.events
        if one["created"] > world.clock - 30 * 86400
        and (kinds is None or one["type"] in kinds)
        and (kind is None or _matches(one["type"], kind))
        and (success is None or (one["id"] not in world.undelivered) == success)
        and within(one["created"], created)
    ]
    return listed(chosen, params, "/v1/events")


def _matches(kind: str, pattern: str) -> bool:
    return kind.startswith(pattern[:-1]) if pattern.endswith("*") else kind == pattern


def _list_invoice_payments(world: World, params: Json) -> Json:
    asked = (params.get("payment") or {}).get("payment_intent")
    chosen = [
        one
        for one in world.all("invoice_payment")
        if all(one[name] == params[name] for name in ("invoice", "status") if name in params)
        and (asked is None or one["payment"]["payment_intent"] == asked)
    ]
    return listed(chosen, params, "/v1/invoice_payments")


def _line_items(world: World, params: Json, name: str) -> Json:
    world.get("checkout.session", name)
    items = list(reversed(world.plans[f"{name}/line_items"]["data"]))
    return listed(items, params, f"/v1/checkout/sessions/{name}/line_items")


def _own_account(world: World, params: Json) -> Json:
    return {"id": OWN_ACCOUNT, "object": "account"}


def _expire(world: World, params: Json, name: str) -> Json:
    return checkout.expire(world, name)


def _retrieve_item(world: World, params: Json, name: str) -> Json:
    return item_with(world, name)[1]


ROUTES = [
    Route("GET", "/v1/account", "account_retrieve_current", _own_account),
    Route("POST", "/v1/customers", "customer_create", catalog.create_customer),
    Route("GET", "/v1/customers", "customer_list", _list("customer", "/v1/customers", "email")),
    Route("GET", "/v1/customers/*", "customer_retrieve", _retrieve("customer")),
    Route("POST", "/v1/customers/*", "customer_update", catalog.update_customer),
    Route("DELETE", "/v1/customers/*", "customer_delete", _delete("customer")),
    Route("POST", "/v1/products", "product_create", catalog.create_product),
    Route("GET", "/v1/products", "product_list", _list("product", "/v1/products", "active")),
    Route("GET", "/v1/products/*", "product_retrieve", _retrieve("product")),
    Route("POST", "/v1/products/*", "product_update", catalog.update_product),
    Route("POST", "/v1/prices", "price_create", catalog.create_price),
    Route("GET", "/v1/prices", "price_list", _list_prices),
    Route("GET", "/v1/prices/*", "price_retrieve", _retrieve("price")),
    Route("POST", "/v1/prices/*", "price_update", catalog.update_price),
    Route("POST", "/v1/coupons", "coupon_create", catalog.create_coupon),
    Route("GET", "/v1/coupons", "coupon_list", _list("coupon", "/v1/coupons")),
    Route("GET", "/v1/coupons/*", "coupon_retrieve", _retrieve("coupon")),
    Route("DELETE", "/v1/coupons/*", "coupon_delete", _delete("coupon")),
    Route("POST", "/v1/promotion_codes", "promotion_code_create", catalog.create_promotion_code),
    Route(
        "GET",
        "/v1/promotion_codes",
        "promotion_code_list",
        _list("promotion_code", "/v1/promotion_codes", "code", "active"),
    ),
    Route("GET", "/v1/promotion_codes/*", "promotion_code_retrieve", _retrieve("promotion_code")),
    Route("POST", "/v1/tax_rates", "tax_rate_create", catalog.create_tax_rate),
    Route("POST", "/v1/subscriptions", "subscription_create", subscriptions.create),
    Route("GET", "/v1/subscriptions", "subscription_list", _list_subscriptions),
    Route("GET", "/v1/subscriptions/*", "subscription_retrieve", _retrieve("subscription")),
    Route("POST", "/v1/subscriptions/*", "subscription_update", subscriptions.update),
    Route("DELETE", "/v1/subscriptions/*", "subscription_cancel", subscriptions.cancel),
    Route("POST", "/v1/subscriptions/*/pause", "subscription_pause", pauses.pause),
    Route("POST", "/v1/subscriptions/*/resume", "subscription_resume", pauses.resume),
    Route("POST", "/v1/subscription_items", "subscription_item_create", item_calls.create_item),
    Route("GET", "/v1/subscription_items", "subscription_item_list", _list_items),
    Route("GET", "/v1/subscription_items/*", "subscription_item_retrieve", _retrieve_item),
    Route("POST", "/v1/subscription_items/*", "subscription_item_update", item_calls.update_item),
    Route("DELETE", "/v1/subscription_items/*", "subscription_item_delete", item_calls.delete_item),
    Route("GET", "/v1/invoices", "invoice_list", _list_invoices),
    Route("POST", "/v1/invoices/create_preview", "invoice_create_preview", previews.create_preview),
    Route("GET", "/v1/invoices/*", "invoice_retrieve", _retrieve("invoice")),
    Route("GET", "/v1/invoices/*/lines", "invoice_line_item_list", invoices.list_lines),
    Route("GET", "/v1/invoices/*/lines", "invoice_line_item_list", _list_lines),
    Route("POST", "/v1/invoices/*/pay", "invoice_pay", payments.pay_invoice),
    Route("POST", "/v1/invoices/*/void", "invoice_void_invoice", payments.void_invoice),
    Route("GET", "/v1/invoice_payments", "invoice_payment_list", _list_invoice_payments),
    Route("POST", "/v1/checkout/sessions", "checkout.session_create", checkout.create_session),
    Route(
        "GET", "/v1/checkout/sessions/*", "checkout.session_retrieve", _retrieve("checkout.session")
    ),
    Route(
        "GET",
        "/v1/checkout/sessions",
        "checkout.session_list",
        _list("checkout.session", "/v1/checkout/sessions", "customer", "subscription"),
    ),
    Route(
        "GET", "/v1/checkout/sessions/*/line_items", "checkout.session_list_line_items", _line_items
    ),
    Route(
        "POST",
        "/v1/checkout/sessions/*/expire",
        "checkout.session_expire",
        _expire,
    ),
    Route(
        "POST",
        "/v1/billing_portal/sessions",
        "billing_portal.session_create",
        checkout.create_portal_session,
    ),
    Route("GET", "/v1/events", "event_list", _list_events),
    Route("GET", "/v1/events/*", "event_retrieve", _retrieve("event")),
    Route("POST", "/v1/webhook_endpoints", "webhook_endpoint_create", endpoints.create_endpoint),
    Route(
        "GET",
        "/v1/webhook_endpoints",
        "webhook_endpoint_list",
        _list("webhook_endpoint", "/v1/webhook_endpoints"),
    ),
    Route(
        "GET", "/v1/webhook_endpoints/*", "webhook_endpoint_retrieve", _retrieve("webhook_endpoint")
    ),
    Route("POST", "/v1/webhook_endpoints/*", "webhook_endpoint_update", endpoints.update_endpoint),
    Route(
        "DELETE", "/v1/webhook_endpoints/*", "webhook_endpoint_delete", _delete("webhook_endpoint")
    ),
    Route("POST", "/v1/refunds", "refund_create", refunds.create_refund),
    Route("GET", "/v1/charges/*", "charge_retrieve", _retrieve("charge")),
    Route(
        "GET",
        "/v1/disputes",
        "dispute_list",
        _list("dispute", "/v1/disputes", "charge", "payment_intent"),
    ),
    Route("GET", "/v1/disputes/*", "dispute_retrieve", _retrieve("dispute")),
    *schedules.routes(Route, _retrieve),
    *cards.routes(Route, _retrieve),
    *manual_invoices.routes(Route),
]


def _table() -> dict[tuple[str, int], list[tuple[list[str], Route]]]:
    table: dict[tuple[str, int], list[tuple[list[str], Route]]] = {}
    for route in ROUTES:
        parts = route.path.strip("/").split("/")
        table.setdefault((route.method, len(parts)), []).append((parts, route))
    return table


TABLE = _table()


def find(method: str, path: str) -> tuple[Route, list[str]]:
    """Return the route of a call and the ids in its path.

    Raises:
        ApiError: there is no such call

    """
    parts = path.strip("/").split("/")
    for pattern, route in TABLE.get((method, len(parts)), ()):
        if all(want in ("*", part) for want, part in zip(pattern, parts, strict=True)):
            return route, [part for want, part in zip(pattern, parts, strict=True) if want == "*"]
    raise ApiError(404, f"Unrecognized request URL ({method}: {path}).")
