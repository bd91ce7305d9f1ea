"""docs/security.md has a row for each requirement of ASVS 5.0, level 2, and its tests are there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.web.api import memory_api

TESTS = Path(__file__).parent
DOCUMENT = TESTS.parent / "docs" / "security.md"
# How many requirements each section has; in 1.0 to 17.0 of ASVS 5.0.0 those of level 3 come last.
SECTIONS = {
    "1.1": 2, "1.2": 9, "1.3": 11, "1.4": 3, "1.5": 2, "2.1": 3, "2.2": 3, "2.3": 4, "2.4": 1,
    "3.2": 2, "3.3": 4, "3.4": 6, "3.5": 5, "3.7": 2, "4.1": 3, "4.2": 1, "4.3": 2, "4.4": 4,
    "5.1": 1, "5.2": 3, "5.3": 2, "5.4": 3, "6.1": 3, "6.2": 12, "6.3": 4, "6.4": 4, "6.5": 5,
    "6.6": 3, "6.8": 4, "7.1": 3, "7.2": 4, "7.3": 2, "7.4": 5, "7.5": 2, "7.6": 2, "8.1": 2,
    "8.2": 3, "8.3": 1, "8.4": 1, "9.1": 3, "9.2": 4, "10.1": 2, "10.2": 2, "10.3": 4, "10.4": 11,
    "10.5": 5, "10.6": 2, "10.7": 3, "11.1": 2, "11.2": 3, "11.3": 3, "11.4": 4, "11.5": 1,
    "11.6": 1, "12.1": 3, "12.2": 2, "12.3": 4, "13.1": 1, "13.2": 5, "13.3": 2, "13.4": 5,
    "14.1": 2, "14.2": 4, "14.3": 3, "15.1": 3, "15.2": 3, "15.3": 7, "16.1": 1, "16.2": 5,
    "16.3": 4, "16.4": 3, "16.5": 3, "17.1": 1, "17.2": 4, "17.3": 2,
}  # fmt: skip
WITHOUT_TESTS = ("*does not apply*: ", "*by design*: ", "*yours*: ", "*in part*: ", "*not met*: ")


class Row(NamedTuple):
    requirements: list[str]
    held_by: str

    @property
    def tests(self) -> list[str]:
        return re.findall(r"`([\w/]+\.py(?:::\w+)?)`", self.held_by)


def rows() -> list[Row]:
    lines = DOCUMENT.read_text("utf-8").splitlines()
    found = [re.fullmatch(r"\| (\d[\d., –]*) \| .+ \| (.+) \|", line) for line in lines]
    return [Row(list(_each(row[1])), row[2]) for row in found if row]


def _each(names: str) -> Iterator[str]:
    """Yield the requirements of a list like `6.1.2, 6.2.1–6.2.12`."""
    for name in names.split(", "):
        first, _, last = name.partition("–")
        section, _, number = first.rpartition(".")
        for each in range(int(number), int(last.rpartition(".")[2] or number) + 1):
            yield f"{section}.{each}"


def test_every_requirement_has_one_row() -> None:
    named = [one for row in rows() for one in row.requirements]
    wanted = {f"{name}.{each}" for name, count in SECTIONS.items() for each in range(1, count + 1)}
    assert set(named) == wanted
    assert len(named) == len(wanted)


def test_every_row_has_tests_or_says_why_not() -> None:
    assert [
        row.requirements
        for row in rows()
        if not row.tests and not row.held_by.startswith(WITHOUT_TESTS)
    ] == []


def test_every_test_that_is_named_is_there() -> None:
    missing = []
    for name in {one for row in rows() for one in row.tests}:
        file, _, test = name.partition("::")
        path = TESTS / file
        tree = ast.parse(path.read_text("utf-8")) if path.is_file() else ast.parse("")
        known = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        if not path.is_file() or (test and test not in known):
            missing.append(name)
    assert missing == []


def test_trace_tells_nothing_of_the_request() -> None:
    got = memory_api().ask("admin", "TRACE", "/v1/keys", headers={"X-Secret": "spoken"})
    assert got.status == 405
    assert b"spoken" not in got.raw
