"""The rules of one account: its subscriptions and its seats."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from ledger.events import Sealed
from ledger.pool import PoolRow
from ledger.refusals import (
    HolderInOtherTier,
    NoSeatAvailable,
    SeatNotOccupied,
    SubscriptionEnded,
    SubscriptionNotFound,
    VersionMismatch,
)
from ledger.streams.account import decisions, subscriptions
from ledger.streams.account.facts import (
    SeatOccupied,
    SeatRelabelled,
    SeatReleased,
    SubscriptionActivated,
    SubscriptionKeyReissued,
    SubscriptionTerminated,
)
from ledger.streams.account.state import Account, Seat, Subscription
from ledger.streams.account.stream import ACCOUNT
from ledger.stripe.facts import (
    StripeCustomerLinked,
    StripeCustomerUnlinked,
    StripeSubscriptionGivenUp,
)
from tests.ledger.test_key_rules import ISSUED
from tests.worlds import DAY, NOON, SECOND, Happened, Rule, folded, rows

LABEL = Sealed(owner="account-acme", box="b25l")
OTHER_LABEL = Sealed(owner="account-acme", box="dHdv")
REASON = Sealed(owner="account-acme", box="d2h5")

POS = SubscriptionActivated(
    subscription="kfsub_pos",
    key="key_one",
    masked="POS-••••-••••-7K2M",
    product="cloud_pos",
    tier=None,
    seats=2,
    months=1,
    expires_at=NOON + 31 * DAY,
)
STARTER = replace(
    POS, subscription="kfsub_starter", product="integrations", tier="starter", seats=1
)
GROWTH = replace(STARTER, subscription="kfsub_growth", tier="growth")


def sits(holder: str, product: str = "cloud_pos", tier: str | None = None) -> SeatOccupied:
    return SeatOccupied(product=product, tier=tier, holder=holder)


def terminated(subscription: str) -> SubscriptionTerminated:
    return SubscriptionTerminated(subscription=subscription, reason=REASON)


ACTIVE: list[Happened] = [(NOON, POS)]
FULL: list[Happened] = [*ACTIVE, (NOON, sits("till-1")), (NOON, sits("till-2"))]
Rules = list[Rule[Account]]


def let_in(state: Account) -> object:
    return decisions.occupy(state, "cloud_pos", None, "till-9", LABEL, NOON + DAY)


def let_in_growth(state: Account) -> object:
    return decisions.occupy(state, "integrations", "growth", "shop", None, NOON + DAY)


TAKING: Rules = [
    Rule(
        "a holder is let in while there is room",
        [*ACTIVE, (NOON, sits("till-1"))],
        let_in,
        [SeatOccupied(product="cloud_pos", tier=None, holder="till-9", label=LABEL)],
    ),
    Rule("nobody is let in when all seats are taken", FULL, let_in, NoSeatAvailable(2, 2)),
    Rule("nobody is let in where there is no seat", [], let_in, NoSeatAvailable(0, 0)),
    Rule(
        "a seat that was given back can be taken",
        [*FULL, (NOON, SeatReleased(product="cloud_pos", tier=None, holder="till-1"))],
        let_in,
        [SeatOccupied(product="cloud_pos", tier=None, holder="till-9", label=LABEL)],
    ),
    Rule(
        "one that sits there already keeps its seat, also when all are taken",
        FULL,
        lambda a: decisions.occupy(a, "cloud_pos", None, "till-1", None, NOON),
        [],
    ),
    Rule(
        "the same label again records nothing",
        [*ACTIVE, (NOON, replace(sits("till-1"), label=LABEL))],
        lambda a: decisions.occupy(a, "cloud_pos", None, "till-1", LABEL, NOON),
        [],
    ),
    Rule(
        "no label leaves the label as it is",
        [*ACTIVE, (NOON, replace(sits("till-1"), label=LABEL))],
        lambda a: decisions.occupy(a, "cloud_pos", None, "till-1", None, NOON),
        [],
    ),
    Rule(
        "another label is recorded, and not a second seat",
        [*ACTIVE, (NOON, replace(sits("till-1"), label=LABEL))],
        lambda a: decisions.occupy(a, "cloud_pos", None, "till-1", OTHER_LABEL, NOON),
        [SeatRelabelled(product="cloud_pos", holder="till-1", label=OTHER_LABEL)],
    ),
    Rule(
        "a holder has one tier of a product at a time",
        [(NOON, STARTER), (NOON, GROWTH), (NOON, sits("shop", "integrations", "starter"))],
        let_in_growth,
        HolderInOtherTier("starter"),
    ),
    Rule(
        "the same holder may have seats of two products",
        [*ACTIVE, (NOON, GROWTH), (NOON, sits("shop"))],
        let_in_growth,
        [sits("shop", "integrations", "growth")],
    ),
    Rule(
        "a tier's seats are its own",
        [(NOON, STARTER)],
        let_in_growth,
        NoSeatAvailable(0, 0),
    ),
    Rule(
        "a subscription gives seats until just before its end",
        ACTIVE,
        lambda a: decisions.occupy(a, "cloud_pos", None, "t", None, NOON + 31 * DAY - SECOND),
        [sits("t")],
    ),
    Rule(
        "a subscription that ran out gives none",
        ACTIVE,
        lambda a: decisions.occupy(a, "cloud_pos", None, "t", None, NOON + 31 * DAY),
        NoSeatAvailable(0, 0),
    ),
    Rule(
        "a terminated subscription gives none",
        [*ACTIVE, (NOON, terminated("kfsub_pos"))],
        let_in,
        NoSeatAvailable(0, 0),
    ),
    Rule(
        "nobody new is let in while holders are over",
        [
            *FULL,
            (NOON, replace(POS, subscription="kfsub_more", seats=1)),
            (NOON, sits("till-3")),
            (NOON, terminated("kfsub_pos")),
        ],
        let_in,
        NoSeatAvailable(1, 3),
    ),
    Rule(
        "seats of two subscriptions add up",
        [*FULL, (NOON, replace(POS, subscription="kfsub_more", seats=1))],
        let_in,
        [SeatOccupied(product="cloud_pos", tier=None, holder="till-9", label=LABEL)],
    ),
    Rule(
        "order: in another tier, and the one it wants is full",
        [
            (NOON, STARTER),
            (NOON, GROWTH),
            (NOON, sits("shop", "integrations", "starter")),
            (NOON, sits("other", "integrations", "growth")),
        ],
        let_in_growth,
        HolderInOtherTier("starter"),
    ),
]

GIVING_BACK: Rules = [
    Rule(
        "a holder gives its seat back, of whichever tier it is",
        [(NOON, GROWTH), (NOON, sits("shop", "integrations", "growth"))],
        lambda a: decisions.release(a, "integrations", "shop"),
        [SeatReleased(product="integrations", tier="growth", holder="shop")],
    ),
    Rule(
        "one that has none has nothing to give back",
        ACTIVE,
        lambda a: decisions.release(a, "cloud_pos", "till-1"),
        SeatNotOccupied(),
    ),
    Rule(
        "a seat of another product is another seat",
        [(NOON, GROWTH), (NOON, sits("shop", "integrations", "growth"))],
        lambda a: decisions.release(a, "cloud_pos", "shop"),
        SeatNotOccupied(),
    ),
]


def end(state: Account) -> object:
    return subscriptions.terminate(state, "kfsub_pos", REASON, NOON + DAY)


def end_late(state: Account) -> object:
    return subscriptions.terminate(state, "kfsub_pos", REASON, NOON + 31 * DAY)


ENDING: Rules = [
    Rule("an active subscription is terminated", ACTIVE, end, [terminated("kfsub_pos")]),
    Rule(
        "a terminated one stays as it is",
        [*ACTIVE, (NOON, terminated("kfsub_pos"))],
        end,
        [],
    ),
    Rule(
        "a terminated one stays as it is, also after it would have run out",
        [*ACTIVE, (NOON, terminated("kfsub_pos"))],
        end_late,
        [],
    ),
    Rule("an unknown one cannot be terminated", [(NOON, GROWTH)], end, SubscriptionNotFound()),
    Rule("one that ran out has ended already", ACTIVE, end_late, SubscriptionEnded()),
]

OTHERS: Rules = [
    Rule(
        "a redeemed key begins a subscription of so many calendar months",
        [],
        lambda a: subscriptions.activate(a, replace(ISSUED, months=12), "kfsub_one", "now", NOON),
        [
            SubscriptionActivated(
                subscription="kfsub_one",
                key="key_one",
                masked="POS-••••-••••-7K2M",
                product="cloud_pos",
                tier=None,
                seats=5,
                months=12,
                expires_at=NOON.replace(year=2027),
            )
        ],
    ),
    Rule(
        "a replaced code renames the subscription",
        ACTIVE,
        lambda _: subscriptions.rename_key("kfsub_pos", replace(ISSUED, key="key_two", masked="m")),
        [SubscriptionKeyReissued(subscription="kfsub_pos", key="key_two", masked="m")],
    ),
]


@rows(TAKING + GIVING_BACK + ENDING + OTHERS)
def test_the_rules_of_an_account(case: Rule[Account]) -> None:
    case.check(ACCOUNT)


def test_a_version_that_was_seen_must_still_hold() -> None:
    decisions.expect_version(3, None)
    decisions.expect_version(3, 3)
    with pytest.raises(VersionMismatch, match="the account is at version 3") as caught:
        decisions.expect_version(3, 2)
    assert caught.value.version == 3


def test_an_account_is_what_its_facts_make_it() -> None:
    state = folded(
        ACCOUNT,
        (NOON, POS),
        (NOON + SECOND, sits("till-1")),
        (NOON + 2 * SECOND, SeatRelabelled(product="cloud_pos", holder="till-1", label=LABEL)),
        (NOON + 3 * SECOND, SubscriptionKeyReissued(subscription="kfsub_pos", key="k", masked="m")),
        (NOON + 4 * SECOND, terminated("kfsub_pos")),
    )
    assert state.subscriptions == {
        "kfsub_pos": Subscription(
            id="kfsub_pos",
            key="k",
            masked="m",
            product="cloud_pos",
            tier=None,
            seats=2,
            months=1,
            started_at=NOON,
            expires_at=NOON + 31 * DAY,
            position=10,
            terminated_at=NOON + 4 * SECOND,
        )
    }
    assert dict(state.seats) == {
        ("cloud_pos", "till-1"): Seat(
            "cloud_pos", None, "till-1", LABEL, NOON + SECOND, version=2, position=20
        )
    }
    assert state.used == {("cloud_pos", None): 1}


def test_what_is_active_at_a_moment_gives_its_seats_to_the_pool() -> None:
    state = folded(ACCOUNT, (NOON, POS), (NOON + SECOND, replace(STARTER, expires_at=NOON + DAY)))
    pos = PoolRow("kfsub_pos", "cloud_pos", None, 2, False, NOON, NOON + 31 * DAY)
    starter = PoolRow(
        "kfsub_starter", "integrations", "starter", 1, False, NOON + SECOND, NOON + DAY
    )
    assert list(state.rows(NOON + SECOND)) == [pos, starter]
    assert list(state.rows(NOON + DAY)) == [pos]
    assert list(state.rows(NOON + 31 * DAY)) == []
    assert state.pool("integrations", "starter", NOON + SECOND).rows == [(starter, 0)]


def test_a_seat_that_was_taken_again_counts_from_then() -> None:
    state = folded(
        ACCOUNT,
        *FULL,
        (NOON + SECOND, SeatReleased(product="cloud_pos", tier=None, holder="till-1")),
        (NOON + 2 * SECOND, sits("till-1")),
    )
    assert [seat.holder for seat in state.holders("cloud_pos", None)] == ["till-2", "till-1"]


def test_holders_of_one_moment_are_served_in_the_order_of_the_stream() -> None:
    state = folded(ACCOUNT, *ACTIVE, (NOON, sits("till-b")), (NOON, sits("till-a")))
    assert [seat.holder for seat in state.holders("cloud_pos", None)] == ["till-b", "till-a"]


def test_a_subscription_says_what_it_is_at_a_moment() -> None:
    state = folded(ACCOUNT, (NOON, POS), (NOON + DAY, terminated("kfsub_pos")))
    ended = state.subscriptions["kfsub_pos"]
    assert ended.status(NOON + DAY) == "terminated"
    assert ended.status(NOON + 40 * DAY) == "terminated"
    assert ended.ended_at == NOON + DAY
    running = folded(ACCOUNT, (NOON, POS)).subscriptions["kfsub_pos"]
    assert running.status(NOON + 31 * DAY - SECOND) == "active"
    assert running.status(NOON + 31 * DAY) == "expired"
    assert running.ended_at == NOON + 31 * DAY


def test_every_text_is_counted_one_of_a_seat_given_back_too() -> None:
    released = SeatReleased(product="cloud_pos", tier=None, holder="till-1", reason=REASON)
    assert folded(ACCOUNT, *FULL, (NOON, released)).texts == 1
    assert folded(ACCOUNT, *FULL, (NOON, replace(released, reason=None))).texts == 0
    labelled = replace(sits("till-3"), label=LABEL)
    assert folded(ACCOUNT, *FULL, (NOON, released), (NOON, labelled)).texts == 2


def test_every_reason_that_is_on_record_with_a_customer_or_subscription_is_counted() -> None:
    linked = StripeCustomerLinked(customer="cus_1", account="acme", by="call", reason=REASON)
    unlinked = StripeCustomerUnlinked(customer="cus_1", account="acme", reason=REASON)
    given_up = StripeSubscriptionGivenUp(stripe_subscription="sub_1", reason=REASON)
    past = [(NOON, one) for one in (linked, unlinked, given_up, replace(linked, reason=None))]
    for count, upto in ((1, 1), (2, 2), (3, 3), (3, 4)):
        assert folded(ACCOUNT, *past[:upto]).texts == count
