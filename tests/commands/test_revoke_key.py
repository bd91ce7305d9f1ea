"""A key is taken back before anybody redeems it."""

from __future__ import annotations

import pytest

from commands.issue_keys import IssuedKey
from commands.redeem_key import Try, redeem_key
from commands.revoke_key import revoke_key
from commands.services import Services
from ledger.events import Sealed
from ledger.refusals import KeyAlreadyRedeemed, KeyNotFound, Refusal
from ledger.streams.key import KeyRevoked
from tests.worlds import (
    DAY,
    NOON,
    another_worker,
    context,
    happened,
    issue,
    recorded,
    services,
    watched,
)


@pytest.fixture
def world() -> Services:
    return services()


@pytest.fixture
def key(world: Services) -> IssuedKey:
    return issue(world)


@pytest.mark.parametrize("reseller", [None, "Northwind"])
def test_a_revocation_is_recorded_with_its_reason_and_only_once(
    world: Services, key: IssuedKey, reseller: str | None
) -> None:
    asked = context(NOON + DAY, actor="kft_one", request_id="req_seven")
    revoked = revoke_key(world, asked, key.id, "sent to the wrong shop", reseller=reseller)
    (event,) = recorded(world, after=2)
    assert isinstance(event.fact, KeyRevoked)
    assert isinstance(event.fact.reason, Sealed)
    assert event.fact.reason.owner == "reseller-Northwind"
    assert world.texts.open(event.fact.reason) == "sent to the wrong shop"
    stream = key.id.replace("key_", "key-")
    assert event == happened(
        3, stream, 2, event.fact, at=NOON + DAY, actor="kft_one", request_id="req_seven"
    )
    assert revoked.position == 3
    assert revoked.loaded.state is not None
    assert revoked.loaded.state.status(NOON + DAY) == "revoked"
    again = revoke_key(another_worker(world), context(NOON + 2 * DAY), key.id, "again")
    assert again == revoked
    assert world.book.head() == 3


@pytest.mark.parametrize("id", ["key_unknown", "unknown", "", "key_" + "a" * 5_000])
def test_an_unknown_key_is_not_found(world: Services, id: str) -> None:
    for _ in range(2):
        with pytest.raises(KeyNotFound):
            revoke_key(world, context(), id, "lost")
    assert recorded(world) == []


def test_another_resellers_key_is_not_found(world: Services, key: IssuedKey) -> None:
    with pytest.raises(KeyNotFound):
        revoke_key(world, context(), key.id, "mine now", reseller="Southwind")
    assert world.book.head() == 2


def test_a_redeemed_key_stays(world: Services, key: IssuedKey) -> None:
    redeem_key(world, context(), Try("acme", "s-1", key.code))
    for _ in range(2):
        with pytest.raises(KeyAlreadyRedeemed):
            revoke_key(world, context(), key.id, "lost")
    assert world.book.head() == 4


def test_of_a_revocation_and_a_redemption_at_once_the_first_counts() -> None:
    book, store = watched()
    world = services(book)
    key = issue(world)
    store.overtake = lambda: redeem_key(
        another_worker(world), context(), Try("acme", "s-1", key.code)
    )
    with pytest.raises(Refusal) as caught:
        revoke_key(world, context(), key.id, "lost")
    assert isinstance(caught.value, KeyAlreadyRedeemed)
    assert world.book.head() == 4
