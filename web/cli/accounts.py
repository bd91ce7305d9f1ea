"""`keyfold subscriptions`, `entitlements` and `seat-history`: questions about one account."""

from __future__ import annotations

from datetime import datetime

import click
from msgspec.structs import astuple

from commands import validation
from ledger.refusals import FieldError, InvalidRequest
from projections.views import entitlements as entitlements_projection
from projections.views import seat_history as seat_history_projection
from projections.views import subscriptions as subscriptions_projection
from projections.views.account_at import Moment, account_at
from projections.views.subscriptions import SubscriptionRow, SubscriptionsView
from web.cli.context import check_pools, open_ledger
from web.cli.examples import Exampled
from web.cli.options import TIME, csv_option, json_option, moment_options
from web.cli.output import print_csv, print_fields, print_items, print_json, text_of


@click.command(
    cls=Exampled,
    examples=(
        "keyfold subscriptions acme",
        "keyfold subscriptions acme --all --as-of 2026-03-01T09:00:00Z --json",
    ),
)
@click.argument("account", metavar="ACCOUNT")
@moment_options
@click.option("--all", "ended", is_flag=True, help="Also rows that have ended.")
@csv_option
@json_option
def subscriptions(
    account: str,
    as_of: datetime | None,
    known_at: datetime | None,
    ended: bool,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Show what ACCOUNT has of each product, and how much of it is used.

    A later time shows what will be if nothing more happens.
    """
    validation.refuse_if(validation.account(account))
    with open_ledger() as (_, services, request_context):
        state = account_at(services.book, account, Moment(request_context.now, as_of, known_at))
        view = subscriptions_projection.subscriptions(state, services.catalog, ended=ended)
    if as_json:
        print_json(view)
    elif as_csv:
        rows = [
            [one.product, *astuple(row)]
            for one in view.products
            for row in (*one.rows, *one.upcoming)
        ]
        print_csv(["product", *SubscriptionRow.__struct_encode_fields__], rows)
    else:
        _print_subscriptions(view, known_at)


def _print_subscriptions(view: SubscriptionsView, known_at: datetime | None) -> None:
    for product in view.products:
        over = f", {product.over} over" if product.over else ""
        click.echo(f"{product.name}: {product.seats} seats, {product.used} used{over}")
        if product.rows:
            _print_rows(product.rows)
        if product.upcoming:
            click.echo("not begun yet:")
            _print_rows(product.upcoming)
        click.echo()
    known = f", known at {text_of(known_at)}" if known_at else ""
    click.echo(f"{view.account} as of {text_of(view.as_of)}{known}, position {view.position}")


def _print_rows(rows: list[SubscriptionRow]) -> None:
    tiered = any(row.tier for row in rows)
    print_fields(
        rows,
        *("subscription", *(["tier=tier_name"] if tiered else []), "seats", "used"),
        *("from=known_by", "status", "started=started_at", "expires=expires_at"),
    )


@click.command()
@click.argument("account", metavar="ACCOUNT")
@moment_options
@csv_option
@json_option
def entitlements(
    account: str, as_of: datetime | None, known_at: datetime | None, as_csv: bool, as_json: bool
) -> None:
    """Show what ACCOUNT may use of each product and tier, within which limits, and until when."""
    validation.refuse_if(validation.account(account))
    with open_ledger() as (_, services, request_context):
        state = account_at(services.book, account, Moment(request_context.now, as_of, known_at))
        view = entitlements_projection.entitlements(state, services.catalog)
    if as_json:
        print_json(view)
        return
    if as_csv:
        print_items(entitlements_projection.Entitlement, view.entitlements)
        return
    print_fields(
        view.entitlements,
        *("product", "tier", "seats", "used", "over", "until", "renews", "limits"),
    )


@click.command()
@click.argument("account", metavar="ACCOUNT")
@click.option("--product", help="Of this product only; of all together if left out.")
@click.option("--tier", help="Of this tier only.")
@click.option("--from", "start", type=TIME, metavar="TIME", help="From here on.")
@click.option("--to", "end", type=TIME, metavar="TIME", help="Up to here.")
@moment_options
@csv_option
@json_option
def seat_history(
    account: str,
    product: str | None,
    tier: str | None,
    start: datetime | None,
    end: datetime | None,
    as_of: datetime | None,
    known_at: datetime | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Show how ACCOUNT's seats and holders went up and down: each line holds until the next."""
    validation.refuse_if(validation.account(account))
    with open_ledger() as (_, services, request_context):
        state = account_at(services.book, account, Moment(request_context.now, as_of, known_at))
        check_pools(services, state, product, tier)
        if start is not None and start > (end or state.moment.at):
            raise InvalidRequest(FieldError("/from", "must not be after the end"))
        view = seat_history_projection.seat_history(
            services.book,
            account,
            state.moment,
            product=product,
            tier=tier,
            start=start,
            end=end,
        )
    if as_json:
        print_json(view)
    elif as_csv:
        print_items(seat_history_projection.Point, view.points)
    else:
        print_fields(view.points, "at", "seats", "used")
