"""`keyfold erase`: an account's free text, for ever."""

from __future__ import annotations

import click

from commands.erase_account import UnknownAccount, erase_account
from web.app.times import iso
from web.cli.context import open_ledger
from web.cli.errors import CommandRefused
from web.cli.examples import Exampled
from web.cli.options import json_option
from web.cli.output import print_json, short_time


@click.command(
    cls=Exampled,
    short_help="Make an account's free text unreadable, for ever.",
    examples=('keyfold erase acme --reason "Request 4711 of 1 March"',),
)
@click.argument("account", metavar="ACCOUNT")
@click.option(
    "--reason",
    required=True,
    help="Why, best as the number of a request; kept sealed, and not erased with the rest.",
)
@json_option
def erase(account: str, reason: str, as_json: bool) -> None:
    """Make every label and reason of ACCOUNT unreadable, now and in every export there is.

    The key they are encrypted under is destroyed; nothing brings it back but a backup of the
    database: docs/operations.md says what to do about those. No event is changed, and every proof
    holds. That it was done, when and by whom is recorded.
    """
    with open_ledger() as (_, services, request_context):
        try:
            erased = erase_account(services, request_context, account, reason)
        except UnknownAccount:
            raise CommandRefused(
                "account_not_found", f"Nothing is recorded of {account}: is its id right?"
            ) from None
    if as_json:
        print_json({"account": account, "texts": erased.texts, "erased_at": iso(erased.erased_at)})
        return
    texts = f"{erased.texts} text{'' if erased.texts == 1 else 's'}"
    click.echo(f"{account}: {texts} erased; erased at {short_time(erased.erased_at)}")
