"""What is taken at POST /webhooks/stripe, and what is refused before it is looked at."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from tests.stripe.payloads import (
    TAKING,
    TEST_KEY,
    WEBHOOK_SECRET,
    changed,
    deliver,
    deliver_body,
    event,
    rows,
    signature,
    subscription,
)
from tests.web.api import Api, memory_api
from tests.worlds import DAY, MINUTE, NOON

# So that a test sees whether anything of a body got into an answer or a log.
CANARY = "canary-9f3b"
EVENT = changed(subscription(description=CANARY))


def body_of(payload: Any) -> bytes:
    return json.dumps(payload).encode()


def test_an_event_is_on_record_when_it_is_answered(api: Api) -> None:
    got = deliver(api, EVENT)
    assert (got.status, got.body) == (200, {"received": True, "outcome": "reported", "new": True})
    assert got.position == api.head
    assert [row["seats"] for row in rows(api)] == [2]


def test_a_repeated_delivery_is_answered_and_records_nothing(api: Api) -> None:
    deliver(api, EVENT)
    head = api.head
    again = deliver(api, EVENT)
    assert (again.status, again.body["new"], api.head) == (200, False, head)


def test_both_secrets_are_taken_while_one_replaces_the_other() -> None:
    api = memory_api(stripe=TAKING._replace(webhook_secrets=("whsec_new", WEBHOOK_SECRET)))
    assert deliver(api, EVENT, secret=WEBHOOK_SECRET).status == 200
    assert deliver(api, changed(subscription()), secret="whsec_new").status == 200


def test_without_a_secret_nothing_is_taken() -> None:
    got = deliver(memory_api(), EVENT)
    assert (got.status, got.code) == (503, "stripe_not_configured")


def signed(body: bytes, **headers: str) -> Callable[[Api], tuple[bytes, dict[str, str]]]:
    return lambda api: (body, {"Stripe-Signature": signature(body, api.clock.now), **headers})


def signed_at(minutes: int) -> Callable[[Api], tuple[bytes, dict[str, str]]]:
    body = body_of(EVENT)
    return lambda api: (
        body,
        {"Stripe-Signature": signature(body, api.clock.now + minutes * MINUTE)},
    )


def altered(api: Api) -> tuple[bytes, dict[str, str]]:
    body = body_of(EVENT)
    return body + b" ", {"Stripe-Signature": signature(body, api.clock.now)}


def truncated(api: Api) -> tuple[bytes, dict[str, str]]:
    body = body_of(EVENT)
    return body[:-40], {"Stripe-Signature": signature(body, api.clock.now)}


def with_other_secret(api: Api) -> tuple[bytes, dict[str, str]]:
    body = body_of(EVENT)
    return body, {"Stripe-Signature": signature(body, api.clock.now, "whsec_of_somebody_else")}


TWICE = body_of(EVENT)[:-1] + b', "type": "customer.deleted"}'
LARGE = body_of({**EVENT, "padding": "x" * 5 * 1024 * 1024})
PRESSED = gzip.compress(body_of(EVENT))

REFUSED = {
    "no signature": (lambda _api: (body_of(EVENT), {}), "Stripe-Signature is missing"),
    "no signature in the header": (
        lambda _api: (body_of(EVENT), {"Stripe-Signature": "v1=00"}),
        "is not t=…,v1=…",
    ),
    "two times": (
        lambda api: (
            body_of(EVENT),
            {
                "Stripe-Signature": f"x=1, t={int(api.clock.now.timestamp())},"
                + signature(body_of(EVENT), api.clock.now - 365 * DAY)
            },
        ),
        "has more than one t=",
    ),
    "the same time twice": (
        lambda api: (
            body_of(EVENT),
            {
                "Stripe-Signature": f"t={int(api.clock.now.timestamp())},"
                + signature(body_of(EVENT), api.clock.now)
            },
        ),
        "has more than one t=",
    ),
    "a time in other digits": (
        lambda _api: (body_of(EVENT), {"Stripe-Signature": "t=+1772366400,v1=00"}),
        "is not t=…,v1=…",
    ),
    "no known scheme": (
        lambda api: (
            body_of(EVENT),
            {"Stripe-Signature": f"t={int(api.clock.now.timestamp())},v0=00"},
        ),
        "not one of STRIPE_WEBHOOK_SECRET",
    ),
    "of another secret": (with_other_secret, "not one of STRIPE_WEBHOOK_SECRET"),
    "altered": (altered, "not one of STRIPE_WEBHOOK_SECRET"),
    "truncated": (truncated, "not one of STRIPE_WEBHOOK_SECRET"),
    "truncated before it was signed": (signed(body_of(EVENT)[:-40]), "is not JSON"),
    "signed long ago": (signed_at(-6), "behind this clock"),
    "signed in the future": (signed_at(6), "ahead of this clock"),
    "signed in a year": (signed_at(365 * 24 * 60), "ahead of this clock"),
    "compressed": (signed(body_of(EVENT), **{"Content-Encoding": "gzip"}), "Content-Encoding"),
    "compressed in silence": (
        lambda _api: (PRESSED, {"Stripe-Signature": f"t={int(NOON.timestamp())},v1=00"}),
        "not UTF-8",
    ),
    "5 MiB": (signed(LARGE), "more than 1 MiB"),
    "empty": (signed(b""), "is not JSON"),
    "not JSON": (signed(b"id=evt_1"), "is not JSON"),
    "an array": (signed(b"[1]"), "must be a JSON object"),
    "a name twice": (signed(TWICE), "has the name 'type' twice"),
    "not a number": (signed(b'{"object": NaN}'), "NaN"),
    "too deep": (signed(b"[" * 100_000), "nested too deeply"),
    "no event": (signed(body_of(subscription())), "`object` must be `event`"),
    "no id": (signed(body_of({**EVENT, "id": None})), "`id` is missing"),
    "an id that is none": (signed(body_of({**EVENT, "id": f"{CANARY} @"})), "`id` is missing"),
    "no type": (signed(body_of({**EVENT, "type": ["x"]})), "`type` is missing"),
    "no time": (signed(body_of({**EVENT, "created": "today"})), "`created` is missing"),
    "no mode": (signed(body_of({**EVENT, "livemode": None})), "`livemode` is missing"),
    "no object": (signed(body_of({**EVENT, "data": {}})), "`data.object` must be an object"),
    "a thin event": (
        signed(body_of({"object": "v2.core.event", "id": "evt_1"})),
        "`object` must be `event`",
    ),
    "a connected account's": (signed(body_of({**EVENT, "account": "acct_1"})), "which one is ours"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_with_the_reason_and_nothing_is_kept(
    api: Api, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    made, reason = REFUSED[case]
    head = api.head
    body, headers = made(api)
    with caplog.at_level(logging.DEBUG):
        got = deliver_body(api, body, headers)
    assert (got.status, got.code) == (400, "webhook_refused")
    assert reason in got.body["detail"]
    assert api.head == head
    told = caplog.text + str([record.__dict__ for record in caplog.records])
    assert CANARY not in told + got.raw.decode()


@pytest.mark.parametrize(("key", "livemode"), [("sk_live_x", False), (TEST_KEY, True)])
def test_events_of_the_other_mode_are_refused(key: str, livemode: bool) -> None:
    api = memory_api(stripe=TAKING._replace(api_key=key))
    head = api.head
    got = deliver(api, {**EVENT, "livemode": livemode})
    assert (got.status, got.code, api.head) == (400, "webhook_refused", head)
    assert "mode" in got.body["detail"]
    assert deliver(api, {**EVENT, "livemode": not livemode}).status == 200


def test_a_delivery_within_five_minutes_of_this_clock_is_taken(api: Api) -> None:
    for number, minutes in enumerate((-4, 4)):
        body = body_of(changed(subscription(f"sub_{number}")))
        headers = {"Stripe-Signature": signature(body, api.clock.now + minutes * MINUTE)}
        assert deliver_body(api, body, headers).status == 200


@pytest.mark.parametrize(
    "type", ["customer.created", "customer.updated", "payout.paid", "invoice.upcoming", "a.new_one"]
)
def test_of_a_type_that_is_of_no_use_the_envelope_is_kept(api: Api, type: str) -> None:
    object = {"object": "customer", "id": "cus_1", "email": CANARY, "metadata": {"n": CANARY}}
    got = deliver(api, event(type, object, id="evt_ignored"))
    assert (got.status, got.body["outcome"]) == (200, "ignored")
    ((*_, state),) = api.services.book.store.read_stream("stripe_event-evt_ignored")[1]
    assert type in state.decode()
    assert CANARY not in state.decode()


@pytest.mark.parametrize(
    "object",
    [
        {"object": "subscription"},
        {"object": "subscription", "id": {"of": CANARY}},
        {"object": CANARY},
        {"object": "subscription", "id": f"sub {CANARY}"},
    ],
)
def test_what_cannot_be_understood_is_kept_and_counted(api: Api, object: Any) -> None:
    got = deliver(api, changed(object, id="evt_odd"))
    assert (got.status, got.body["outcome"]) == (200, "not_understood")
    ((*_, state),) = api.services.book.store.read_stream("stripe_event-evt_odd")[1]
    assert CANARY not in state.decode()
    metrics = api.get("admin", "/metrics").raw.decode()
    assert 'keyfold_stripe_events_total{outcome="not_understood"} 1.0' in metrics


def test_fields_that_do_not_fit_are_left_out_and_named(api: Api) -> None:
    odd = subscription(trial_end="soon", currency=CANARY, status="active")
    odd["items"]["data"][0]["price"]["unit_amount"] = [CANARY]
    odd["items"]["data"][0]["price"]["unit_amount_decimal"] = None
    deliver(api, changed(odd))
    (row,) = rows(api)
    assert row["seats"] == 2
    state = next(
        state.decode()
        for _, _, name, state in api.services.book.store.read_stream("account-acme")[1]
        if name == "stripe.subscription_reported@1"
    )
    assert CANARY not in state
    assert json.loads(state)["fact"]["problems"] == [
        "items.data.0.price.unit_amount",
        "trial_end",
        "currency",
    ]


def test_a_year_old_event_is_taken_when_it_is_signed_now(api: Api) -> None:
    assert deliver(api, changed(subscription(began=NOON - 365 * DAY))).status == 200
