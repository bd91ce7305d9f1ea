"""docs/migrating.md works as it is written: its files are made, and its lines run in order."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.cli.program import Program
from tests.test_readme import lines_of, matches

PAGE = (Path(__file__).parents[2] / "docs" / "migrating.md").read_text("utf-8")


def test_each_line_prints_what_the_page_says(keyfold: Program) -> None:
    files = re.findall(r'```\w+ title="([\w.-]+)"\n(.*?)```', PAGE, re.DOTALL)
    for name, text in files:
        (keyfold.folder / name).write_text(text, "utf-8")
    lines = lines_of(PAGE)
    assert len(lines) >= 5
    for line in lines:
        program, *arguments = shlex.split(line.command)
        assert program == "keyfold"
        ran = keyfold.run(*arguments)
        said = "\n".join(one.rstrip() for one in (ran.out + ran.err).rstrip("\n").split("\n"))
        assert matches(line.expected, said), f"$ {line.command}\n{said}"
