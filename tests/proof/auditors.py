"""An auditor's folder, and the program that is run in it.

auditor.keeps("march.txt", ledger.checkpoint())
auditor.keeps("ledger.jsonl", export)
said = auditor.verifies("ledger.jsonl", "--checkpoint", "march.txt")
said.code, said.wrong, said.good
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import chdir
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.proof.one_file import keyfold_verify


class Said(NamedTuple):
    """How the program ended, and what it said."""

    code: int
    out: str
    lines: list[str]

    @property
    def wrong(self) -> list[str]:
        return [line.removeprefix("WRONG  ") for line in self.lines if line.startswith("WRONG")]

    @property
    def unchecked(self) -> list[str]:
        mark = "COULD NOT CHECK  "
        return [line.removeprefix(mark) for line in self.lines if line.startswith(mark)]

    @property
    def good(self) -> list[str]:
        return [line.removeprefix("good   ") for line in self.lines if line.startswith("good")]

    @property
    def notes(self) -> list[str]:
        return [line.removeprefix("note   ") for line in self.lines if line.startswith("note")]

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Auditor:
    """Somebody with a folder and the verifier."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keeps(self, name: str, content: str | bytes) -> str:
        """Put a file into the folder, and answer its name."""
        raw = content if isinstance(content, bytes) else content.encode()
        (self.folder / name).write_bytes(raw)
        return name

    def verifies(self, *arguments: str) -> Said:
        """Run the program, in this process."""
        out, err = StringIO(), StringIO()
        with chdir(self.folder), pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            code = keyfold_verify.main(arguments)
        return Said(code, out.getvalue(), err.getvalue().splitlines())


def environment() -> dict[str, str]:
    """Return an environment in which nothing of Keyfold is to be found."""
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
