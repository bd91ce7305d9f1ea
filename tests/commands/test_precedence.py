"""Which refusal comes first: each row breaks later rules, too, so that swapping two checks fails.

The order is that of the list in `ledger.refusals`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from msgspec.structs import replace

from commands.change_subscription import terminate_subscription
from commands.issue_keys import IssuedKey, issue_keys
from commands.occupy_seat import Sitting, occupy_seat
from commands.redeem_key import Try, redeem_key, validate_key
from commands.reissue_key import reissue_key
from commands.release_seat import release_seat
from commands.reveal_codes import reveal_codes
from commands.revoke_key import revoke_key
from commands.services import Services
from ledger.refusals import (
    BatchNotFound,
    HolderInOtherTier,
    IdempotencyKeyReused,
    InvalidKeyFormat,
    InvalidRequest,
    KeyAlreadyRevoked,
    KeyAlreadyYours,
    KeyNotAvailable,
    KeyNotFound,
    NoSeatAvailable,
    Refusal,
    SeatNotOccupied,
    SubscriptionEnded,
    SubscriptionNotFound,
    TooManyAttempts,
    VersionMismatch,
    WrongProduct,
)
from tests.worlds import DAY, INT_ORDER, NOON, POS_ORDER, context, issue, services

LATE = NOON + 20 * DAY


@dataclass(frozen=True)
class World:
    """A ledger in which much is wrong at once.

    Attributes:
        redeemed: an Integrations key that was redeemed on `acme` with the idempotency key `r-1`.
        lapsed: a Cloud POS key that lapsed, and was revoked before that.
    """

    services: Services
    redeemed: IssuedKey
    subscription: str
    lapsed: IssuedKey
    batch: str

    def try_(self, command: Callable[..., object], wanted: Try, **options: Any) -> object:
        return command(self.services, context(LATE), wanted, **options)


@pytest.fixture
def world() -> World:
    """Session `blocked` is blocked at LATE; `shop` sits in Growth, where all seats are taken."""
    made = services()
    redeemed = issue(made, replace(INT_ORDER, seats=1))
    given = redeem_key(made, context(), Try("acme", "s-1", redeemed.code), idempotency_key="r-1")
    occupy_seat(made, context(), Sitting("acme", "integrations", "growth", "shop"))
    lapsed = issue(made, replace(POS_ORDER, redeem_by=NOON + 10 * DAY))
    revoke_key(made, context(), lapsed.id, "lost")
    batch = issue_keys(made, context(), POS_ORDER, idempotency_key="o-1").batch
    for _ in range(5):
        with pytest.raises(InvalidKeyFormat):
            validate_key(made, context(LATE), Try("acme", "blocked", "x"))
    return World(made, redeemed, given.subscription, lapsed, batch)


@dataclass(frozen=True)
class TryRow:
    first: type[Refusal]
    although: str
    wanted: Try
    codes: str = ""

    def __str__(self) -> str:
        return f"{self.first.__name__} although {self.although}"


MALFORMED = "INT-0000-ABCD-WXYZ"
TRIES = [
    TryRow(
        InvalidRequest,
        "the session is blocked, the code is none, and of another product",
        Try("no account!", "blocked", MALFORMED, "cloud_pos"),
    ),
    TryRow(
        InvalidRequest,
        "the session is blocked and the code redeemed",
        Try("acme", "blocked", "{redeemed}", "no product"),
    ),
    TryRow(
        TooManyAttempts,
        "the code is none, and of another product",
        Try("acme", "blocked", MALFORMED, "cloud_pos"),
    ),
    TryRow(
        TooManyAttempts,
        "the code is of another product, and redeemed",
        Try("acme", "blocked", "{redeemed}", "cloud_pos"),
    ),
    TryRow(
        TooManyAttempts,
        "the code is revoked and lapsed",
        Try("acme", "blocked", "{lapsed}", "cloud_pos"),
    ),
    TryRow(
        InvalidKeyFormat,
        "its prefix is of another product",
        Try("acme", "s-1", MALFORMED, "cloud_pos"),
    ),
    TryRow(
        InvalidKeyFormat,
        "a prefix of no product is no prefix of the product asked for",
        Try("acme", "s-1", "ABC-2345-ABCD-WXYZ", "cloud_pos"),
    ),
    TryRow(
        WrongProduct,
        "the code is redeemed",
        Try("acme", "s-1", "{redeemed}", "cloud_pos"),
    ),
    TryRow(
        WrongProduct,
        "the code is unknown",
        Try("acme", "s-1", "INT-2345-ABCD-WXYZ", "cloud_pos"),
    ),
    TryRow(
        WrongProduct,
        "the code is revoked and lapsed",
        Try("acme", "s-1", "{lapsed}", "integrations"),
    ),
    TryRow(TooManyAttempts, "the code is its own", Try("acme", "blocked", "{redeemed}")),
    TryRow(KeyAlreadyYours, "the code is redeemed", Try("acme", "s-1", "{redeemed}")),
    TryRow(KeyNotAvailable, "", Try("beta", "s-1", "{redeemed}", "integrations")),
    TryRow(KeyNotAvailable, "", Try("acme", "s-1", "{lapsed}", "cloud_pos")),
]


@pytest.mark.parametrize("command", [redeem_key, validate_key])
@pytest.mark.parametrize("row", TRIES, ids=str)
def test_of_a_tried_code(world: World, row: TryRow, command: Callable[..., object]) -> None:
    code = row.wanted.code.format(redeemed=world.redeemed.code, lapsed=world.lapsed.code)
    with pytest.raises(Refusal) as caught:
        world.try_(command, row.wanted._replace(code=code))
    assert type(caught.value) is row.first


REPEATS = [
    TryRow(InvalidRequest, "the key was used before", Try("a b", "blocked", MALFORMED, "x")),
    TryRow(IdempotencyKeyReused, "there is no such product", Try("acme", "s-1", MALFORMED, "x")),
    TryRow(IdempotencyKeyReused, "the session is blocked", Try("acme", "blocked", "{redeemed}")),
    TryRow(IdempotencyKeyReused, "the code is none", Try("acme", "s-1", MALFORMED)),
    TryRow(
        IdempotencyKeyReused,
        "the code is of another product",
        Try("acme", "s-1", "{redeemed}", "cloud_pos"),
    ),
    TryRow(IdempotencyKeyReused, "the code is not available", Try("acme", "s-1", "{lapsed}")),
]


@pytest.mark.parametrize("row", REPEATS, ids=str)
def test_of_a_redemption_with_an_idempotency_key(world: World, row: TryRow) -> None:
    code = row.wanted.code.format(redeemed=world.redeemed.code, lapsed=world.lapsed.code)
    with pytest.raises(Refusal) as caught:
        world.try_(redeem_key, row.wanted._replace(code=code), idempotency_key="r-1")
    assert type(caught.value) is row.first


@dataclass(frozen=True)
class Row:
    first: type[Refusal]
    although: str
    ask: Callable[[World], object]

    def __str__(self) -> str:
        return f"{self.first.__name__} although {self.although}"


def order(**changed: Any) -> Callable[[World], object]:
    wanted = replace(POS_ORDER, **changed)
    return lambda world: issue_keys(world.services, context(LATE), wanted, idempotency_key="o-1")


ORDERS = [
    Row(InvalidRequest, "the key was used for another order", order(seats=0, redeem_by=NOON)),
    Row(IdempotencyKeyReused, "its date is over", order(redeem_by=NOON)),
]


def revoke(key_id: str, reseller: str | None = None, reason: str = "lost") -> Any:
    return lambda world: revoke_key(
        world.services, context(LATE), key_id.format(world), reason, reseller=reseller
    )


def reissue(key_id: str, reseller: str | None = None, reason: str = "lost") -> Any:
    return lambda world: reissue_key(
        world.services, context(LATE), key_id.format(world), reason, reseller=reseller
    )


KEYS = [
    Row(InvalidRequest, "there is no such key", revoke("key_x", reason="")),
    Row(InvalidRequest, "it is redeemed", revoke("{0.redeemed.id}", reason="")),
    Row(KeyNotFound, "it is redeemed", revoke("{0.redeemed.id}", "Southwind")),
    Row(InvalidRequest, "there is no such key", reissue("key_x", reason="")),
    Row(KeyNotFound, "it is revoked and lapsed", reissue("{0.lapsed.id}", "Southwind")),
    Row(KeyAlreadyRevoked, "it has lapsed", reissue("{0.lapsed.id}")),
    Row(
        InvalidRequest,
        "there is no such batch",
        lambda world: reveal_codes(world.services, context(), "bat_x", ""),
    ),
    Row(
        BatchNotFound,
        "it is another reseller's",
        lambda world: reveal_codes(
            world.services, context(), world.batch, "x", reseller="Southwind"
        ),
    ),
]


def occupy(
    holder: str, tier: str | None, version: int | None = None, product: str = "integrations"
) -> Callable[[World], object]:
    wanted = Sitting("acme", product, tier, holder)
    return lambda world: occupy_seat(world.services, context(), wanted, expected_version=version)


def release(holder: str, version: int | None = None) -> Callable[[World], object]:
    return lambda world: release_seat(
        world.services, context(), "acme", "integrations", holder, expected_version=version
    )


SEATS = [
    Row(InvalidRequest, "the account moved, and it sits in another tier", occupy("shop", "x", 1)),
    Row(
        InvalidRequest,
        "the account moved, and no seat is free",
        occupy("shop 2", "growth", 1),
    ),
    Row(VersionMismatch, "it sits in another tier that is full", occupy("shop", "scale", 1)),
    Row(VersionMismatch, "no seat is free", occupy("shop-2", "growth", 1)),
    Row(HolderInOtherTier, "the tier it wants is full", occupy("shop", "scale", 2)),
    Row(NoSeatAvailable, "", occupy("shop-2", "growth", 2)),
    Row(InvalidRequest, "the account moved, and nobody sits there", release("no holder", 1)),
    Row(VersionMismatch, "nobody sits there", release("nobody", 1)),
    Row(SeatNotOccupied, "", release("nobody", 2)),
]


def terminate(
    subscription: str, version: int | None = None, reason: str = "x", years: int = 0
) -> Callable[[World], object]:
    return lambda world: terminate_subscription(
        world.services,
        context(NOON.replace(year=NOON.year + years)),
        "acme",
        subscription.format(world),
        reason,
        expected_version=version,
    )


ENDS = [
    Row(InvalidRequest, "the account moved, and there is none", terminate("x", 1, reason="")),
    Row(VersionMismatch, "there is none", terminate("x", 1)),
    Row(VersionMismatch, "it has ended", terminate("{0.subscription}", 1, years=2)),
    Row(SubscriptionNotFound, "another has ended", terminate("x", 2, years=2)),
    Row(SubscriptionEnded, "", terminate("{0.subscription}", 2, years=2)),
]


@pytest.mark.parametrize("row", ORDERS + KEYS + SEATS + ENDS, ids=str)
def test_of_everything_else(world: World, row: Row) -> None:
    with pytest.raises(Refusal) as caught:
        row.ask(world)
    assert type(caught.value) is row.first
