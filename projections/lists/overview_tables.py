"""The tables of the overview: what each event does to them.

The list of subscriptions has those of keys that were not ended before their time; the list of seats
those that are taken; that of claims what names an account at Stripe that has not got it, and can be
given to one; that of holders on whose record each subscription of Stripe's is, and whose it is.
"""

from __future__ import annotations

from typing import Final

from ledger.events import AnyEvent
from ledger.streams.account.facts import (
    SeatOccupied,
    SeatPassedOn,
    SeatReleased,
    SubscriptionActivated,
    SubscriptionExtended,
    SubscriptionImported,
    SubscriptionRescheduled,
    SubscriptionResumed,
    SubscriptionScheduled,
    SubscriptionStarted,
    SubscriptionSuspended,
    SubscriptionTakenOver,
    SubscriptionTerminated,
)
from ledger.streams.attempts import RedemptionRefused, SeatRefused
from ledger.streams.stripe_event import UNPROVEN, StripeEventReceived
from ledger.streams.stripe_object import (
    StripeObjectClaimed,
    StripeObjectOwned,
    StripeObjectReleased,
)
from ledger.stripe.facts import (
    StripeCheckoutReported,
    StripeInvoiceReported,
    StripeSubscriptionGivenUp,
    StripeSubscriptionReported,
)
from projections.lists.catch_up import Projection, Write, Writes
from projections.lists.stores.tables import Params, to_number

# Whoever asks for now gets everything that is recorded: it has ended, whatever time was written.
_TERMINATE: Final = "DELETE FROM keyfold_subscription_list_3 WHERE id = :id"
_BEGIN: Final = """
    UPDATE keyfold_subscription_list_3 SET starts_at = :starts_at, ends_at = :ends_at, scheduled = 0
    WHERE id = :id
"""
_MOVE: Final = """
    UPDATE keyfold_subscription_list_3 SET starts_at = :starts_at, ends_at = :ends_at
    WHERE id = :id
"""
_EXTEND: Final = "UPDATE keyfold_subscription_list_3 SET ends_at = :ends_at WHERE id = :id"
_SUSPEND: Final = "UPDATE keyfold_subscription_list_3 SET suspended = :suspended WHERE id = :id"
_TAKE_OVER: Final = """
    UPDATE keyfold_subscription_list_3
    SET account = :account, position = :position, starts_at = :starts_at, scheduled = :scheduled
    WHERE id = :id
"""


def _subscribed(event: AnyEvent) -> Writes:
    fact = event.fact
    match fact:
        case SubscriptionActivated() | SubscriptionImported() | SubscriptionScheduled():
            later = fact.starts_at if isinstance(fact, SubscriptionScheduled) else None
            place = event.position, fact.subscription, _account(event), fact.product, fact.tier
            lasts = to_number(later or event.occurred_at), to_number(fact.expires_at)
            return [(*place, fact.seats, *lasts, int(later is not None), 0)]
        case SubscriptionTerminated(subscription=id):
            return Write(_TERMINATE, [{"id": id}])
        case SubscriptionStarted(subscription=id, expires_at=end):
            span = {"starts_at": to_number(event.occurred_at), "ends_at": to_number(end)}
            return Write(_BEGIN, [{"id": id, **span}])
        case SubscriptionExtended(subscription=id, expires_at=end):
            return Write(_EXTEND, [{"id": id, "ends_at": to_number(end)}])
        case SubscriptionRescheduled(subscription=id, starts_at=start, expires_at=end):
            span = {"starts_at": to_number(start), "ends_at": to_number(end)}
            return Write(_MOVE, [{"id": id, **span}])
        case SubscriptionSuspended(subscription=id) | SubscriptionResumed(subscription=id):
            is_suspended = isinstance(fact, SubscriptionSuspended)
            return Write(_SUSPEND, [{"id": id, "suspended": int(is_suspended)}])
        case SubscriptionTakenOver(subscription=id):
            # What it left is told in the same commit, and need not be looked at.
            taken: Params = {
                "id": id,
                "account": _account(event),
                "position": event.position,
                "starts_at": to_number(fact.starts_at or event.occurred_at),
                "scheduled": int(fact.starts_at is not None),
            }
            return Write(_TAKE_OVER, [taken])
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
    match fact:
        case SeatOccupied():
            return _seat(event, fact, _OCCUPY, fact.holder)
        case SeatReleased():
            return _seat(event, fact, _RELEASE, fact.holder)
        case SeatPassedOn():
            left = _seat(event, fact, _RELEASE, fact.predecessor)
            return left, _seat(event, fact, _OCCUPY, fact.holder)
    return None


def _seat(
    event: AnyEvent, fact: SeatOccupied | SeatPassedOn | SeatReleased, sql: str, holder: str
) -> Write:
    account, product = _account(event), fact.product
    params: Params = {
        "account": account,
        "product": product,
        "holder": holder,
        "tier": fact.tier,
        "position": event.position,
    }
    return Write(sql, [params], (account, product, holder))


def _refused(event: AnyEvent) -> Writes:
    fact = event.fact
    if not isinstance(fact, RedemptionRefused | SeatRefused):
        return None
    found = fact.found if isinstance(fact, RedemptionRefused) else None
    return [(event.position, fact.refusal, found, to_number(event.occurred_at))]


_CLAIM: Final = """
    INSERT INTO keyfold_stripe_claims_2 (object, why, claimed_by, position)
    VALUES (:object, :why, :claimed_by, :position) ON CONFLICT (object, why, claimed_by) DO NOTHING
"""
_SETTLE: Final = "DELETE FROM keyfold_stripe_claims_2 WHERE object = :object"


