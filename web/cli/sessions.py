"""`keyfold sessions`: the sessions of an account's customers on the hosted pages."""

from __future__ import annotations

import click

from commands.open_portal_session import end_portal_sessions
from web.cli.context import open_ledger
from web.cli.examples import Exampled


@click.group()
def sessions() -> None:
    """Sessions of an account's customers on the hosted pages."""


@sessions.command(
    cls=Exampled,
    short_help="End every session of an account.",
    examples=('keyfold sessions end acme --reason "A laptop was stolen"',),
)
@click.argument("account", metavar="ACCOUNT")
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept encrypted.")
def end(account: str, reason: str) -> None:
    """End every session of ACCOUNT's customers, and take links that were not opened back.

    That it was done, when, by whom and why is recorded.
    """
    with open_ledger() as (_, services, request_context):
        end_portal_sessions(services, request_context, account, reason)
    click.echo(f"all portal sessions of {account} have ended")
