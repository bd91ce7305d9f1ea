"""The lines of the README and the tutorial do what these say.

Every `console` block is run in one shell, in the order of the page, in a copy of the checkout's
folder structure that shares its `.venv`. `…` in the expected output stands for anything.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
MARK = "-- end of output --"


class Line(NamedTuple):
    """A line to paste, and what it prints."""

    command: str
    expected: str


def lines_of(page: str) -> list[Line]:
    lines: list[Line] = []
    for block in re.findall(r"```console\n(.*?)```", page, re.DOTALL):
        for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            lines.append(Line(command, expected))
    return lines


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A shell in an empty folder in which `./dev` is this checkout's, and `curl` is some curl."""
    dev = tmp_path / "dev"
    dev.write_text(f'#!/bin/sh\nexec "{ROOT}/dev" "$@"\n')
    dev.chmod(0o755)
    tools = tmp_path / "tools"
    tools.mkdir()
    if shutil.which("curl") is None or not _curl_knows_json():
        curl = tools / "curl"
        curl.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT}/tests/curl.py" "$@"\n')
        curl.chmod(0o755)
    environ = {k: v for k, v in os.environ.items() if not k.startswith("KEYFOLD_")}
    environ["PATH"] = f"{tools}:{environ['PATH']}"
    process = subprocess.Popen(
        ["/bin/sh"],
        cwd=tmp_path,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    with process:
        yield process
        os.killpg(process.pid, signal.SIGTERM)


def _curl_knows_json() -> bool:
    # --json came with curl 7.82.
    found = subprocess.run(["curl", "--help", "all"], capture_output=True, text=True, check=False)
    return "--json" in found.stdout


def run(shell: subprocess.Popen[str], command: str) -> str:
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write(f"{command}\nprintf '\\n%s\\n' '{MARK}'\n")
    shell.stdin.flush()
    output: list[str] = []
    for line in shell.stdout:
        if line == f"{MARK}\n":
            return "".join(output).rstrip("\n")
        output.append(line)
    raise AssertionError(f"the shell ended after: {command}\n{''.join(output)}")


def matches(expected: str, output: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in expected.rstrip("\n").split("…"))
    return re.fullmatch(pattern, output, re.DOTALL) is not None


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_each_line_of_a_page_prints_what_the_page_says(
    shell: subprocess.Popen[str], page: str
) -> None:
    port = str(free_port())
    lines = lines_of((ROOT / page).read_text("utf-8"))
    assert len(lines) > 12
    for line in lines:
        output = run(shell, line.command.replace("8000", port)).replace(port, "8000")
        assert matches(line.expected, output), f"$ {line.command}\n{output}"


@pytest.mark.parametrize(
    ("expected", "output", "same"),
    [
        ("id,…,x\n", "id,anything,x", True),
        ("id,…,x\n", "id,anything,y", False),
        ("", "", True),
        ("", "error: no such thing", False),
    ],
)
def test_the_comparison_can_fail(expected: str, output: str, same: bool) -> None:
    assert matches(expected, output) is same
