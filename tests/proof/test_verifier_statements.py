"""The auditors' own program counts a reseller's statement again, from an export or a backup."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from ledger import months
from ledger.proof.notes import sign
from ledger.refusals import Refusal
from projections.audit.export import blocks, plan
from projections.lists.statements import ResellerStatement
from tests.cli.program import Program
from tests.projections.test_statements import ALPHA, BETA, STEPS, Step, World, do
from tests.proof.auditors import Auditor
from tests.proof.ledgers import KEY, ORIGIN
from tests.worlds import DAY, NOON
from web.app.csv_encoding import csv_lines
from web.app.json_encoding import to_plain
from web.app.statements import STATEMENT_COLUMNS, statement_rows
from web.app.times import iso
from web.cli.compressed_files import COMPRESSIONS, reading


@pytest.fixture
def auditor(tmp_path: Path) -> Auditor:
    return Auditor(tmp_path)


def keep_export(auditor: Auditor, world: World) -> None:
    book = world.services.book
    auditor.keeps("ledger.jsonl", b"".join(blocks(book, plan(book))))


def keep_statement(auditor: Auditor, found: ResellerStatement) -> None:
    auditor.keeps("told.json", json.dumps(to_plain(found)))
    table = csv_lines(STATEMENT_COLUMNS, statement_rows(found), "\r\n")
    auditor.keeps("told.csv", "\ufeff" + table)


HELD = ("--statement", "told.json", "--statement", "told.csv")


def in_may() -> World:
    """Return a ledger of March and April, of which March was told."""
    world = World()
    first = world.issue(count=3, seats=5, redeem_by=NOON + 20 * DAY)
    world.issue(product="integrations", tier="growth", seats=2)
    world.redeem(first)
    world.now += 31 * DAY
    world.told("2026-03")
    world.amend(world.keys[3], seats=4)
    world.revoke(world.keys[1])
    world.now += 30 * DAY
    return world


def test_a_statement_is_what_follows_under_a_checkpoint(auditor: Auditor) -> None:
    world = in_may()
    keep_statement(auditor, world.told("2026-03"))
    keep_export(auditor, world)
    auditor.keeps("key.txt", KEY.verifier.vkey)
    header = json.loads((auditor.folder / "ledger.jsonl").read_text().splitlines()[0])
    text = f"{ORIGIN}\n{header['last']}\n{header['root']}\n"
    auditor.keeps("kept.txt", sign(text, [KEY]))
    said = auditor.verifies("ledger.jsonl", *HELD, "--checkpoint", "kept.txt", "--key", "key.txt")
    assert said.code == 0, said.lines
    follows = "is what follows from these events: Alpha, 2026-03, up to position"
    assert [line.rpartition(" ")[0] for line in said.good[1:]] == [
        f"told.json {follows}",
        f"told.csv {follows}",
    ]
    assert said.notes == []
    said = auditor.verifies("ledger.jsonl", *HELD)
    assert said.code == 0
    assert sum("no checkpoint was given that covers position" in note for note in said.notes) == 2


LINES = [
    ("issued", "issued of cloud_pos, 12 months, was 4, and is 3"),
    ("seats", "seats of cloud_pos, 12 months, was 16, and is 15"),
    ("redeemed", "redeemed of cloud_pos, 12 months, was 2, and is 1"),
    ("lapsed", "lapsed of cloud_pos, 12 months, was 3, and is 2"),
]


@pytest.mark.parametrize(("figure", "sentence"), LINES)
def test_each_figure_that_is_another_is_named(auditor: Auditor, figure: str, sentence: str) -> None:
    world = in_may()
    found = to_plain(world.told("2026-03"))
    found["lines"][0][figure] += 1
    found["totals"][figure] += 1
    auditor.keeps("told.json", json.dumps(found))
    keep_export(auditor, world)
    said = auditor.verifies("ledger.jsonl", "--statement", "told.json")
    assert (said.code, said.wrong) == (1, [f"told.json differs: {sentence}"])


def left_out(found: Any) -> None:
    del found["lines"][1]


def summed_wrongly(found: Any) -> None:
    found["totals"]["seats"] += 1


def moved(found: Any) -> None:
    found["position"] -= 1


@pytest.mark.parametrize(
    ("does", "sentences"),
    [
        (
            left_out,
            [
                "told.json differs: issued of integrations growth, 12 months, was 0, and is 1",
                "told.json differs: seats of integrations growth, 12 months, was 0, and is 2",
                "told.json differs: the sum of issued was 4, and its lines give 3",
                "told.json differs: the sum of seats was 17, and its lines give 15",
            ],
        ),
        (summed_wrongly, ["told.json differs: the sum of seats was 18, and its lines give 17"]),
        (moved, ["told.json differs: the position was 6, and is 7"]),
    ],
)
def test_what_is_missing_and_what_does_not_add_up_is_named(
    auditor: Auditor, does: Any, sentences: list[str]
) -> None:
    world = in_may()
    found = to_plain(world.told("2026-03"))
    does(found)
    auditor.keeps("told.json", json.dumps(found))
    keep_export(auditor, world)
    said = auditor.verifies("ledger.jsonl", "--statement", "told.json")
    assert (said.code, said.wrong) == (1, sentences)


def test_a_month_that_is_not_over_is_counted_up_to_where_it_was_told(auditor: Auditor) -> None:
    world = in_may()
    world.issue(redeem_by=world.now + DAY)
    keep_statement(auditor, world.told("2026-05"))
    asked = iso(world.now)
    world.issue()
    world.now += 2 * DAY
    keep_export(auditor, world)
    said = auditor.verifies("ledger.jsonl", *HELD, "--as-of", asked)
    assert said.code == 0, said.lines
    assert any("2026-05 is not on record here" in note for note in said.notes)
    # Once the month is over, another is on record.
    world.now += 31 * DAY
    world.told("2026-05")
    keep_export(auditor, world)
    said = auditor.verifies("ledger.jsonl", "--statement", "told.json")
    assert said.code == 1
    assert any("if it was saved before the month was over" in note for note in said.notes)


@pytest.mark.parametrize(
    "text", ["", "17", "{}", '{"lines": []}', "reseller,month\r\na,b\r\n", "a\x00b", "\ufeff"]
)
def test_what_is_no_statement_is_refused(auditor: Auditor, text: str) -> None:
    keep_export(auditor, in_may())
    auditor.keeps("told.json", text)
    said = auditor.verifies("ledger.jsonl", "--statement", "told.json")
    assert (said.code, said.wrong) == (1, ["told.json is no statement"])
    assert auditor.verifies("ledger.jsonl", "--statement", "nowhere").code == 2


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_over_any_story_it_counts_what_was_told(auditor: Auditor, steps: list[Step]) -> None:
    world = World()
    for name in (ALPHA, BETA):
        world.issue(reseller=name)
    told: list[tuple[ResellerStatement, timedelta]] = []
    for step in steps:
        world.now += step.later
        with suppress(Refusal):
            do(world, step)
        if step.what == "ask":
            asked = months.name_of(world.now - (step.which % 3) * 31 * DAY)
            told.append((world.told(asked, step.name), world.now - NOON))
    keep_export(auditor, world)
    for found, asked_at in told:
        if NOON + asked_at >= months.end_of(found.month):
            keep_statement(auditor, found)
            assert auditor.verifies("ledger.jsonl", *HELD).wrong == []


@pytest.mark.parametrize("packed", ["ledger.jsonl.zst", "ledger.kfb"])
def test_exports_and_backups_that_are_zstd_are_read(tmp_path: Path, packed: str) -> None:
    (tmp_path / "clock").write_text("2026-03-02T09:00:00Z")
    program = Program(tmp_path, {"KEYFOLD_TEST_CLOCK": str(tmp_path / "clock")})
    program.done("db", "upgrade")
    issue = ("--product", "cloud_pos", "--seats", "3", "--months", "12", "--reseller", "Alpha")
    program.done("keys", "issue", *issue)
    told = program.done("resellers", "statement", "Alpha", "--month", "2026-03", "--json")
    (tmp_path / "told.json").write_text(told.out)
    program.done("audit", "checkpoint", "-o", "kept.txt")
    (tmp_path / "key.txt").write_text(program.done("audit", "keys").out)
    command = ("backup",) if packed.endswith(".kfb") else ("audit", "export")
    program.done(*command, packed)
    auditor = Auditor(tmp_path)
    held = ("--statement", "told.json", "--checkpoint", "kept.txt", "--key", "key.txt")
    said = auditor.verifies(packed, *held)
    assert said.code == 0, said.lines
    assert said.good[-1].startswith("told.json is what follows")
    with reading(str(tmp_path / packed)) as lines:
        whole = b"".join(lines)
    for broken, problem in (
        ((tmp_path / packed).read_bytes()[:-9], "cut off: its compression does not come to an end"),
        (COMPRESSIONS["zst"].pack(whole[:-80]), "cut off"),
    ):
        auditor.keeps("bad", broken)
        said = auditor.verifies("bad")
        assert said.code == 1
        assert problem in said.wrong[0]
    if command == ("backup",):
        auditor.keeps("bad", whole.replace(b'"keyfold":"', b'"keyfold":"9', 1))
        assert "is cut off or damaged" in auditor.verifies("bad").wrong[-1]
