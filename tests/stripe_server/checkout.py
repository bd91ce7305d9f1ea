"""Checkout and the Customer Portal: sessions that a person completes in a browser."""

from __future__ import annotations

from tests.stripe_server import subscriptions
from tests.stripe_server.catalog import create_customer, create_price
from tests.stripe_server.discounts import coupon_of
from tests.stripe_server.errors import Json, invalid, missing_parameter
from tests.stripe_server.money import discount_amounts
from tests.stripe_server.payments import attempt, new_intent
from tests.stripe_server.prorations import amount_of
from tests.stripe_server.world import DAY, World


def create_session(world: World, params: Json) -> Json:
    """Open a Checkout session.

    Raises:
        ApiError: parameter_missing, resource_missing; discounts beside promotion codes

    """
    if params.get("mode") is None:
        raise missing_parameter("mode")
    if params["mode"] != "setup" and not params.get("line_items"):
        raise missing_parameter("line_items")
    if params.get("ui_mode", "hosted_page") == "hosted_page" and "success_url" not in params:
        raise missing_parameter("success_url")
    if params.get("allow_promotion_codes") and params.get("discounts"):
        raise invalid(
            "You may only specify one of these parameters: allow_promotion_codes, discounts."
        )
    if params.get("customer"):
        world.get("customer", params["customer"], "customer", 400)
    name = world.new_id("cs_test")
    items = [_line(world, one, place) for place, one in enumerate(params.get("line_items") or [])]
    off = _discounted(world, items, params)
    subtotal = sum(item["amount_subtotal"] for item in items)
    session = world.add(_session(world, name, params, items, subtotal, off))
    later = ("subscription_data", "payment_intent_data", "setup_intent_data", "discounts")
    world.plans[name] = {"params": {one: params[one] for one in later if one in params}}
    world.plans[f"{name}/line_items"] = {"data": items}
    world.due(int(session["expires_at"]), "checkout", name)
    return session


def _line(world: World, given: Json, place: int) -> Json:
    if "price_data" in given:
        price = create_price(world, given["price_data"])
    elif "price" in given:
        price = world.get("price", given["price"], f"line_items[{place}][price]", 400)
    else:
        raise missing_parameter(f"line_items[{place}][price]")
    quantity = given.get("quantity", 1)
    amount = amount_of(world, price, quantity)
    adjustable = given.get("adjustable_quantity")
    return {
        "id": world.new_id("li"),
        "object": "item",
        "adjustable_quantity": {"maximum": 99, "minimum": 0, **adjustable} if adjustable else None,
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": price["nickname"] or price["product"],
        "price": price,
        "quantity": quantity,
    }


def _discounted(world: World, items: list[Json], params: Json) -> int:
    """Take the discounts off the lines; return how much."""
    total = 0
    for given in params.get("discounts") or []:
        code = given.get("promotion_code")
        promotion = world.get("promotion_code", code, "discounts", 400) if code else None
        name = promotion["promotion"]["coupon"] if promotion else given.get("coupon")
        coupon = world.get("coupon", name, "discounts", 400)
        lines = [
            {"left": one["amount_total"], "discountable": True, "product": one["price"]["product"]}
            for one in items
        ]
        for item, amount in zip(items, discount_amounts(lines, coupon), strict=True):
            item["amount_discount"] += amount
            item["amount_total"] -= amount
            total += amount
    return total


