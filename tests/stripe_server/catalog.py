"""Products, prices, coupons, promotion codes, tax rates, customers: what others refer to."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.stripe_server.errors import Json, invalid, missing_parameter
from tests.stripe_server.world import World, copied, differences, page


def merged(old: Json | None, new: Any) -> Json:
    """Return metadata after an update: an empty text takes a name out, an empty whole all."""
    if new == "":
        return {}
    both = {**(old or {}), **(new or {})}
    return {name: value for name, value in both.items() if value != ""}


def create_product(world: World, params: Json) -> Json:
    """Make a product, and its default price where one is described."""
    product = world.add(
        {
            "id": params.get("id") or world.new_id("prod"),
            "object": "product",
            "active": params.get("active", True),
            "created": world.clock,
            "default_price": None,
            "description": params.get("description"),
            "images": params.get("images", []),
            "livemode": world.settings.livemode,
            "marketing_features": [],
            "metadata": params.get("metadata") or {},
            "name": params["name"],
            "package_dimensions": None,
            "shippable": None,
            "statement_descriptor": params.get("statement_descriptor"),
            "tax_code": None,
            "type": "service",
            "unit_label": params.get("unit_label"),
            "updated": world.clock,
            "url": params.get("url"),
        }
    )
    world.emit("product.created", product)
    if "default_price_data" in params:
        price = create_price(world, {**params["default_price_data"], "product": product["id"]})
        product["default_price"] = price["id"]
    return product


def update_product(world: World, params: Json, name: str) -> Json:
    """Change a product."""
    return update_fields(
        world,
        world.get("product", name),
        params,
        ("active", "name", "description", "default_price"),
    )


def update_fields(world: World, obj: Json, params: Json, names: tuple[str, ...]) -> Json:
    """Set the named fields and the metadata; tell of it where something changed."""
    before = copied(obj)
    for name in names:
        if name in params:
            obj[name] = None if params[name] == "" else params[name]
    if "metadata" in params:
        obj["metadata"] = merged(obj["metadata"], params["metadata"])
    previous = differences(before, obj)
    if previous and obj["object"] not in {"promotion_code", "webhook_endpoint"}:
        world.emit(f"{obj['object']}.updated", obj, previous)
    return obj


def create_price(world: World, params: Json) -> Json:
    """Make a price: one amount a unit, or tiers."""
    if "product_data" in params:
        product = create_product(world, {"name": params["product_data"]["name"]})
    else:
        if "product" not in params:
            raise missing_parameter("product")
        product = world.get("product", params["product"], "product", 400)
    _free_lookup_key(world, params)
    tiers = [_tier(one) for one in params.get("tiers", [])]
    if params.get("billing_scheme", "tiered" if tiers else "per_unit") == "tiered" and not tiers:
        raise missing_parameter("tiers")
    decimal = _decimal_amount(params, tiered=bool(tiers))
    price = {
        "id": world.new_id("price"),
        "object": "price",
        "active": params.get("active", True),
        "billing_scheme": "tiered" if tiers else "per_unit",
        "created": world.clock,
        "currency": params["currency"].lower(),
        "custom_unit_amount": None,
        "livemode": world.settings.livemode,
        "lookup_key": params.get("lookup_key"),
        "metadata": params.get("metadata") or {},
        "nickname": params.get("nickname"),
        "product": product["id"],
        "recurring": _recurring(params.get("recurring")),
        "tax_behavior": params.get("tax_behavior", "unspecified"),
        "tiers_mode": params.get("tiers_mode") if tiers else None,
        "transform_quantity": params.get("transform_quantity"),
        "type": "recurring" if "recurring" in params else "one_time",
        "unit_amount": int(decimal) if decimal is not None and "." not in decimal else None,
        "unit_amount_decimal": decimal,
    }
    if tiers:
        world.tiers[str(price["id"])] = tiers
    world.add(price)
    world.emit("price.created", price)
    return price


def _decimal_amount(params: Json, *, tiered: bool) -> str | None:
    if tiered:
        if "tiers_mode" not in params:
            raise missing_parameter("tiers_mode")
        return None
    if "unit_amount_decimal" in params:
        return str(params["unit_amount_decimal"])
    if "unit_amount" not in params:
        raise missing_parameter("unit_amount")
    return str(params["unit_amount"])


def _free_lookup_key(world: World, params: Json) -> None:
    key = params.get("lookup_key")
    taken = [one for one in world.all("price") if key and one["lookup_key"] == key]
    for other in taken:
        if not params.get("transfer_lookup_key"):
            message = f"A price (`{other['id']}`) already uses that lookup key."
            raise invalid(message, "lookup_key")
        other["lookup_key"] = None


def _recurring(params: Json | None) -> Json | None:
    if params is None:
        return None
    return {
        "interval": params["interval"],
        "interval_count": params.get("interval_count", 1),
        "meter": params.get("meter"),
        "trial_period_days": None,
        "usage_type": params.get("usage_type", "licensed"),
    }


def _tier(params: Json) -> Json:
    unit = params.get("unit_amount_decimal", params.get("unit_amount"))
    flat = params.get("flat_amount_decimal", params.get("flat_amount"))
    up_to = params["up_to"]
    return {
        "flat_amount": None if flat is None else int(Decimal(str(flat))),
        "flat_amount_decimal": None if flat is None else str(flat),
        "unit_amount": int(unit) if unit is not None and "." not in str(unit) else None,
        "unit_amount_decimal": None if unit is None else str(unit),
        "up_to": None if up_to == "inf" else up_to,
    }


def update_price(world: World, params: Json, name: str) -> Json:
    """Change a price; its amount is for ever."""
    price = world.get("price", name)
    if params.get("lookup_key"):
        _free_lookup_key(world, params)
    return update_fields(world, price, params, ("active", "nickname", "lookup_key"))


def plan_of(price: Json) -> Json:
    """Return the plan that older integrations see in the place of a price."""
    recurring = price["recurring"]
    return {
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": price["billing_scheme"],
        "created": price["created"],
        "currency": price["currency"],
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "livemode": price["livemode"],
        "metadata": price["metadata"],
        "meter": recurring["meter"],
        "nickname": price["nickname"],
        "product": price["product"],
        "tiers_mode": price["tiers_mode"],
        "transform_usage": price["transform_quantity"],
        "trial_period_days": None,
        "usage_type": recurring["usage_type"],
    }


def create_coupon(world: World, params: Json) -> Json:
    """Make a coupon: a percentage or an amount off."""
    if "percent_off" not in params and "amount_off" not in params:
        raise invalid("You must pass either `percent_off` or `amount_off`.")
    coupon = {
        "id": params.get("id") or world.new_id("co"),
        "object": "coupon",
        "amount_off": params.get("amount_off"),
        "created": world.clock,
        "currency": params.get("currency"),
        "duration": params.get("duration", "once"),
        "duration_in_months": params.get("duration_in_months"),
        "livemode": world.settings.livemode,
        "max_redemptions": params.get("max_redemptions"),
        "metadata": params.get("metadata") or {},
        "name": params.get("name"),
        "percent_off": params.get("percent_off"),
        "redeem_by": params.get("redeem_by"),
        "times_redeemed": 0,
        "valid": True,
    }
    if "applies_to" in params:
        coupon["applies_to"] = {"products": params["applies_to"].get("products", [])}
    world.add(coupon)
    world.emit("coupon.created", coupon)
    return coupon


def create_promotion_code(world: World, params: Json) -> Json:
    """Make a code that people type to get a coupon."""
    coupon = world.get("coupon", params["promotion"].get("coupon"), "promotion[coupon]", 400)
    restrictions = params.get("restrictions") or {}
    code = world.add(
        {
            "id": world.new_id("promo"),
            "object": "promotion_code",
            "active": params.get("active", True),
            "code": params.get("code") or world.new_id("CODE").upper()[-8:],
            "created": world.clock,
            "customer": params.get("customer"),
            "customer_account": None,
            "expires_at": params.get("expires_at"),
            "livemode": world.settings.livemode,
            "max_redemptions": params.get("max_redemptions"),
            "metadata": params.get("metadata") or {},
            "promotion": {"coupon": coupon["id"], "type": "coupon"},
            "restrictions": {
                "first_time_transaction": restrictions.get("first_time_transaction", False),
                "minimum_amount": restrictions.get("minimum_amount"),
                "minimum_amount_currency": restrictions.get("minimum_amount_currency"),
            },
            "times_redeemed": 0,
        }
    )
    world.emit("promotion_code.created", code)
    return code


def create_tax_rate(world: World, params: Json) -> Json:
    """Make a tax rate."""
    return world.add(
        {
            "id": world.new_id("txr"),
            "object": "tax_rate",
            "active": True,
            "country": params.get("country"),
            "created": world.clock,
            "description": params.get("description"),
            "display_name": params["display_name"],
            "effective_percentage": params["percentage"],
            "flat_amount": None,
            "inclusive": params["inclusive"],
            "jurisdiction": params.get("jurisdiction"),
            "jurisdiction_level": None,
            "livemode": world.settings.livemode,
            "metadata": params.get("metadata") or {},
            "percentage": params["percentage"],
            "rate_type": "percentage",
            "state": params.get("state"),
            "tax_type": params.get("tax_type"),
        }
    )


def create_customer(world: World, params: Json) -> Json:
    """Make a customer, whose card is good until `StripeServer.fail_payments` says otherwise."""
    name = world.new_id("cus")
    settings = params.get("invoice_settings") or {}
    source = params.get("source") or settings.get("default_payment_method")
    source = params.get("payment_method") or source
    customer = world.add(
        {
            "id": name,
            "object": "customer",
            "address": params.get("address") or None,
            "balance": params.get("balance", 0),
            "created": world.clock,
            "currency": None,
            "default_source": None,
            "delinquent": False,
            "description": params.get("description"),
            "discount": None,
            "email": params.get("email"),
            "invoice_prefix": name[-8:].upper(),
            "invoice_settings": {
                "custom_fields": None,
                "default_payment_method": settings.get("default_payment_method"),
                "footer": None,
                "rendering_options": None,
            },
            "livemode": world.settings.livemode,
            "metadata": params.get("metadata") or {},
            "name": params.get("name"),
            "next_invoice_sequence": 1,
            "phone": params.get("phone"),
            "preferred_locales": params.get("preferred_locales", []),
            "shipping": params.get("shipping") or None,
            "tax_exempt": params.get("tax_exempt") or "none",
            "test_clock": None,
        }
    )
    if source:
        world.with_card.add(name)
    if source and "fail" in str(source).lower():
        world.failing[name] = "card_declined"
    world.emit("customer.created", customer)
    return customer


def update_customer(world: World, params: Json, name: str) -> Json:
    """Change a customer."""
    names = ("address", "balance", "description", "email", "name", "phone", "shipping")
    customer = world.get("customer", name)
    settings = params.get("invoice_settings") or {}
    if "default_payment_method" in settings:
        customer["invoice_settings"]["default_payment_method"] = settings["default_payment_method"]
    return update_fields(world, customer, params, names)


def embedded(data: list[Json], subscription: str) -> Json:
    """Return the list of items within a subscription."""
    return page(data, f"/v1/subscription_items?subscription={subscription}")
