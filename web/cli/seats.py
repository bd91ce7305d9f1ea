"""`keyfold seats`: who sits where."""

from __future__ import annotations

from datetime import datetime

import click
from msgspec.structs import replace

from commands import validation
from commands.occupy_seat import Occupied, Sitting, occupy_seat
from commands.release_seat import release_seat
from commands.replace_holder import Replacement, replace_holder
from commands.services import Services
from ledger.events import RequestContext
from projections.views import seats as projection
from projections.views.account_at import AccountAt, Moment, account_at
from web.cli.context import check_pools, open_ledger
from web.cli.examples import Exampled, ExampledGroup
from web.cli.options import csv_option, json_option, moment_options
from web.cli.output import print_fields, print_items, print_json


@click.group(cls=ExampledGroup)
def seats() -> None:
    """Who sits where: take seats and give them back."""


@seats.command("list", short_help="List an account's seats, and how its pools stand.")
@click.argument("account", metavar="ACCOUNT")
@click.option("--product", help="Only seats of this product.")
@moment_options
@csv_option
@json_option
def list_(
    account: str,
    product: str | None,
    as_of: datetime | None,
    known_at: datetime | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """List the seats that ACCOUNT's holders have, and how its pools stand."""
    validation.refuse_if(validation.account(account))
    with open_ledger() as (_, services, request_context):
        state = account_at(services.book, account, Moment(request_context.now, as_of, known_at))
        check_pools(services, state, product)
        view = projection.seats(state, services.catalog, product)
        labels = services.texts.open_all(one.label for one in view.items)
    view = replace(view, items=projection.with_labels(view.items, labels))
    if as_json:
        print_json(view)
        return
    if as_csv:
        print_items(projection.SeatView, view.items)
        return
    if view.items:
        print_fields(
            view.items,
            *("product", "tier", "holder", "label", "since=occupied_at", "licensed", "reason"),
        )
        click.echo()
    print_fields(view.totals, *projection.PoolTotal.__struct_fields__)


@seats.command(
    cls=Exampled,
    short_help="Let a holder take a seat.",
    examples=('keyfold seats occupy acme cloud_pos till-3 --label "Till at the door"',),
)
@click.argument("account", metavar="ACCOUNT")
@click.argument("product", metavar="PRODUCT")
@click.argument("holder", metavar="HOLDER")
@click.option("--tier", help="The tier's id; needed for a product with tiers.")
@click.option("--label", metavar="TEXT", help="What people call the holder; kept encrypted.")
@json_option
def occupy(
    account: str, product: str, holder: str, tier: str | None, label: str | None, as_json: bool
) -> None:
    """Let HOLDER take a seat of PRODUCT on ACCOUNT. One that sits there already stays."""
    with open_ledger() as (_, services, request_context):
        wanted = Sitting(account, product, tier, holder, label)
        occupied = occupy_seat(services, request_context, wanted)
        view = _seat(services, request_context, occupied, wanted)
    if as_json:
        print_json(view)
        return
    done = "has a seat" if occupied.created else "had a seat already"
    click.echo(f"{holder} {done}: {product}{f' {view.tier}' if view.tier else ''}")
    if view.reason:
        click.echo(f"not licensed: {view.reason}")


@seats.command(
    "replace",
    cls=Exampled,
    short_help="Let a holder take the seat of another one.",
    examples=("keyfold seats replace acme cloud_pos till-3 till-4",),
)
@click.argument("account", metavar="ACCOUNT")
@click.argument("product", metavar="PRODUCT")
@click.argument("holder", metavar="HOLDER")
@click.argument("successor", metavar="SUCCESSOR")
@click.option("--label", metavar="TEXT", help="What people call the successor; kept encrypted.")
@json_option
def replace_(
    account: str, product: str, holder: str, successor: str, label: str | None, as_json: bool
) -> None:
    """Let SUCCESSOR take HOLDER's seat of PRODUCT on ACCOUNT, and its place in the queue."""
    with open_ledger() as (_, services, request_context):
        wanted = Replacement(account, product, None, successor, holder, label)
        occupied = replace_holder(services, request_context, wanted)
        view = _seat(services, request_context, occupied, wanted)
    if as_json:
        print_json(view)
        return
    done = "has the seat" if occupied.created else "had the seat already"
    click.echo(f"{successor} {done} of {holder}: {product}{f' {view.tier}' if view.tier else ''}")
    if view.reason:
        click.echo(f"not licensed: {view.reason}")


def _seat(
    services: Services,
    request_context: RequestContext,
    occupied: Occupied,
    wanted: Sitting | Replacement,
) -> projection.HolderView:
    loaded, now = occupied.account, Moment(request_context.now)
    after = AccountAt(wanted.account, loaded.state, now, occupied.position, loaded.version)
    view = projection.seat(after, wanted.product, wanted.holder)
    return replace(view, label=services.texts.open(view.label))


@seats.command(short_help="Give a holder's seat back.")
@click.argument("account", metavar="ACCOUNT")
@click.argument("product", metavar="PRODUCT")
@click.argument("holder", metavar="HOLDER")
@click.option("--reason", metavar="TEXT", help="Why; kept encrypted.")
def release(account: str, product: str, holder: str, reason: str | None) -> None:
    """Give HOLDER's seat of PRODUCT on ACCOUNT back."""
    with open_ledger() as (_, services, request_context):
        release_seat(services, request_context, account, product, holder, reason)
    click.echo(f"{holder} has given its seat back: {product}")
