"""Tables that catch up when they are read: pages, faults in the middle of one, and verification."""

from __future__ import annotations

from contextlib import closing
from random import Random

import pytest
from eventsourcing.persistence import OperationalError

from ledger import codec
from ledger.book import Book
from ledger.events import AnyEvent
from ledger.store import Row as StoredRow
from ledger.streams.key import KeyIssued
from projections.audit import table_differences
from projections.audit.rebuild import PROJECTIONS
from projections.audit.table_differences import RowDifference, differences
from projections.lists import catch_up
from projections.lists.catch_up import Projection, Write
from projections.lists.keys import KEY_LIST, KeyQuery, list_keys
from projections.lists.stores import Tables, open_tables
from projections.lists.stores.tables import Params, Row
from projections.lists.tokens import TOKEN_LIST, list_tokens
from tests.audit.ledgers import happens
from tests.projections.faulty import Faulty
from tests.projections.keys import create_token, issue, redeem, reissue, revoke_token
from tests.projections.telling import asked, at
from tests.worlds import services

NOW = at("2026-03-01 09:00")
ROWS = f"SELECT {', '.join(KEY_LIST.columns)} FROM keyfold_key_list_2 ORDER BY position"


def ids(book: Book, tables: Tables) -> list[str]:
    page = list_keys(book, tables, KeyQuery(), asked("2026-06-01 00:00"), limit=500)
    assert page.position == book.head()
    return [key.id for key in page.keys]


def rows(tables: Tables) -> list[Row]:
    return tables.read(ROWS, {})


def bookmark(tables: Tables) -> int | None:
    found = tables.read(
        "SELECT position FROM keyfold_projections WHERE projection = :name", {"name": "key_list@2"}
    )
    return found[0][0] if found else None


def test_whoever_reads_first_brings_the_table_up_to_date(book: Book, tables: Tables) -> None:
    issue(book, NOW, "k1", "k2")
    assert rows(tables) == []
    assert ids(book, tables) == ["key_k2", "key_k1"]
    issue(book, NOW, "k3")
    assert ids(book, tables) == ["key_k3", "key_k2", "key_k1"]
    assert bookmark(tables) == 3


def test_what_concerns_no_row_moves_the_bookmark_alone(book: Book, tables: Tables) -> None:
    create_token(book, NOW, "t1")
    assert ids(book, tables) == []
    assert bookmark(tables) == 1


def test_each_table_catches_up_by_itself(book: Book, tables: Tables) -> None:
    issue(book, NOW, "k1")
    create_token(book, NOW, "t1")
    assert [token.id for token in list_tokens(book, tables, limit=9).tokens] == ["kft_t1"]
    assert rows(tables) == []
    assert ids(book, tables) == ["key_k1"]


def test_a_page_may_end_in_the_middle_of_an_append(
    book: Book, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catch_up, "PAGE_EVENTS", 3)
    issue(book, NOW, "k1", "k2", "k3", "k4", "k5")
    redeem(book, NOW, "k2")
    reissue(book, NOW, "k2", "k6")
    assert ids(book, tables) == [f"key_k{n}" for n in (6, 5, 4, 3, 2, 1)]
    assert list(differences(book, tables, KEY_LIST)) == []


def test_a_table_may_be_caught_up_a_part_of_the_way(book: Book, tables: Tables) -> None:
    issue(book, NOW, "k1", "k2", "k3")
    catch_up.catch_up(book, tables, KEY_LIST, upto=2)
    assert (bookmark(tables), len(rows(tables))) == (2, 2)
    catch_up.catch_up(book, tables, KEY_LIST, upto=1)
    assert (bookmark(tables), len(rows(tables))) == (2, 2)
    assert len(ids(book, tables)) == 3


def fail() -> None:
    raise OperationalError("the connection broke")


def test_a_reader_that_is_overtaken_applies_nothing_twice(book: Book, tables: Tables) -> None:
    issue(book, NOW, "k1", "k2")
    ids(book, tables)
    issue(book, NOW, "k3")
    overtaken = Faulty(tables)
    overtaken.before = lambda: assert_list(book, tables, ["key_k3", "key_k2", "key_k1"])
    assert ids(book, overtaken) == ["key_k3", "key_k2", "key_k1"]
    assert len(rows(tables)) == 3


def assert_list(book: Book, tables: Tables, expected: list[str]) -> None:
    assert ids(book, tables) == expected


def test_two_first_readers_at_once_are_both_right(book: Book, tables: Tables) -> None:
    issue(book, NOW, "k1")
    overtaken = Faulty(tables)
    overtaken.before = lambda: assert_list(book, tables, ["key_k1"])
    assert ids(book, overtaken) == ["key_k1"]
    assert len(rows(tables)) == 1


