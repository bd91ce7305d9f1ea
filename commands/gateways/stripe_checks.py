"""What a key for Stripe may do, and which endpoints Stripe delivers to: asked, and nothing changed.

Each call is tried once, for seconds; the first one that gets no answer is the last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final, NamedTuple

from commands.gateways.stripe import StripeGateway
from commands.gateways.stripe_responses import StripeKeyRefused, call_stripe

READ: Final = ("subscriptions", "invoices", "prices", "events")
ENDPOINTS_MAX: Final = 100

# What docs/stripe.md has an endpoint take.
EVENTS: Final = (
    *(
        f"customer.subscription.{what}"
        for what in (
            "created", "updated", "deleted", "paused", "resumed", "trial_will_end",
            "pending_update_applied", "pending_update_expired",
        )
    ),
    *(
        f"invoice.{what}"
        for what in (
            "finalized", "paid", "payment_failed", "payment_action_required",
            "marked_uncollectible", "voided",
        )
    ),
    "invoice_payment.paid",
    *(
        f"checkout.session.{what}"
        for what in ("completed", "async_payment_succeeded", "async_payment_failed", "expired")
    ),
    "charge.refunded",
    "charge.dispute.created",
    "charge.dispute.closed",
    "customer.deleted",
)  # fmt: skip
PERSONAL: Final = ("customer.created", "customer.updated")


class KeyScope(NamedTuple):
    """What a key may read.

    Attributes:
        refused: the kinds of objects that it may not; all of them when the key is none.
        at: when Stripe answered last, by its clock, in whole seconds; None if it gave no object.
    """

    refused: tuple[str, ...]
    at: datetime | None


class Endpoint(NamedTuple):
    """Where Stripe delivers events to."""

    url: str
    is_enabled: bool
    api_version: str | None
    events: frozenset[str]

    @property
    def missing(self) -> list[str]:
        """Return the events that it should take and does not."""
        return [] if "*" in self.events else [one for one in EVENTS if one not in self.events]

    @property
    def personal(self) -> list[str]:
        """Return the events that it takes and that carry nothing but people's data."""
        return [one for one in PERSONAL if one in self.events or "*" in self.events]


def scope_of(stripe: StripeGateway) -> KeyScope:
    """Return what the key may read, by reading one object of each kind.

    Raises:
        StripeUnavailable, StripeRefused: no answer, or an odd one.
    """
    refused, at = [], None
    for kind, list_page in _readers(stripe):
        try:
            at = call_stripe(list_page, {"limit": 1}).at
        except StripeKeyRefused:
            refused.append(kind)
    return KeyScope(tuple(refused), at)


def _readers(stripe: StripeGateway) -> Iterator[tuple[str, Callable[..., Any]]]:
    for kind in READ:
        yield kind, getattr(stripe.interactive.v1, kind).list


def endpoints(stripe: StripeGateway) -> list[Endpoint]:
    """Return where Stripe delivers events of the key's account and mode to.

    Raises:
        StripeKeyRefused: the key may not tell.
        StripeUnavailable, StripeRefused: no answer, or an odd one.
    """
    found = call_stripe(stripe.interactive.v1.webhook_endpoints.list, {"limit": ENDPOINTS_MAX})
    return [
        Endpoint(
            str(one.get("url")),
            one.get("status") == "enabled",
            one.get("api_version"),
            frozenset(one.get("enabled_events") or ()),
        )
        for one in found.object["data"]
    ]
