"""The tree in its tiles: on each database, with any number of readers."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from eventsourcing.persistence import OperationalError

from ledger.proof.merkle import EMPTY_ROOT, verify_consistency, verify_inclusion
from ledger.store.contract import Row
from projections.audit import tree
from projections.audit.tree import Tile, TreeDamaged
from projections.lists import catch_up
from projections.lists.stores import Tables, open_tables
from projections.lists.stores import tables as kept
from tests.projections.faulty import Faulty
from tests.proof.ledgers import Ledger, frontier, leaf, opened

# Around the ends of tiles, and of the first tile of level 1.
SIZES = [1, 2, 3, 255, 256, 257, 511, 512, 513, 700]
IN_EVERY_RUN = {1, 2, 3, 256, 257, 513}


def root_of(size: int) -> bytes:
    return frontier(range(1, size + 1)).root()


def test_the_tree_of_no_events_has_the_empty_root(ledger: Ledger) -> None:
    assert tree.root(ledger.book, ledger.tables, 0) == EMPTY_ROOT
    assert ledger.tables.read("SELECT * FROM keyfold_tree_1", {}) == []


def test_a_root_is_that_of_the_events_in_order(ledger: Ledger) -> None:
    ledger.add(700)
    for size in SIZES:
        assert tree.root(ledger.book, ledger.tables, size) == root_of(size)


def test_a_tree_that_grew_step_by_step_is_the_one_that_grew_at_once(ledger: Ledger) -> None:
    chance = random.Random(7)
    while ledger.book.head() < 1200:
        ledger.add(chance.choice([1, 2, 50, 255, 256, 257]))
        assert tree.root(ledger.book, ledger.tables, ledger.book.head()) == root_of(
            ledger.book.head()
        )
    at_once = open_tables("memory:")
    tree.extend(ledger.book, at_once, ledger.book.head())
    rows = "SELECT level, number, hashes FROM keyfold_tree_1 ORDER BY level, number"
    assert ledger.tables.read(rows, {}) == at_once.read(rows, {})


def test_tiles_are_those_of_the_specification(ledger: Ledger) -> None:
    """The example of C2SP tlog-tiles, with a size that has as many kinds of tiles."""
    ledger.add(600)
    tree.extend(ledger.book, ledger.tables, 600)
    tiles = ledger.tables.read(
        "SELECT level, number, hashes FROM keyfold_tree_1 ORDER BY level, number", {}
    )
    widths = [(level, number, len(hashes) // 32) for level, number, hashes in tiles]
    assert widths == [(0, 0, 256), (0, 1, 256), (0, 2, 88), (1, 0, 2)]
    assert tree.split(tiles[3][2]) == [root_of(256), frontier(range(257, 513)).root()]
    assert tree.split(tiles[2][2])[0] == leaf(513)


def test_third_level_tiles_are_made_of_full_second_level_tiles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With tiles of four hashes, so that a few events fill several levels."""
    monkeypatch.setattr(tree, "TILE_HEIGHT", 2)
    monkeypatch.setattr(tree, "TILE_HASHES", 4)
    monkeypatch.setattr(catch_up, "PAGE_EVENTS", 7)
    ledger = opened("memory:")
    ledger.add(300)
    for size in range(1, 301):
        assert tree.root(ledger.book, ledger.tables, size) == root_of(size)
        assert tree.frontier(ledger.book, ledger.tables, size).root() == root_of(size)
    for size in (64, 65, 85, 256, 257, 299, 300):
        for position in range(1, size + 1):
            tree.inclusion(ledger.book, ledger.tables, position, size)
            tree.consistency(ledger.book, ledger.tables, position, size)


def test_each_event_is_hashed_once(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[int] = []
    hash_row = tree.hash_row

    def counting(row: Row) -> bytes:
        hashed.append(row.position)
        return hash_row(row)

    monkeypatch.setattr(tree, "hash_row", counting)
    monkeypatch.setattr(catch_up, "PAGE_EVENTS", 100)
    for _ in range(6):
        ledger.add(101)
        head = ledger.book.head()
        tree.root(ledger.book, ledger.tables, head)
        tree.inclusion(ledger.book, ledger.tables, 1, head)
        tree.consistency(ledger.book, ledger.tables, 1, head)
    assert hashed == list(range(1, 607))


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(size, marks=[] if size in IN_EVERY_RUN else [pytest.mark.long])
        for size in SIZES
    ],
)
def test_inclusion_is_proved_of_every_event(size: int) -> None:
    ledger = opened("memory:")
    ledger.add(700)
    for position in range(1, size + 1):
        found = tree.inclusion(ledger.book, ledger.tables, position, size)
        assert found[:3] == (position, size, leaf(position))
        assert found.root == root_of(size)
        assert verify_inclusion(found.leaf, position - 1, size, found.hashes, found.root)


def test_inclusion_and_consistency_are_proved_on_each_database(ledger: Ledger) -> None:
    ledger.add(700)
    chance = random.Random(5)
    for _ in range(50):
        new = chance.randint(1, 700)
        old = chance.randint(1, new)
        proof = tree.consistency(ledger.book, ledger.tables, old, new)
        assert (proof.old, proof.new) == (old, new)
        assert verify_consistency(old, new, root_of(old), root_of(new), proof.hashes)
        assert (proof.old_root, proof.new_root) == (root_of(old), root_of(new))
        inclusion = tree.inclusion(ledger.book, ledger.tables, old, new)
        assert verify_inclusion(leaf(old), old - 1, new, inclusion.hashes, root_of(new))


