"""`keyfold overview`: how things stand over all accounts."""

from __future__ import annotations

from collections.abc import Sequence

import click

from projections.lists.overview import Overview, overview
from web.api import telling
from web.cli.context import open_ledger
from web.cli.options import json_option
from web.cli.output import Cell, print_json, print_table, text_of


@click.command("overview", short_help="How things stand over all accounts.")
@json_option
def overview_(as_json: bool) -> None:
    """Show seats, keys and refusals in numbers, and what somebody should look at."""
    with open_ledger() as (wiring, services, request_context):
        found = overview(services.book, wiring.tables, request_context.now, services.catalog)
    if as_json:
        print_json(telling.overview(found))
    else:
        _print(found)


def _print(found: Overview) -> None:
    _section("Active seats", ["product", "tier", "seats", "used"], found.pools)
    _section("Keys", ["reseller", "issued", "redeemed", "revoked", "lapsed"], found.keys)
    _section(
        "Ending within 30 days",
        ["account", "subscription", "product", "tier", "seats", "ends"],
        found.ending,
    )
    _section(
        "More holders than seats", ["account", "product", "tier", "seats", "used"], found.over_used
    )
    _section(
        "Stripe prices that mean nothing",
        ["account", "Stripe subscription", "prices"],
        [[one.account, one.stripe_subscription, ", ".join(one.prices)] for one in found.unmapped],
    )
    _section(
        "Stripe subscriptions not heard of",
        ["account", "Stripe subscription", "since"],
        [
            [one.account, one.stripe_subscription, one.unconfirmed_since]
            for one in found.unconfirmed
        ],
    )
    _section(
        "Stripe subscriptions whose items are not all known",
        ["account", "Stripe subscription"],
        [[one.account, one.stripe_subscription] for one in found.items_missing],
    )
    _section(
        "Stripe invoices whose lines are not all known",
        ["account", "invoice"],
        found.lines_missing,
    )
    _section(
        "Billed seats that Stripe is not told of",
        ["account", "product", "Stripe subscription", "why"],
        found.left_alone,
    )
    _section(
        "Objects of Stripe's that name an account which is not theirs",
        ["object", "belongs to", "names", "why", "position"],
        found.claims,
    )
    _section(
        "Paid for by several Stripe subscriptions",
        ["account", "product", "tier", "Stripe subscriptions"],
        [
            [one.account, one.product, one.tier, ", ".join(one.stripe_subscriptions)]
            for one in found.doubled
        ],
    )
    _section("Refused in the last 30 days", ["refusal", "key was", "tries"], found.refusals)
    click.echo(f"as of {text_of(found.at)}, position {found.position}")


def _section(title: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    if rows:
        click.echo(title)
        print_table(columns, rows)
        click.echo()
