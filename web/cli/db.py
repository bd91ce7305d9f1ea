"""`keyfold db`: the database's tables."""

from __future__ import annotations

import click

from web.cli.examples import ExampledGroup
from web.cli.settings import settings_of_command


@click.group(cls=ExampledGroup)
def db() -> None:
    """Make, upgrade and check the database's tables.

    Nothing else makes or changes a table, but for `keyfold restore`, and `keyfold demo` on SQLite.
    """


@db.command(short_help="Make the tables, or bring them up to this version.")
def upgrade() -> None:
    """Make the tables, or bring them up to this version of Keyfold.

    Can be repeated, and run while older workers still serve; run it before newer ones start. On
    SQLite the ledger's files are taken from all but their owner.
    """
    from ledger.store import schema
    from web.app.private_files import restrict_to_owner

    url = settings_of_command().database_url
    for step in schema.upgrade(url):
        click.echo(f"applied {step}")
    for file in restrict_to_owner(url):
        click.echo(f"took {file.name} from all but its owner")
    click.echo("the schema is up to date")


@db.command(short_help="Tell whether the tables are the right ones.")
def check() -> None:
    """Tell whether the tables are those that this version of Keyfold needs.

    Exits with 1 and says what to do when they are not. It does not look at the events.
    """
    from ledger.store import schema

    schema.check(settings_of_command().database_url)
    click.echo("the schema is as it should be")
    click.echo(
        "not checked: the events. A copy that lacks the newest events looks whole; a checkpoint"
        " that was kept elsewhere finds it out: keyfold audit verify --checkpoint FILE"
    )