def test_the_right_edge_of_any_size_goes_on_to_the_whole(ledger: Ledger) -> None:
    ledger.add(600)
    for size in (0, 1, 100, 256, 300, 512, 600):
        edge = tree.frontier(ledger.book, ledger.tables, size)
        for number in range(size + 1, 601):
            edge.append(leaf(number))
        assert edge.root() == root_of(600)


def test_a_proof_reads_few_tiles_whatever_the_size(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.add(1500)
    tree.extend(ledger.book, ledger.tables, 1500)
    read = tree.read_tiles
    asked: list[int] = []

    def counting(tables: Tables, tiles: Collection[Tile]) -> dict[Tile, bytes]:
        asked.append(len(tiles))
        return read(tables, tiles)

    monkeypatch.setattr(tree, "read_tiles", counting)
    for position in (1, 255, 256, 700, 1500):
        tree.inclusion(ledger.book, ledger.tables, position, 1500)
        tree.consistency(ledger.book, ledger.tables, position, 1500)
    assert len(asked) == 10
    assert max(asked) <= 4


def test_a_proof_of_what_is_in_the_tree_asks_for_its_tiles_once_and_for_nothing_else(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.add(600)
    tree.extend(ledger.book, ledger.tables, 600)
    read = ledger.tables.read
    asked: list[str] = []

    def noting(sql: str, params: kept.Params) -> list[kept.Row]:
        asked.append(sql)
        return read(sql, params)

    monkeypatch.setattr(ledger.tables, "read", noting)
    tree.inclusion(ledger.book, ledger.tables, 300, 600)
    tree.consistency(ledger.book, ledger.tables, 300, 600)
    assert ["keyfold_tree_1" in sql for sql in asked] == [True, True]


# Several readers, and faults


def fail() -> None:
    raise OperationalError("the connection broke")


def test_a_reader_that_is_overtaken_hashes_nothing_into_the_tree_twice(ledger: Ledger) -> None:
    ledger.add(300)
    overtaken = Faulty(ledger.tables)
    overtaken.before = lambda: tree.extend(ledger.book, ledger.tables, 300)
    assert tree.root(ledger.book, overtaken, 300) == root_of(300)
    assert tree.root(ledger.book, ledger.tables, 300) == root_of(300)


def test_a_page_that_breaks_halfway_leaves_nothing(ledger: Ledger) -> None:
    ledger.add(100)
    tree.extend(ledger.book, ledger.tables, 100)
    ledger.add(400)
    faulty = Faulty(ledger.tables)
    faulty.halfway = fail
    with pytest.raises(OperationalError):
        tree.extend(ledger.book, faulty, 500)
    assert tree.reached(ledger.tables) == 100
    assert tree.root(ledger.book, ledger.tables, 100) == root_of(100)
    assert tree.root(ledger.book, ledger.tables, 500) == root_of(500)


def test_a_page_whose_commit_is_not_acknowledged_is_there_once(ledger: Ledger) -> None:
    tree.reached(ledger.tables)
    ledger.add(300)
    faulty = Faulty(ledger.tables)
    faulty.after = fail
    with pytest.raises(OperationalError):
        tree.extend(ledger.book, faulty, 300)
    assert tree.reached(ledger.tables) == 300
    assert tree.root(ledger.book, ledger.tables, 300) == root_of(300)


def test_any_number_of_readers_see_the_same_tree_while_it_grows(stored: Ledger) -> None:
    def read(_: int) -> list[tuple[int, bytes]]:
        with closing(opened(stored.url)) as mine:
            sizes: list[tuple[int, bytes]] = []
            while not sizes or sizes[-1][0] < 600:
                head = mine.book.head()
                sizes.append((head, tree.root(mine.book, mine.tables, head)))
            return sizes

    with ThreadPoolExecutor(4) as threads:
        readers = [threads.submit(read, n) for n in range(4)]
        while stored.book.head() < 600:
            stored.add(20)
        for reader in readers:
            for size, root in reader.result():
                assert root == root_of(size)


# A tree that is not what it should be


def spoil(ledger: Ledger, tile: Tile, how: Callable[[bytes], bytes]) -> None:
    (hashes,) = (found for _, found in tree.read_tiles(ledger.tables, [tile]).items())
    with ledger.tables.transaction() as work:
        work.execute(
            "UPDATE keyfold_tree_1 SET hashes = :hashes WHERE level = :level AND number = :number",
            {**tile._asdict(), "hashes": how(hashes)},
        )


def test_no_proof_is_given_that_would_not_pass(ledger: Ledger) -> None:
    ledger.add(600)
    tree.extend(ledger.book, ledger.tables, 600)
    spoil(ledger, Tile(0, 0), lambda hashes: bytes(32) + hashes[32:])
    with pytest.raises(TreeDamaged, match="around position 2"):
        tree.inclusion(ledger.book, ledger.tables, 2, 600)
    with pytest.raises(TreeDamaged, match="between 3 and 600"):
        tree.consistency(ledger.book, ledger.tables, 3, 600)


def test_a_tile_that_is_not_whole_is_told(ledger: Ledger) -> None:
    ledger.add(300)
    tree.extend(ledger.book, ledger.tables, 300)
    spoil(ledger, Tile(0, 1), lambda hashes: hashes[:-1])
    with pytest.raises(TreeDamaged, match="tile 1 of level 0 is not whole"):
        tree.root(ledger.book, ledger.tables, 300)
    ledger.add(1)
    with pytest.raises(TreeDamaged, match="tile 1 of level 0 is not whole"):
        tree.root(ledger.book, ledger.tables, 301)
    assert tree.reached(ledger.tables) == 300


def test_an_event_that_the_ledger_lacks_is_told(ledger: Ledger) -> None:
    ledger.add(3)
    with pytest.raises(TreeDamaged, match="does not have all of the positions 1 to 5"):
        tree.root(ledger.book, ledger.tables, 5)
