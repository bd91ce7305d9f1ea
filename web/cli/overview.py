"""`keyfold overview`: how things stand over all accounts."""

from __future__ import annotations

from typing import Final

import click
from msgspec.structs import asdict

from projections.lists.overview import Overview, overview
from web.cli.context import open_ledger
from web.cli.options import csv_option, json_option
from web.cli.output import print_csv, print_fields, print_json, text_of

_STRIPE: Final = "Stripe subscription=stripe_subscription"


@click.command("overview", short_help="How things stand over all accounts.")
@csv_option
@json_option
def overview_(as_csv: bool, as_json: bool) -> None:
    """Show seats, keys and refusals in numbers, and what somebody should look at."""
    with open_ledger() as (wiring, services, request_context):
        found = overview(services.book, wiring.tables, request_context.now, services.catalog)
    if as_json:
        print_json(found)
    elif as_csv:
        _print_as_one_table(found)
    else:
        _print(found)


def _print_as_one_table(found: Overview) -> None:
    """Print the rows of all lists: whose each is, and what it has of all columns."""
    lists = [
        (name, asdict(row))
        for name, rows in asdict(found).items()
        if isinstance(rows, list)
        for row in rows
    ]
    columns = list(dict.fromkeys(column for _, row in lists for column in row))
    rows = ([name, *(row.get(column) for column in columns)] for name, row in lists)
    print_csv(["list", *columns], rows)


def _print(found: Overview) -> None:
    for title, rows, columns in (
        ("Active seats", found.pools, ("product", "tier", "seats", "used")),
        ("Keys", found.keys, ("reseller", "issued", "open", "redeemed", "revoked", "lapsed")),
        (
            "Ending within 30 days",
            found.ending,
            ("account", "subscription", "product", "tier", "seats", "ends=ends_at"),
        ),
        (
            "More holders than seats",
            found.over_used,
            ("account", "product", "tier", "seats", "used"),
        ),
        ("Stripe prices that mean nothing", found.unmapped, ("account", _STRIPE, "prices")),
        (
            "Stripe subscriptions not heard of",
            found.unconfirmed,
            ("account", _STRIPE, "since=unconfirmed_since"),
        ),
        (
            "Stripe subscriptions whose items are not all known",
            found.items_missing,
            ("account", _STRIPE),
        ),
        (
            "Stripe invoices whose lines are not all known",
            found.lines_missing,
            ("account", "invoice"),
        ),
        (
            "Billed seats that Stripe is not told of",
            found.left_alone,
            ("account", "product", _STRIPE, "why"),
        ),
        (
            "Objects of Stripe's that name an account which is not theirs",
            found.claims,
            ("object=stripe_object", "belongs to=account", "names=claimed_by", "why", "position"),
        ),
        (
            "Paid for by several Stripe subscriptions",
            found.doubled,
            ("account", "product", "tier", "Stripe subscriptions=stripe_subscriptions"),
        ),
        ("Refused in the last 30 days", found.refusals, ("refusal", "key was=found", "tries")),
    ):
        if rows:
            click.echo(title)
            print_fields(rows, *columns)
            click.echo()
    click.echo(f"as of {text_of(found.at)}, position {found.position}")
