"""A code is validated, or redeemed on an account."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from commands.change_subscription import terminate_subscription
from commands.issue_keys import IssuedKey
from commands.occupy_seat import Sitting, occupy_seat
from commands.redeem_key import Beginning, Redeemed, Try, Validated, redeem_key, validate_key
from commands.reissue_key import reissue_key
from commands.release_seat import release_seat
from commands.revoke_key import revoke_key
from commands.services import Services
from ledger.book import Change
from ledger.refusals import (
    IdempotencyKeyReused,
    InvalidKeyFormat,
    KeyAlreadyYours,
    KeyNotAvailable,
    Refusal,
    TooManyAttempts,
    WrongProduct,
)
from ledger.streams.account.facts import SubscriptionActivated
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.attempts import RedemptionRefused
from ledger.streams.key import KeyRedeemed
from ledger.streams.request import RedemptionAnswered
from ledger.streams.session_attempts import SESSION, TryFailed
from tests.worlds import (
    DAY,
    INT_ORDER,
    MINUTE,
    NOON,
    POS_ORDER,
    SECOND,
    another_worker,
    context,
    happened,
    issue,
    recorded,
    services,
    watched,
)

LATER = NOON + MINUTE
UNKNOWN = "POS-2345-ABCD-WXYZ"


@pytest.fixture
def world() -> Services:
    return services()


def redeem(
    world: Services, code: str, account: str = "acme", *, at: datetime = LATER, **options: Any
) -> Redeemed:
    return redeem_key(world, context(at), Try(account, "s-1", code), **options)


def key_stream(key: IssuedKey) -> str:
    return key.id.replace("key_", "key-")


def subscription_of(key: IssuedKey) -> str:
    return key.id.replace("key_", "kfsub_")


def activated(key: IssuedKey, at: datetime = LATER) -> SubscriptionActivated:
    return SubscriptionActivated(
        subscription=subscription_of(key),
        key=key.id,
        masked=key.masked,
        product="cloud_pos",
        tier=None,
        seats=3,
        months=12,
        expires_at=at.replace(year=at.year + 1),
    )


# Validating


def test_a_validation_tells_what_a_code_would_give_and_consumes_nothing(world: Services) -> None:
    key = issue(world)
    before = recorded(world)
    for _ in range(2):
        told = validate_key(world, context(LATER), Try("acme", "s-1", f" {key.code.lower()} "))
        issued = before[1].fact
        choices = [Beginning("now", LATER, LATER.replace(year=2027))]
        assert told == Validated(issued, None, choices, position=2)  # type: ignore[arg-type]
    assert recorded(world) == before
    redeem(world, key.code)


def test_a_validation_may_ask_for_the_product(world: Services) -> None:
    key = issue(world, INT_ORDER)
    told = validate_key(world, context(), Try("acme", "s-1", key.code, "integrations"))
    assert (told.issued.product, told.issued.tier) == ("integrations", "growth")


# Redeeming


def test_the_key_and_the_account_change_in_one_commit(world: Services) -> None:
    key = issue(world)
    asked = context(LATER, actor="kft_portal", request_id="req_seven")
    redeemed = redeem_key(world, asked, Try("acme", "s-1", f"\t{key.code.lower()} ", "cloud_pos"))
    of_request: Any = {"at": LATER, "actor": "kft_portal", "request_id": "req_seven"}
    subscription = subscription_of(key)
    assert recorded(world, after=2) == [
        happened(
            3,
            key_stream(key),
            2,
            KeyRedeemed(account="acme", subscription=subscription),
            **of_request,
        ),
        happened(
            4, "account-acme", 1, activated(key), causation=f"{key_stream(key)}/2", **of_request
        ),
    ]
    assert redeemed.subscription == subscription
    assert (redeemed.at, redeemed.position, redeemed.replayed) == (LATER, 4, False)
    assert redeemed.account == world.book.load(ACCOUNT, "acme")
    assert redeemed.account.state.subscriptions[subscription].expires_at == LATER.replace(year=2027)


def test_the_same_code_again_is_not_available_on_another_account(world: Services) -> None:
    key = issue(world)
    redeem(world, key.code)
    with pytest.raises(KeyNotAvailable):
        redeem(world, key.code, "beta")
    assert [event.name for event in recorded(world, after=4)] == [
        "attempts.redemption_refused@1",
        "session.try_failed@1",
    ]


@pytest.mark.parametrize("command", [redeem_key, validate_key])
@pytest.mark.parametrize("since", ["nothing", "reissued", "terminated", "expired", "both"])
def test_who_has_redeemed_a_code_is_told_so_and_no_try_is_counted(
    world: Services, command: Callable[..., object], since: str
) -> None:
    key = issue(world)
    subscription = redeem(world, key.code).subscription
    typed, now = [key.code], LATER
    if since in ("reissued", "both"):
        typed.append(reissue_key(world, context(LATER), key.id, "seen by a stranger").code)
    if since in ("terminated", "both"):
        terminate_subscription(world, context(LATER), "acme", subscription, "a mistake")
    if since == "expired":
        now = LATER + 400 * DAY
    head = world.book.head()
    for code in typed * 6:
        with pytest.raises(KeyAlreadyYours) as caught:
            command(world, context(now), Try("acme", "s-1", code, "cloud_pos"))
        assert (caught.value.subscription, caught.value.activated_at) == (subscription, LATER)
    assert world.book.head() == head
    with pytest.raises(WrongProduct):
        command(world, context(now), Try("acme", "s-1", key.code, "integrations"))
    for _ in range(4):
        with pytest.raises(InvalidKeyFormat):
            command(world, context(now), Try("acme", "s-1", "nonsense"))
    with pytest.raises(TooManyAttempts):
        command(world, context(now), Try("acme", "s-1", key.code))


def test_two_codes_are_two_subscriptions(world: Services) -> None:
    first, second = issue(world), issue(world)
    redeem(world, first.code)
    account = redeem(world, second.code).account
    assert list(account.state.subscriptions) == [subscription_of(first), subscription_of(second)]
    assert account.state.pool("cloud_pos", None, LATER).seats == 6


@dataclass(frozen=True)
class Refused:
    """A try, why it fails, and what is remembered of it."""

    says: str
    refusal: type[Refusal]
    code: str = "{key}"
    product: str | None = None
    at: datetime = LATER
    known: bool = True
    found: str | None = None
    version: int | None = None
    before: list[str] = field(default_factory=list)


REFUSED = [
    Refused("no code at all", InvalidKeyFormat, code="let me in", known=False),
    Refused("a mistyped code", InvalidKeyFormat, code="POS-1234-ABCD-WXYZ", known=False),
    Refused("of no product", InvalidKeyFormat, code="ABC-2345-ABCD-WXYZ", known=False),
    Refused("of another product", WrongProduct, product="integrations"),
    Refused("never issued", KeyNotAvailable, code="POS-2345-ABCD-WXYZ", found="unknown", version=0),
    Refused("redeemed", KeyNotAvailable, found="redeemed", version=2, before=["redeem"]),
    Refused("revoked", KeyNotAvailable, found="revoked", version=2, before=["revoke"]),
    Refused("replaced", KeyNotAvailable, found="revoked", version=2, before=["reissue"]),
    Refused(
        "replaced after it was redeemed",
        KeyNotAvailable,
        found="revoked",
        version=3,
        before=["redeem", "reissue"],
    ),
    Refused("lapsed", KeyNotAvailable, found="lapsed", version=1, at=NOON + 10 * DAY),
]


def prepare(world: Services, steps: list[str]) -> IssuedKey:
    key = issue(world, replace(POS_ORDER, redeem_by=NOON + 10 * DAY))
    for step in steps:
        if step == "redeem":
            redeem(world, key.code, "other")
        elif step == "revoke":
            revoke_key(world, context(), key.id, "lost")
        else:
            reissue_key(world, context(), key.id, "lost")
    return key


@pytest.mark.parametrize("consuming", [True, False], ids=["redeemed", "validated"])
@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.says)
def test_a_failed_try_is_remembered_with_what_it_was_decided_on(
    case: Refused, consuming: bool
) -> None:
    world = services()
    key = prepare(world, case.before)
    code = case.code.format(key=key.code)
    command = redeem_key if consuming else validate_key
    before = world.book.head()
    for version in (1, 2):
        before = world.book.head()
        with pytest.raises(case.refusal) as caught:
            command(world, context(case.at), Try("acme", "s-1", code, case.product))
        assert not caught.value.replayed
        expected = RedemptionRefused(
            session="s-1",
            refusal=case.refusal.code,
            key=world.codes.key_id(code) if case.known else None,
            masked=f"POS-••••-••••-{code[-4:]}" if case.known else None,
            product=case.product,
            found=case.found,
            key_version=case.version,
            consuming=consuming,
            counted=True,
        )
        counted = TryFailed(on_account="acme", failures=version)
        assert recorded(world, after=before) == [
            happened(before + 1, "attempts-acme", version, expected, at=case.at),
            happened(
                before + 2,
                SESSION.name(world.codes.session_id("s-1")),
                version,
                counted,
                at=case.at,
                causation=f"attempts-acme/{version}",
            ),
        ]
    assert world.book.load(ACCOUNT, "acme").version == 0


# Retried requests


def test_a_repeated_redemption_is_answered_as_before_and_records_nothing(world: Services) -> None:
    key = issue(world)
    first = redeem(world, key.code, idempotency_key="r-1")
    (answered,) = recorded(world, after=4)
    fact = answered.fact
    assert isinstance(fact, RedemptionAnswered)
    assert answered == happened(
        5,
        answered.stream,
        1,
        RedemptionAnswered(
            fingerprint=fact.fingerprint,
            account="acme",
            subscription=subscription_of(key),
            account_version=1,
            refusal=None,
        ),
        at=LATER,
        causation=f"{key_stream(key)}/2",
    )
    assert answered.stream.startswith("request-")
    # Meanwhile the account goes on; the answer is still that of then.
    redeem(world, issue(world).code, at=NOON + DAY)
    before = recorded(world)
    for repeating in (world, another_worker(world)):
        again = redeem(repeating, key.code, at=NOON + 2 * DAY, idempotency_key="r-1")
        assert again.replayed
        assert again.account.state == first.account.state
        assert (again.account.id, again.account.version) == ("acme", 1)
        assert (again.subscription, again.at) == (first.subscription, LATER)
        assert again.account.head == world.book.head()
        assert again.position == world.book.head()
    assert recorded(world) == before


def test_a_redemption_on_an_account_with_a_past_is_answered_again_as_it_was_then(
    world: Services,
) -> None:
    redeem(world, issue(world).code, at=NOON)
    occupy_seat(world, context(NOON + MINUTE), Sitting("acme", "cloud_pos", None, "till-1"))
    key = issue(world)
    first = redeem(world, key.code, at=LATER, idempotency_key="r-1")
    release_seat(world, context(LATER + MINUTE), "acme", "cloud_pos", "till-1")
    for repeating in (world, another_worker(world)):
        again = redeem(repeating, key.code, at=LATER + DAY, idempotency_key="r-1")
        assert (again.replayed, again.at, again.subscription) == (True, LATER, first.subscription)
        assert (again.account.version, again.account.state) == (3, first.account.state)
        assert set(again.account.state.seats) == {("cloud_pos", "till-1")}


def test_two_idempotency_keys_are_two_requests(world: Services) -> None:
    first, second = issue(world), issue(world)
    assert not redeem(world, first.code, idempotency_key="r-1").replayed
    assert not redeem(world, second.code, idempotency_key="r-2").replayed


@pytest.mark.parametrize(
    "other",
    [
        Try("acme", "s-1", "{code}", "cloud_pos"),
        Try("acme", "s-2", "{code}"),
        Try("beta", "s-1", "{code}"),
        Try("acme", "s-1", UNKNOWN),
    ],
)
def test_another_request_with_the_same_key_is_refused(world: Services, other: Try) -> None:
    key = issue(world)
    redeem(world, key.code, idempotency_key="r-1")
    before = recorded(world)
    for _ in range(2):
        with pytest.raises(IdempotencyKeyReused):
            redeem_key(
                world,
                context(LATER),
                other._replace(code=other.code.format(code=key.code)),
                idempotency_key="r-1",
            )
    assert recorded(world) == before


@pytest.mark.parametrize(
    ("code", "refusal"),
    [("nonsense", InvalidKeyFormat), (UNKNOWN, KeyNotAvailable)],
)
def test_a_repeated_refusal_is_counted_once(
    world: Services, code: str, refusal: type[Refusal]
) -> None:
    for round_ in range(7):
        with pytest.raises(refusal) as caught:
            redeem(world, code, at=LATER + round_ * SECOND, idempotency_key="r-1")
        assert caught.value.replayed is (round_ > 0)
    tried, _, answered = recorded(world)
    assert isinstance(answered.fact, RedemptionAnswered)
    assert (tried.stream, tried.version) == ("attempts-acme", 1)
    assert answered == happened(
        3,
        answered.stream,
        1,
        replace(
            answered.fact,
            account="acme",
            subscription=None,
            account_version=None,
            refusal=refusal.code,
        ),
        at=LATER,
        causation="attempts-acme/1",
    )


def test_a_replay_is_answered_also_while_the_session_is_blocked(world: Services) -> None:
    key = issue(world)
    redeem(world, key.code, idempotency_key="r-1")
    for _ in range(5):
        with pytest.raises(KeyNotAvailable):
            redeem(world, UNKNOWN)
    with pytest.raises(TooManyAttempts):
        redeem(world, UNKNOWN)
    assert redeem(world, key.code, idempotency_key="r-1").replayed


def test_a_blocked_try_is_no_answer_so_the_same_request_may_come_again(world: Services) -> None:
    key = issue(world)
    for _ in range(5):
        with pytest.raises(KeyNotAvailable):
            redeem(world, UNKNOWN)
    before = recorded(world)
    with pytest.raises(TooManyAttempts):
        redeem(world, key.code, idempotency_key="r-1")
    assert recorded(world) == before
    redeemed = redeem(world, key.code, at=LATER + 15 * MINUTE, idempotency_key="r-1")
    assert not redeemed.replayed


# Others at work


def test_of_two_accounts_that_redeem_at_once_one_wins() -> None:
    book, store = watched()
    world = services(book)
    key = issue(world)
    store.overtake = lambda: redeem(another_worker(world), key.code, "faster")
    with pytest.raises(KeyNotAvailable):
        redeem(world, key.code, "slower")
    assert world.book.load(ACCOUNT, "slower").version == 0
    (refused,) = [event for event in recorded(world) if event.stream == "attempts-slower"]
    assert isinstance(refused.fact, RedemptionRefused)
    assert (refused.fact.found, refused.fact.key_version) == ("redeemed", 2)


def test_an_account_that_moved_meanwhile_takes_the_subscription_all_the_same() -> None:
    book, store = watched()
    world = services(book)
    first, second = issue(world), issue(world)
    store.overtake = lambda: redeem(another_worker(world), first.code)
    assert redeem(world, second.code).account.version == 2
    assert len(recorded(world)) == 8


def test_two_requests_with_one_idempotency_key_at_once_are_one() -> None:
    book, store = watched()
    world = services(book)
    key = issue(world)
    store.overtake = lambda: redeem(another_worker(world), key.code, idempotency_key="r-1")
    assert redeem(world, key.code, idempotency_key="r-1").replayed
    assert len(recorded(world)) == 5


def test_a_validation_that_fails_beside_another_counts_both() -> None:
    book, store = watched()
    world = services(book)

    def fail(worker: Services) -> None:
        with pytest.raises(KeyNotAvailable):
            validate_key(worker, context(), Try("acme", "s-1", UNKNOWN))

    store.overtake = lambda: fail(another_worker(world))
    fail(world)
    assert [event.version for event in recorded(world)] == [1, 1, 2, 2]


# Clocks that differ


def test_a_key_issued_by_a_clock_ahead_is_redeemed_at_our_time(world: Services) -> None:
    key = issue(world, at=NOON + timedelta(days=800))
    redeemed = redeem(world, key.code, at=NOON)
    assert redeemed.at == NOON
    assert redeemed.account.state.subscriptions[redeemed.subscription].started_at == NOON


def test_a_key_lapses_by_our_clock_and_not_by_the_one_that_wrote_to_the_account(
    world: Services,
) -> None:
    key = issue(world, replace(POS_ORDER, redeem_by=NOON + DAY))
    other = issue(world)
    ahead = NOON + 2 * DAY
    world.book.append(
        context(ahead), Change(world.book.load(ACCOUNT, "acme"), [activated(other, ahead)])
    )
    assert redeem(world, key.code, at=NOON).at == NOON
