"""What a request is held against before anybody looks at the ledger."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from commands import validation
from commands.change_subscription import terminate_subscription
from commands.clear_attempts import clear_attempts
from commands.erase_account import erase_account
from commands.give_access import create_token
from commands.issue_keys import Order, issue_keys
from commands.link_customer import link_customer
from commands.occupy_seat import Sitting, occupy_seat
from commands.open_portal_session import Granted, end_portal_sessions, make_link
from commands.redeem_key import Try, redeem_key, validate_key
from commands.reissue_key import reissue_key
from commands.release_seat import release_seat
from commands.reveal_codes import reveal_codes
from commands.revoke_key import revoke_key
from commands.services import Services
from ledger import codes
from ledger.book import Change
from ledger.catalog import builtin
from ledger.refusals import FieldError, InvalidRequest, SeatNotOccupied
from ledger.streams.account import stream
from ledger.streams.account.facts import SeatOccupied
from tests.worlds import INT_ORDER, NOON, POS_ORDER, SECOND, context, issue, recorded, services

CATALOG = builtin()
PRODUCTS = "must be one of cloud_pos, integrations"
TIERS = "starter, growth, scale"
ACCOUNT = "must match [A-Za-z0-9._:-]{1,64}"
ID_128 = "must match [A-Za-z0-9._:-]{1,128}"


def order(**changed: Any) -> Callable[[Services], object]:
    wanted = {**{field: getattr(POS_ORDER, field) for field in Order.__struct_fields__}, **changed}
    return lambda world: issue_keys(world, context(), Order(**wanted))


def seat(**changed: Any) -> Callable[[Services], object]:
    wanted = Sitting("acme", "cloud_pos", None, "till-1", "front")._replace(**changed)
    return lambda world: occupy_seat(world, context(), wanted)


def try_(**changed: Any) -> Callable[[Services], object]:
    wanted = Try("acme", "s-1", "POS-2345-ABCD-WXYZ", "cloud_pos")._replace(**changed)
    return lambda world: redeem_key(world, context(), wanted)


def validate(**changed: Any) -> Callable[[Services], object]:
    wanted = Try("acme", "s-1", "POS-2345-ABCD-WXYZ", "cloud_pos")._replace(**changed)
    return lambda world: validate_key(world, context(), wanted)


def token(role: str, **options: Any) -> Callable[[Services], object]:
    return lambda world: create_token(world, context(), role, **options)


Case = tuple[str, Callable[[Services], object], list[tuple[str, str]]]

SEATS, MONTHS, COUNT = (f"must be from 1 to {n}" for n in (100_000, 120, 10_000))
CASES: list[Case] = [
    ("no seats", order(seats=0), [("/seats", f"{SEATS}, not 0")]),
    ("less than none", order(seats=-1), [("/seats", f"{SEATS}, not -1")]),
    ("too many seats", order(seats=10**9), [("/seats", f"{SEATS}, not 1000000000")]),
    ("one seat too many", order(seats=100_001), [("/seats", f"{SEATS}, not 100001")]),
    ("no months", order(months=0), [("/months", f"{MONTHS}, not 0")]),
    ("too many months", order(months=121), [("/months", f"{MONTHS}, not 121")]),
    ("no keys", order(count=0), [("/count", f"{COUNT}, not 0")]),
    ("too many keys", order(count=10_001), [("/count", f"{COUNT}, not 10001")]),
    ("a product that is none", order(product="POS"), [("/product", PRODUCTS)]),
    (
        "a tier where there is none",
        order(tier="growth"),
        [("/tier", "must be left out: cloud_pos has no tiers")],
    ),
    (
        "no tier where one is needed",
        order(product="integrations"),
        [("/tier", f"is missing: one of {TIERS}")],
    ),
    (
        "a tier of another product",
        order(product="integrations", tier="gold"),
        [("/tier", f"must be one of {TIERS}")],
    ),
    ("no reseller", order(reseller=""), [("/reseller", "must not be blank")]),
    (
        "a reseller with a space after it",
        order(reseller="Northwind "),
        [("/reseller", "must not begin or end with a space")],
    ),
    (
        "a reseller too long",
        order(reseller="N" * 81),
        [("/reseller", "must have at most 80 characters")],
    ),
    ("a formula", order(reseller="=1+1"), [("/reseller", "must not begin with =")]),
    ("another", order(reseller="+1"), [("/reseller", "must not begin with +")]),
    ("a third", order(reseller="-1"), [("/reseller", "must not begin with -")]),
    ("a fourth", order(reseller="@SUM(A1)"), [("/reseller", "must not begin with @")]),
    ("in full width", order(reseller="＝1"), [("/reseller", "must not begin with ＝")]),
    (
        "a reseller turned round",
        order(reseller="North\u202ewind"),
        [("/reseller", "must not have the character U+202E")],
    ),
    ("a NUL", order(reseller="a\0b"), [("/reseller", "must not have the character U+0000")]),
    ("a blank note", order(note="  "), [("/note", "must not be blank")]),
    ("a long note", order(note="n" * 501), [("/note", "must have at most 500 characters")]),
    (
        "a note of half a surrogate pair",
        order(note="\ud800"),
        [("/note", "must not have the character U+D800")],
    ),
    (
        "all of that at once",
        order(product="x", seats=0, months=0, count=0, reseller="", note=""),
        [
            ("/product", PRODUCTS),
            ("/seats", f"{SEATS}, not 0"),
            ("/months", f"{MONTHS}, not 0"),
            ("/count", f"{COUNT}, not 0"),
            ("/reseller", "must not be blank"),
            ("/note", "must not be blank"),
        ],
    ),
    ("a date that is over", order(redeem_by=NOON), [("/redeem_by", "must be in the future")]),
    (
        "a date without its zone",
        order(redeem_by=datetime(2027, 1, 1)),  # noqa: DTZ001
        [("/redeem_by", "must name its zone, as 2026-03-01T09:00:00Z")],
    ),
    (
        "a date that UTC does not have",
        order(redeem_by=datetime.max.replace(tzinfo=timezone(-timedelta(hours=5)))),
        [("/redeem_by", "must be in the years 1 to 9999, UTC")],
    ),
    ("an account with a slash", seat(account="a/b"), [("/account", ACCOUNT)]),
    ("no account", seat(account=""), [("/account", ACCOUNT)]),
    ("an account too long", seat(account="a" * 65), [("/account", ACCOUNT)]),
    ("an account with a line break", seat(account="acme\n"), [("/account", ACCOUNT)]),
    ("a holder with a space", seat(holder="till 1"), [("/holder", ID_128)]),
    ("a seat of no product", seat(product="x"), [("/product", PRODUCTS)]),
    ("a seat of no tier", seat(product="integrations"), [("/tier", f"is missing: one of {TIERS}")]),
    ("a blank label", seat(label=""), [("/label", "must not be blank")]),
    (
        "a label of two lines",
        seat(label="a\nb"),
        [("/label", "must not have the character U+000A")],
    ),
    ("a try of no account", try_(account="é"), [("/account", ACCOUNT)]),
    ("a try of no session", try_(session=""), [("/session", ID_128)]),
    ("a try for no product", try_(product=""), [("/product", PRODUCTS)]),
    ("the same for a validation", validate(session="s 1"), [("/session", ID_128)]),
    (
        "all of a try at once",
        validate(account="", session="", product="x"),
        [("/account", ACCOUNT), ("/session", ID_128), ("/product", PRODUCTS)],
    ),
    (
        "a holder that gives back",
        lambda world: release_seat(world, context(), "a b", "cloud_pos", ""),
        [("/account", ACCOUNT), ("/holder", ID_128)],
    ),
    (
        "a revocation for no reason",
        lambda world: revoke_key(world, context(), "key_x", " "),
        [("/reason", "must not be blank")],
    ),
    (
        "a reissue for too long a reason",
        lambda world: reissue_key(world, context(), "key_x", "r" * 501),
        [("/reason", "must have at most 500 characters")],
    ),
    (
        "a look at codes for no reason",
        lambda world: reveal_codes(world, context(), "bat_x", ""),
        [("/reason", "must not be blank")],
    ),
    (
        "an end for no reason, of no account",
        lambda world: terminate_subscription(world, context(), "", "kfsub_x", ""),
        [("/account", ACCOUNT), ("/reason", "must not be blank")],
    ),
    (
        "a role that is none",
        token("root"),
        [("/role", "must be one of portal, reseller, support, auditor, admin")],
    ),
    (
        "all of a token at once",
        token("root", reseller="=1", expires_at=NOON - SECOND),
        [
            ("/role", "must be one of portal, reseller, support, auditor, admin"),
            ("/reseller", "must not begin with ="),
            ("/expires_at", "must be in the future"),
        ],
    ),
    (
        "a token that is over",
        token("portal", expires_at=NOON),
        [("/expires_at", "must be in the future")],
    ),
    (
        "a token until a date without its zone",
        token("portal", expires_at=datetime(2027, 1, 1)),  # noqa: DTZ001
        [("/expires_at", "must name its zone, as 2026-03-01T09:00:00Z")],
    ),
    (
        "a reseller's token for no reseller",
        token("reseller"),
        [("/reseller", "a token of role reseller needs one")],
    ),
    (
        "a token for a blank reseller",
        token("reseller", reseller=" "),
        [("/reseller", "must not begin or end with a space")],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_what_does_not_fit_is_named_and_nothing_is_recorded(case: Case) -> None:
    _, ask, expected = case
    world = services()
    with pytest.raises(InvalidRequest) as caught:
        ask(world)
    assert caught.value.errors == tuple(FieldError(*error) for error in expected)
    assert recorded(world) == []


FITS: list[tuple[str, Callable[[Services], object]]] = [
    ("the fewest", order(seats=1, months=1, count=1)),
    ("the most", order(seats=100_000, months=120, count=3)),
    ("a name of eighty", order(reseller="N" * 80)),
    ("a name with signs inside", order(reseller="A=B + C-D @ E")),
    ("a name in Arabic", order(reseller="شركة الشمال")),
    ("a note of five hundred", order(note="n" * 500)),
    ("a date just ahead", order(redeem_by=NOON + SECOND)),
    ("a tier", lambda world: issue_keys(world, context(), INT_ORDER)),
]


@pytest.mark.parametrize("case", FITS, ids=lambda case: case[0])
def test_what_fits_is_carried_out(case: tuple[str, Callable[[Services], object]]) -> None:
    world = services()
    case[1](world)
    assert recorded(world)


def test_times_are_brought_to_utc() -> None:
    rome = timezone(timedelta(hours=2))
    read = validation.utc("/at", datetime(2026, 7, 1, 1, 30, tzinfo=rome))
    assert read == datetime(2026, 6, 30, 23, 30, tzinfo=UTC)
    assert read is not None
    assert read.tzinfo is UTC
    assert validation.utc("/at", None) is None


def texts(value: str) -> dict[str, Callable[[Services], object]]:
    """Everything that a person may write freely, by its field."""
    return {
        "/note": order(note=value),
        "/label": seat(label=value),
        "/reseller": order(reseller=value[:80]),
        "/reason": lambda world: revoke_key(world, context(), "key_x", value),
        "/reason ": lambda world: reissue_key(world, context(), "key_x", value),
        "/reason  ": lambda world: reveal_codes(world, context(), "bat_x", value),
        "/reason   ": lambda world: clear_attempts(world, context(), "acme", value),
        "/reason    ": lambda world: erase_account(world, context(), "acme", value),
        "/reason     ": lambda world: terminate_subscription(world, context(), "acme", "x", value),
        "/reason      ": lambda world: link_customer(world, context(), "acme", "cus_x1", value),
        "/reason       ": lambda world: release_seat(
            world, context(), "acme", "cloud_pos", "till-1", value
        ),
        "/reason        ": token("admin", reason=value),
    }


SPELLINGS: list[Callable[[str], str]] = [
    lambda code: code,
    lambda code: code.lower(),
    lambda code: code.replace("-", "–"),
    lambda code: code.replace("-", ""),
    lambda code: code.replace("-", " "),
    lambda code: code.replace("-", "      "),
    lambda code: code.replace("-", " - "),
    lambda code: code.replace("-", "-----"),
    lambda code: code.replace("-", "_"),
    lambda code: code.replace("-", "."),
    lambda code: "".join(chr(ord(one) + 0xFEE0) for one in code),
    lambda code: f"“{code}”",
]


@pytest.mark.parametrize("spell", SPELLINGS)
@pytest.mark.parametrize("around", ["{}", "Sold {}, by phone", "x{}x"])
def test_no_text_may_hold_a_whole_code(spell: Callable[[str], str], around: str) -> None:
    world = services()
    # Some have no digit in them, and look like words: only the ledger knows those.
    keys = issue_keys(world, context(), replace(POS_ORDER, count=60)).keys
    plain = [one for one in keys if one.code.replace("-", "").isalpha()]
    assert plain
    head = world.book.head()
    for key in [plain[0], keys[0]]:
        value = around.format(spell(key.code))
        for field, command in texts(value).items():
            with pytest.raises(InvalidRequest) as caught:
                command(world)
            assert caught.value.errors == (FieldError(field.strip(), validation.HOLDS_CODE),)
            assert key.code[-4:] not in str(caught.value)
    assert world.book.head() == head


@pytest.mark.parametrize(
    "text",
    [
        "POS till with open drawer",
        "Internationally known",
        "Interconnections to PoS Cafe Nord West",
        "POS-••••-••••-7K2M was lost",
        "key_c5nfx2ynqk7tq3bd5xw4a6bl7m",
        "INT 2024 plan 2025",
        "cus_NffrFeUfNV2Hib, in_1OqLsZ2eZvKYlo2CXkaFhQ1b",
        "0b4f2c7e-6f0e-4b57-9f5b-0f5dbb3f6a11",
        "POS till 4477 Graz",
        "POS-••••-••••-7K2M replaced",
        "POS-••••-••••-7K2M: duplicate",
        "POS-••••-••••-7K2M POS-••••-••••-8ABC both lost",
    ],
)
def test_words_and_ids_are_no_codes(text: str) -> None:
    world = services()
    assert validation.text(world, "/note", text) == []


def test_a_code_that_nobody_issued_is_none_of_the_texts_business_unless_it_looks_like_one() -> None:
    world = services()
    for text in ("POS-ABCD-EFGH-JKLM", "pos-2345-abcd-wxyz.", "POS2345ABCDWXYZ"):
        assert validation.text(world, "/note", text) == [FieldError("/note", validation.HOLDS_CODE)]
    assert validation.text(world, "/note", "POS ABCD EFGH JKLM") == []


GAPS = st.text("-- –—−\t\u00a0\u3000", max_size=20)
AROUND = st.sampled_from(["", "Sold ", "x", "22", ", by phone", " Wien", "• ", "POS ", "_"])
UNSEEN = st.sampled_from(["", "\u200b", "\u00ad", "'", "”"])


@pytest.fixture(scope="module")
def keyed() -> tuple[Services, list[str]]:
    """Return a ledger with keys, and codes of two: one has a digit, one is of letters alone."""
    world = services()
    keys = issue_keys(world, context(), replace(POS_ORDER, count=60)).keys
    plain = next(one.code for one in keys if one.code.replace("-", "").isalpha())
    return world, [keys[0].code, plain]


@given(st.integers(0, 1), st.tuples(GAPS, GAPS, GAPS), AROUND, AROUND, UNSEEN, st.booleans())
def test_a_code_of_ours_is_found_however_it_may_be_typed(
    keyed: tuple[Services, list[str]],
    which: int,
    gaps: tuple[str, str, str],
    before: str,
    after: str,
    unseen: str,
    lower: bool,
) -> None:
    world, codes_of_ours = keyed
    code = codes_of_ours[which]
    spelled = "".join(map("".join, zip(code.split("-"), [*gaps, ""], strict=True)))
    spelled = spelled[:2] + unseen + (spelled.lower() if lower else spelled)[2:]
    assert codes.parse(spelled, world.catalog.prefixes) == code
    text = before + spelled + after
    assert validation.text_holds_code(world, text)
    masked = validation.without_codes(world, text)
    assert not validation.text_holds_code(world, masked)
    assert codes.mask(code) in masked


def test_who_says_again_what_label_the_seat_has_keeps_it() -> None:
    world = services()
    redeem_key(world, context(), Try("acme", "s", issue(world).code))
    label = "Till POS-2345-ABCD-WXYZ"  # recorded when labels were not looked through for it
    sealed = world.texts.seal("account-acme", label, NOON)
    seated = SeatOccupied("cloud_pos", None, "till-1", sealed)
    world.book.append(context(), Change(world.book.load(stream.ACCOUNT, "acme"), [seated]))
    again = Sitting("acme", "cloud_pos", None, "till-1", label)
    assert not occupy_seat(world, context(), again).created
    for other in (again._replace(label=f"{label}!"), again._replace(holder="till-2")):
        with pytest.raises(InvalidRequest) as caught:
            occupy_seat(world, context(), other)
        assert caught.value.errors == (FieldError("/label", validation.HOLDS_CODE),)


CODE = "POS-2345-ABCD-WXYZ"
RECORDED_IDS: dict[str, tuple[str, Callable[[Services, str], object]]] = {
    "a seat's holder": ("/holder", lambda world, id: seat(holder=id)(world)),
    "a seat's account": ("/account", lambda world, id: seat(account=id)(world)),
    "a try's account": ("/account", lambda world, id: try_(account=id)(world)),
    "a try's session": ("/session", lambda world, id: try_(session=id)(world)),
    "a validation's": ("/account", lambda world, id: validate(account=id)(world)),
    "a customer's": ("/account", lambda world, id: link_customer(world, context(), id, "cus_x1")),
    "a cleared one": ("/account", lambda world, id: clear_attempts(world, context(), id, "called")),
    "one whose sessions end": (
        "/account",
        lambda world, id: end_portal_sessions(world, context(), id, "stolen"),
    ),
    "a session's": (
        "/account",
        lambda world, id: make_link(world, b"k" * 32, context(), Granted(id)),
    ),
}


@pytest.mark.parametrize("spelled", [CODE, CODE.lower(), f"till:{CODE}", f"{CODE}.1", f"a-{CODE}"])
@pytest.mark.parametrize("which", RECORDED_IDS)
def test_no_id_that_would_be_recorded_may_be_a_whole_code(which: str, spelled: str) -> None:
    world = services()
    pointer, command = RECORDED_IDS[which]
    with pytest.raises(InvalidRequest) as caught:
        command(world, spelled)
    assert caught.value.errors == (FieldError(pointer, "must not hold an activation code"),)
    assert recorded(world) == []


ID_SPELLINGS: list[Callable[[str], str]] = [
    lambda code: code.replace("-", ""),
    lambda code: code.replace("-", "").lower(),
    lambda code: code.replace("-", "--"),
    lambda code: code.replace("-", "_"),
    lambda code: code.replace("-", "."),
    lambda code: code.replace("-", "", 2),
    lambda code: f"till-{code.replace('-', '')}x",
    lambda code: f"X{code}",
]


@pytest.mark.parametrize("spell", ID_SPELLINGS)
@pytest.mark.parametrize("which", RECORDED_IDS)
def test_no_id_that_would_be_recorded_may_be_a_code_of_ours_however_it_is_spelled(
    which: str, spell: Callable[[str], str]
) -> None:
    world = services()
    keys = issue_keys(world, context(), replace(POS_ORDER, count=60)).keys
    head = world.book.head()
    pointer, command = RECORDED_IDS[which]
    plain = next(one for one in keys if one.code.replace("-", "").isalpha())
    for key in (keys[0], plain):
        with pytest.raises(InvalidRequest) as caught:
            command(world, spell(key.code))
        assert FieldError(pointer, "must not hold an activation code") in caught.value.errors
    assert world.book.head() == head


@pytest.mark.parametrize("spell", ID_SPELLINGS)
def test_an_id_that_only_looks_like_such_a_spelling_is_taken(spell: Callable[[str], str]) -> None:
    world = services()
    issue_keys(world, context(), POS_ORDER)
    assert validation.no_code(world, "/holder", spell(CODE)) == []


def test_an_id_that_was_made_to_look_like_very_many_codes_is_not_looked_up() -> None:
    words = ["POS" + "".join(word) for word in islice(product("ABCDEF", repeat=12), 300)]
    assert not validation.id_holds_code(services(), ".".join(words[:200]))
    assert validation.id_holds_code(services(), ".".join(words))


NAMES_OF_TILLS = {
    "POS Till Nord West": "POS Till Nord West",
    "POS-TILL-NORD-WEST": "POS-••••-••••-WEST",
    "Till 4": "Till 4",
    "POS-TILL-0012-MAIN": "POS-TILL-0012-MAIN",
    "pos-2345-abcd-wxyz": "POS-••••-••••-WXYZ",
    "Till POS2345ABCDWXYZ, north": "TILL POS-••••-••••-WXYZ, NORTH",
    "POS-2345-ABCD-WXYZ POS 2345 ABCD WXYZ": "POS-••••-••••-WXYZ POS 2345 ABCD WXYZ",
    "POS till 4477 Graz": "POS till 4477 Graz",
    "POS-ABCD-EFGH-7K2M Wien Shop": "POS-••••-••••-7K2M WIEN SHOP",
}


@pytest.mark.parametrize("name", NAMES_OF_TILLS)
def test_what_may_be_a_code_in_a_name_that_cannot_be_changed_is_masked(name: str) -> None:
    assert validation.without_codes(services(), name) == NAMES_OF_TILLS[name]


def test_of_two_codes_that_overlap_neither_is_left() -> None:
    assert not validation.text_holds_code(
        services(), validation.without_codes(services(), "POSPOS2345ABCDWXYZ")
    )


def test_a_code_of_letters_alone_is_masked_in_such_a_name_when_the_ledger_has_it() -> None:
    world = services()
    keys = issue_keys(world, context(), replace(POS_ORDER, count=60)).keys
    plain = next(one for one in keys if one.code.replace("-", "").isalpha())
    for spell in SPELLINGS:
        assert validation.without_codes(world, spell(plain.code)).endswith(plain.masked)


@pytest.mark.parametrize(
    "id",
    [
        "cust-2345-abcd-wxyz",
        f"X{CODE}",
        f"{CODE}2",
        CODE.replace("-", ""),
        "POS-2345-ABCD",
        "posterminal2345",
        "0b4f2c7e-6f0e-4b57-9f5b-0f5dbb3f6a11",
        "POS-1000-2000-3000",
    ],
)
def test_ids_that_are_no_codes_are_taken(id: str) -> None:
    assert validation.no_code(services(), "/holder", id) == []


def test_who_sits_under_a_code_already_can_give_the_seat_back() -> None:
    with pytest.raises(SeatNotOccupied):
        release_seat(services(), context(), "acme", "cloud_pos", CODE)