def _session(
    world: World, name: str, params: Json, items: list[Json], subtotal: int, off: int
) -> Json:
    hosted = params.get("ui_mode", "hosted_page") == "hosted_page"
    return {
        "id": name,
        "object": "checkout.session",
        "adaptive_pricing": {"enabled": False},
        "after_expiration": None,
        "allow_promotion_codes": params.get("allow_promotion_codes"),
        "amount_subtotal": subtotal,
        "amount_total": subtotal - off,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "billing_address_collection": params.get("billing_address_collection"),
        "cancel_url": params.get("cancel_url"),
        "client_reference_id": params.get("client_reference_id"),
        "client_secret": None,
        "collected_information": None,
        "consent": None,
        "consent_collection": None,
        "created": world.clock,
        "currency": items[0]["currency"] if items else None,
        "currency_conversion": None,
        "custom_fields": [],
        "custom_text": {
            "after_submit": None,
            "shipping_address": None,
            "submit": None,
            "terms_of_service_acceptance": None,
        },
        "customer": params.get("customer"),
        "customer_creation": None if params.get("customer") else "always",
        "customer_details": None,
        "customer_email": params.get("customer_email"),
        "discounts": [
            {"coupon": one.get("coupon"), "promotion_code": one.get("promotion_code")}
            for one in params.get("discounts") or []
        ],
        "expires_at": params.get("expires_at", world.clock + DAY),
        "invoice": None,
        "invoice_creation": None,
        "livemode": world.settings.livemode,
        "locale": params.get("locale"),
        "metadata": params.get("metadata") or {},
        "mode": params["mode"],
        "origin_context": None,
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": params.get("payment_method_collection", "always"),
        "payment_method_configuration_details": None,
        "payment_method_options": None,
        "payment_method_types": ["card"],
        "payment_status": "unpaid",
        "permissions": None,
        "phone_number_collection": {"enabled": False},
        "recovered_from": None,
        "saved_payment_method_options": None,
        "setup_intent": None,
        "shipping_address_collection": None,
        "shipping_cost": None,
        "shipping_options": [],
        "status": "open",
        "submit_type": None,
        "subscription": None,
        "success_url": params.get("success_url"),
        "total_details": {"amount_discount": off, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": params.get("ui_mode", "hosted_page"),
        "url": f"https://checkout.stripe.com/c/pay/{name}" if hosted else None,
        "wallet_options": None,
    }


def pay(
    world: World,
    name: str,
    *,
    quantities: dict[str, int] | None = None,
    promotion_code: str | None = None,
    email: str = "buyer@example.com",
) -> Json:
    """Complete a session as a person does: a customer, a subscription or a payment, the events.

    `quantities` are what the person chose, by price, where the session let it be adjusted.
    """
    session = world.get("checkout.session", name)
    assert session["status"] == "open", f"the session is {session['status']}"
    params = world.plans[name]["params"]
    if session["customer"] is None:
        session["customer"] = create_customer(world, {"email": email})["id"]
    items = world.plans[f"{name}/line_items"]["data"]
    for item in items:
        item["quantity"] = (quantities or {}).get(item["price"]["id"], item["quantity"])
        item["amount_subtotal"] = amount_of(world, item["price"], item["quantity"])
        item["amount_total"], item["amount_discount"] = item["amount_subtotal"], 0
    if promotion_code is not None:
        params = {**params, "discounts": [{"promotion_code": promotion_code}]}
    off = _discounted(world, items, params)
    session["amount_subtotal"] = sum(item["amount_subtotal"] for item in items)
    session["amount_total"] = session["amount_subtotal"] - off
    session["total_details"]["amount_discount"] = off
    if session["mode"] == "subscription":
        _subscribe(world, session, params, items)
    elif session["mode"] == "payment":
        intent = new_intent(
            world, session["amount_total"], session["currency"], session["customer"]
        )
        attempt(world, intent)
        session["payment_intent"] = intent["id"]
    customer = world.get("customer", session["customer"])
    session |= {
        "status": "complete",
        "payment_status": "paid" if session["amount_total"] else "no_payment_required",
        "customer_details": {
            "address": customer["address"],
            "email": customer["email"] or email,
            "name": customer["name"],
            "phone": customer["phone"],
            "tax_exempt": "none",
            "tax_ids": [],
        },
        "url": None,
    }
    world.emit("checkout.session.completed", session)
    return session


def _subscribe(world: World, session: Json, params: Json, items: list[Json]) -> None:
    data = params.get("subscription_data") or {}
    wanted: Json = {
        "customer": session["customer"],
        "items": [{"price": one["price"]["id"], "quantity": one["quantity"]} for one in items],
        "metadata": data.get("metadata") or {},
        "payment_behavior": "error_if_incomplete",
    }
    passed = ("billing_mode", "trial_period_days", "trial_end", "trial_settings", "description")
    wanted |= {one: data[one] for one in passed if one in data}
    if params.get("discounts"):
        wanted["discounts"] = params["discounts"]
    subscription = subscriptions.create(world, wanted)
    for discount in subscription["discounts"]:
        if coupon_of(world, discount) is not None:
            world.tables["discount"][discount]["checkout_session"] = session["id"]
    session["subscription"] = subscription["id"]
    session["invoice"] = subscription["latest_invoice"]


def expire(world: World, name: str) -> Json:
    """Let a session be over without having been paid."""
    session = world.get("checkout.session", name)
    if session["status"] == "open":
        session["status"] = "expired"
        session["url"] = None
        world.emit("checkout.session.expired", session)
    return session


def create_portal_session(world: World, params: Json) -> Json:
    """Open the Customer Portal."""
    if "customer" not in params:
        raise missing_parameter("customer")
    world.get("customer", params["customer"], "customer", 400)
    name = world.new_id("bps")
    flow = params.get("flow_data")
    return world.add(
        {
            "id": name,
            "object": "billing_portal.session",
            "configuration": params.get("configuration") or "bpc_1standard",
            "created": world.clock,
            "customer": params["customer"],
            "flow": None if flow is None else _flow(world, flow),
            "livemode": world.settings.livemode,
            "locale": params.get("locale"),
            "on_behalf_of": None,
            "return_url": params.get("return_url"),
            "url": f"https://billing.stripe.com/p/session/{name}",
        }
    )


def _flow(world: World, given: Json) -> Json:
    kind = given["type"]
    after = given.get("after_completion") or {"type": "portal_homepage"}
    flow: Json = {
        "after_completion": {"hosted_confirmation": None, "redirect": None, **after},
        "type": kind,
    }
    if kind in {"subscription_cancel", "subscription_update", "subscription_update_confirm"}:
        own = given.get(kind)
        if own is None:
            raise missing_parameter(f"flow_data[{kind}]")
        subscription = world.get("subscription", own["subscription"], "subscription", 400)
        if kind != "subscription_cancel" and len(subscription["items"]["data"]) > 1:
            raise invalid(
                "Subscriptions with multiple items are not updatable.", f"flow_data[{kind}]"
            )
        flow[kind] = own
    return flow
