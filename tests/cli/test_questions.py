"""`keyfold diff` and `keyfold explain`."""

from __future__ import annotations

import csv
import io
from collections import Counter

import pytest

from tests.cli.program import Program
from tests.cli.test_terminal import COLOUR, at_terminal

LONG_AGO = "2020-01-01T00:00:00Z"


def test_a_diff_names_what_is_different_and_why(filled: Program) -> None:
    told = filled.json("diff", "tea-house", "--from", LONG_AGO)
    shown = filled.done("diff", "tea-house", "--from", LONG_AGO).out
    assert [item["summary"] for item in told["items"]][-1] == "Cloud POS: seats 0 → 2, used 0 → 2"
    assert all(item["summary"] in shown and item["positions"] for item in told["items"])
    backwards = filled.run("diff", "tea-house", "--from", "2030-01-01T00:00:00Z", "--to", LONG_AGO)
    assert backwards.err.startswith("invalid_request: ")
    assert "(from: must not be after the end)" in backwards.err


def test_a_holder_is_explained(filled: Program) -> None:
    over = filled.json("explain", "corner-bakery", "cloud_pos", "till-6")
    assert over["code"] == "over"
    shown = filled.done("explain", "corner-bakery", "cloud_pos", "till-6").out
    assert shown.startswith("Holder till-6 may not work: 6 hold 2 Cloud POS seats, and it came in")
    assert all(fact in shown for fact in over["facts"])
    assert over["mend"] in shown


def test_a_code_is_read_from_standard_input(filled: Program) -> None:
    issued = filled.json(
        "keys", "issue", "--product", "cloud_pos", "--seats", "1", "--months", "1",
        "--reseller", "North",
    )["keys"][0]  # fmt: skip
    ran = filled.done("explain", "museum-shop", "-", stdin=issued["code"])
    assert ran.out.startswith(f"Key {issued['masked']} can be redeemed")
    assert issued["code"] not in ran.out
    blocked = filled.json("explain", "tea-house", issued["code"], "--session", "kiosk")
    assert blocked["code"] == "too_many_attempts"


@pytest.mark.parametrize("what", [[], ["cloud_pos", "till-1", "more"]])
def test_what_is_to_be_explained_must_be_named(filled: Program, what: list[str]) -> None:
    assert filled.run("explain", "tea-house", *what).code == 2


def test_a_product_without_a_holder_asks_for_one(filled: Program) -> None:
    ran = filled.run("explain", "tea-house", "cloud_pos")
    assert (ran.code, ran.out) == (2, "")
    assert "name a holder, too: keyfold explain tea-house cloud_pos HOLDER" in ran.err


def test_a_product_that_nobody_has_is_refused(filled: Program) -> None:
    ran = filled.run("explain", "tea-house", "cloud_cash", "till-1")
    assert ran.err.startswith("invalid_request: ")


def test_the_answer_has_a_colour_on_a_terminal(filled: Program) -> None:
    shown = at_terminal(filled, "explain", "corner-bakery", "cloud_pos", "till-6")
    assert COLOUR.search(shown)


# The overview, and what if


def test_the_overview_has_a_section_for_each_thing(filled: Program) -> None:
    told = filled.json("overview")
    shown = filled.done("overview").out
    for section in ("Active seats", "Keys", "Ending within 30 days", "More holders than seats"):
        assert section in shown
    assert "Stripe prices" not in shown
    assert told["over_used"][0]["account"] == "corner-bakery"
    assert f"position {told['position']}" in shown


def test_the_overview_as_a_table_has_every_row_of_every_list(filled: Program) -> None:
    told = filled.json("overview")
    rows = list(csv.DictReader(io.StringIO(filled.done("overview", "--csv").out.lstrip("\ufeff"))))
    assert Counter(row["list"] for row in rows) == {
        name: len(items) for name, items in told.items() if isinstance(items, list) and items
    }
    keys = [row for row in rows if row["list"] == "keys"]
    assert [(row["reseller"], row["issued"]) for row in keys] == [
        (one["reseller"], str(one["issued"])) for one in told["keys"]
    ]


def test_what_if_prints_who_would_have_been_affected(filled: Program) -> None:
    policy = filled.folder / "grace.toml"
    policy.write_text("grace_days = 30\n")
    head = filled.json("overview")["position"]
    told = filled.json("replay", "--policy", str(policy))
    assert {one["account"] for one in told["items"]} == {"corner-bakery"}
    assert all(one["gained"] > 0 == one["lost"] for one in told["items"])
    shown = filled.done("replay", "--policy", str(policy)).out
    assert "worked more" in shown.lower()
    assert shown.endswith(f"{len(told['items'])} holders affected, 0 let in; nothing was changed\n")
    assert filled.json("overview")["position"] == head


def test_a_policy_that_cannot_be_used_is_refused(filled: Program) -> None:
    policy = filled.folder / "grace.toml"
    policy.write_text("grace_days = 'ten'\n")
    ran = filled.run("replay", "--policy", str(policy))
    assert (ran.code, ran.err.partition(":")[0]) == (1, "policy_unfit")
    assert filled.run("replay", "--policy", "nowhere.toml").code == 2
    assert filled.run("replay", "--verify", "--policy", str(policy)).code == 2
