"""Codes issued elsewhere are taken in, line by line."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from commands import import_keys as import_module
from commands.import_keys import ImportedKeys, RefusedLine, import_keys
from commands.redeem_key import Try, redeem_key, validate_key
from commands.reissue_key import reissue_key
from commands.services import Services
from ledger.book import Book, LedgerUnavailable
from ledger.refusals import KeyNotAvailable
from ledger.store.memory import MemoryRecorder
from ledger.streams.batch import KeysImported
from ledger.streams.key import KEY, KeyIssued, stream_id
from tests.commands.import_files import (
    CODE,
    HEADER,
    INT_CODE,
    INT_LINE,
    INT_MASKED,
    LINE,
    MASKED,
    codes,
    key_of,
    lines_of,
    take_in,
)
from tests.worlds import (
    DAY,
    NOON,
    another_worker,
    context,
    happened,
    recorded,
    services,
    watched,
)


@pytest.fixture
def world() -> Services:
    return services()


def test_a_file_is_recorded_as_one_batch(world: Services) -> None:
    asked = context(actor="kft_one", request_id="req_seven")
    imported = import_keys(world, asked, [HEADER, LINE, INT_LINE])
    assert imported.batch is not None
    batch = imported.batch.replace("bat_", "batch-")
    first, second = (world.codes.key_id(code) for code in (CODE, INT_CODE))
    common = {"actor": "kft_one", "request_id": "req_seven"}
    assert recorded(world) == [
        happened(
            1,
            batch,
            1,
            KeysImported(batch=imported.batch, first_index=0, count=2),
            **common,  # type: ignore[arg-type]
        ),
        happened(
            2,
            KEY.name(stream_id(first)),
            1,
            KeyIssued(
                key=first,
                masked="POS-••••-••••-WXYZ",
                batch=imported.batch,
                index=0,
                generation=0,
                derived=False,
                product="cloud_pos",
                tier=None,
                seats=5,
                months=12,
                reseller="Northwind",
            ),
            causation=f"{batch}/1",
            **common,  # type: ignore[arg-type]
        ),
        happened(
            3,
            KEY.name(stream_id(second)),
            1,
            KeyIssued(
                key=second,
                masked="INT-••••-••••-JKLM",
                batch=imported.batch,
                index=1,
                generation=0,
                derived=False,
                product="integrations",
                tier="growth",
                seats=2,
                months=24,
                reseller="Southwind",
                redeem_by=datetime(2028, 1, 1, tzinfo=UTC),
            ),
            causation=f"{batch}/1",
            **common,  # type: ignore[arg-type]
        ),
    ]
    assert imported == (imported.batch, 2, [], 3)


def test_what_was_taken_in_works_like_a_key_of_our_own(world: Services) -> None:
    take_in(world, LINE, INT_LINE)
    told = validate_key(world, context(), Try("acme", "s-1", INT_CODE.lower(), "integrations"))
    assert (told.issued.tier, told.issued.seats) == ("growth", 2)
    redeemed = redeem_key(world, context(), Try("acme", "s-1", CODE))
    assert redeemed.account.state.pool("cloud_pos", None, NOON).seats == 5


def test_the_new_code_of_a_reissued_key_is_derived(world: Services) -> None:
    imported = take_in(world, LINE, INT_LINE)
    assert imported.batch is not None
    new = reissue_key(world, context(), world.codes.key_id(INT_CODE), "lost")
    assert new.code == world.codes.derive("INT", imported.batch, 1, generation=1)
    assert key_of(world, new.code).issued.derived is True
    with pytest.raises(KeyNotAvailable):
        redeem_key(world, context(), Try("acme", "s-1", INT_CODE))
    redeem_key(world, context(), Try("acme", "s-1", new.code))


@pytest.mark.parametrize(
    "lines",
    {
        "no ends": [HEADER, LINE, INT_LINE],
        "line feeds": [f"{line}\n" for line in (HEADER, LINE, INT_LINE)],
        "carriage returns, too": [f"{line}\r\n" for line in (HEADER, LINE, INT_LINE)],
        "a byte order mark": [f"\ufeff{HEADER}", LINE, INT_LINE],
        "blank lines": ["", HEADER, "", LINE, "   ", INT_LINE, "\n", ",,,,,,"],
        "quotes": [
            '"code","product","tier","seats","months","reseller","redeem_by"',
            f'"{CODE}","cloud_pos","","5","12","Northwind",""',
            f'"{INT_CODE}","integrations","growth","2","24","Southwind","2027-12-31"',
        ],
        "a quoted byte order mark": [f'\ufeff"code",{HEADER[5:]}', LINE, INT_LINE],
        "spaces": [
            HEADER.replace(",", " , "),
            f"  {CODE}  , cloud_pos,,5 , 12, Northwind, ",
            INT_LINE.replace(",", ", "),
        ],
        "lower and upper case": [HEADER.upper(), LINE.replace(CODE, CODE.lower()), INT_LINE],
        "columns in another order": [
            "months,redeem_by,seats,code,reseller,tier,product",
            f"12,,5,{CODE},Northwind,,cloud_pos",
            f"24,2027-12-31,2,{INT_CODE},Southwind,growth,integrations",
        ],
        "a moment for a day": [
            HEADER,
            LINE,
            INT_LINE.replace("2027-12-31", "2028-01-01T00:00:00Z"),
        ],
        "a zone": [
            HEADER,
            LINE,
            INT_LINE.replace("2027-12-31", "2028-01-01T02:00:00+02:00"),
        ],
    }.items(),
    ids=lambda item: item[0],
)
def test_a_file_may_be_written_in_several_ways(
    world: Services, lines: tuple[str, list[str]]
) -> None:
    imported = import_keys(world, context(), lines[1])
    plain = services()
    assert imported == take_in(plain, LINE, INT_LINE)
    assert imported.accepted == 2
    assert recorded(world) == recorded(plain)


def test_a_file_on_disk_is_read_line_by_line(world: Services) -> None:
    text = f"\ufeff{HEADER}\r\n{LINE}\r\n{INT_LINE}"
    assert import_keys(world, context(), io.StringIO(text, newline="")).accepted == 2


def test_a_name_may_hold_a_comma_and_quotes(world: Services) -> None:
    take_in(world, LINE.replace("Northwind", '"North ""N"" wind, Ltd"'))
    assert key_of(world, CODE).issued.reseller == 'North "N" wind, Ltd'


# Once and again


def test_the_same_file_again_refuses_each_line_as_known_and_records_nothing(
    world: Services,
) -> None:
    first = take_in(world, LINE, "nonsense", INT_LINE)
    before = recorded(world)
    for repeating in (world, another_worker(world)):
        # Also when it is over by now: known comes first.
        again = take_in(repeating, LINE, "nonsense", INT_LINE, at=NOON + 3_650 * DAY)
        assert again == ImportedKeys(
            first.batch,
            0,
            [
                RefusedLine(2, MASKED, "code", "already in the ledger"),
                RefusedLine(3, None, None, "has 1 fields, but the header has 7"),
                RefusedLine(4, INT_MASKED, "code", "already in the ledger"),
            ],
            3,
        )
    assert recorded(world) == before


def test_a_file_with_something_added_is_another_batch(world: Services) -> None:
    first = take_in(world, LINE)
    second = take_in(world, LINE, INT_LINE)
    assert (second.accepted, len(second.refused)) == (1, 1)
    assert first.batch != second.batch == key_of(world, INT_CODE).issued.batch
    assert key_of(world, INT_CODE).issued.index == 0


def test_a_file_of_which_nothing_is_taken_in_is_no_batch(world: Services) -> None:
    assert take_in(world, "nonsense").batch is None
    assert take_in(world, LINE + "2026-02-28").batch is None
    take_in(world, LINE)
    assert take_in(world, LINE.replace(",5,", ",6,")).batch is None
    assert take_in(world).accepted == 0
    assert world.book.head() == 2


def test_a_batchs_id_says_nothing_of_its_codes(world: Services) -> None:
    """It is a keyed digest: without the secret nobody can try codes against it."""
    other = services()._replace(request_key=b"x" * 32)
    assert take_in(world, LINE).batch != take_in(other, LINE).batch


def test_progress_is_told_once_for_each_line(
    world: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module, "CHUNK_LINES", 2)
    told: list[int] = []
    lines = [HEADER, *lines_of(world, 5), "", "nonsense", lines_of(world, 1)[0]]
    import_keys(world, context(), lines, on_line=lambda: told.append(world.book.head()))
    assert told == [0, 0, 3, 3, 6, 6, 8]


def test_a_file_of_2500_lines_is_three_commits_of_one_batch(world: Services) -> None:
    imported = take_in(world, *lines_of(world, 2_500))
    assert (imported.accepted, imported.refused, imported.position) == (2_500, [], 2_503)
    facts = [event.fact for event in recorded(world)]
    assert [fact for fact in facts if isinstance(fact, KeysImported)] == [
        KeysImported(batch=imported.batch or "", first_index=first, count=count)
        for first, count in ((0, 1_000), (1_000, 1_000), (2_000, 500))
    ]
    assert [fact.index for fact in facts if isinstance(fact, KeyIssued)] == list(range(2_500))


class BreaksDown(MemoryRecorder):
    """A real recorder whose machine stops after two appends."""

    appends_left = 2

    def insert_events(self, *args: object, **kwargs: object) -> list[int]:
        if not self.appends_left:
            raise LedgerUnavailable("the plug was pulled")
        self.appends_left -= 1
        return super().insert_events(*args, **kwargs)  # type: ignore[arg-type]


def test_a_run_that_broke_off_is_completed_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module, "CHUNK_LINES", 10)
    book, store = Book("memory:"), BreaksDown()
    book.store = store
    world = services(book)
    lines = lines_of(world, 35)
    with pytest.raises(LedgerUnavailable):
        take_in(world, *lines)
    assert world.book.head() == 22
    store.appends_left = 99
    imported = take_in(another_worker(world), *lines, at=NOON + DAY)
    assert (imported.accepted, imported.position) == (15, 39)
    assert [line.line_number for line in imported.refused] == list(range(2, 22))
    facts = [event.fact for event in recorded(world)]
    issued = [fact for fact in facts if isinstance(fact, KeyIssued)]
    assert [fact.index for fact in issued] == list(range(35))
    assert {fact.batch for fact in issued} == {imported.batch}
    assert [fact.key for fact in issued] == [world.codes.key_id(code) for code in codes(world, 35)]


def others(world: Services, *lines: str) -> Iterator[ImportedKeys]:
    yield take_in(another_worker(world), *lines)


def test_codes_that_another_import_took_in_meanwhile_are_known() -> None:
    book, store = watched()
    world = services(book)
    theirs: list[ImportedKeys] = []
    mine = lines_of(world, 3)
    store.overtake = lambda: theirs.extend(others(world, mine[1].replace(",5,", ",9,")))
    imported = take_in(world, *mine)
    assert imported.accepted == 2
    assert [(line.line_number, line.reason) for line in imported.refused] == [
        (3, "already in the ledger")
    ]
    assert theirs[0].accepted == 1
    assert [key_of(world, code).issued.seats for code in codes(world, 3)] == [5, 9, 5]


def test_the_same_file_imported_twice_at_once_is_taken_in_once() -> None:
    book, store = watched()
    world = services(book)
    theirs: list[ImportedKeys] = []
    lines = lines_of(world, 3)
    store.overtake = lambda: theirs.extend(others(world, *lines))
    imported = take_in(world, *lines)
    assert (imported.accepted, theirs[0].accepted) == (0, 3)
    assert imported.batch == theirs[0].batch
    assert world.book.head() == 4
