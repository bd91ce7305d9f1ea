"""A command starts quickly: it imports what it needs, and nothing for the others."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from tests.cli.program import PATIENCE_S, Program
from web.cli.main import COMMANDS
from web.cli.main import keyfold as root

HEAVY = ("flask", "werkzeug", "marshmallow", "waitress", "rich", "psycopg", "prometheus_client")

_TELL = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
from web.cli import main
sys.exit(main())
"""


def imported(keyfold: Program, *arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", _TELL, *arguments],
        cwd=keyfold.folder,
        env=keyfold.environ(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    return {name for name in json.loads(done.stderr) if name in HEAVY or name == "ledger.book"}


@pytest.mark.parametrize(
    "arguments",
    [
        "subscriptions acme",
        "subscriptions acme --json",
        "seats list acme",
        "keys list",
        "tokens list",
        "keys issue --product cloud_pos --seats 1 --months 1 --reseller North --csv",
    ],
)
def test_a_command_on_sqlite_imports_nothing_of_http_tables_or_postgres(
    keyfold: Program, arguments: str
) -> None:
    assert imported(keyfold, *arguments.split()) == {"ledger.book"}


@pytest.mark.parametrize("arguments", ["--help", "--version", "db upgrade"])
def test_help_and_the_tables_need_no_ledger(keyfold: Program, arguments: str) -> None:
    assert imported(keyfold, *arguments.split()) == set()


def test_the_help_names_every_command_and_describes_every_option(bare: Program) -> None:
    shown = bare.done("--help").out
    assert [name for name in COMMANDS if f"  {name} " not in shown] == []
    found = list(_commands(root, "keyfold"))
    assert len(found) > 20
    assert [path for path, command in found if not command.help] == []
    options = [(path, one) for path, command in found for one in _options(command)]
    assert [f"{path} --{one.name}" for path, one in options if not one.help] == []


def _options(command: click.Command) -> list[click.Option]:
    return [one for one in command.params if isinstance(one, click.Option)]


def _commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below, name
            yield from _commands(below, f"{path} {name}")
