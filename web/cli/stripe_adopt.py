"""`keyfold stripe adopt`: customers that Stripe has already."""

from __future__ import annotations

import io
from typing import BinaryIO

import click

from commands.adopt_stripe import (
    AdoptedCustomer,
    AdoptedSubscription,
    adopt_customers,
    adopt_subscriptions,
    named_in_metadata,
    read_table,
)
from web.cli.context import CliContext, open_ledger
from web.cli.errors import CommandRefused
from web.cli.examples import Exampled
from web.cli.options import json_option
from web.cli.output import print_fields, print_json, progress


@click.command(
    cls=Exampled,
    short_help="Take over customers that Stripe has already.",
    examples=(
        "keyfold stripe adopt --table customers.csv --dry-run",
        "keyfold stripe adopt --metadata account_id",
    ),
)
@click.option(
    "--table", type=click.File("rb"), metavar="FILE", help="CSV with columns customer, account."
)
@click.option("--metadata", metavar="KEY", help="Of Stripe's customers; it holds the account's id.")
@click.option("--dry-run", is_flag=True, help="Only tell; nothing is recorded.")
@json_option
def adopt(table: BinaryIO | None, metadata: str | None, dry_run: bool, as_json: bool) -> None:
    """Link each customer to its account, and record its subscriptions as Stripe has them now.

    What is so already stays: run it again as often as you like. A customer that is linked to
    another account is told, and nothing of it is changed. Ended subscriptions are recorded, too.

    Exits with 1 when a customer could not be linked, or a price means nothing in the catalog.
    """
    if (table is None) == (metadata is None):
        raise click.UsageError("--table or --metadata: choose one of them")
    customers: list[AdoptedCustomer] = []
    found: list[AdoptedSubscription] = []
    try:
        with open_ledger() as work, progress("Adopting", None) as on_one:
            accounts = _accounts(work, table, metadata)
            for one in adopt_customers(work.services, work.now, accounts, dry_run=dry_run):
                customers.append(one)
                on_one()
            linked = {one.customer: accounts[one.customer] for one in customers if not one.why}
            for each in adopt_subscriptions(work.services, work.now, linked, dry_run=dry_run):
                found.append(each)
                on_one()
    except BaseException:
        if customers:  # what is recorded by now will not be told again
            _print(customers, found, dry_run=dry_run, as_json=as_json, complete=False)
        raise
    _print(customers, found, dry_run=dry_run, as_json=as_json, complete=True)
    refused = sum(one.outcome == "refused" for one in customers)
    if refused:
        raise CommandRefused("customers_not_linked", f"customers that were not linked: {refused}")
    unmapped = {price for one in found for price in one.unmapped}
    if unmapped:
        said = "prices that mean nothing in the catalog, and give no seats"
        raise CommandRefused("prices_unmapped", f"{said}: {len(unmapped)}")


def _accounts(work: CliContext, table: BinaryIO | None, metadata: str | None) -> dict[str, str]:
    if table is None:
        assert metadata is not None
        return dict(named_in_metadata(work.services, metadata))
    with io.TextIOWrapper(table, "utf-8") as lines:
        return read_table(work.services, lines)


def _print(
    customers: list[AdoptedCustomer],
    found: list[AdoptedSubscription],
    *,
    dry_run: bool,
    as_json: bool,
    complete: bool,
) -> None:
    if as_json:
        print_json(
            {
                "dry_run": dry_run,
                "complete": complete,
                "customers": [one._asdict() for one in customers],
                "subscriptions": [one._asdict() for one in found],
            }
        )
        return
    told = [one for one in customers if one.outcome != "unchanged"]
    if told:
        print_fields(told, "customer", "account", "outcome", "why")
        click.echo()
    if found:
        shown = [one._replace(unmapped=" ".join(one.unmapped)) for one in found]  # type: ignore[arg-type]
        columns = ("subscription=stripe_subscription", "account", "drift", "means nothing=unmapped")
        print_fields(shown, *columns)
        click.echo()
    if dry_run:
        click.echo("nothing was recorded")
    for outcome in ("linked", "unchanged", "refused"):
        click.echo(f"{outcome:<10}{sum(one.outcome == outcome for one in customers)}")
    click.echo(f"{'recorded':<10}{sum(one.drift is not None for one in found)}")
