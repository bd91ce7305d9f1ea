"""Why a holder may work or not, and why a code does not: the rule, the facts, and the mend."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from random import Random

import pytest

from commands.change_subscription import suspend_subscription, terminate_subscription
from commands.issue_keys import IssuedKey, Order, issue_keys
from commands.occupy_seat import Sitting, occupy_seat
from commands.redeem_key import Try, redeem_key, validate_key
from commands.reissue_key import reissue_key
from commands.release_seat import release_seat
from commands.revoke_key import revoke_key
from commands.services import Services
from ledger.events import RequestContext
from ledger.refusals import (
    HolderInOtherTier,
    InvalidKeyFormat,
    KeyNotAvailable,
    NoSeatAvailable,
    Refusal,
    TooManyAttempts,
    WrongProduct,
)
from ledger.streams.attempts import SeatRefused
from projections.text.formatting import title
from projections.views.account_at import Moment
from projections.views.explain import Explanation, explain_holder
from projections.views.explain_code import CodeQuestion, explain_code
from tests.projections.telling import ACCOUNT_ID, at, told
from tests.worlds import DAY, MINUTE, NOON, context, recorded, services

POS, INT = "cloud_pos", "integrations"


@pytest.fixture
def world() -> Services:
    return services()


def keys(world: Services, product: str = POS, count: int = 1, **more: object) -> list[IssuedKey]:
    tier = "growth" if product == INT else None
    order = Order(product, tier, 2, 12, count, "Northwind", **more)  # type: ignore[arg-type]
    return issue_keys(world, context(), order).keys


def holder(
    world: Services,
    name: str = "till-1",
    product: str = POS,
    *,
    now: datetime = NOON,
    **times: datetime,
) -> Explanation:
    return explain_holder(
        world.book, "acme", Moment(now, **times), world.catalog, product, name
    )  # fmt: skip


def code(world: Services, text: str, *, now: datetime = NOON, **more: str) -> Explanation:
    asked = CodeQuestion(text, **more)
    moment = Moment(now)
    return explain_code(world.book, "acme", moment, world.catalog, world.codes, asked)


def refused(kind: type[Refusal], command: Callable[[], object]) -> None:
    with pytest.raises(kind):
        command()


def sit(
    world: Services, name: str, product: str = POS, tier: str | None = None, now: datetime = NOON
) -> None:
    occupy_seat(world, context(now), Sitting("acme", product, tier, name))


def redeem(world: Services, key: IssuedKey, account: str = "acme", session: str = "s-1") -> str:
    return redeem_key(world, context(), Try(account, session, key.code)).subscription


# Holders


def test_one_that_may_work_and_until_when(world: Services) -> None:
    (key,) = keys(world)
    redeem(world, key)
    sit(world, "till-1")
    found = holder(world)
    assert found.answer == (
        f"Holder till-1 may work in Cloud POS: it came in 1st of 1, and counts against key"
        f" {key.masked}."
    )
    assert (found.rule, found.code, found.mend) == ("licensed", None, None)
    assert found.facts == [
        f"Key {key.masked} gives 2 Cloud POS seats until 1 Mar 2027",
        (
            "On 1 Mar 2027, 12:00 UTC 1 Cloud POS holder will be over,"
            f" because key {key.masked} ends then"
        ),
    ]
    assert found.positions == [4, 5]


def test_one_whose_seats_ran_out(world: Services) -> None:
    (key,) = keys(world)
    redeem(world, key)
    sit(world, "till-1")
    found = holder(world, now=NOON + 400 * DAY)
    assert found.answer == "Holder till-1 may not work: nothing active provides Cloud POS seats."
    assert found.code == found.rule == "no_active_subscription"
    assert found.facts == [
        f"Key {key.masked} gave 2 Cloud POS seats until it expired on 1 Mar 2027"
    ]
    assert found.mend == "Redeem another key or buy seats: 1 more Cloud POS seat would do."
    assert found.positions == [4, 5]


def test_one_whose_seats_are_suspended_or_are_to_begin(world: Services) -> None:
    first, second, third = keys(world, count=3)
    id = redeem(world, first)
    tried = Try("acme", "s-1", second.code, start="when_current_ends")
    redeem_key(world, context(), tried)
    redeem_key(world, context(), tried._replace(code=third.code))
    for name in ("till-1", "till-2"):
        sit(world, name)
    suspend_subscription(world, context(), "acme", id, "Not paid")
    resume = f"Resume the subscription of key {first.masked}: it gives 2 Cloud POS seats."
    assert holder(world, "till-1").mend == resume
    refused(NoSeatAvailable, lambda: sit(world, "till-3"))
    assert holder(world, "till-3").mend == resume
    assert holder(world, "till-4").mend == f"There is no seat free for it. {resume}"
    terminate_subscription(world, context(), "acme", id, "Not paid")
    assert holder(world, "till-4").mend == (
        f"There is no seat free for it. Key {third.masked} gives 2 Cloud POS seats from"
        " 1 Mar 2027 on: start its subscription to have them now."
    )


LEDGER = """
    2026-03-01 09:00  redeem a cloud_pos 2 seats 1 month
    2026-03-01 09:30  redeem b cloud_pos 1 seats 12 months
    2026-03-02 08:00  sit till-1 cloud_pos
    2026-03-02 08:01  sit till-2 cloud_pos
    2026-03-02 08:02  sit till-3 cloud_pos
