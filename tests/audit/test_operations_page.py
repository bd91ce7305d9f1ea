"""What docs/operations.md says is so: its commands exist, and those of the move do what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.cli.program import Program
from tests.test_readme import lines_of, matches, run
from tests.web.api import memory_api
from web.cli.main import keyfold as root

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")
ELSEWHERE = "postgresql://keyfold@db.example/keyfold"


def commands() -> set[tuple[str, ...]]:
    """Return every command that the page names, as far as it is one: `keyfold audit export`."""
    # Helm and kubectl have words of their own after a name.
    page = re.sub(r"(?m)^(helm|kubectl) .*$", "", PAGE)
    named = re.findall(r"(?<!/)keyfold ((?:[a-z-]+ ?){1,2})", page)
    return {tuple(words.split()) for words in named}


def found(words: tuple[str, ...]) -> click.Command | None:
    context = click.Context(root)
    command = root.get_command(context, words[0])
    if isinstance(command, click.Group) and len(words) > 1:
        return command.get_command(context, words[1])
    return command


def test_every_command_on_the_page_exists() -> None:
    assert len(commands()) > 12
    assert [words for words in commands() if found(words) is None] == []


def test_every_figure_on_the_page_exists() -> None:
    api = memory_api()
    api.get(None, "/v1/keys")
    page = api.get(None, "/metrics").raw.decode()
    for figure in set(re.findall(r"keyfold_(?:problems|http|ledger)[a-z_]*", PAGE)):
        assert re.search(rf"^{figure}(_count)?\b", page, re.MULTILINE), figure


def test_every_link_on_the_page_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)?(?:#([^)]+))?\)", PAGE):
        file, heading = target
        text = (ROOT / "docs" / file).read_text("utf-8") if file else PAGE
        headings = {
            re.sub(r"[^a-z0-9 -]", "", line.lower()).strip().replace(" ", "-")
            for line in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        }
        assert not heading or heading in headings, target


@pytest.fixture
def shell(filled: Program) -> Iterator[subprocess.Popen[str]]:
    """A shell beside the demonstration's ledger, in which `keyfold` is this checkout's."""
    tools = filled.folder / "tools"
    tools.mkdir()
    tool = tools / "keyfold"
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m web.cli "$@"\n')
    tool.chmod(0o755)
    environ = filled.environ(PATH=f"{tools}:{os.environ['PATH']}")
    process = subprocess.Popen(
        ["/bin/sh"],
        cwd=filled.folder,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield process
    process.communicate("exit\n", timeout=30)


def test_the_lines_of_the_move_do_what_the_page_says(
    shell: subprocess.Popen[str], postgres_url: str
) -> None:
    lines = lines_of(PAGE)
    assert any(ELSEWHERE in line.command for line in lines)
    for line in lines:
        output = run(shell, line.command.replace(ELSEWHERE, f"'{postgres_url}'"))
        assert matches(line.expected, output), f"$ {line.command}\n{output}"
