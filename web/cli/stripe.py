"""`keyfold stripe`: what is done with Stripe by hand."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any

import click

from commands.gateways.stripe_responses import StripeNotConfigured
from commands.sync_billed_seats import Synced, SyncStep, seats_to_sync, sync_seats
from web.app.times import iso_or_none
from web.cli.context import OPERATOR, open_ledger
from web.cli.errors import REFUSED
from web.cli.examples import Exampled, ExampledGroup
from web.cli.options import json_option
from web.cli.output import print_json, print_table, progress
from web.cli.stripe_adopt import adopt
from web.cli.stripe_assign import assign
from web.cli.stripe_drift import reconcile, remap
from web.cli.stripe_files import import_
from web.server.seat_sync_loop import billed_accounts


@click.group(cls=ExampledGroup)
def stripe() -> None:
    """Stripe: hold the ledger against it, and tell it of billed seats."""


@stripe.command(
    cls=Exampled,
    short_help="Tell Stripe how many billed seats are taken.",
    examples=("keyfold stripe sync --dry-run", "keyfold stripe sync --account acme"),
)
@click.option("--account", metavar="ACCOUNT", help="Only this one.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option(
    "--debounced",
    is_flag=True,
    help="Wait as the server does: for seats to be quiet, and after a refusal.",
)
@json_option
def sync(account: str | None, dry_run: bool, debounced: bool, as_json: bool) -> None:
    """Bring what Stripe bills into step with the holders of billed seats.

    A server does so by itself. This does it at once, for every account. What was begun and has no
    answer yet is carried on. Exits with 1 when Stripe refused something.
    """
    with open_ledger() as (wiring, services, request_context):
        if services.stripe is None and not dry_run:
            raise StripeNotConfigured
        quiet = timedelta(seconds=wiring.settings.seat_sync_quiet_s) if debounced else None
        accounts = billed_accounts(wiring) if account is None else [account]
        found: list[Synced] = []
        with progress("Syncing", len(accounts)) as on_account:
            for one in accounts:
                bring = seats_to_sync if dry_run else sync_seats
                found += bring(
                    services,
                    lambda: wiring.request_context(OPERATOR, request_context.request_id),
                    one,
                    quiet,
                )
                on_account()
    if as_json:
        print_json([_to_json(one) for one in found])
    else:
        _print(found, dry_run=dry_run)
    if any(step.refused for one in found for step in one.steps):
        sys.exit(REFUSED)


def _to_json(synced: Synced) -> dict[str, Any]:
    return {
        **synced._asdict(),
        "why": synced.why or None,
        "until": iso_or_none(synced.until),
        "steps": [step._asdict() for step in synced.steps],
    }


def _print(found: list[Synced], *, dry_run: bool) -> None:
    columns = ["account", "product", "holders", "billed for", "target", "state", "until", "done"]
    if dry_run:
        columns[-1] = "would be done"
    print_table(
        columns,
        [
            [
                one.account,
                one.product,
                one.holders,
                one.quantity,
                one.target,
                one.why or one.outcome,
                one.until,
                "; ".join(map(_described, one.steps)) or None,
            ]
            for one in found
        ],
    )


def _described(step: SyncStep) -> str:
    text = f"{step.step} to {step.wanted}"
    if step.refused:
        return f"{text} refused: {step.refused}"
    return f"{text}, invoice {step.invoice} {step.invoice_status}" if step.invoice else text


stripe.add_command(adopt)
stripe.add_command(assign)
stripe.add_command(import_)
stripe.add_command(reconcile)
stripe.add_command(remap)
