"""A ledger of any size is hashed, verified and checked a page at a time."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ledger.store import schema
from projections.audit import tree
from projections.audit.export import blocks, plan
from tests.proof.auditors import Auditor
from tests.proof.ledgers import Ledger, opened

FEW, MANY = 4_000, 16_000


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    url = f"sqlite:///{tmp_path}/ledger.db"
    schema.upgrade(url)
    with closing(opened(url)) as found:
        yield found


def extend(ledger: Ledger, _auditor: Auditor) -> None:
    ledger.tables.read("SELECT 1", {})
    tree.extend(ledger.book, ledger.tables, ledger.book.head())


def verify(ledger: Ledger, _auditor: Auditor) -> None:
    assert ledger.verify().findings == []


def check(_ledger: Ledger, auditor: Auditor) -> None:
    said = auditor.verifies("ledger.jsonl", "--checkpoint", "mine.txt", "--old", "ledger.jsonl")
    assert said.code == 0


@pytest.mark.parametrize("work", [extend, verify, check])
def test_a_ledger_of_four_times_the_size_needs_no_more_memory(
    ledger: Ledger, tmp_path: Path, work: Callable[[Ledger, Auditor], None]
) -> None:
    auditor = Auditor(tmp_path)
    peaks = []
    for size in (FEW, MANY):
        ledger.add(size - ledger.book.head())
        if work is not extend:
            auditor.keeps("mine.txt", ledger.checkpoint())
            auditor.keeps("ledger.jsonl", b"".join(blocks(ledger.book, plan(ledger.book))))
        tracemalloc.start()
        work(ledger, auditor)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.5
