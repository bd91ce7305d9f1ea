"""`keyfold timeline`: the same sentences in a terminal, as JSON, and as CSV for people."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest

from tests.cli.program import Program
from tests.cli.test_terminal import COLOUR, at_terminal

COLUMNS = [
    "position", "event", "recorded_at", "occurred_at", "actor", "actor_role", "request_id",
    "causation", "summary", "refs", "data",
]  # fmt: skip


def test_an_account_is_told_newest_first(filled: Program) -> None:
    lines = filled.done("timeline", "tea-house").out.splitlines()
    positions = [int(line.split()[1]) for line in lines]
    assert positions == sorted(positions, reverse=True)
    assert any("Holder till-3 refused a Cloud POS seat: No seat is free" in line for line in lines)
    told = filled.json("timeline", "tea-house")
    assert [one["position"] for one in told["items"]] == positions
    assert all(
        line.endswith(one["summary"]) for line, one in zip(lines, told["items"], strict=True)
    )


def test_a_till_of_one_account_is_told_alone(filled: Program) -> None:
    told = filled.json("timeline", "till-1", "--account", "tea-house")["items"]
    assert [one["event"] for one in told] == ["account.seat_occupied@1"]


def test_a_code_is_read_from_standard_input(filled: Program) -> None:
    issued = filled.json(
        "keys", "issue", "--product", "cloud_pos", "--seats", "1", "--months", "1",
        "--reseller", "North",
    )["keys"][0]  # fmt: skip
    ran = filled.done("timeline", "-", stdin=f"{issued['code'].lower()}\n")
    assert f"Key {issued['masked']} issued to North" in ran.out
    assert issued["code"] not in ran.out
    dotted = issued["masked"].replace("•", "*")
    assert filled.done("timeline", dotted).out == ran.out


@pytest.mark.parametrize("ref", ["nobody", "sub_none", "key_none", "POS-ABCD-EFGH-JKMN"])
@pytest.mark.parametrize("form", [[], ["--json"], ["--csv"]])
def test_what_the_ledger_has_never_heard_of_is_said_to_be_unknown(
    filled: Program, ref: str, form: list[str]
) -> None:
    ran = filled.run("timeline", ref, *form)
    assert ran.code == 1
    assert ran.err.splitlines()[-1] == "not_found: Nothing is recorded of what was named"
    assert ref not in ran.err
    if form == ["--json"]:
        assert ran.json["items"] == []


def test_what_is_known_and_does_not_fit_is_no_error(filled: Program) -> None:
    ran = filled.run("timeline", "tea-house", "--to", "2020-01-01T00:00:00Z")
    assert (ran.code, ran.out, ran.err) == (0, "", "nothing that fits is recorded\n")


def test_a_limit_cuts_it_and_says_so(filled: Program) -> None:
    ran = filled.done("timeline", "--limit", "3")
    assert len(ran.out.splitlines()) == 3
    assert "and more" in ran.err
    assert len(filled.json("timeline", "--limit", "3")["items"]) == 3


def test_all_of_it_as_csv(filled: Program) -> None:
    ran = filled.done("timeline", "--csv")
    rows = list(csv.reader(io.StringIO(ran.out)))
    assert rows[0] == COLUMNS
    head = int(rows[1][0])
    assert [int(row[0]) for row in rows[1:]] == list(range(head, 0, -1))
    assert not re.search(r"(POS|INT)(-[A-Z2-9]{4}){3}", ran.out)
    newest = dict(zip(COLUMNS, rows[1], strict=True))
    assert json.loads(newest["data"]) == filled.json("timeline", "--limit", "1")["items"][0]["data"]


def test_no_cell_is_a_formula(filled: Program) -> None:
    # Nobody is let in there; and that is told, first of all by the account's id.
    assert filled.run("seats", "occupy", "--", "-1-1", "cloud_pos", "till-1").code == 1
    (_, row) = csv.reader(io.StringIO(filled.done("timeline", "--csv", "--", "-1-1").out))
    assert json.loads(row[COLUMNS.index("refs")])[0] == "-1-1"
    assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@"))]


def test_colours_are_for_terminals(filled: Program) -> None:
    assert COLOUR.search(at_terminal(filled, "timeline", "tea-house"))
    assert not COLOUR.search(filled.done("timeline", "tea-house").out)
