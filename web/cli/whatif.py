"""`keyfold replay --policy FILE`: what another rule would have done."""

from __future__ import annotations

from pathlib import Path

import click

from projections.text.formatting import counted
from projections.views.whatif import Policy, PolicyError, WhatIf, parse, what_if
from web.cli.context import open_ledger
from web.cli.errors import CommandRefused
from web.cli.output import print_fields, print_json
from web.cli.progress import event_progress


def print_what_if(file: Path, *, as_json: bool) -> None:
    """Fold history under the policy in a file, and print who would have been affected."""
    policy = _read(file)
    with open_ledger() as (_, services, request_context):
        events = services.book.head()
        with event_progress("Replaying") as on_events:
            found = what_if(
                services.book, policy, request_context.now, lambda more: on_events(more, events)
            )
    if as_json:
        print_json(found)
    else:
        _print(found)


def _read(file: Path) -> Policy:
    try:
        return parse(file.read_text("utf-8"))
    except (PolicyError, UnicodeDecodeError) as error:
        raise CommandRefused("policy_unfit", f"{file} is no policy: {error}") from None


def _print(found: WhatIf) -> None:
    if found.holders:
        print_fields(
            found.holders,
            *("account", "product", "tier", "holder", "worked more=gained", "worked less=lost"),
            *("from=first", "to=last"),
        )
        click.echo()
    if found.let_in:
        print_fields(
            found.let_in, "account", "product", "tier", "holder", "let in at=at", "position"
        )
        click.echo()
    click.echo(
        f"of {counted(found.accounts, 'account')} and {counted(found.events, 'event')}:"
        f" {counted(len(found.holders), 'holder')} affected, {len(found.let_in)} let in;"
        " nothing was changed"
    )
