"""A key's holder gets a new code."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from commands.change_subscription import terminate_subscription
from commands.issue_keys import IssuedKey
from commands.redeem_key import Try, redeem_key
from commands.reissue_key import reissue_key
from commands.revoke_key import revoke_key
from commands.services import Services
from ledger.refusals import (
    KeyAlreadyRevoked,
    KeyLapsed,
    KeyNotAvailable,
    KeyNotFound,
    SubscriptionEnded,
)
from ledger.streams.account.facts import SubscriptionKeyReissued
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.key import KEY, KeyIssued, KeyRedeemed, KeyReissued, stream_id
from tests.worlds import (
    DAY,
    MINUTE,
    NOON,
    POS_ORDER,
    another_worker,
    context,
    happened,
    issue,
    recorded,
    services,
    watched,
)

LATER = NOON + DAY


@pytest.fixture
def world() -> Services:
    return services()


@pytest.fixture
def key(world: Services) -> IssuedKey:
    return issue(world)


def stream_of(key_id: str) -> str:
    return KEY.name(stream_id(key_id))


def test_an_issued_key_is_replaced_in_one_commit(world: Services, key: IssuedKey) -> None:
    asked = context(LATER, actor="kft_one", request_id="req_seven")
    new = reissue_key(world, asked, key.id, "lost in the post", reseller="Northwind")
    issued = recorded(world)[1].fact
    old_event, new_event = recorded(world, after=2)
    assert isinstance(issued, KeyIssued)
    assert isinstance(old_event.fact, KeyReissued)
    assert world.texts.open(old_event.fact.reason) == "lost in the post"
    of_request = {"at": LATER, "actor": "kft_one", "request_id": "req_seven"}
    assert old_event == happened(
        3,
        stream_of(key.id),
        2,
        KeyReissued(replaced_by=new.id, reason=old_event.fact.reason),
        **of_request,  # type: ignore[arg-type]
    )
    assert new_event == happened(
        4,
        stream_of(new.id),
        1,
        replace(issued, key=new.id, masked=new.masked, generation=1, replaces=key.id),
        causation=f"{stream_of(key.id)}/2",
        **of_request,  # type: ignore[arg-type]
    )
    assert new.code == world.codes.derive("POS", issued.batch, 0, generation=1)
    assert new.id == world.codes.key_id(new.code) != key.id
    assert new.position == 4


def test_the_old_code_stops_working_and_the_new_one_works(world: Services, key: IssuedKey) -> None:
    new = reissue_key(world, context(LATER), key.id, "lost")
    with pytest.raises(KeyNotAvailable):
        redeem_key(world, context(LATER), Try("acme", "s-1", key.code))
    redeemed = redeem_key(world, context(LATER), Try("acme", "s-1", new.code))
    assert redeemed.account.state.subscriptions[redeemed.subscription].masked == new.masked


def test_a_redeemed_keys_subscription_is_known_by_the_new_code(
    world: Services, key: IssuedKey
) -> None:
    redeemed = redeem_key(world, context(), Try("acme", "s-1", key.code))
    before = redeemed.account.state.subscriptions[redeemed.subscription]
    new = reissue_key(world, context(LATER), key.id, "seen by a stranger")
    events = recorded(world, after=4)
    cause = f"{stream_of(key.id)}/3"
    assert [(event.stream, event.version) for event in events] == [
        (stream_of(key.id), 3),
        (stream_of(new.id), 1),
        (stream_of(new.id), 2),
        ("account-acme", 2),
    ]
    assert events[2:] == [
        happened(
            7,
            stream_of(new.id),
            2,
            KeyRedeemed(account="acme", subscription=redeemed.subscription, redeemed_at=NOON),
            at=LATER,
            causation=cause,
        ),
        happened(
            8,
            "account-acme",
            2,
            SubscriptionKeyReissued(
                subscription=redeemed.subscription, key=new.id, masked=new.masked
            ),
            at=LATER,
            causation=cause,
        ),
    ]
    after = world.book.load(ACCOUNT, "acme").state.subscriptions
    assert after == {redeemed.subscription: replace(before, key=new.id, masked=new.masked)}
    with pytest.raises(KeyNotAvailable):
        redeem_key(world, context(LATER), Try("beta", "s-1", new.code))


def test_a_key_can_be_reissued_again_and_again(world: Services, key: IssuedKey) -> None:
    redeem_key(world, context(), Try("acme", "s-1", key.code))
    ids = [key.id]
    for generation in range(1, 4):
        ids.append(reissue_key(world, context(LATER), ids[-1], "again").id)
        state = world.book.load(KEY, stream_id(ids[-1])).state
        assert state is not None
        assert (state.issued.generation, state.issued.replaces) == (generation, ids[-2])
        assert (state.redeemed_at, state.redeemed_by) == (NOON, "acme")
    assert len(set(ids)) == 4
    (subscription,) = world.book.load(ACCOUNT, "acme").state.subscriptions.values()
    assert subscription.key == ids[-1]


def test_a_second_reissue_of_the_same_key_is_refused(world: Services, key: IssuedKey) -> None:
    reissue_key(world, context(), key.id, "lost")
    for _ in range(2):
        with pytest.raises(KeyAlreadyRevoked):
            reissue_key(another_worker(world), context(), key.id, "lost")
    assert world.book.head() == 4


def test_a_revoked_an_unknown_and_another_resellers_key_have_no_successor(
    world: Services, key: IssuedKey
) -> None:
    with pytest.raises(KeyNotFound):
        reissue_key(world, context(), key.id, "mine", reseller="Southwind")
    with pytest.raises(KeyNotFound):
        reissue_key(world, context(), "key_unknown", "lost")
    revoke_key(world, context(), key.id, "lost")
    with pytest.raises(KeyAlreadyRevoked):
        reissue_key(world, context(), key.id, "lost")
    assert world.book.head() == 3


def test_a_lapsed_key_has_no_successor_but_one_that_was_redeemed_in_time_has(
    world: Services,
) -> None:
    order = replace(POS_ORDER, redeem_by=NOON + DAY)
    lapsed, redeemed = issue(world, order), issue(world, order)
    redeem_key(world, context(), Try("acme", "s-1", redeemed.code))
    head = world.book.head()
    with pytest.raises(KeyLapsed):
        reissue_key(world, context(NOON + DAY), lapsed.id, "late")
    assert world.book.head() == head
    reissue_key(world, context(NOON + DAY - MINUTE), lapsed.id, "in time")
    reissue_key(world, context(NOON + DAY), redeemed.id, "never too late")


def test_of_a_reissue_and_a_redemption_at_once_both_are_done_in_one_order() -> None:
    book, store = watched()
    world = services(book)
    key = issue(world)
    store.overtake = lambda: redeem_key(
        another_worker(world), context(), Try("acme", "s-1", key.code)
    )
    new = reissue_key(world, context(), key.id, "lost")
    (subscription,) = world.book.load(ACCOUNT, "acme").state.subscriptions.values()
    assert subscription.key == new.id


@pytest.mark.parametrize("end", ["terminated", "expired"])
def test_a_key_whose_subscription_has_ended_gets_no_new_code(
    world: Services, key: IssuedKey, end: str
) -> None:
    subscription = redeem_key(world, context(), Try("acme", "s-1", key.code)).subscription
    now = NOON + 400 * DAY
    if end == "terminated":
        now = LATER
        terminate_subscription(world, context(now), "acme", subscription, "a mistake")
    head = world.book.head()
    for worker in (world, another_worker(world)):
        with pytest.raises(SubscriptionEnded):
            reissue_key(worker, context(now), key.id, "lost")
    assert world.book.head() == head


def test_the_reason_is_sealed_under_who_has_the_key(world: Services, key: IssuedKey) -> None:
    new = reissue_key(world, context(), key.id, "lost in the post")
    redeem_key(world, context(), Try("acme", "s-1", new.code))
    reissue_key(world, context(), new.id, "Ms Smith gave it away")
    reasons = [one.fact.reason for one in recorded(world) if isinstance(one.fact, KeyReissued)]
    assert [one and one.owner for one in reasons] == ["reseller-Northwind", "account-acme"]
