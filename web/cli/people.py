"""`keyfold people`: who signs in at the console at their own provider."""

from __future__ import annotations

from typing import Final

import click

from commands import people as commands
from ledger.streams.people import person_id
from projections.lists.people import list_people
from web.app.times import iso_or_none
from web.cli.context import open_ledger
from web.cli.examples import ExampledGroup
from web.cli.options import csv_option, json_option
from web.cli.output import print_csv, print_json, print_table

_COLUMNS: Final = ("id", "role", "reseller", "admitted_at", "last_used_at", "locked_out_at")
_REASON_HELP: Final = "Why; kept encrypted."


@click.group(
    cls=ExampledGroup,
    examples=(
        "keyfold people list",
        "keyfold people id https://login.example 248289761001",
        'keyfold people lock-out kfu_c5nfx2ynqk7tq3bd5xw4a6bl7m --reason "Has left"',
    ),
)
def people() -> None:
    """Tell who signs in at the provider, end their sessions, and lock one out.

    The ledger knows a person by an id that is made of the provider and of what it calls the
    person, and by no name.
    """


@people.command("id", short_help="Tell a person's id, from what the provider calls it.")
@click.argument("issuer")
@click.argument("subject")
def id_(issuer: str, subject: str) -> None:
    """Print the id of the person that the provider ISSUER calls SUBJECT (`sub`)."""
    with open_ledger() as (_, services, _context):
        click.echo(person_id(services.person_key, issuer, subject))


@people.command("list", short_help="List all people who signed in, or were locked out.")
@csv_option
@json_option
def list_(as_csv: bool, as_json: bool) -> None:
    """List all people who signed in, or were locked out, each with its last role.

    When a person last asked for a page is told to the hour.
    """
    with open_ledger() as (wiring, services, _context):
        found = list_people(services.book)
        uses = wiring.token_uses.all()
    if not as_csv and not as_json:
        print_table(
            ["id", "role", "reseller", "first signed in", "last used", "locked out"],
            [
                [one.id, one.role, one.reseller, one.admitted_at, uses.get(one.id),
                 one.locked_out_at]
                for one in found
            ],
        )  # fmt: skip
        return
    items = [
        {
            "id": one.id,
            "role": one.role,
            "reseller": one.reseller,
            "admitted_at": iso_or_none(one.admitted_at),
            "last_used_at": iso_or_none(uses.get(one.id)),
            "locked_out_at": iso_or_none(one.locked_out_at),
        }
        for one in found
    ]
    if as_json:
        print_json({"items": items, "next": None})
    else:
        print_csv(_COLUMNS, [list(item.values()) for item in items])


@people.command("end-sessions", short_help="Sign a person out everywhere.")
@click.argument("person", metavar="ID")
@click.option("--reason", metavar="TEXT", help=_REASON_HELP)
def end_sessions(person: str, reason: str | None) -> None:
    """End all sessions of the person ID (kfu_…) at the console; it may sign in again."""
    with open_ledger() as (_, services, request_context):
        commands.end_sessions(services, request_context, person, reason)
    click.echo(f"the sessions of {person} have ended")


@people.command("lock-out", short_help="Let a person in no more.")
@click.argument("person", metavar="ID")
@click.option("--reason", metavar="TEXT", help=_REASON_HELP)
def lock_out(person: str, reason: str | None) -> None:
    """Let the person ID (kfu_…) in no more, whatever the provider says.

    Its sessions end, and so do the links to hosted pages and to notices that it made.
    """
    with open_ledger() as (_, services, request_context):
        commands.lock_out(services, request_context, person, reason)
    click.echo(f"{person} is locked out")


@people.command("let-in", short_help="Let a person sign in again.")
@click.argument("person", metavar="ID")
@click.option("--reason", metavar="TEXT", help=_REASON_HELP)
def let_in(person: str, reason: str | None) -> None:
    """Let the person ID (kfu_…) sign in again; what had ended stays over."""
    with open_ledger() as (_, services, request_context):
        commands.let_in(services, request_context, person, reason)
    click.echo(f"{person} may sign in again")
