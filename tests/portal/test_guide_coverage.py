"""docs/guide-coverage.md: every sentence of the guides has a test, and each test is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

import pytest

FOLDER = Path(__file__).parent
DOCUMENT = FOLDER.parents[1] / "docs" / "guide-coverage.md"

# How many sentences, steps and table rows each guide has: none is to be lost.
GUIDES = {
    "Activating a Cloud POS Key": 40,
    "Activating an Integration Key": 46,
    "Subscriptions": 38,
    "Billing & Subscription": 21,
}


class Sentence(NamedTuple):
    guide: str
    text: str
    tests: list[str]


def sentences() -> list[Sentence]:
    found = []
    guide = ""
    for line in DOCUMENT.read_text("utf-8").splitlines():
        if line.startswith("## "):
            guide = line.removeprefix("## ")
        row = re.fullmatch(r"\| (.+) \| (.*) ?\|", line)
        if row and row[1] not in ("the guide says", "---"):
            found.append(Sentence(guide, row[1], re.findall(r"`([^`]+)`", row[2])))
    return found


def known_tests() -> set[str]:
    return {
        f"{file.name}::{node.name}"
        for file in FOLDER.glob("test_*.py")
        for node in ast.parse(file.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


@pytest.mark.parametrize("guide", GUIDES)
def test_every_sentence_of_a_guide_is_in_the_table(guide: str) -> None:
    texts = [one.text for one in sentences() if one.guide == guide]
    assert len(texts) == len(set(texts)) == GUIDES[guide]


@pytest.mark.parametrize("guide", GUIDES)
def test_every_sentence_has_a_test(guide: str) -> None:
    assert [one.text for one in sentences() if one.guide == guide and not one.tests] == []


def test_every_test_that_is_named_is_there() -> None:
    known = known_tests()
    assert {test for one in sentences() for test in one.tests} - known == set()
