"""Five failed tries block a session, twenty an account: in all workers, and no longer than said."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from commands.clear_attempts import clear_attempts
from commands.redeem_key import Try, redeem_key, validate_key
from commands.services import Services
from ledger.book import Change
from ledger.refusals import InvalidKeyFormat, KeyNotAvailable, Refusal, TooManyAttempts
from ledger.streams.attempts import ATTEMPTS, BlockLifted, RedemptionRefused
from ledger.streams.key import KeyRedeemed
from tests.worlds import (
    DAY,
    MINUTE,
    NOON,
    SECOND,
    another_worker,
    context,
    issue,
    recorded,
    services,
    watched,
)

UNKNOWN = "POS-2345-ABCD-WXYZ"
Command = Callable[..., object]
BOTH = pytest.mark.parametrize("command", [redeem_key, validate_key])


def fail(
    world: Services,
    at: datetime = NOON,
    *,
    session: str = "s-1",
    account: str = "acme",
    code: str = UNKNOWN,
    command: Command = redeem_key,
) -> None:
    """Try in vain, without being blocked."""
    with pytest.raises((KeyNotAvailable, InvalidKeyFormat)):
        command(world, context(at), Try(account, session, code))


def blocked(
    world: Services,
    at: datetime,
    *,
    session: str = "s-1",
    account: str = "acme",
    code: str = UNKNOWN,
    command: Command = redeem_key,
) -> int:
    """Be blocked; answer for how many seconds."""
    with pytest.raises(TooManyAttempts) as caught:
        command(world, context(at), Try(account, session, code))
    return caught.value.retry_after_s


def failures(world: Services) -> int:
    return sum(isinstance(one.fact, RedemptionRefused) for one in recorded(world))


@BOTH
def test_five_tries_through_five_workers_block_the_session_in_all_of_them(command: Command) -> None:
    world = services()
    workers = [another_worker(world, seed=seed) for seed in range(5)]
    for minute, worker in enumerate(workers):
        fail(worker, NOON + minute * MINUTE, command=command)
    fifth = NOON + 4 * MINUTE
    for worker in [*workers, another_worker(world)]:
        assert blocked(worker, fifth, command=command) == 900
        assert blocked(worker, fifth + SECOND, command=command) == 899
        assert blocked(worker, fifth + timedelta(seconds=0.5), command=command) == 900
        assert blocked(worker, fifth + 15 * MINUTE - SECOND, command=command) == 1
    assert failures(world) == 5


def test_after_a_quarter_of_an_hour_the_count_starts_at_zero() -> None:
    world = services()
    key = issue(world)
    for _ in range(5):
        fail(world)
    free = NOON + 15 * MINUTE
    for _ in range(4):
        fail(another_worker(world), free)
    redeem_key(world, context(free), Try("acme", "s-1", key.code))
    fail(world, free)
    assert blocked(world, free) == 900


def test_a_block_is_not_made_longer_by_trying() -> None:
    world = services()
    for _ in range(5):
        fail(world)
    for minute in range(15):
        assert blocked(world, NOON + minute * MINUTE) == (15 - minute) * 60
    fail(world, NOON + 15 * MINUTE)


@BOTH
def test_a_blocked_try_is_neither_looked_up_nor_counted(command: Command) -> None:
    book, store = watched()
    world = services(book)
    key = issue(world)
    for _ in range(5):
        fail(world)
    before = recorded(world)
    store.reads.clear()
    for code in (key.code, UNKNOWN, "nonsense"):
        blocked(world, NOON, code=code, command=command)
    assert not [stream for stream, _ in store.reads if stream.startswith("key-")]
    assert recorded(world) == before
    redeem_key(world, context(NOON + 15 * MINUTE), Try("acme", "s-1", key.code))


def test_a_sessions_block_touches_no_other_session() -> None:
    world = services()
    key = issue(world)
    for _ in range(5):
        fail(world)
    blocked(world, NOON)
    redeem_key(world, context(), Try("acme", "s-2", key.code))


@BOTH
def test_five_tries_of_a_session_block_it_on_whichever_accounts_they_were(command: Command) -> None:
    world = services()
    key = issue(world)
    for n in range(5):
        fail(another_worker(world, seed=n), account=f"account-{n}", command=command)
    for account in ("account-0", "account-9"):
        assert blocked(world, NOON, account=account, code=key.code, command=command) == 900
    fail(world, NOON, account="account-0", session="another")
    free = NOON + 15 * MINUTE
    for n in range(4):
        fail(world, free, account=f"account-{n}")
    redeem_key(world, context(free), Try("account-0", "s-1", key.code))


def old_failure(session: str = "s-1") -> RedemptionRefused:
    """A failed try as it was recorded before sessions were counted over all accounts."""
    return RedemptionRefused(
        session=session,
        refusal="key_not_available",
        key=None,
        masked=None,
        product=None,
        found=None,
        key_version=None,
        consuming=True,
    )


def remember(world: Services, count: int, at: datetime = NOON) -> None:
    for _ in range(count):
        loaded = world.book.load(ATTEMPTS, "acme")
        world.book.append(context(at), Change(loaded, [old_failure()]))


def test_tries_from_before_sessions_were_counted_over_all_accounts_count_once() -> None:
    world = services()
    remember(world, 3)
    fail(world)
    fail(world, account="beta")
    assert blocked(world, NOON) == 900
    free = NOON + 15 * MINUTE
    for _ in range(4):
        fail(world, free)
    fail(world, free, account="beta")
    assert blocked(world, free, account="gamma") == 900


def test_a_block_from_before_lasts_and_is_served_once() -> None:
    world = services()
    remember(world, 5)
    assert blocked(world, NOON + MINUTE) == 840
    free = NOON + 15 * MINUTE
    for _ in range(5):
        fail(world, free)
    assert blocked(world, free) == 900


def test_staff_lift_the_block_of_a_session_and_of_an_account_on_record() -> None:
    world = services()
    key = issue(world)
    for _ in range(5):
        fail(world)
    assert blocked(world, NOON) == 900
    cleared = clear_attempts(world, context(actor="kft_support"), "acme", "a slip of the pen")
    lifted = recorded(world)[-1]
    assert (lifted.position, lifted.stream, lifted.actor) == (
        cleared.position, "attempts-acme", "kft_support",
    )  # fmt: skip
    assert isinstance(lifted.fact, BlockLifted)
    assert world.texts.open(lifted.fact.reason) == "a slip of the pen"
    assert lifted.fact.reason is not None
    assert lifted.fact.reason.owner == "account-acme"
    for worker in (world, another_worker(world)):
        fail(worker)
    for n in range(3):
        fail(world, session=f"s-{n + 1}")
    for _ in range(2):
        fail(world)
    assert blocked(world, NOON, code=key.code) == 900
    for n in range(13):
        fail(world, session=f"t-{n}")
    assert blocked(world, NOON, session="fresh") == 24 * 3600
    clear_attempts(world, context(), "acme", "again")
    for _ in range(4):
        fail(world, session="fresh")
    redeem_key(world, context(), Try("acme", "fresh", key.code))


def test_lifting_counts_the_tries_of_a_session_that_was_not_blocked_yet_from_zero() -> None:
    world = services()
    for _ in range(4):
        fail(world)
    clear_attempts(world, context(), "acme", "asked to")
    for _ in range(5):
        fail(world)
    assert blocked(world, NOON) == 900


def test_what_was_lifted_on_one_account_stays_blocked_on_another() -> None:
    world = services()
    for _ in range(5):
        fail(world)
    clear_attempts(world, context(), "acme", "asked to")
    assert blocked(world, NOON, account="beta") == 900
    for _ in range(4):
        fail(world)
        assert blocked(world, NOON, account="beta") == 900
    fail(world)
    assert blocked(world, NOON) == 900


def test_a_lifting_lets_nobody_try_more_often_on_other_accounts() -> None:
    world = services()
    for _ in range(4):
        fail(world)
    clear_attempts(world, context(), "acme", "asked to")
    fail(world)
    assert blocked(world, NOON, account="beta") == 900
    for _ in range(4):
        fail(world)
    assert blocked(world, NOON) == 900
    later = NOON + timedelta(minutes=15)
    for account in ("acme", "beta", "acme", "beta"):
        fail(world, account=account, at=later)
    fail(world, at=later)
    assert blocked(world, later) == blocked(world, later, account="beta") == 900


def test_a_block_lifted_before_sessions_were_counted_over_all_accounts() -> None:
    world = services()
    remember(world, 5)
    clear_attempts(world, context(), "acme", "asked to")
    for _ in range(5):
        fail(world)
    assert blocked(world, NOON) == 900


@BOTH
def test_a_code_that_is_right_is_looked_at_no_more_once_five_were_wrong_meanwhile(
    command: Command,
) -> None:
    """The fifth fails between the look at the counts and the look at what was found."""
    book, store = watched()
    world = services(book)
    key = issue(world)
    for _ in range(4):
        fail(world)
    looks = 0
    read = store.read_streams

    def then_overtaken(after: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal looks
        answer = read(after, *args, **kwargs)
        looks += "attempts-acme" in after
        if looks == 1 and "attempts-acme" in after:
            looks += 1
            fail(another_worker(world))
        return answer

    store.read_streams = then_overtaken  # type: ignore[method-assign]
    assert blocked(world, NOON, code=key.code, command=command) == 900
    assert not any(isinstance(one.fact, KeyRedeemed) for one in recorded(world))


def test_a_redemption_holds_only_while_no_fifth_try_has_failed_before_its_commit() -> None:
    book, store = watched()
    world = services(book)
    key = issue(world)
    for n in range(4):
        fail(world, account="beta" if n else "acme")
    store.overtake = lambda: fail(another_worker(world), account="gamma")
    assert blocked(world, NOON, code=key.code) == 900
    store.overtake = None
    for n in range(18):
        fail(world, session=f"t-{n}")
    store.overtake = lambda: fail(another_worker(world), session="t-x")
    assert blocked(world, NOON, session="fresh", code=key.code) == 24 * 3600
    assert not any(isinstance(one.fact, KeyRedeemed) for one in recorded(world))


def test_every_kind_of_failed_try_counts_in_one_count() -> None:
    world = services()
    fail(world, code="nonsense")
    fail(world, code="POS-1111-ABCD-WXYZ", command=validate_key)
    fail(world, command=validate_key)
    fail(world)
    with pytest.raises(Refusal, match=r"^$"):
        redeem_key(world, context(), Try("acme", "s-1", UNKNOWN, "integrations"))
    assert blocked(world, NOON) == 900


def test_what_succeeds_neither_counts_nor_forgives() -> None:
    world = services()
    keys = [issue(world) for _ in range(2)]
    for _ in range(4):
        fail(world)
    for key in keys:
        validate_key(world, context(), Try("acme", "s-1", key.code))
        redeem_key(world, context(), Try("acme", "s-1", key.code))
    fail(world)
    assert blocked(world, NOON) == 900


def test_twenty_in_a_day_over_many_sessions_block_the_account() -> None:
    world = services()
    key = issue(world)
    for n in range(20):
        fail(another_worker(world), NOON + n * MINUTE, session=f"s-{n % 7}-{n // 4}")
    twentieth = NOON + 19 * MINUTE
    left = 24 * 3600 - 19 * 60
    for session in ("s-0-0", "never-seen"):
        assert blocked(world, twentieth, session=session, code=key.code) == left
    assert blocked(world, NOON + DAY - SECOND, session="another") == 1
    assert failures(world) == 20
    # Other accounts are another matter.
    fail(world, twentieth, account="beta", session="s-0-0")
    # The first is a day old now; but one more, and twenty are within a day again.
    fail(world, NOON + DAY, session="fresh")
    assert blocked(world, NOON + DAY, session="fresh") == 60
    redeem_key(world, context(NOON + DAY + MINUTE), Try("acme", "fresh", key.code))


def test_two_that_fail_at_once_are_counted_as_two() -> None:
    """Or else parallel tries would be free."""
    book, store = watched()
    world = services(book)
    for _ in range(4):
        fail(world)
    store.overtake = lambda: fail(another_worker(world))
    assert blocked(world, NOON) == 900
    assert failures(world) == 5


def test_a_clock_that_is_set_back_a_little_does_not_end_a_block_nor_make_it_longer() -> None:
    world = services()
    for _ in range(5):
        fail(world)
    assert blocked(world, NOON - MINUTE) == 900
    assert blocked(world, NOON + 5 * MINUTE) == 600
    fail(world, NOON + 15 * MINUTE)
