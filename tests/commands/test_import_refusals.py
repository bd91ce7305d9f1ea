"""What is refused of a file of codes, and that no refusal shows a code."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest

from commands.import_keys import RefusedLine, import_keys
from commands.issue_keys import issue_keys
from commands.redeem_key import Try, validate_key
from commands.services import Services
from ledger.refusals import FieldError, InvalidRequest, KeyNotAvailable
from tests.commands.import_files import (
    CODE,
    HEADER,
    INT_LINE,
    INT_MASKED,
    LINE,
    MASKED,
    key_of,
    lines_of,
    take_in,
)
from tests.worlds import (
    POS_ORDER,
    SECOND,
    context,
    recorded,
    services,
)


@pytest.fixture
def world() -> Services:
    return services()


SHAPE = "must be PREFIX-XXXX-XXXX-XXXX over A–Z and 2–9, with the prefix of a product"
TIERS = "starter, growth, scale"
DATE = "must be a day as 2027-12-31, or a moment as 2027-12-31T18:00:00Z"

Refusing = tuple[str, str | None, str | None, str]
REFUSED: dict[str, Refusing] = {
    "no code": (LINE.replace(CODE, ""), None, "code", SHAPE),
    "a mistyped code": (LINE.replace("2345", "0123"), None, "code", SHAPE),
    "a code of no product": (LINE.replace("POS", "ABC"), None, "code", SHAPE),
    "a code in Cyrillic": (LINE.replace("POS", "РОЅ"), None, "code", SHAPE),
    "a code of another product": (
        LINE.replace("cloud_pos,", "integrations,growth"),
        MASKED,
        "product",
        "has codes that begin with INT-",
    ),
    "no such product": (
        LINE.replace("cloud_pos", "pos"),
        MASKED,
        "product",
        "must be one of cloud_pos, integrations",
    ),
    "no product": (
        LINE.replace("cloud_pos", ""),
        MASKED,
        "product",
        "must be one of cloud_pos, integrations",
    ),
    "a tier too many": (
        LINE.replace(",,", ",growth,"),
        MASKED,
        "tier",
        "must be left out: cloud_pos has no tiers",
    ),
    "a tier too few": (
        INT_LINE.replace("growth", ""),
        INT_MASKED,
        "tier",
        f"is missing: one of {TIERS}",
    ),
    "no such tier": (
        INT_LINE.replace("growth", "Growth"),
        INT_MASKED,
        "tier",
        f"must be one of {TIERS}",
    ),
    **{
        f"seats: {seats}": (
            LINE.replace(",5,", f",{seats},"),
            MASKED,
            "seats",
            "must be a whole number from 1 to 100000",
        )
        for seats in (
            "",
            "five",
            "5.0",
            "+5",
            "-5",
            "5 000",
            "1_000",
            "５",
            "٥",
            "1e3",
            "9" * 5_000,
        )
    },
    "no seats": (LINE.replace(",5,", ",0,"), MASKED, "seats", "must be from 1 to 100000, not 0"),
    "too many seats": (
        LINE.replace(",5,", ",100001,"),
        MASKED,
        "seats",
        "must be from 1 to 100000, not 100001",
    ),
    "months that are no number": (
        LINE.replace(",12,", ",a year,"),
        MASKED,
        "months",
        "must be a whole number from 1 to 120",
    ),
    "too many months": (
        LINE.replace(",12,", ",121,"),
        MASKED,
        "months",
        "must be from 1 to 120, not 121",
    ),
    "no reseller": (LINE.replace("Northwind", ""), MASKED, "reseller", "must not be blank"),
    "a formula": (
        LINE.replace("Northwind", '"=HYPERLINK(""http://x"")"'),
        MASKED,
        "reseller",
        "must not begin with =",
    ),
    "another formula": (
        LINE.replace("Northwind", "@SUM(A1)"),
        MASKED,
        "reseller",
        "must not begin with @",
    ),
    "a name turned round": (
        LINE.replace("Northwind", "North\u202ewind"),
        MASKED,
        "reseller",
        "must not have the character U+202E",
    ),
    "a NUL": (
        LINE.replace("Northwind", "North\0wind"),
        MASKED,
        "reseller",
        "must not have the character U+0000",
    ),
    "a name too long": (
        LINE.replace("Northwind", "N" * 81),
        MASKED,
        "reseller",
        "must have at most 80 characters",
    ),
    "a code for a name": (
        LINE.replace("Northwind", f"for {CODE.lower()}!"),
        MASKED,
        "reseller",
        "must not hold an activation code: name the key by its id or its masked code",
    ),
    **{
        f"redeem_by: {date}": (LINE + date, MASKED, "redeem_by", DATE)
        for date in (
            "soon",
            "31.12.2027",
            "12/31/2027",
            "2027-13-01",
            "2027-02-29",
            "20271231",
            "2027-W01-1",
            "2027-12-31T18:00Z",
            "2027-12-31T24:00:00Z",
            "9999-12-31",
            "２０２７-12-31",
        )
    },
    "a moment without its zone": (
        LINE + "2027-12-31T18:00:00",
        MASKED,
        "redeem_by",
        "must name its zone, as 2026-03-01T09:00:00Z",
    ),
    "a moment that UTC does not have": (
        LINE + "9999-12-31T23:59:59-12:00",
        MASKED,
        "redeem_by",
        "must be in the years 1 to 9999, UTC",
    ),
    "a moment that is over": (
        LINE + "2026-03-01T12:00:00Z",
        MASKED,
        "redeem_by",
        "must be in the future",
    ),
    "a day that is over": (LINE + "2026-02-28", MASKED, "redeem_by", "must be in the future"),
    "a field too few": (CODE, None, None, "has 1 fields, but the header has 7"),
    "a field too many": (LINE + ",", None, None, "has 8 fields, but the header has 7"),
    "semicolons": (LINE.replace(",", ";"), None, None, "has 1 fields, but the header has 7"),
    "a quote that is not closed": (
        LINE.replace("Northwind", '"Northwind'),
        None,
        None,
        "is not a line of CSV: look at its quotes",
    ),
    "text after a quote": (
        LINE.replace("Northwind", '"North"wind'),
        None,
        None,
        "is not a line of CSV: look at its quotes",
    ),
    "more than a field can hold": (
        "x" * 200_000,
        None,
        None,
        "is not a line of CSV: look at its quotes",
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=[name[:30] for name in REFUSED])
def test_a_line_that_does_not_fit_is_refused_and_the_others_are_taken_in(
    world: Services, case: Refusing
) -> None:
    line, masked, field, reason = case
    good, after = lines_of(world, 2)
    imported = take_in(world, good, line, "", after)
    assert imported.refused == [RefusedLine(3, masked, field, reason)]
    assert imported.accepted == 2
    assert [event.name for event in recorded(world)] == [
        "batch.keys_imported@1",
        "key.issued@1",
        "key.issued@1",
    ]
    nowhere = [repr(imported), *(row.state.decode() for row in world.book.store.read_from(0, 9))]
    assert not any("2345-ABCD" in text or "6789-EFGH" in text for text in nowhere)


def test_of_several_mistakes_the_first_is_told(world: Services) -> None:
    line = f"{CODE},x,y,0,0,=1,soon"
    assert take_in(world, line).refused == [
        RefusedLine(2, MASKED, "product", "must be one of cloud_pos, integrations")
    ]


def test_a_day_lapses_when_it_is_over(world: Services) -> None:
    take_in(world, LINE + "2026-03-01")
    last = datetime(2026, 3, 2, tzinfo=UTC)
    validate_key(world, context(last - SECOND), Try("acme", "s-1", CODE))
    with pytest.raises(KeyNotAvailable):
        validate_key(world, context(last), Try("acme", "s-1", CODE))


def test_a_code_that_comes_twice_counts_as_the_first_says(world: Services) -> None:
    other = LINE.replace(",5,", ",9,").replace(CODE, CODE.lower())
    imported = take_in(world, LINE, INT_LINE, other, LINE)
    assert imported.refused == [
        RefusedLine(4, MASKED, "code", "repeats line 2"),
        RefusedLine(5, MASKED, "code", "repeats line 2"),
    ]
    assert key_of(world, CODE).issued.seats == 5


def test_a_line_that_was_refused_does_not_stand_in_the_way_of_its_correction(
    world: Services,
) -> None:
    imported = take_in(world, LINE.replace(",5,", ",five,"), LINE)
    assert [line.line_number for line in imported.refused] == [2]
    assert key_of(world, CODE).issued.seats == 5


def test_a_code_of_our_own_is_known(world: Services) -> None:
    ours = issue_keys(world, context(), POS_ORDER).keys[0]
    imported = take_in(world, f"{ours.code},cloud_pos,,99,12,Northwind,", LINE)
    assert imported.refused == [RefusedLine(2, ours.masked, "code", "already in the ledger")]
    assert key_of(world, ours.code).issued.seats == 3
    assert key_of(world, CODE).issued.index == 0


# The header

COLUMNS = "code, product, tier, seats, months, reseller, redeem_by"


def header_errors(world: Services, *lines: str) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRequest) as caught:
        import_keys(world, context(), lines)
    assert recorded(world) == []
    return [(error.pointer, error.detail) for error in caught.value.errors]


def test_a_missing_column_is_named(world: Services) -> None:
    header = HEADER.replace(",seats", "").replace(",redeem_by", "")
    assert header_errors(world, header, LINE) == [
        ("/seats", "is missing from the header"),
        ("/redeem_by", "is missing from the header"),
    ]


def test_an_unknown_column_is_named(world: Services) -> None:
    assert header_errors(world, f"{HEADER},colour", LINE) == [
        ("/colour", f"is no column: they are {COLUMNS}")
    ]


def test_a_column_that_comes_twice_is_named(world: Services) -> None:
    assert header_errors(world, f"{HEADER},seats", LINE) == [("/seats", "is in the header twice")]


@pytest.mark.parametrize("lines", [[], ["", "\n"]])
def test_an_empty_file_has_no_columns(world: Services, lines: list[str]) -> None:
    errors = header_errors(world, *lines)
    assert [pointer for pointer, _ in errors] == [f"/{column}" for column in HEADER.split(",")]


@pytest.mark.parametrize(
    "first", [LINE, INT_LINE.lower(), LINE.replace(",", ";"), f'"{LINE}"', CODE.replace("-", " ")]
)
def test_a_file_without_a_header_shows_no_code(world: Services, first: str) -> None:
    errors = header_errors(world, first, LINE)
    assert errors[0] == ("/column 1", f"is no column: they are {COLUMNS}")
    assert not any("abcd" in str(error).lower() or "efgh" in str(error).lower() for error in errors)


def test_a_header_with_a_quote_that_is_not_closed_has_no_columns(world: Services) -> None:
    assert len(header_errors(world, f'"{HEADER}', LINE)) == 7


@pytest.mark.parametrize("column", ["code", "x"])
def test_a_header_of_very_many_columns_is_refused_as_a_whole(world: Services, column: str) -> None:
    errors = header_errors(world, ",".join([column] * 500_000), LINE)
    problem = f"has 500000 columns in its first line: they are {COLUMNS}"
    assert errors == [("/file", problem)]


def test_text_that_is_not_utf_8_is_refused_without_showing_any(world: Services) -> None:
    latin_1 = f"{HEADER}\n{LINE}\n{LINE.replace('Northwind', 'Zürich')}".encode("latin-1")
    with pytest.raises(InvalidRequest) as caught:
        import_keys(world, context(), io.TextIOWrapper(io.BytesIO(latin_1), "utf-8"))
    assert caught.value.errors == (FieldError("/file", "must be text in UTF-8"),)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert recorded(world) == []
