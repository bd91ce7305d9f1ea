"""One call of the API from its parameters to its answer: the same by HTTP and in process."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from tests.stripe_server import cycles, schedules
from tests.stripe_server.answers import answer, cut
from tests.stripe_server.errors import ApiError, Json, invalid
from tests.stripe_server.requests import read
from tests.stripe_server.routes import find
from tests.stripe_server.world import CURRENT_VERSION, DAY, World

cycles.HANDLERS["schedule"] = schedules.step

# What changes nothing that a test could see: taken, and then left alone.
HARMLESS = frozenset(
    [
        "expand",
        "off_session",
        "payment_settings",
        "description",
        "name_collection",
        "tax_id_collection",
        "locale",
        "custom_text",
        "payment_method_options",
        "payment_method_collection",
        "branding_settings",
        "saved_payment_method_options",
        "customer_update",
        "adaptive_pricing",
        "consent_collection",
        "automatic_tax",
        "payment_method",
        "payment_method_types",
        "card",
        "type",
        "billing_address_collection",
        "phone_number_collection",
        "allowed_payment_method_types",
        "excluded_payment_method_types",
        "receipt_email",
        "shipping",
        "tax",
        "confirm",
        "clear_usage",
        "prorate",
        "invoice_now",
        "custom_fields",
        "submit_type",
    ]
)


# What older versions of the API took. Stripe's CLI, which names none, still sends it.
RETIRED = {
    "payment_intent_create": frozenset({"payment_method_types"}),
    "checkout.session_create": frozenset({"payment_method_types"}),
}


class Params(dict[str, Any]):
    """Parameters that know which of them were looked at: what is not would be silently lost."""

    def __init__(self, values: Json) -> None:
        super().__init__(values)
        self.seen: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        """Look at a parameter."""
        self.seen.add(key)
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        self.seen.add(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.seen.add(str(key))
        return super().__contains__(key)


class Answer(NamedTuple):
    """What is sent back."""

    status: int
    body: Json
    request_id: str
    replayed: bool = False


class Kept(NamedTuple):
    """The first answer to an idempotency key, and what was asked."""

    asked: str
    answer: Answer
    at: int


def perform(
    world: World,
    kept: dict[str, Kept],
    method: str,
    path: str,
    params: Json,
    key: str | None,
    version: str | None = CURRENT_VERSION,
) -> Answer:
    """Return a call; one that repeats an idempotency key gets the first answer again."""
    request_id = world.new_id("req")
    asked = _asked(method, path, params)
    known = kept.get(key) if key and method == "POST" else None
    if known is not None and world.clock - known.at < DAY:
        if known.asked != asked:
            message = (
                "Keys for idempotent requests can only be used with the same parameters they were "
                f"first used with. Try using a key other than '{key}' if you meant to execute a "
                "different request."
            )
            error = ApiError(400, message, kind="idempotency_error")
            return Answer(400, error.answer(), request_id)
        return known.answer._replace(replayed=True)
    world.request = {"id": request_id, "idempotency_key": key}
    try:
        route, names = find(method, path)
        if version != CURRENT_VERSION:
            retired = RETIRED.get(route.params, frozenset())
            params = {name: value for name, value in params.items() if name not in retired}
        typed = Params(read(route.params, params) if route.params else params)
    except ApiError as error:
        return Answer(error.status, error.answer(), request_id)
    try:
        body = cut(answer(world, route.handle(world, typed, *names), typed.get("expand") or []))
        if route.params:
            _all_seen(route.path, typed)
            world.check(body)
        result = Answer(200, body, request_id)
    except ApiError as error:
        result = Answer(error.status, error.answer(), request_id)
    finally:
        world.request = {"id": None, "idempotency_key": None}
    if key and method == "POST":
        kept[key] = Kept(asked, result, world.clock)
    return result


def fail_for_good(
    world: World, kept: dict[str, Kept], method: str, path: str, params: Json, key: str | None
) -> Answer:
    """Return 500 without doing anything, and keep that as the answer to an idempotency key."""
    error = ApiError(500, "An unknown error occurred", kind="api_error")
    result = Answer(500, error.answer(), world.new_id("req"))
    if key and method == "POST":
        kept.setdefault(key, Kept(_asked(method, path, params), result, world.clock))
    return result


def _asked(method: str, path: str, params: Json) -> str:
    return json.dumps([method, path, params], sort_keys=True, default=str)


def _all_seen(path: str, params: Params) -> None:
    lost = sorted(params.keys() - params.seen - HARMLESS)
    if lost:
        raise invalid(f"The stand-in for Stripe does nothing with {lost} of {path}.", lost[0])