"""


def test_one_that_came_late_when_seats_were_lost() -> None:
    world = services(told(LEDGER))
    found = explain_holder(
        world.book, ACCOUNT_ID, Moment(at("2026-05-01 00:00")), world.catalog, POS, "till-3"
    )
    assert (
        found.answer == "Holder till-3 may not work: 3 hold 1 Cloud POS seat, and it came in 3rd."
    )
    assert found.rule == found.code == "over"
    assert found.facts == [
        "Key POS-••••-••••-BBBB gives 1 Cloud POS seat until 1 Mar 2027",
        "Key POS-••••-••••-AAAA gave 2 Cloud POS seats until it expired on 1 Apr 2026",
    ]
    assert found.positions == [1, 2, 5]
    assert found.mend == (
        "It may work again once 2 holders who came before it give a seat back."
        " Redeem another key or buy seats: 2 more Cloud POS seats would do."
    )


def test_what_will_be_is_told_with_what_does_it() -> None:
    world = services(told(LEDGER))
    now = Moment(at("2026-03-20 00:00"))
    before = explain_holder(world.book, ACCOUNT_ID, now, world.catalog, POS, "till-1")
    assert before.facts[-1] == (
        "On 1 Apr 2026, 09:00 UTC 2 Cloud POS holders will be over, because key"
        " POS-••••-••••-AAAA ends then"
    )
    then = now._replace(as_of=at("2026-04-03 00:00"))
    after = explain_holder(world.book, ACCOUNT_ID, then, world.catalog, POS, "till-2")
    assert after.rule == "over"
    assert after.answer.startswith("On 3 Apr 2026, 00:00 UTC, if nothing more happens: Holder")


def test_one_that_was_refused_with_what_was_so_then(world: Services) -> None:
    (key,) = keys(world)
    redeem(world, key)
    for name in ("till-1", "till-2"):
        sit(world, name)
    refused(NoSeatAvailable, lambda: sit(world, "till-3", now=NOON + DAY))
    found = holder(world, "till-3", now=NOON + DAY)
    assert found.answer == (
        "Holder till-3 was refused a Cloud POS seat on 2 Mar 2026, 12:00 UTC: No seat is free,"
        " since 2 of 2 seats were taken."
    )
    assert found.rule == found.code == "no_seat_available"
    assert found.facts == [
        f"Key {key.masked} gives 2 Cloud POS seats until 1 Mar 2027",
        "Holder till-1 has a seat",
        "Holder till-2 has a seat",
    ]
    assert found.positions == [4, 5, 6, 7]
    release_seat(world, context(NOON + DAY), "acme", POS, "till-1")
    again = holder(world, "till-3", now=NOON + DAY)
    assert again.answer.endswith("were taken. One is free now.")
    assert again.mend == "Let it take a seat: one is free now."
    sit(world, "till-3", now=NOON + DAY)
    assert holder(world, "till-3", now=NOON + DAY).rule == "licensed"


def test_one_that_sits_in_another_tier(world: Services) -> None:
    redeem(world, keys(world, INT)[0])
    sit(world, "shop", INT, "growth")
    refused(HolderInOtherTier, lambda: sit(world, "shop", INT, "scale"))
    found = holder(world, "shop", INT)
    assert found.rule == found.code == "holder_in_other_tier"
    assert ": it sits in Integrations Growth. Holder shop may work" in found.answer
    assert found.mend == "Give its Integrations Growth seat back first; then it can take another."
    release_seat(world, context(), "acme", INT, "shop")
    assert holder(world, "shop", INT).rule == "seat_released"


def test_one_that_left_and_one_that_never_came(world: Services) -> None:
    redeem(world, keys(world)[0])
    sit(world, "till-1")
    release_seat(world, context(NOON + DAY), "acme", POS, "till-1")
    left = holder(world, now=NOON + DAY)
    assert left.answer == "Holder till-1 gave its Cloud POS seat back on 2 Mar 2026, 12:00 UTC."
    assert (left.rule, left.code, left.positions) == ("seat_released", "seat_not_occupied", [6])
    assert left.mend == "Let it take a seat: one is free."
    never = holder(world, "till-9")
    assert (never.rule, never.code, never.positions) == (
        "seat_never_taken",
        "seat_not_occupied",
        [],
    )
    then = holder(world, now=NOON + DAY, as_of=NOON + DAY / 2)
    assert then.rule == "licensed"


# Codes


def test_a_code_that_can_be_redeemed(world: Services) -> None:
    (key,) = keys(world)
    found = code(world, f" {key.code.lower()}")
    assert (
        found.answer
        == f"Key {key.masked} can be redeemed: it gives 2 Cloud POS seats for 12 months."
    )
    assert (found.rule, found.code, found.mend, found.positions) == (
        "key_available",
        None,
        None,
        [2],
    )


def test_a_code_that_was_revoked_replaced_or_lapsed(world: Services) -> None:
    revoked, replaced, lapsed = keys(world, count=3, redeem_by=NOON + DAY)
    revoke_key(world, context(), revoked.id, "Lost")
    new = reissue_key(world, context(), replaced.id, "On a photo")
    for key, rule, words in (
        (revoked, "key_revoked", "was revoked on 1 Mar 2026, 12:00 UTC"),
        (replaced, "key_replaced", f"was replaced by {new.masked} on 1 Mar 2026"),
        (lapsed, "key_lapsed", "was not redeemed before 2 Mar 2026, 12:00 UTC"),
    ):
        found = code(world, key.code, now=NOON + 2 * DAY)
        assert (found.rule, found.code) == (rule, "key_not_available")
        assert found.answer.startswith(f"Key {key.masked} {words}")
        assert found.facts[0].startswith(
            "It was issued to Northwind on 1 Mar 2026: 2 Cloud POS seats"
        )
        assert found.mend
    assert code(world, "POS-AAAA-BBBB-CCCC").rule == "key_unknown"


def test_a_code_that_was_redeemed(world: Services) -> None:
    mine, theirs, ended = keys(world, count=3)
    redeem(world, mine)
    redeem(world, theirs, "other")
    subscription = redeem(world, ended)
    terminate_subscription(world, context(), "acme", subscription, "Paid back")
    here, there, gone = (code(world, key.code) for key in (mine, theirs, ended))
    assert here.rule == "key_redeemed"
    assert here.answer.endswith("works once: its seats last until 1 Mar 2027.")
    assert "on account other on 1 Mar 2026" in there.answer
    assert gone.rule == "subscription_terminated"
    assert code(world, mine.code, now=NOON + 400 * DAY).rule == "subscription_expired"


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("POS-ABC0-DEFG-HJKL", "It has a 0 or a 1, which no code has"),
        ("POS-ABCD-EFGHJKLM2", "It does not have four parts with dashes between them"),
        ("XYZ-ABCD-EFGH-JKLM", "No product's codes begin like that: they begin with INT, POS"),
        ("POS-ABC-DEFG-HJKLM", "Its parts have other lengths or characters than a code's"),
    ],
)
def test_a_text_that_is_no_code_is_told_its_flaw_and_not_repeated(
    world: Services, text: str, flaw: str
) -> None:
    refused(InvalidKeyFormat, lambda: redeem_key(world, context(), Try("acme", "s-1", text)))
    found = code(world, text)
    assert found.rule == found.code == "invalid_key_format"
    assert found.facts[0] == flaw
    assert found.positions == [1]
    assert text not in str(found)


def test_a_code_of_another_product(world: Services) -> None:
    (key,) = keys(world, INT)
    refused(WrongProduct, lambda: redeem_key(world, context(), Try("acme", "s-1", key.code, POS)))
    found = code(world, key.code)
    assert found.rule == found.code == "wrong_product"
    assert found.answer == (
        f"Wrong product prefix: key {key.masked} is for Integrations, and was tried for Cloud POS."
    )
    assert code(world, key.code, product=INT).rule == "key_available"


def test_a_lockout_is_told_with_what_the_code_is(world: Services) -> None:
    (key,) = keys(world)
    guess = Try("acme", "kiosk", "POS-AAAA-BBBB-CCCC")
    for minutes in range(5):
        refused(
            KeyNotAvailable, partial(redeem_key, world, context(NOON + minutes * MINUTE), guess)
        )
    now = NOON + 6 * MINUTE
    refused(
        TooManyAttempts, lambda: redeem_key(world, context(now), Try("acme", "kiosk", key.code))
    )
    found = code(world, key.code, now=now)
    assert (found.rule, found.code) == ("session_blocked", "too_many_attempts")
    assert found.answer == (
        "Session kiosk is blocked until 1 Mar 2026, 12:19 UTC: Too many failed attempts."
        f" As for the code: Key {key.masked} can be redeemed:"
        " it gives 2 Cloud POS seats for 12 months."
    )
    assert found.positions == [2, 3, 5, 7, 9, 11]
    assert code(world, key.code, now=now, session="desk").rule == "key_available"
    assert code(world, key.code, now=NOON + 20 * MINUTE).rule == "key_available"


def test_an_account_that_is_blocked_as_a_whole(world: Services) -> None:
    (key,) = keys(world)
    for number in range(20):
        guess = Try("acme", f"s-{number}", "POS-AAAA-BBBB-CCCC")
        refused(KeyNotAvailable, partial(validate_key, world, context(), guess))
    found = code(world, key.code)
    assert (found.rule, found.code) == ("account_blocked", "too_many_attempts")
    assert found.answer.startswith("The account is blocked until 2 Mar 2026, 12:00 UTC")


# Whatever is refused


def wander(seed: int) -> None:
    """Let chance run commands, and explain each that is refused."""
    random, world = Random(seed), services(seed=seed)
    now = NOON
    issued = [*keys(world, count=3, redeem_by=NOON + 20 * DAY), *keys(world, INT, 2)]
    for _ in range(40):
        now += random.choice([timedelta(0), MINUTE, 10 * MINUTE, DAY, 9 * DAY])
        key = random.choice(issued)
        match random.randrange(6):
            case 0:
                refusal_of(partial(revoke_key, world, context(now), key.id, "Chance"))
            case 1 | 2 | 3:
                text = random.choice([key.code, key.code, "POS-AAAA-BBBB-CCCC", "POS-0000"])
                wanted = random.choice([None, POS, INT])
                tried = Try("acme", random.choice(["s-1", "s-2"]), text, wanted)
                redeems = random.random() < 1 / 2
                hold_code_to(world, tried, redeem_key if redeems else validate_key, now)
            case _:
                product = random.choice([POS, INT])
                tier = random.choice(["growth", "scale"]) if product == INT else None
                hold_seat_to(world, Sitting("acme", product, tier, random.choice("abc")), now)


def refusal_of(command: Callable[[], object]) -> Refusal | None:
    try:
        command()
    except Refusal as refusal:
        return refusal
    return None


def hold_seat_to(world: Services, wanted: Sitting, now: datetime) -> None:
    refusal = refusal_of(partial(occupy_seat, world, context(now), wanted))
    if refusal is not None:
        found = holder(world, wanted.holder, wanted.product, now=now)
        assert (found.code, found.rule) == (refusal.code, refusal.code)
        assert title(refusal.code) in found.answer
        # A repetition within the hour is not recorded: the refusal before it is what is told.
        refused = (event for event in recorded(world) if isinstance(event.fact, SeatRefused))
        assert {event.position for event in refused} & set(found.positions)


def hold_code_to(
    world: Services,
    tried: Try,
    command: Callable[[Services, RequestContext, Try], object],
    now: datetime,
) -> None:
    refusal = refusal_of(partial(command, world, context(now), tried))
    if refusal is not None:
        more = {"product": tried.product} if tried.product else {}
        found = code(world, tried.code, now=now, session=tried.session, **more)
        # The try that fills the measure blocks the session, and was refused for its own sake.
        assert refusal.code == found.code or title(refusal.code) in str(found.facts)
        assert found.code in {refusal.code, "too_many_attempts"}
        assert found.positions
        assert found.mend


@pytest.mark.parametrize("seed", range(60))
def test_every_refusal_is_explained_by_the_rule_that_refused(seed: int) -> None:
    wander(seed)


@pytest.mark.long
@pytest.mark.parametrize("first", range(60, 1_000, 94))
def test_every_refusal_is_explained_a_thousand_times(first: int) -> None:
    for seed in range(first, first + 94):
        wander(seed)
