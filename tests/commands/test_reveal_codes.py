"""A batch's codes are shown to their owner again."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from commands.import_keys import import_keys
from commands.issue_keys import Issued, IssuedKey, issue_keys
from commands.redeem_key import Try, redeem_key
from commands.reissue_key import reissue_key
from commands.reveal_codes import reveal_code, reveal_codes
from commands.revoke_key import revoke_key
from commands.services import Services
from ledger.refusals import BatchNotFound, CodesNotDerivable, InvalidRequest, KeyNotFound
from ledger.streams.batch import CodesRevealed
from tests.worlds import (
    DAY,
    NOON,
    POS_ORDER,
    SECRET,
    another_worker,
    context,
    happened,
    recorded,
    services,
)

ORDER = replace(POS_ORDER, count=5, redeem_by=NOON + DAY)


@pytest.fixture
def world() -> Services:
    return services()


@pytest.fixture
def issued(world: Services) -> Issued:
    return issue_keys(world, context(), ORDER)


@pytest.mark.parametrize("reseller", [None, "Northwind"])
def test_codes_are_derived_again_and_each_look_is_on_record(
    world: Services, issued: Issued, reseller: str | None
) -> None:
    stream = issued.batch.replace("bat_", "batch-")
    for look in (1, 2):
        asked = context(NOON, actor="kft_one", request_id=f"req_{look}")
        reader = another_worker(world, seed=look)
        revealed = reveal_codes(reader, asked, issued.batch, f"look {look}", reseller=reseller)
        assert revealed == (issued.batch, issued.keys, 6 + look)
        (event,) = recorded(world, after=5 + look)
        assert isinstance(event.fact, CodesRevealed)
        assert world.texts.open(event.fact.reason) == f"look {look}"
        assert event == happened(
            6 + look, stream, 1 + look, event.fact, actor="kft_one", request_id=f"req_{look}"
        )


def test_codes_that_are_gone_are_masked(world: Services, issued: Issued) -> None:
    redeemed, revoked, replaced, *others = issued.keys
    redeem_key(world, context(), Try("acme", "s-1", redeemed.code))
    revoke_key(world, context(), revoked.id, "lost")
    new = reissue_key(world, context(), replaced.id, "lost")
    shown = reveal_codes(world, context(), issued.batch, "audit").keys
    assert shown == [
        *(key._replace(code=key.masked) for key in (redeemed, revoked, replaced)),
        IssuedKey(new.id, new.code, new.masked),
        *others,
    ]


def test_the_code_that_was_given_last_for_a_key_is_shown_and_those_before_are_masked(
    world: Services, issued: Issued
) -> None:
    first, second, *others = issued.keys
    given = [reissue_key(world, context(), first.id, "lost")]
    given.append(reissue_key(world, context(), given[0].id, "lost again"))
    redeem_key(world, context(), Try("acme", "s-1", second.code))
    of_redeemed = reissue_key(world, context(), second.id, "seen by a stranger")
    shown = reveal_codes(another_worker(world), context(), issued.batch, "lost the mail").keys
    assert shown == [
        IssuedKey(first.id, first.masked, first.masked),
        IssuedKey(given[0].id, given[0].masked, given[0].masked),
        IssuedKey(given[1].id, given[1].code, given[1].masked),
        IssuedKey(second.id, second.masked, second.masked),
        IssuedKey(of_redeemed.id, of_redeemed.masked, of_redeemed.masked),
        *others,
    ]


def test_codes_that_lapsed_are_still_their_owners_to_see(world: Services, issued: Issued) -> None:
    assert reveal_codes(world, context(NOON + 2 * DAY), issued.batch, "audit").keys == issued.keys


def test_without_the_secret_there_is_nothing_to_show(world: Services, issued: Issued) -> None:
    other = world._replace(codes=world.codes._replace(derivation=SECRET.derive("other")))
    shown = reveal_codes(other, context(), issued.batch, "audit").keys
    assert not {key.code for key in shown} & {key.code for key in issued.keys}


@pytest.mark.parametrize("id", ["bat_unknown", "unknown", ""])
def test_an_unknown_batch_is_not_found(world: Services, id: str) -> None:
    with pytest.raises(BatchNotFound):
        reveal_codes(world, context(), id, "audit")
    assert recorded(world) == []


def test_another_resellers_batch_is_not_found(world: Services, issued: Issued) -> None:
    with pytest.raises(BatchNotFound):
        reveal_codes(world, context(), issued.batch, "audit", reseller="Southwind")
    assert world.book.head() == 6


def test_imported_codes_cannot_be_shown(world: Services) -> None:
    lines = [
        "code,product,tier,seats,months,reseller,redeem_by",
        "POS-2345-ABCD-WXYZ,cloud_pos,,5,12,Northwind,",
    ]
    batch = import_keys(world, context(), lines).batch
    assert batch is not None
    with pytest.raises(CodesNotDerivable):
        reveal_codes(world, context(), batch, "audit")
    with pytest.raises(BatchNotFound):
        reveal_codes(world, context(), batch, "audit", reseller="Northwind")
    assert world.book.head() == 2


# One key


LINES = [
    "code,product,tier,seats,months,reseller,redeem_by",
    "POS-2345-ABCD-WXYZ,cloud_pos,,5,12,Northwind,",
    "POS-2345-ABCD-WXY3,cloud_pos,,5,12,Southwind,",
]


@pytest.fixture
def imported(world: Services) -> str:
    """Return the id of Northwind's imported key."""
    import_keys(world, context(), LINES)
    return world.codes.key_id("POS-2345-ABCD-WXYZ")


