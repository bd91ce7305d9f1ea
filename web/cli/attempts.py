"""`keyfold attempts`: let an account try codes again."""

from __future__ import annotations

import click

from commands.clear_attempts import clear_attempts
from web.cli.context import open_ledger
from web.cli.examples import Exampled


@click.group()
def attempts() -> None:
    """Codes that were tried and refused."""


@attempts.command(
    cls=Exampled,
    short_help="Let an account try codes again.",
    examples=('keyfold attempts clear acme --reason "Called: mistyped it five times"',),
)
@click.argument("account", metavar="ACCOUNT")
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept encrypted.")
def clear(account: str, reason: str) -> None:
    """Lift the blocks of ACCOUNT and of its sessions: failed tries so far count no more.

    That it was done, when, by whom and why is recorded.
    """
    with open_ledger() as (_, services, request_context):
        clear_attempts(services, request_context, account, reason)
    click.echo(f"{account} may try codes again")