# A session that is over without a subscription: nothing that it was about can be assigned.
_OVER: Final = frozenset({"complete", "expired"})


def _claimed(event: AnyEvent) -> Writes:
    match event.fact:
        # Nobody can assign a session, a charge or a payment: they are only told of.
        case StripeObjectClaimed(object=object, account=account) if object.startswith("sub_"):
            why, claimed_by = "claimed", account
        case StripeObjectOwned(object=object) | StripeObjectReleased(object=object):
            return Write(_SETTLE, [{"object": object}])
        case StripeCheckoutReported(checkout=object, stripe_subscription=None, status=status) if (
            status in _OVER
        ):
            return Write(_SETTLE, [{"object": object}])
        case StripeEventReceived(object=str(object), outcome="waiting" | "ownerless") as fact if (
            UNPROVEN in fact.problems
        ):
            why, claimed_by = "unproven", ""
        case _:
            return None
    params: Params = {"object": object, "why": why, "claimed_by": claimed_by}
    return Write(_CLAIM, [{**params, "position": event.position}])


_HOLD: Final = """
    INSERT INTO keyfold_stripe_held_1 (stripe_subscription, holder, account, position)
    VALUES (:stripe_subscription, :holder, :account, :position)
    ON CONFLICT (stripe_subscription, holder) DO UPDATE
    SET account = excluded.account, position = excluded.position
"""
_GIVE_UP: Final = """
    DELETE FROM keyfold_stripe_held_1
    WHERE stripe_subscription = :stripe_subscription AND holder = :holder
"""
# Others than the account have it on record, or several have one that is nobody's in particular.
HELD_ELSEWHERE: Final = """
    SELECT held.stripe_subscription, held.account, owner.account, held.position
    FROM keyfold_stripe_held_1 AS held
    LEFT JOIN keyfold_stripe_held_1 AS owner
        ON owner.stripe_subscription = held.stripe_subscription AND owner.holder = ''
    WHERE held.holder <> '' AND (
        owner.account <> held.account
        OR (owner.account IS NULL AND EXISTS (
            SELECT 1 FROM keyfold_stripe_held_1 AS other
            WHERE other.stripe_subscription = held.stripe_subscription
                AND other.holder <> '' AND other.holder <> held.holder
        ))
    )
"""


def _held(event: AnyEvent) -> Writes:
    holder, sql = "", _HOLD
    match event.fact:
        case StripeObjectOwned(object=id, account=account) if id.startswith("sub_"):
            pass
        case StripeObjectReleased(object=id) if id.startswith("sub_"):
            account = ""
        case (
            StripeSubscriptionReported(stripe_subscription=id)
            | StripeInvoiceReported(stripe_subscription=str(id))
        ) if event.stream.startswith("account-"):
            holder = account = _account(event)
        case StripeSubscriptionGivenUp(stripe_subscription=id):
            holder, account, sql = _account(event), "", _GIVE_UP
        case _:
            return None
    params: Params = {"stripe_subscription": id, "holder": holder}
    if sql is _HOLD:
        params = {**params, "account": account, "position": event.position}
    return Write(sql, [params])


def _account(event: AnyEvent) -> str:
    return event.stream.partition("-")[2]


SUBSCRIPTION_LIST: Final = Projection(
    name="subscription_list@3",
    table="keyfold_subscription_list_3",
    columns=(
        *("position", "id", "account", "product", "tier", "seats"),
        *("starts_at", "ends_at", "scheduled", "suspended"),
    ),
    write=_subscribed,
    facts=frozenset(
        {
            SubscriptionActivated,
            SubscriptionExtended,
            SubscriptionImported,
            SubscriptionRescheduled,
            SubscriptionResumed,
            SubscriptionScheduled,
            SubscriptionStarted,
            SubscriptionSuspended,
            SubscriptionTakenOver,
            SubscriptionTerminated,
        }
    ),
)
STRIPE_CLAIMS: Final = Projection(
    name="stripe_claims@2",
    table="keyfold_stripe_claims_2",
    columns=("object", "why", "claimed_by", "position"),
    write=_claimed,
    facts=frozenset(
        {
            StripeObjectClaimed,
            StripeObjectOwned,
            StripeObjectReleased,
            StripeCheckoutReported,
            StripeEventReceived,
        }
    ),
    key=("object", "why", "claimed_by"),
)
STRIPE_HELD: Final = Projection(
    name="stripe_held@1",
    table="keyfold_stripe_held_1",
    columns=("stripe_subscription", "holder", "account", "position"),
    write=_held,
    facts=frozenset(
        {
            StripeObjectOwned,
            StripeObjectReleased,
            StripeSubscriptionReported,
            StripeInvoiceReported,
            StripeSubscriptionGivenUp,
        }
    ),
    key=("stripe_subscription", "holder"),
)
SEAT_LIST: Final = Projection(
    name="seat_list@1",
    table="keyfold_seat_list_1",
    columns=("account", "product", "holder", "tier", "position"),
    write=_seated,
    facts=frozenset({SeatOccupied, SeatPassedOn, SeatReleased}),
    key=("account", "product", "holder"),
)
REFUSALS: Final = Projection(
    name="refusals@1",
    table="keyfold_refusals_1",
    columns=("position", "refusal", "found", "recorded_at"),
    write=_refused,
    facts=frozenset({RedemptionRefused, SeatRefused}),
)
