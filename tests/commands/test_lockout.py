"""Five failed tries block a session, twenty an account: in all workers, and no longer than said."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from commands.ports import Ports
from commands.redeem_key import Try, redeem_key, validate_key
from ledger.refusals import InvalidKeyFormat, KeyNotAvailable, Refusal, TooManyAttempts
from tests.worlds import (
    DAY,
    MINUTE,
    NOON,
    SECOND,
    another_worker,
    issue,
    ports,
    recorded,
    stamp,
    watched,
)

UNKNOWN = "POS-2345-ABCD-WXYZ"
Command = Callable[..., object]
BOTH = pytest.mark.parametrize("command", [redeem_key, validate_key])


def fail(
    world: Ports,
    at: datetime = NOON,
    *,
    session: str = "s-1",
    account: str = "acme",
    code: str = UNKNOWN,
    command: Command = redeem_key,
) -> None:
    """Try in vain, without being blocked."""
    with pytest.raises((KeyNotAvailable, InvalidKeyFormat)):
        command(world, stamp(at), Try(account, session, code))


def blocked(
    world: Ports,
    at: datetime,
    *,
    session: str = "s-1",
    account: str = "acme",
    code: str = UNKNOWN,
    command: Command = redeem_key,
) -> int:
    """Be blocked; answer for how many seconds."""
    with pytest.raises(TooManyAttempts) as caught:
        command(world, stamp(at), Try(account, session, code))
    return caught.value.retry_after_s


@BOTH
def test_five_tries_through_five_workers_block_the_session_in_all_of_them(command: Command) -> None:
    world = ports()
    workers = [another_worker(world, seed=seed) for seed in range(5)]
    for minute, worker in enumerate(workers):
        fail(worker, NOON + minute * MINUTE, command=command)
    fifth = NOON + 4 * MINUTE
    for worker in [*workers, another_worker(world)]:
        assert blocked(worker, fifth, command=command) == 900
        assert blocked(worker, fifth + SECOND, command=command) == 899
        assert blocked(worker, fifth + timedelta(seconds=0.5), command=command) == 900
        assert blocked(worker, fifth + 15 * MINUTE - SECOND, command=command) == 1
    assert len(recorded(world)) == 5


def test_after_a_quarter_of_an_hour_the_count_starts_at_zero() -> None:
    world = ports()
    key = issue(world)
    for _ in range(5):
        fail(world)
    free = NOON + 15 * MINUTE
    for _ in range(4):
        fail(another_worker(world), free)
    redeem_key(world, stamp(free), Try("acme", "s-1", key.code))
    fail(world, free)
    assert blocked(world, free) == 900


def test_a_block_is_not_made_longer_by_trying() -> None:
    world = ports()
    for _ in range(5):
        fail(world)
    for minute in range(15):
        assert blocked(world, NOON + minute * MINUTE) == (15 - minute) * 60
    fail(world, NOON + 15 * MINUTE)


@BOTH
def test_a_blocked_try_is_neither_looked_up_nor_counted(command: Command) -> None:
    book, store = watched()
    world = ports(book)
    key = issue(world)
    for _ in range(5):
        fail(world)
    before = recorded(world)
    store.reads.clear()
    for code in (key.code, UNKNOWN, "nonsense"):
        blocked(world, NOON, code=code, command=command)
    assert not [stream for stream, _ in store.reads if stream.startswith("key-")]
    assert recorded(world) == before
    redeem_key(world, stamp(NOON + 15 * MINUTE), Try("acme", "s-1", key.code))


def test_a_sessions_block_touches_no_other_session_and_no_other_account() -> None:
    world = ports()
    key, second = issue(world), issue(world)
    for _ in range(5):
        fail(world)
    blocked(world, NOON)
    redeem_key(world, stamp(), Try("acme", "s-2", key.code))
    redeem_key(world, stamp(), Try("beta", "s-1", second.code))


def test_every_kind_of_failed_try_counts_in_one_count() -> None:
    world = ports()
    fail(world, code="nonsense")
    fail(world, code="POS-1111-ABCD-WXYZ", command=validate_key)
    fail(world, command=validate_key)
    fail(world)
    with pytest.raises(Refusal, match=r"^$"):
        redeem_key(world, stamp(), Try("acme", "s-1", UNKNOWN, "integrations"))
    assert blocked(world, NOON) == 900


def test_what_succeeds_neither_counts_nor_forgives() -> None:
    world = ports()
    keys = [issue(world) for _ in range(2)]
    for _ in range(4):
        fail(world)
    for key in keys:
        validate_key(world, stamp(), Try("acme", "s-1", key.code))
        redeem_key(world, stamp(), Try("acme", "s-1", key.code))
    fail(world)
    assert blocked(world, NOON) == 900


def test_twenty_in_a_day_over_many_sessions_block_the_account() -> None:
    world = ports()
    key = issue(world)
    for n in range(20):
        fail(another_worker(world), NOON + n * MINUTE, session=f"s-{n % 7}-{n // 4}")
    twentieth = NOON + 19 * MINUTE
    left = 24 * 3600 - 19 * 60
    for session in ("s-0-0", "never-seen"):
        assert blocked(world, twentieth, session=session, code=key.code) == left
    assert blocked(world, NOON + DAY - SECOND, session="another") == 1
    assert len(recorded(world)) == 2 + 20
    # Other accounts are another matter.
    fail(world, twentieth, account="beta", session="s-0-0")
    # The first is a day old now; but one more, and twenty are within a day again.
    fail(world, NOON + DAY, session="fresh")
    assert blocked(world, NOON + DAY, session="fresh") == 60
    redeem_key(world, stamp(NOON + DAY + MINUTE), Try("acme", "fresh", key.code))


def test_two_that_fail_at_once_are_counted_as_two() -> None:
    """Or else parallel tries would be free."""
    book, store = watched()
    world = ports(book)
    for _ in range(4):
        fail(world)
    store.overtake = lambda: fail(another_worker(world))
    assert blocked(world, NOON) == 900
    assert len(recorded(world)) == 5


def test_a_clock_that_is_set_back_does_not_end_a_block_sooner_nor_make_it_longer() -> None:
    world = ports()
    for _ in range(5):
        fail(world)
    assert blocked(world, NOON - DAY) == 900
    assert blocked(world, NOON + 5 * MINUTE) == 600
    fail(world, NOON + 15 * MINUTE)