@pytest.mark.parametrize("reseller", [None, "Northwind"])
def test_what_was_given_in_place_of_an_imported_code_can_be_shown_again(
    world: Services, imported: str, reseller: str | None
) -> None:
    masked = "POS-••••-••••-WXYZ"
    first = reissue_key(world, context(), imported, "on a photo")
    second = reissue_key(world, context(), first.id, "again", reseller=reseller)
    head = world.book.head()
    asked = context(NOON + DAY, actor="kft_one")
    shown = reveal_code(another_worker(world), asked, imported, "mail lost", reseller=reseller)
    assert shown.keys == [
        IssuedKey(imported, masked, masked),
        IssuedKey(first.id, first.masked, first.masked),
        IssuedKey(second.id, second.code, second.masked),
    ]
    assert shown.position == head + 1
    (event,) = recorded(world, after=head)
    assert isinstance(event.fact, CodesRevealed)
    assert event.fact.key == imported
    assert world.texts.open(event.fact.reason) == "mail lost"
    stream = shown.batch.replace("bat_", "batch-")
    assert event == happened(head + 1, stream, 2, event.fact, at=NOON + DAY, actor="kft_one")
    # Asked for by its own id, it is shown alone; and it is the code that works.
    assert reveal_code(world, context(), second.id, "mail lost").keys == shown.keys[2:]
    redeem_key(world, context(NOON + DAY), Try("acme", "s-1", shown.keys[2].code))
    assert reveal_code(world, context(NOON + DAY), second.id, "mail lost").keys == [
        IssuedKey(second.id, second.masked, second.masked)
    ]


def test_of_an_order_one_key_can_be_shown_without_the_others(
    world: Services, issued: Issued
) -> None:
    shown = reveal_code(world, context(NOON + 2 * DAY), issued.keys[1].id, "mail lost")
    assert shown == (issued.batch, [issued.keys[1]], 7)


def test_whose_code_cannot_be_shown_is_refused(world: Services, imported: str) -> None:
    head = world.book.head()
    with pytest.raises(CodesNotDerivable):
        reveal_code(world, context(), imported, "audit")
    theirs = reissue_key(world, context(), imported, "lost").id
    for id, reseller in ((theirs, "Southwind"), (imported, "Southwind"), ("key_x", None)):
        with pytest.raises(KeyNotFound):
            reveal_code(world, context(), id, "audit", reseller=reseller)
    with pytest.raises(InvalidRequest):
        reveal_code(world, context(), theirs, " ")
    assert world.book.head() == head + 2
