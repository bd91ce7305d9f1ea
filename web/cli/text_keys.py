"""`keyfold texts`: the keys of sealed text, on the way to another database."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click

from commands.move_text_keys import BadKeys, give_text_keys, take_text_keys
from web.cli import compressed_files
from web.cli.compressed_files import STANDARD, Unreadable
from web.cli.context import open_ledger
from web.cli.errors import CommandRefused
from web.cli.examples import ExampledGroup

OWNER_ONLY: Final = 0o600


@click.group(
    cls=ExampledGroup,
    heading="Moving to another database",
    examples=(
        "keyfold audit export ledger.jsonl.gz     of the old one; then the new one's settings, and",
        "keyfold audit import ledger.jsonl.gz",
        "keyfold texts export keys.jsonl          of the old one again",
        "keyfold texts import keys.jsonl          into the new one",
        "shred -u keys.jsonl",
    ),
)
def texts() -> None:
    """Move the keys of sealed text (labels, notes, reasons) to another database.

    They are kept beside the ledger, so that they can be destroyed, and are in no export. Without
    them a ledger is whole, but its free text cannot be read. Both ledgers need the same secret.
    """


@texts.command(short_help="Write the keys to a file, for yourself alone.")
@click.argument("file", metavar="FILE", type=click.Path())
def export(file: str) -> None:
    """Write the keys of all sealed text to a new FILE, or to standard output for `-`.

    With FILE and the secret all free text can be read, also what is erased later: hand it to
    nobody, and destroy it once it was imported.
    """
    with open_ledger() as (_, services, _):
        if file == STANDARD:
            sys.stdout.buffer.writelines(give_text_keys(services))
            sys.stdout.buffer.flush()
            return
        number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
        with os.fdopen(number, "wb") as out:
            out.writelines(give_text_keys(services))
    click.echo(f"written to {file}: destroy it once it was imported")


@texts.command("import", short_help="Take in the keys of a file.")
@click.argument("file", metavar="FILE", type=click.Path())
def import_(file: str) -> None:
    """Take in the keys in FILE, or on standard input for `-`, once the events were imported.

    A key that is older than the last erasure of its account is left out. Can be repeated.
    """
    with (
        open_ledger() as (_, services, _),
        _refusing(file),
        compressed_files.reading(file) as lines,
    ):
        taken = take_text_keys(services, lines)
    click.echo(
        f"taken in {taken.taken}, known already {taken.known}, left out as erased {taken.erased}"
    )


@contextmanager
def _refusing(file: str) -> Iterator[None]:
    try:
        yield
    except (BadKeys, Unreadable) as error:
        name = "standard input" if file == STANDARD else file
        raise CommandRefused(
            "bad_keys", f"{name} will not do: {error}; nothing was changed"
        ) from None
