"""`keyfold batches`: the keys of an order or an import, together."""

from __future__ import annotations

from typing import Final

import click

from projections.lists.batches import BatchList, BatchView, list_batches
from web.api.answers import KeyWithCode, RevealedKeys, with_codes
from web.api.batches import RevokedKeysView, revoked_view
from web.app.code_tables import CODE_COLUMNS, code_rows
from web.app.many_keys import reissue_batch, revoke_batch
from web.cli.context import open_ledger
from web.cli.examples import ExampledGroup
from web.cli.options import csv_option, idempotency_key_option, json_option, reason_option
from web.cli.output import print_csv, print_fields, print_items, print_json, progress

PAGE_BATCHES: Final = 200


@click.group(cls=ExampledGroup)
def batches() -> None:
    """What became of an order's keys, and what is done to all of them at once."""


@batches.command("list", short_help="List batches, the newest first.")
@click.option("--reseller", metavar="NAME", help="Only batches of this reseller.")
@csv_option
@json_option
def list_(reseller: str | None, as_csv: bool, as_json: bool) -> None:
    """List batches, the newest first, with how many of their keys are what."""
    found: list[BatchView] = []
    with open_ledger() as (wiring, services, request_context), progress("Reading", None) as on_page:
        after = None
        while True:
            page = list_batches(
                services.book,
                wiring.tables,
                request_context.now,
                services.texts,
                reseller=reseller,
                after=after,
                limit=PAGE_BATCHES,
            )
            found += page.batches
            on_page()
            after = page.next
            if after is None:
                break
    if as_json:
        print_json(BatchList(found, None))
    elif as_csv:
        print_items(BatchView, found)
    else:
        print_fields(
            found,
            *("batch", "reseller", "product", "tier", "seats", "months", "count", "open"),
            *("redeemed", "revoked", "lapsed", "issued=issued_at", "note"),
        )


@batches.command(short_help="Take back those keys of a batch that nobody has redeemed.")
@click.argument("batch", metavar="BATCH")
@reason_option
@idempotency_key_option
@json_option
def revoke(batch: str, reason: str, idempotency_key: str | None, as_json: bool) -> None:
    """Take back those keys of BATCH (bat_…) that nobody has redeemed: their codes work no more."""
    with open_ledger() as (wiring, _, request_context):
        done = revoke_batch(wiring, request_context, batch, reason, None, idempotency_key)
    print_revoked(revoked_view(done), as_json)


def print_revoked(view: RevokedKeysView, as_json: bool) -> None:
    """Print what became of many keys."""
    if as_json:
        print_json(view)
        return
    if view.kept:
        print_fields(view.kept, "kept=id", "it is=status")
        click.echo()
    click.echo(f"revoked {view.revoked}, kept {len(view.kept)}")


@batches.command(short_help="Give new codes for those keys of a batch that can be redeemed.")
@click.argument("batch", metavar="BATCH")
@reason_option
@idempotency_key_option
@csv_option
@json_option
def reissue(
    batch: str, reason: str, idempotency_key: str | None, as_csv: bool, as_json: bool
) -> None:
    """Give new codes for those keys of BATCH (bat_…) that can be redeemed.

    The old codes stop working at once.
    """
    with open_ledger() as (wiring, services, request_context):
        done = reissue_batch(wiring, request_context, batch, reason, None, idempotency_key)
        rows = list(code_rows(services, done.keys)) if as_csv else []
    view = RevealedKeys(with_codes(done.keys))
    if as_json:
        print_json(view)
    elif as_csv:
        print_csv(CODE_COLUMNS, rows)
    else:
        print_fields(view.keys, *KeyWithCode.__struct_fields__)
