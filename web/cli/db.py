"""`keyfold db`: the database's tables."""

from __future__ import annotations

import click

from web.cli.examples import ExampledGroup
from web.settings import read_settings


@click.group(cls=ExampledGroup)
def db() -> None:
    """Make, upgrade and check the database's tables.

    Nothing else makes or changes a table, but for `keyfold demo` on SQLite.
    """


@db.command(short_help="Make the tables, or bring them up to this version.")
def upgrade() -> None:
    """Make the tables, or bring them up to this version of Keyfold.

    Can be repeated, and run while older workers still serve; run it before newer ones start.
    """
    from ledger.store import schema

    for step in schema.upgrade(read_settings().database_url):
        click.echo(f"applied {step}")
    click.echo("the schema is up to date")


@db.command(short_help="Tell whether the tables are the right ones.")
def check() -> None:
    """Tell whether the tables are those that this version of Keyfold needs.

    Exits with 1 and says what to do when they are not.
    """
    from ledger.store import schema

    schema.check(read_settings().database_url)
    click.echo("the schema is as it should be")