def test_a_page_that_breaks_halfway_leaves_nothing(book: Book, tables: Tables) -> None:
    issue(book, NOW, "k1")
    ids(book, tables)
    issue(book, NOW, "k2", "k3")
    faulty = Faulty(tables)
    faulty.halfway = fail
    with pytest.raises(OperationalError):
        ids(book, faulty)
    assert (bookmark(tables), len(rows(tables))) == (1, 1)
    assert ids(book, tables) == ["key_k3", "key_k2", "key_k1"]
    assert list(differences(book, tables, KEY_LIST)) == []


def test_a_page_that_was_committed_with_nobody_told_counts_once(book: Book, tables: Tables) -> None:
    issue(book, NOW, "k1", "k2")
    ids(book, tables)
    issue(book, NOW, "k3")
    faulty = Faulty(tables)
    faulty.after = fail
    with pytest.raises(OperationalError):
        ids(book, faulty)
    assert (bookmark(tables), len(rows(tables))) == (3, 3)
    assert ids(book, tables) == ["key_k3", "key_k2", "key_k1"]


def test_a_sound_table_has_no_differences(book: Book, tables: Tables) -> None:
    for projection in (KEY_LIST, TOKEN_LIST):
        assert list(differences(book, tables, projection)) == []
    issue(book, NOW, "k1", "k2", redeem_by=at("2026-04-01 00:00"))
    redeem(book, NOW, "k1")
    reissue(book, NOW, "k1", "k3")
    create_token(book, NOW, "t1")
    revoke_token(book, NOW, "t1")
    for projection in (KEY_LIST, TOKEN_LIST):
        assert list(differences(book, tables, projection)) == []


def test_every_kind_of_difference_is_found(
    book: Book, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_differences, "PAGE_ROWS", 2)
    issue(book, NOW, "k1", "k2", "k3", "k4")
    ids(book, tables)
    with tables.transaction() as work:
        work.execute("UPDATE keyfold_key_list_2 SET seats = 9 WHERE id = 'key_k1'", {})
        work.execute("DELETE FROM keyfold_key_list_2 WHERE id = 'key_k2'", {})
        work.execute(
            "INSERT INTO keyfold_key_list_2 SELECT 77, 'key_x', masked, product, tier, seats, "
            "months, reseller, reseller_id, batch, batch_index, issued_at, redeem_by, redeemed_at, "
            "redeemed_by, subscription, revoked_at, replaced_by, replaces, "
            "since, ended_by, ended_at "
            "FROM keyfold_key_list_2 WHERE id = 'key_k4'",
            {},
        )
    found = list(differences(book, tables, KEY_LIST))
    assert [_told(difference) for difference in found] == [
        (1, ("key_k1", 9), ("key_k1", 3)),
        (2, None, ("key_k2", 3)),
        (77, ("key_x", 3), None),
    ]
    assert {difference.projection for difference in found} == {"key_list@2"}


def _told(difference: RowDifference) -> tuple[object, ...]:
    live, rebuilt = difference.live, difference.rebuilt
    return (
        difference.position,
        live and (live["id"], live["seats"]),
        rebuilt and (rebuilt["id"], rebuilt["seats"]),
    )


def test_a_lost_fact_is_a_difference(book: Book, tables: Tables) -> None:
    issue(book, NOW, "k1")
    redeem(book, NOW, "k1")
    ids(book, tables)
    with tables.transaction() as work:
        work.execute("UPDATE keyfold_key_list_2 SET redeemed_by = NULL", {})
    (difference,) = differences(book, tables, KEY_LIST)
    assert difference.live
    assert difference.rebuilt
    changed = {
        column: (difference.live[column], difference.rebuilt[column])
        for column in KEY_LIST.columns
        if difference.live[column] != difference.rebuilt[column]
    }
    assert changed == {"redeemed_by": (None, "acme")}


def test_a_new_version_of_a_table_fills_beside_the_old_one() -> None:
    book, tables = Book("memory:"), open_tables("memory:")
    issue(book, NOW, "k1", "k2")
    ids(book, tables)
    with tables.transaction() as work:
        work.execute("CREATE TABLE issued_3 (position INTEGER PRIMARY KEY, id TEXT)", {})

    def write(event: AnyEvent) -> Write | None:
        if not isinstance(event.fact, KeyIssued):
            return None
        params: Params = {"position": event.position, "id": event.fact.key}
        return Write("INSERT INTO issued_3 VALUES (:position, :id)", [params])

    newer = Projection("key_list@3", "issued_3", ("position", "id"), write)
    caught = catch_up.read(book, tables, newer, "SELECT id FROM issued_3 ORDER BY position", {})
    assert caught == (2, [("key_k1",), ("key_k2",)])
    issue(book, NOW, "k3")
    assert ids(book, tables) == ["key_k3", "key_k2", "key_k1"]
    assert tables.read("SELECT count(*) FROM issued_3", {}) == [(2,)]
    tables.close()


