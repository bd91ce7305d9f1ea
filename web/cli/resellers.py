"""`keyfold resellers`: what they may order, what they have ordered, and what became of it."""

from __future__ import annotations

import re
from typing import Final

import click

from commands import arrange_reseller
from ledger.refusals import FieldError, InvalidRequest, ResellerNotFound
from ledger.streams.reseller import LimitsSet
from projections.lists.resellers import (
    ResellerList,
    ResellerView,
    list_resellers,
    one_reseller,
)
from projections.lists.statements import MONTH, StatementLine
from web.api.batches import revoked_view
from web.app.many_keys import revoke_reseller
from web.app.reseller_tables import RESELLER_COLUMNS, reseller_rows
from web.app.statements import STATEMENT_COLUMNS, statement_of, statement_rows
from web.cli.batches import print_revoked
from web.cli.context import CliContext, open_ledger
from web.cli.examples import Exampled, ExampledGroup
from web.cli.options import csv_option, idempotency_key_option, json_option, reason_option
from web.cli.output import print_csv, print_fields, print_json, print_table, text_of

PAGE_RESELLERS: Final = 200


@click.group(cls=ExampledGroup)
def resellers() -> None:
    """What resellers may order, what they have ordered, and what became of it.

    A reseller is known by its name, in whatever case.
    """


@resellers.command("list", short_help="List resellers, by name.")
@csv_option
@json_option
def list_(as_csv: bool, as_json: bool) -> None:
    """List resellers, by name, with what they may order, and the sums of their keys."""
    found: list[ResellerView] = []
    with open_ledger() as (wiring, services, request_context):
        after, more = None, True
        while more:
            page = list_resellers(
                services.book,
                wiring.tables,
                services.catalog,
                request_context.now,
                after=after,
                limit=PAGE_RESELLERS,
            )
            found += page.resellers
            after, more = page.next, page.next is not None
    if as_json:
        print_json(ResellerList(found, None))
    elif as_csv:
        print_csv(RESELLER_COLUMNS, (row for one in found for row in reseller_rows(one)))
    else:
        of = ("product", "tier", "granted", "spent", "left")
        columns = ["reseller", "status", *of, *_COUNTS, "ending"]
        told = (row for one in found for row in reseller_rows(one))
        rows = (dict(zip(RESELLER_COLUMNS, row, strict=True)) for row in told)
        print_table(columns, [[row[name] for name in columns] for row in rows])


_COUNTS: Final = ("issued", "open", "redeemed", "revoked", "lapsed")


@resellers.command(short_help="Show a reseller.")
@click.argument("name", metavar="NAME")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show what NAME may order, what became of its keys, and what ends in 90 days."""
    with open_ledger() as opened:
        view = _shown(opened, name)
    _print(view, as_json)


def _shown(opened: CliContext, name: str) -> ResellerView:
    wiring, services, request_context = opened
    now = request_context.now
    view = one_reseller(services.book, wiring.tables, services.catalog, now, name)
    if view is None:
        raise ResellerNotFound
    return view


def _print(view: ResellerView, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    keys = " (nor can its keys be redeemed)" if view.keys_suspended else ""
    click.echo(f"{view.reseller}: {view.status}{keys}")
    most = view.order_max
    limits = {"count": most.count, "seats": most.seats, "months": most.months}
    told = ", ".join(f"{name} {value}" for name, value in limits.items() if value is not None)
    click.echo(f"orders at most: {told or 'whatever fits'}")
    click.echo(f"approval above: {text_of(view.approval_above)}")
    counts = {name: getattr(view.keys, name) for name in _COUNTS}
    click.echo(f"keys: {text_of(counts)}")
    if view.allowances:
        click.echo()
        print_fields(view.allowances, "product", "tier", "granted", "spent", "left")
    if view.ending:
        click.echo(f"\nending in 90 days: {len(view.ending)} of {view.ending_count}")
        print_fields(
            view.ending,
            *("masked", "product", "tier", "seats", "used", "expires=expires_at", "renewed"),
        )


# Arranging


@resellers.command(
    cls=Exampled,
    short_help="Let a reseller order more seats, or fewer.",
    examples=(
        'keyfold resellers grant "Alpine Tills" --product cloud_pos --seats 500 --reason "2026"',
    ),
)
@click.argument("name", metavar="NAME")
@click.option("--product", required=True, help="The product's id, e.g. cloud_pos.")
@click.option("--tier", help="The tier's id; needed for a product with tiers.")
@click.option("--seats", type=int, required=True, metavar="N", help="How many; may be negative.")
@reason_option
@json_option
def grant(
    name: str, product: str, tier: str | None, seats: int, reason: str, as_json: bool
) -> None:
    """Let NAME order N more seats of a product and tier; or fewer, but never than it has spent."""
    with open_ledger() as opened:
        arrange_reseller.grant_seats(
            opened.services, opened.request_context, name, product, tier, seats, reason
        )
        view = _shown(opened, name)
    _print(view, as_json)


@resellers.command(short_help="Set what one order may have at most.")
@click.argument("name", metavar="NAME")
@click.option("--count", type=int, metavar="N", help="Keys.")
@click.option("--seats", type=int, metavar="N", help="Of each key.")
@click.option("--months", type=int, metavar="M", help="Of each key.")
@click.option(
    "--approval-above", type=int, metavar="N", help="An order of more seats in all waits for you."
)
@json_option
def limits(
    name: str,
    count: int | None,
    seats: int | None,
    months: int | None,
    approval_above: int | None,
    as_json: bool,
) -> None:
    """Set what one order of NAME's may have at most; what is left out has no limit of its own."""
    wanted = LimitsSet(count=count, seats=seats, months=months, approval_above=approval_above)
    with open_ledger() as opened:
        arrange_reseller.set_limits(opened.services, opened.request_context, name, wanted)
        view = _shown(opened, name)
    _print(view, as_json)


