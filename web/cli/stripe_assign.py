"""`keyfold stripe assign`: whose a Stripe subscription is."""

from __future__ import annotations

import click

from commands.assign_subscription import assign_subscription
from web.cli.context import open_ledger
from web.cli.examples import Exampled
from web.cli.options import json_option
from web.cli.output import print_json


@click.command(
    cls=Exampled,
    short_help="Give a subscription to an account.",
    examples=("keyfold stripe assign sub_1QXg1o8vcGmoR32 acme --reason 'Sold by invoice'",),
)
@click.argument("subscription", metavar="SUBSCRIPTION")
@click.argument("account", metavar="ACCOUNT")
@click.option("--reason", metavar="TEXT", required=True, help="Why; kept encrypted.")
@click.option(
    "--from",
    "moved_from",
    metavar="ACCOUNT",
    help="The account that has it now, to take it away from there.",
)
@json_option
def assign(
    subscription: str, account: str, reason: str, moved_from: str | None, as_json: bool
) -> None:
    """Give SUBSCRIPTION (sub_…) of Stripe's to ACCOUNT.

    For one that nothing tells whose it is: without a customer, without metadata. One that the
    ledger has not heard of is asked for at Stripe.
    """
    with open_ledger() as (_, services, request_context):
        done = assign_subscription(
            services, request_context, account, subscription, reason, moved_from
        )
    if as_json:
        summary = {"account": account, "stripe_subscription": subscription}
        print_json({**summary, "from": done.moved_from, "applied": done.applied})
        return
    taken = f", and {done.moved_from}'s no more" if done.moved_from else ""
    click.echo(f"{subscription} is {account}'s{taken}")
