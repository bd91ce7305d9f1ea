"""`keyfold orders`: orders of resellers that wait, or waited, for the vendor."""

from __future__ import annotations

from typing import Final, get_args

import click

from commands.order_keys import approve_order, decline_order
from ledger.streams.order import OrderStatus
from projections.lists.orders import OrderList, OrderView, list_orders, order_view
from web.api.answers import IssuedKeys, KeyWithCode, with_codes
from web.app.code_tables import CODE_COLUMNS, code_rows
from web.cli.context import open_ledger
from web.cli.examples import ExampledGroup
from web.cli.options import csv_option, json_option, reason_option
from web.cli.output import print_csv, print_fields, print_items, print_json

PAGE_ORDERS: Final = 500


@click.group(cls=ExampledGroup)
def orders() -> None:
    """Orders of resellers that wait, or waited, for you."""


@orders.command("list", short_help="List orders, the newest first.")
@click.option("--reseller", metavar="NAME", help="Only orders of this reseller.")
@click.option("--status", type=click.Choice(get_args(OrderStatus)), help="Only those.")
@csv_option
@json_option
def list_(reseller: str | None, status: OrderStatus | None, as_csv: bool, as_json: bool) -> None:
    """List orders that wait, or waited, the newest first."""
    found: list[OrderView] = []
    with open_ledger() as (wiring, services, _):
        after, more = None, True
        while more:
            page = list_orders(
                services.book,
                wiring.tables,
                services.texts,
                reseller=reseller,
                status=status,
                after=after,
                limit=PAGE_ORDERS,
            )
            found += page.orders
            after, more = page.next, page.next is not None
    if as_json:
        print_json(OrderList(found, None))
    elif as_csv:
        print_items(OrderView, found)
    else:
        print_fields(
            found,
            *("order", "status", "reseller", "product", "tier", "seats", "months", "count"),
            *("placed=placed_at", "note"),
        )


@orders.command(short_help="Issue the keys of an order that waits.")
@click.argument("order", metavar="ORDER")
@csv_option
@json_option
def approve(order: str, as_csv: bool, as_json: bool) -> None:
    """Issue the keys of ORDER (ord_…), and print them."""
    with open_ledger() as (_, services, request_context):
        issued = approve_order(services, request_context, order)
        rows = list(code_rows(services, issued.keys)) if as_csv else []
    view = IssuedKeys(issued.batch, with_codes(issued.keys))
    if as_json:
        print_json(view)
    elif as_csv:
        print_csv(CODE_COLUMNS, rows)
    else:
        print_fields(view.keys, *KeyWithCode.__struct_fields__)
        click.echo(f"\nbatch {issued.batch}")


@orders.command(short_help="Decline an order that waits.")
@click.argument("order", metavar="ORDER")
@reason_option
@json_option
def decline(order: str, reason: str, as_json: bool) -> None:
    """Decline ORDER (ord_…): no keys are issued for it."""
    with open_ledger() as (_, services, request_context):
        declined = decline_order(services, request_context, order, reason)
        assert declined.loaded.state is not None
        view = order_view(declined.loaded.state, services.texts)
    if as_json:
        print_json(view)
    else:
        click.echo(f"{view.order} is declined")
