"""The tables of the overview: what each event does to them.

The list of subscriptions has those of keys that were not ended before their time; the list of seats
those that are taken; that of claims the objects of Stripe that name an account which is not theirs.
"""

from __future__ import annotations

from typing import Final

from ledger.events import AnyEvent
from ledger.streams.account import (
    SeatOccupied,
    SeatReleased,
    SubscriptionActivated,
    SubscriptionTerminated,
)
from ledger.streams.attempts import RedemptionRefused, SeatRefused
from ledger.streams.stripe_event import UNPROVEN, StripeEventReceived
from ledger.streams.stripe_object import (
    StripeObjectClaimed,
    StripeObjectOwned,
    StripeObjectReleased,
)
from projections.catch_up import Projection, Write, Writes
from projections.stores.tables import Params, to_number

# Whoever asks for now gets everything that is recorded: it has ended, whatever time was written.
_TERMINATE: Final = "DELETE FROM keyfold_subscription_list_2 WHERE id = :id"


def _subscribed(event: AnyEvent) -> Writes:
    match event.fact:
        case SubscriptionActivated() as fact:
            started_at, ends_at = to_number(event.occurred_at), to_number(fact.expires_at)
            id, account, tier = fact.subscription, _account(event), fact.tier
            place = event.position, id, account, fact.product, tier
            return [(*place, fact.seats, started_at, ends_at)]
        case SubscriptionTerminated(subscription=id):
            return Write(_TERMINATE, [{"id": id}])
    return None


_OCCUPY: Final = """
    INSERT INTO keyfold_seat_list_1 (account, product, holder, tier, position)
    VALUES (:account, :product, :holder, :tier, :position)
    ON CONFLICT (account, product, holder) DO UPDATE
    SET tier = excluded.tier, position = excluded.position
"""
_RELEASE: Final = """
    DELETE FROM keyfold_seat_list_1
    WHERE account = :account AND product = :product AND holder = :holder
"""


def _seated(event: AnyEvent) -> Writes:
    fact = event.fact
    if not isinstance(fact, SeatOccupied | SeatReleased):
        return None
    account, product, holder = _account(event), fact.product, fact.holder
    params: Params = {
        "account": account,
        "product": product,
        "holder": holder,
        "tier": fact.tier,
        "position": event.position,
    }
    sql = _OCCUPY if type(fact) is SeatOccupied else _RELEASE
    return Write(sql, [params], (account, product, holder))


def _refused(event: AnyEvent) -> Writes:
    fact = event.fact
    if not isinstance(fact, RedemptionRefused | SeatRefused):
        return None
    found = fact.found if isinstance(fact, RedemptionRefused) else None
    return [(event.position, fact.refusal, found, to_number(event.occurred_at))]


_CLAIM: Final = """
    INSERT INTO keyfold_stripe_claims_1 (object, why, claimed_by, position)
    VALUES (:object, :why, :claimed_by, :position) ON CONFLICT (object, why, claimed_by) DO NOTHING
"""
_SETTLE: Final = "DELETE FROM keyfold_stripe_claims_1 WHERE object = :object"


def _claimed(event: AnyEvent) -> Writes:
    match event.fact:
        case StripeObjectClaimed(object=object, account=account):
            why, claimed_by = "claimed", account
        case StripeObjectOwned(object=object) | StripeObjectReleased(object=object):
            return Write(_SETTLE, [{"object": object}])
        case StripeEventReceived(object=str(object), outcome="waiting" | "ownerless") as fact if (
            UNPROVEN in fact.problems
        ):
            why, claimed_by = "unproven", ""
        case _:
            return None
    params: Params = {"object": object, "why": why, "claimed_by": claimed_by}
    return Write(_CLAIM, [{**params, "position": event.position}])


def _account(event: AnyEvent) -> str:
    return event.stream.partition("-")[2]


SUBSCRIPTION_LIST: Final = Projection(
    name="subscription_list@2",
    table="keyfold_subscription_list_2",
    columns=("position", "id", "account", "product", "tier", "seats", "started_at", "ends_at"),
    write=_subscribed,
    facts=frozenset({SubscriptionActivated, SubscriptionTerminated}),
)
STRIPE_CLAIMS: Final = Projection(
    name="stripe_claims@1",
    table="keyfold_stripe_claims_1",
    columns=("object", "why", "claimed_by", "position"),
    write=_claimed,
    facts=frozenset(
        {StripeObjectClaimed, StripeObjectOwned, StripeObjectReleased, StripeEventReceived}
    ),
    key=("object", "why", "claimed_by"),
)
SEAT_LIST: Final = Projection(
    name="seat_list@1",
    table="keyfold_seat_list_1",
    columns=("account", "product", "holder", "tier", "position"),
    write=_seated,
    facts=frozenset({SeatOccupied, SeatReleased}),
    key=("account", "product", "holder"),
)
REFUSALS: Final = Projection(
    name="refusals@1",
    table="keyfold_refusals_1",
    columns=("position", "refusal", "found", "recorded_at"),
    write=_refused,
    facts=frozenset({RedemptionRefused, SeatRefused}),
)
