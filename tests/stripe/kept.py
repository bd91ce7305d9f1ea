"""What may be kept of Stripe's objects, written down once more: by path, apart from the program.

A path is the names on the way to a value, with `*` for a place in a list. Whatever text stands
anywhere else must be nowhere in the ledger.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_ENVELOPE = r"(id|object|type|api_version|account)"
_REFERENCE = r"(\.id)?"
_PRICE = (
    r"(price|plan)(\.(id|lookup_key|product(\.id)?|currency|unit_amount_decimal|amount_decimal"
    r"|billing_scheme|transform_(quantity|usage)\.round"
    r"|interval|usage_type|recurring\.(interval|usage_type)"
    r"|metadata\.keyfold_(product|tier|seats)))?"
)
_METADATA = r"metadata\.keyfold_account"

_OBJECTS = {
    "subscription": [
        "id",
        "object",
        "customer" + _REFERENCE,
        "status",
        "cancellation_details.reason",
        "currency",
        "collection_method",
        "billing",
        "billing_mode.type",
        "pause_collection.behavior",
        "schedule" + _REFERENCE,
        "latest_invoice" + _REFERENCE,
        r"discounts\.\*" + _REFERENCE,
        r"discount\.id",
        _METADATA,
        _PRICE,
        r"default_tax_rates\.\*" + _REFERENCE,
        r"items\.data\.\*\.(id|tax_rates\.\*(\.id)?|discounts\.\*(\.id)?|discount\.id|"
        + _PRICE
        + ")",
    ],
    "invoice": [
        "id",
        "object",
        "number",
        "status",
        "billing_reason",
        "currency",
        "customer" + _REFERENCE,
        "subscription" + _REFERENCE,
        r"parent\.subscription_details\.(subscription(\.id)?|" + _METADATA + ")",
        r"subscription_details\." + _METADATA,
        _METADATA,
        r"discounts\.\*" + _REFERENCE,
        r"discount\.id",
        r"total_discount_amounts\.\*\.discount" + _REFERENCE,
        r"(charge|payment_intent)(\.id)?",
        r"payments\.data\.\*\.payment\.(charge|payment_intent)(\.id)?",
        r"lines\.data\.\*\.(id|subscription_item(\.id)?)",
        r"lines\.data\.\*\.discount_amounts\.\*\.discount" + _REFERENCE,
        r"lines\.data\.\*\.taxes\.\*\.tax_rate_details\.tax_rate" + _REFERENCE,
        r"lines\.data\.\*\.tax_amounts\.\*\.tax_rate" + _REFERENCE,
        r"lines\.data\.\*\.(price|plan)\.(id|product(\.id)?)",
        r"lines\.data\.\*\.pricing\.price_details\.(price|product)(\.id)?",
        r"lines\.data\.\*\.parent\.subscription_item_details\.subscription_item(\.id)?",
    ],
    "checkout.session": [
        "id",
        "object",
        "mode",
        "status",
        "payment_status",
        r"(charge|payment_intent)(\.id)?",
        "client_reference_id",
        "customer" + _REFERENCE,
        "subscription" + _REFERENCE,
        "invoice" + _REFERENCE,
        "currency",
        _METADATA,
    ],
    "charge": [
        "id",
        "object",
        "customer" + _REFERENCE,
        "payment_intent" + _REFERENCE,
        "currency",
        "reason",
        "status",
        _METADATA,
    ],
    "dispute": [
        "id",
        "object",
        "customer" + _REFERENCE,
        r"charge(\.(id|customer(\.id)?))?",
        "payment_intent" + _REFERENCE,
        "currency",
        "reason",
        "status",
        _METADATA,
    ],
}
_OTHERS = ["id", "object"]


def may_be_kept(event: dict[str, Any], path: str) -> bool:
    """Tell whether what stands at a path of an event may be kept."""
    if not path.startswith("data.object."):
        return re.fullmatch(_ENVELOPE, path) is not None
    within = path.removeprefix("data.object.")
    kind = event["data"]["object"].get("object")
    allowed = _OBJECTS.get(kind, _OTHERS)
    return any(re.fullmatch(one, within) for one in allowed)


def texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Answer every text in a JSON value, with its path."""
    match value:
        case str():
            yield path, value
        case dict():
            for name, inner in value.items():
                yield from texts(inner, f"{path}.{name}".lstrip("."))
        case list():
            for inner in value:
                yield from texts(inner, f"{path}.*")


def replaced(value: Any, event: dict[str, Any], markers: Iterator[str], path: str = "") -> Any:
    """Answer a copy with a marker in the place of every text that may not be kept."""
    match value:
        case str():
            return value if may_be_kept(event, path) else next(markers)
        case dict():
            return {
                name: replaced(inner, event, markers, f"{path}.{name}".lstrip("."))
                for name, inner in value.items()
            }
        case list():
            return [replaced(inner, event, markers, f"{path}.*") for inner in value]
    return value
