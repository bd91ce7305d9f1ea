"""The Tab key in bash, zsh and fish, as docs/operations.md says how to have it."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.program import PATIENCE_S, ROOT

SETUP = {
    "bash": "source completion",
    "zsh": "autoload -Uz compinit && compinit -u -D && source ./completion",
    "fish": "source completion",
}
START = {"bash": ("bash", "--norc", "-i"), "zsh": ("zsh", "-f", "-i")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    program = tmp_path / "bin" / "keyfold"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m web.cli "$@"\n')
    program.chmod(0o755)
    (tmp_path / "ledger-2026.zst").touch()
    return tmp_path


def environ(folder: Path, **more: str) -> dict[str, str]:
    return {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "TERM": "dumb",
        "LANG": "C.UTF-8",
        **more,
    }


def write_script(shell: str, folder: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not here")
    done = subprocess.run(
        ["keyfold"],
        env=environ(folder, _KEYFOLD_COMPLETE=f"{shell}_source"),
        capture_output=True, check=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.stderr == b""
    (folder / "completion").write_bytes(done.stdout)


class Terminal:
    """A shell at a terminal, typed into."""

    def __init__(self, shell: str, folder: Path) -> None:
        self.shown = ""
        self._terminal, its = pty.openpty()
        self._process = subprocess.Popen(
            START[shell],
            stdin=its, stdout=its, stderr=its,
            cwd=folder, env=environ(folder, PS1="ready> "), start_new_session=True,
        )  # fmt: skip
        os.close(its)
        self.wait_for("ready> ")

    def type(self, keys: str) -> None:
        self.shown = ""
        os.write(self._terminal, keys.encode())

    def wait_for(self, text: str) -> None:
        until = time.monotonic() + PATIENCE_S
        while text not in self.shown:
            assert time.monotonic() < until, self.shown
            if select.select([self._terminal], [], [], 0.1)[0]:
                self.shown += os.read(self._terminal, 4096).decode(errors="replace")

    def close(self) -> None:
        self._process.kill()
        self._process.wait(PATIENCE_S)
        os.close(self._terminal)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("keyfold resel", "lers "),
        ("keyfold keys iss", "ue "),
        ("keyfold keys issue --prod", "uct "),
        ("keyfold tokens create --role sup", "port "),
        ("keyfold audit import ledg", "er-2026.zst "),
    ],
)
def test_tab_completes_commands_options_choices_and_files(
    shell: str, folder: Path, typed: str, shown: str
) -> None:
    write_script(shell, folder)
    terminal = Terminal(shell, folder)
    try:
        terminal.type(SETUP[shell] + "; echo set$((1)) up\n")
        terminal.wait_for("set1 up")
        terminal.type(f"{typed}\t")
        terminal.wait_for(f"{typed}{shown}")
    finally:
        terminal.close()


def test_fish_offers_what_there_is_with_its_help(folder: Path) -> None:
    write_script("fish", folder)
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"{SETUP['fish']}; complete -C 'keyfold keys i'"],
        cwd=folder, env=environ(folder), capture_output=True, text=True, check=True,
        timeout=PATIENCE_S,
    )  # fmt: skip
    offered = dict(line.split("\t") for line in done.stdout.splitlines())
    assert set(offered) == {"issue", "import"}
    assert offered["issue"].startswith("Issue")


def test_each_shell_of_the_documentation_is_one_that_click_knows() -> None:
    text = (ROOT / "docs/operations.md").read_text()
    assert set(re.findall(r"_KEYFOLD_COMPLETE=(\w+)_source", text)) == set(SETUP)
