"""docs/casebook.md: each command is run on the history that the page tells of.

What it prints must be what stands on the page. `python -m tests.test_casebook` writes the page
anew; read what changed before you keep it.
"""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.casebook import SETTINGS, fill
from tests.cli.program import ROOT, Program

PAGE = ROOT / "docs" / "casebook.md"
BLOCK = re.compile(r"```console\n\$ keyfold (?P<command>[^\n]*)\n(?P<output>.*?)```", re.DOTALL)
CASES = 10
FROM_FILE = " < code.txt"

# What the answer must say, whatever the page says.
SENTENCES = {
    "corner-shop": "it expired on 28 May 2026",
    "lake-hotel": "was redeemed on account lake-hotel-annexe",
    "book-stall": "revoked, by support: “Paid back to the reseller”",
    "tea-room": "Session kiosk is blocked until",
    "garden": "it sits in Integrations Growth",
    "ferry-kiosk": "true since 10 May 2026, 09:00 UTC, learnt 2 days later",
    "bakery": "Invoice KF-0002 in_bakery_2 is paid: EUR 15.00",
    "museum": "the old code works no more",
    "studio": "it had 3 until 20 May 2026",
    "barge": "it was terminated on 25 May 2026",
}


class Shown:
    """The history, and what commands print of it."""

    def __init__(self, folder: Path) -> None:
        self.codes = fill(folder)
        clock = {"KEYFOLD_TEST_CLOCK": str(folder / "clock")}
        self.program = Program(folder, {**SETTINGS, **clock})

    def run(self, command: str, account: str) -> str:
        code = self.codes.get(account, "") if command.endswith(FROM_FILE) else ""
        arguments = shlex.split(command.removesuffix(FROM_FILE))
        return self.program.done(*arguments, stdin=code).out


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return Shown(tmp_path_factory.mktemp("casebook"))


def sections() -> Iterator[tuple[str, str]]:
    """Return each case: whose it is, and its text."""
    for text in PAGE.read_text("utf-8").split("\n## ")[1:]:
        (account,) = re.findall(r"^> \*([a-z-]+):\*", text, re.MULTILINE)
        yield account, text


def test_there_are_ten_cases() -> None:
    assert [account for account, _ in sections()] == list(SENTENCES)
    assert len(SENTENCES) == CASES


@pytest.mark.parametrize("case", range(CASES))
def test_the_page_shows_what_the_command_prints(shown: Shown, case: int) -> None:
    account, text = list(sections())[case]
    blocks = list(BLOCK.finditer(text))
    assert blocks
    printed = [shown.run(block["command"], account) for block in blocks]
    assert SENTENCES[account] in "".join(printed)
    assert [block["output"] for block in blocks] == printed


def test_no_code_is_on_the_page(shown: Shown) -> None:
    page = PAGE.read_text("utf-8")
    assert not [name for name, code in shown.codes.items() if code in page]


def write() -> None:
    """Write the page's outputs anew."""
    page = PAGE.read_text("utf-8")
    with tempfile.TemporaryDirectory() as folder:
        shown = Shown(Path(folder))
        for account, text in sections():

            def printed(block: re.Match[str], account: str = account) -> str:
                output = shown.run(block["command"], account)
                return f"```console\n$ keyfold {block['command']}\n{output}```"

            page = page.replace(text, BLOCK.sub(printed, text))
    PAGE.write_text(page, "utf-8")


if __name__ == "__main__":
    write()
