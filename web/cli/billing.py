"""`keyfold billing`: what an account pays."""

from __future__ import annotations

from datetime import datetime

import click

from commands import validation
from ledger.money import written
from projections.views.account_at import Moment, account_at
from projections.views.billing import BillingView, interval_name
from web.app.billing import read_view
from web.cli.context import open_ledger
from web.cli.examples import Exampled
from web.cli.options import json_option, moment_options
from web.cli.output import Cell, print_json, print_table, text_of


@click.command(cls=Exampled, examples=("keyfold billing acme", "keyfold billing acme --json"))
@click.argument("account", metavar="ACCOUNT")
@moment_options
@json_option
def billing(account: str, as_of: datetime | None, known_at: datetime | None, as_json: bool) -> None:
    """Show what ACCOUNT pays, for what, and when next.

    Read from Stripe, or, when it does not answer within 5 s, from what it has reported.
    """
    validation.refuse_if(validation.account(account))
    with open_ledger() as (_, services, request_context):
        state = account_at(services.book, account, Moment(request_context.now, as_of, known_at))
        view = read_view(services, state, request_context.request_id).view
    if as_json:
        print_json(view)
    else:
        _print(view)


def _amount(amount: int | None, currency: str | None) -> str:
    return "not known" if amount is None else written(amount, currency)


def _print(view: BillingView) -> None:
    seats = view.seats
    click.echo(
        f"{view.status}: {seats.total} seats, {seats.included} of them included, {seats.used} used"
    )
    if view.notice:
        click.echo(view.notice)
    if view.lines:
        click.echo()
        rows: list[list[Cell]] = [
            [line.kind, line.description, line.quantity, _amount(line.amount, line.currency)]
            for line in view.lines
        ]
        for one in view.totals:
            name = interval_name(one.interval, one.interval_count)
            every = f"every {name}" if name else None
            rows.append(["total", every, None, _amount(one.total, one.currency)])
        print_table(["part", "what", "quantity", "amount"], rows)
        for one in view.totals:
            name = interval_name(one.interval, one.interval_count)
            of = f" ({name}, {(one.currency or '?').upper()})" if len(view.totals) > 1 else ""
            click.echo(f"next invoice{of}: {text_of(one.next_invoice_at)}")
    if view.invoices:
        click.echo()
        print_table(
            ["invoice", "status", "total", "at"],
            [
                [one.number or one.id, one.status, written(one.total, one.currency), one.created_at]
                for one in view.invoices
            ],
        )
    click.echo()
    source = "read from Stripe" if view.live else "as Stripe reported it"
    click.echo(f"{view.account}, {source}, as of {text_of(view.fetched_at)}")
