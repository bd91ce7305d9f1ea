"""`keyfold notices`: what became true, or will, by the passing of time."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import click

from ledger.notice_kinds import NOTICE_KINDS
from projections.lists.notices import NoticeList, NoticeQuery, NoticeView, list_notices
from web.cli.context import CliContext, open_ledger
from web.cli.examples import Exampled
from web.cli.options import TIME, csv_option, json_option
from web.cli.output import print_fields, print_items, print_json

PAGE_NOTICES: Final = 500


@click.command(
    "notices",
    cls=Exampled,
    short_help="What became true, or will, by the passing of time.",
    examples=(
        "keyfold notices --from 2026-03-01T00:00:00Z --to 2026-04-01T00:00:00Z",
        "keyfold notices --account acme --kind subscription.ending --csv",
    ),
)
@click.option("--from", "start", type=TIME, metavar="TIME", help="Given after this moment.")
@click.option(
    "--to",
    "end",
    type=TIME,
    metavar="TIME",
    help="Given up to it; it may lie ahead. Now, if left out.",
)
@click.option("--account", metavar="ACCOUNT", help="About this account.")
@click.option("--reseller", metavar="NAME", help="About this reseller's keys.")
@click.option("--kind", type=click.Choice(NOTICE_KINDS), help="Of this kind.")
@csv_option
@json_option
def notices(
    start: datetime | None,
    end: datetime | None,
    account: str | None,
    reseller: str | None,
    kind: str | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """List what became true in a stretch of time, oldest first, each thing once."""
    with open_ledger() as opened:
        until = end or opened.request_context.now
        if start is not None and start > until:
            raise click.UsageError("--from must not be after --to")
        view = _all(opened, NoticeQuery(until, start, account, reseller, kind))
    if as_json:
        print_json(view)
    elif as_csv:
        print_items(NoticeView, view.items)
    else:
        print_fields(view.items, "at", "kind", "account", "reseller", "subject", "summary")


def _all(opened: CliContext, query: NoticeQuery) -> NoticeList:
    wiring, services, _ = opened
    found: list[NoticeView] = []
    after = None
    while True:
        page = list_notices(
            services.book,
            wiring.tables,
            services.catalog,
            query,
            after=after,
            limit=PAGE_NOTICES,
        )
        found += page.notices
        if page.next is None:
            return NoticeList(found, None, page.position)
        after = page.next
