"""`keyfold link` and `unlink`: which customer of Stripe's an account is."""

from __future__ import annotations

import click

from commands.link_customer import link_customer, unlink_customer
from web.cli.context import open_ledger
from web.cli.examples import Exampled
from web.cli.options import json_option
from web.cli.output import print_json


@click.command(cls=Exampled, examples=("keyfold link acme cus_QXg1o8vcGmoR32",))
@click.argument("account", metavar="ACCOUNT")
@click.argument("customer", metavar="CUSTOMER")
@click.option("--reason", metavar="TEXT", help="Why; kept encrypted.")
@json_option
def link(account: str, customer: str, reason: str | None, as_json: bool) -> None:
    """Link CUSTOMER (cus_…) of Stripe's to ACCOUNT.

    What Stripe had said about the customer before is the account's in the same commit.
    """
    with open_ledger() as (_, services, request_context):
        linked = link_customer(services, request_context, account, customer, reason)
    if as_json:
        print_json({"account": account, "customer": customer, "applied": linked.applied})
        return
    summary = "1 report" if linked.applied == 1 else f"{linked.applied} reports"
    click.echo(f"{customer} is {account}; {summary} that had waited applied")


@click.command(
    cls=Exampled,
    examples=("keyfold unlink acme cus_QXg1o8vcGmoR32 --reason 'Not this customer'",),
)
@click.argument("account", metavar="ACCOUNT")
@click.argument("customer", metavar="CUSTOMER")
@click.option("--reason", metavar="TEXT", required=True, help="Why; kept encrypted.")
@json_option
def unlink(account: str, customer: str, reason: str, as_json: bool) -> None:
    """Take CUSTOMER (cus_…) of Stripe's away from ACCOUNT.

    Subscriptions that the account has by the link alone go with it, and give no seats until it is
    known whose they are; `keyfold stripe assign` says so by hand.
    """
    with open_ledger() as (_, services, request_context):
        done = unlink_customer(services, request_context, account, customer, reason)
    if as_json:
        summary = {"account": account, "customer": customer}
        print_json({**summary, "released": done.released, "kept": done.kept})
        return
    click.echo(f"{customer} is {account} no more")
    for id in done.released:
        click.echo(f"{id} gives no seats until it is known whose it is")
    for id in done.kept:
        click.echo(f"{id} stays {account}'s")