# Several at once, and pages of any size

STEPS = (1, 2, 7, 1_000)


def all_rows(tables: Tables) -> list[list[Row]]:
    return [
        tables.read(
            f"SELECT {', '.join(one.columns)} FROM {one.table} ORDER BY {', '.join(one.key)}", {}
        )
        for one in PROJECTIONS
    ]


@pytest.mark.parametrize("seed", range(3))
def test_however_large_its_pages_are_a_table_is_the_same(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    world = services(Book("memory:"))
    happens(world, Random(seed), things=60)
    found = []
    for size in STEPS:
        monkeypatch.setattr(catch_up, "PAGE_EVENTS", size)
        monkeypatch.setattr(catch_up, "PAGE_GROWTH", 1)
        with closing(open_tables("memory:")) as tables:
            catch_up.catch_up_all(world.book, tables, PROJECTIONS, world.book.head())
            found.append(all_rows(tables))
    assert any(found[0])
    assert all(rows == found[0] for rows in found)


def test_of_several_tables_each_goes_on_from_where_it_is(
    book: Book, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catch_up, "PAGE_EVENTS", 4)
    world = services(book)
    happens(world, Random(5), things=20)
    head = book.head()
    for number, one in enumerate(PROJECTIONS):
        catch_up.catch_up(book, tables, one, upto=number * head // len(PROJECTIONS))
    catch_up.catch_up_all(book, tables, PROJECTIONS, head)
    with closing(open_tables("memory:")) as anew:
        catch_up.catch_up_all(book, anew, PROJECTIONS, head)
        assert all_rows(tables) == all_rows(anew)
    assert [catch_up.reached(tables, one.name) for one in PROJECTIONS] == [head] * len(PROJECTIONS)


def test_for_several_tables_an_event_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    book = Book("memory:")
    happens(services(book), Random(1))
    read: list[int] = []
    decode = codec.decode

    def noted(row: StoredRow) -> AnyEvent:
        read.append(row.position)
        return decode(row)

    monkeypatch.setattr(codec, "decode", noted)
    with closing(open_tables("memory:")) as tables:
        catch_up.catch_up_all(book, tables, PROJECTIONS, book.head())
    assert read == list(range(1, book.head() + 1))


def test_when_one_of_several_tables_is_overtaken_the_others_go_on(
    book: Book, tables: Tables
) -> None:
    happens(services(book), Random(2))
    head = book.head()
    overtaken = Faulty(tables)
    overtaken.before = lambda: catch_up.catch_up(book, tables, KEY_LIST, head)
    catch_up.catch_up_all(book, overtaken, PROJECTIONS, head)
    for one in PROJECTIONS:
        assert list(differences(book, tables, one)) == []


def test_a_page_that_was_written_fast_is_followed_by_a_larger_one() -> None:
    size, page_s = catch_up.PAGE_EVENTS * 4, catch_up.PAGE_S
    assert catch_up.next_size(size, page_s) == size
    assert catch_up.next_size(size, page_s / 1.5) == pytest.approx(1.5 * size, abs=1)
    assert catch_up.next_size(size, 1e-9) == 2 * size
    assert catch_up.next_size(size, 60.0) == size // 2
    for seconds, end in ((1e-9, catch_up.PAGE_EVENTS * catch_up.PAGE_GROWTH), (60.0, size // 4)):
        reached = size
        for _ in range(20):
            reached = catch_up.next_size(reached, seconds)
        assert reached == end


def test_a_table_that_differs_in_every_row_is_compared_page_by_page(
    book: Book, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_differences, "PAGE_ROWS", 3)
    issue(book, NOW, *(f"k{n}" for n in range(20)))
    ids(book, tables)
    for statement, expected in (
        ("DELETE FROM keyfold_key_list_2 WHERE position = 1", [1]),
        ("UPDATE keyfold_key_list_2 SET seats = 9 WHERE position % 5 = 0", [1, 5, 10, 15, 20]),
        ("DELETE FROM keyfold_key_list_2 WHERE position > 3", [1, *range(4, 21)]),
        ("DELETE FROM keyfold_key_list_2", list(range(1, 21))),
    ):
        with tables.transaction() as work:
            work.execute(statement, {})
        found = [one.position for one in differences(book, tables, KEY_LIST)]
        assert found == expected
