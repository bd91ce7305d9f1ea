"""Work on many keys while others have to do with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from commands.issue_keys import Order, issue_keys
from commands.many_keys import CONFLICTS_MAX, DoneKeys, PartlyDone, work_on
from commands.redeem_key import Try, redeem_key
from commands.reissue_keys import ReissuedKeys, reissue_keys
from commands.retry import LedgerBusy
from commands.revoke_keys import revoke_keys
from ledger.book import Appended, Book, Change
from ledger.events import RequestContext
from ledger.store.contract import VersionConflict
from ledger.streams.key import KEY
from tests.worlds import NOON, context, services

COUNT = 200
ORDER = Order(product="cloud_pos", tier=None, seats=1, months=12, count=COUNT, reseller="North")


class HurriedBook(Book):
    """A ledger in which somebody redeems a key just before several are changed at once."""

    redeem: Callable[[str], object] | None = None

    def append(self, context: RequestContext, *changes: Change) -> Appended:
        ids = [one.loaded.id for one in changes if one.loaded.stream is KEY]
        redeem, self.redeem = self.redeem, None
        if redeem is not None and len(ids) > 1:
            redeem(ids[0])
        self.redeem = redeem
        return super().append(context, *changes)


def test_a_batch_is_revoked_though_its_keys_are_redeemed_all_the_while() -> None:
    book = HurriedBook("memory:")
    world = services(book)
    issued = issue_keys(world, context(NOON), ORDER).keys
    codes = {one.id: one.code for one in issued}
    redeemed: list[str] = []

    def redeem(id: str) -> None:
        id = f"key_{id}"
        redeemed.append(id)
        redeem_key(world, context(NOON), Try(f"account-{len(redeemed)}", "s", codes[id]))

    book.redeem = redeem
    found = revoke_keys(world, context(NOON), "all", lambda: (list(codes), ()), "Leaked")
    assert redeemed
    assert {one.id: one.status for one in found.kept} == dict.fromkeys(redeemed, "redeemed")
    assert found.revoked == COUNT - len(redeemed) > COUNT / 2


def test_one_reissue_that_is_asked_for_twice_at_once_replaces_each_key_once() -> None:
    book = HurriedBook("memory:")
    world = services(book)
    issued = issue_keys(world, context(NOON), ORDER)
    inner: list[ReissuedKeys] = []

    def reissue() -> ReissuedKeys:
        ids = [one.id for one in issued.keys]
        return reissue_keys(
            world, context(NOON), issued.batch, lambda: ids, "Leaked", idempotency_key="once"
        )

    def hurry(_id: str) -> None:
        if not inner:
            inner.append(reissue())

    book.redeem = hurry
    outer = reissue()
    assert outer.keys == inner[0].keys
    assert len({one.id for one in outer.keys}) == COUNT
    states = book.load_many(KEY, [one.id.removeprefix("key_") for one in outer.keys])
    assert all(one.state and one.state.replaced_by is None for one in states.values())


def test_work_that_is_always_overtaken_ends_and_says_what_was_done() -> None:
    rounds = iter(range(1, 10_000))
    done_at = 3

    def work(part: Sequence[str]) -> DoneKeys:
        if next(rounds) == done_at:
            return DoneKeys(len(part), [])
        raise VersionConflict("key-1", 1, 2)

    with pytest.raises(PartlyDone, match=r"^62 keys are done"):
        work_on(map(str, range(1_000)), work)
    assert next(rounds) == done_at + CONFLICTS_MAX + 1
    with pytest.raises(LedgerBusy):
        work_on(["one"], work)
