"""Delivery of events as Stripe's: signed, at least once, in no order to rely on."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from typing import NamedTuple

import requests
from stripe import WebhookSignature

from tests.stripe_server.errors import Json


class Delivery(NamedTuple):
    """One event sent to one address, and what was answered; status 0: nothing was."""

    event: str
    url: str
    status: int
    body: str


def signed(body: str, secret: str, at: int) -> dict[str, str]:
    """Return the headers of a delivery."""
    return {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        "Stripe-Signature": WebhookSignature.generate_signature_header(body, secret, at),
    }


def in_disorder(
    events: Iterable[Json],
    *,
    seed: int = 0,
    shuffle: bool = False,
    duplicate: float = 0.0,
    drop: float = 0.0,
    delay: int = 0,
) -> list[Json]:
    """Return events as a bad day delivers them.

    Args:
        events: in the order they were made
        seed: the same seed gives the same day
        shuffle: in any order
        duplicate: the share of events that comes twice
        drop: the share that never comes
        delay: how many places at most an event may come late, without a whole shuffle

    """
    rng = random.Random(seed)
    kept = [event for event in events if rng.random() >= drop]
    kept += [event for event in kept if rng.random() < duplicate]
    if shuffle:
        rng.shuffle(kept)
    elif delay:
        places = [(place + rng.randint(0, delay), place) for place in range(len(kept))]
        kept = [kept[place] for _, place in sorted(places)]
    return kept


def body_of(event: Json) -> str:
    """Return the bytes of an event as Stripe writes them: indented."""
    return json.dumps(event, indent=2, ensure_ascii=False)


def post(url: str, event: Json, secret: str, at: int, timeout_s: float = 10) -> Delivery:
    """Send one event to one address."""
    body = body_of(event)
    try:
        answer = requests.post(
            url, data=body.encode(), headers=signed(body, secret, at), timeout=timeout_s
        )
    except requests.RequestException as error:
        return Delivery(event["id"], url, 0, str(error))
    return Delivery(event["id"], url, answer.status_code, answer.text)