@resellers.command(short_help="Let a reseller order nothing for now.")
@click.argument("name", metavar="NAME")
@click.option("--keys", is_flag=True, help="Nor can its keys be redeemed.")
@reason_option
@json_option
def suspend(name: str, keys: bool, reason: str, as_json: bool) -> None:
    """Let NAME order nothing until it is resumed."""
    with open_ledger() as opened:
        arrange_reseller.suspend_reseller(
            opened.services, opened.request_context, name, reason, keys=keys
        )
        view = _shown(opened, name)
    _print(view, as_json)


@resellers.command(short_help="Let a reseller order again.")
@click.argument("name", metavar="NAME")
@reason_option
@json_option
def resume(name: str, reason: str, as_json: bool) -> None:
    """Let NAME order again, and its keys be redeemed."""
    with open_ledger() as opened:
        arrange_reseller.resume_reseller(opened.services, opened.request_context, name, reason)
        view = _shown(opened, name)
    _print(view, as_json)


@resellers.command(short_help="Take back those keys of a reseller that nobody has redeemed.")
@click.argument("name", metavar="NAME")
@reason_option
@idempotency_key_option
@json_option
def revoke(name: str, reason: str, idempotency_key: str | None, as_json: bool) -> None:
    """Take back those keys of NAME that nobody has redeemed: their codes work no more."""
    with open_ledger() as (wiring, _, request_context):
        done = revoke_reseller(wiring, request_context, name, reason, idempotency_key)
    print_revoked(revoked_view(done), as_json)


@resellers.command("statement", short_help="Tell what happened to a reseller's keys in a month.")
@click.argument("name", metavar="NAME")
@click.option("--month", required=True, metavar="YYYY-MM", help="In UTC.")
@csv_option
@json_option
def statement_(name: str, month: str, as_csv: bool, as_json: bool) -> None:
    """Tell what happened to NAME's keys in a month; of one that is over it never changes."""
    if not re.fullmatch(MONTH, month):
        raise InvalidRequest(FieldError("/month", "must be YYYY-MM"))
    with open_ledger() as (wiring, _, request_context):
        found = statement_of(wiring, request_context, name, month)
    if as_json:
        print_json(found)
    elif as_csv:
        print_csv(STATEMENT_COLUMNS, statement_rows(found))
    else:
        print_fields(found.lines, *StatementLine.__struct_fields__)
        totals = {name: getattr(found.totals, name) for name in found.totals.__struct_fields__}
        click.echo(f"\n{found.reseller}, {found.month}: {text_of(totals)}")
