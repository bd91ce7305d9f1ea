"""docs/guide-coverage.md: every promise to customers has a test, and each test is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

import pytest

FOLDER = Path(__file__).parent
DOCUMENT = FOLDER.parents[1] / "docs" / "guide-coverage.md"

# How many promises there are of each kind: none is to be lost.
KINDS = {
    "Buying or activating": 9,
    "Keys": 9,
    "Activating a key": 11,
    "After activation": 6,
    "Renewing": 5,
    "When a key is refused": 8,
    "Integration tiers": 4,
    "The Subscriptions page": 19,
    "Manage in Stripe": 5,
    "The Billing page of a plan with users": 19,
}


class Promise(NamedTuple):
    kind: str
    text: str
    tests: list[str]


def promises() -> list[Promise]:
    found = []
    kind = ""
    for line in DOCUMENT.read_text("utf-8").splitlines():
        if line.startswith("## "):
            kind = line.removeprefix("## ")
        row = re.fullmatch(r"\| (.+) \| (.*) ?\|", line)
        if row and row[1] not in ("promise", "---"):
            found.append(Promise(kind, row[1], re.findall(r"`([^`]+)`", row[2])))
    return found


def known_tests() -> set[str]:
    return {
        f"{file.name}::{node.name}"
        for file in FOLDER.glob("test_*.py")
        for node in ast.parse(file.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


@pytest.mark.parametrize("kind", KINDS)
def test_no_promise_is_lost(kind: str) -> None:
    texts = [one.text for one in promises() if one.kind == kind]
    assert len(texts) == len(set(texts)) == KINDS[kind]


def test_every_promise_is_of_a_kind_and_has_a_test() -> None:
    assert [one.text for one in promises() if one.kind not in KINDS or not one.tests] == []


def test_every_test_that_is_named_is_there() -> None:
    known = known_tests()
    assert {test for one in promises() for test in one.tests} - known == set()
