"""`keyfold timeline`: what happened, in sentences."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Final

import click
from msgspec.structs import astuple

from projections.lists.timeline import (
    DescribedEvent,
    EventView,
    TimelinePage,
    TimelineQuery,
    TimelineView,
    Visibility,
    timeline,
)
from web.app.references import known_ref
from web.app.services import Wiring
from web.cli.context import open_ledger
from web.cli.errors import CommandRefused
from web.cli.examples import Exampled
from web.cli.options import TIME, csv_option, json_option
from web.cli.output import is_terminal, print_csv, print_json, progress, text_of

PAGE_ENTRIES: Final = 500
LIMIT_DEFAULT: Final = 50

# Read at a glance: what came to be, what went, what was refused.
_COLOURS: Final = {
    "refused": "red",
    "revoked": "yellow",
    "terminated": "yellow",
    "released": "yellow",
    "erased": "yellow",
    "issued": "green",
    "redeemed": "green",
    "activated": "green",
    "occupied": "green",
}


@click.command(
    "timeline",
    cls=Exampled,
    short_help="What happened to anything that has an id, newest first.",
    examples=(
        "keyfold timeline acme",
        "keyfold timeline till-1 --account acme",
        "keyfold timeline 'POS-••••-••••-7K2M'        dots may be typed as *",
        "keyfold timeline - < code.txt",
        "keyfold timeline --event attempts.seat_refused --from 2026-03-01T00:00:00Z",
        "keyfold timeline --csv > timeline.csv",
    ),
)
@click.argument("ref", metavar="[REF]", required=False)
@click.option("--account", help="Only what happened to this account.")
@click.option("--event", metavar="NAME", help="Only events of this name.")
@click.option("--actor", help="Only what this token, or operator, or stripe, asked for.")
@click.option("--from", "start", type=TIME, metavar="TIME", help="Recorded from then on.")
@click.option("--to", "end", type=TIME, metavar="TIME", help="Recorded before then.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=LIMIT_DEFAULT,
    show_default=True,
    help="How many at most.",
)
@csv_option
@json_option
def timeline_(
    ref: str | None,
    account: str | None,
    event: str | None,
    actor: str | None,
    start: datetime | None,
    end: datetime | None,
    limit: int,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Tell what happened to REF, newest first; to everything, if REF is left out.

    REF is an account, a holder, the id of a key, batch, subscription, token or request, a masked or
    whole code, or an id of Stripe's. Other users of this machine can see a program's arguments:
    with `-` it is read from standard input instead. With --csv all of it is printed, whatever the
    limit.
    """
    if ref == "-":
        ref = sys.stdin.readline()
    with open_ledger() as (wiring, services, _):
        ref = known_ref(services, ref) if ref else None
        query = TimelineQuery(
            ref=ref, account=account, event=event, actor=actor, start=start, end=end
        )
        is_unknown = not _page(wiring, TimelineQuery(ref=ref), 1).entries
        if as_csv:
            _print_csv(wiring, query)
        else:
            _print_page(_page(wiring, query, limit), limit, as_json=as_json)
    if is_unknown and ref is not None:
        # Not which one: it may be a code.
        raise CommandRefused("not_found", "Nothing is recorded of what was named")


def _print_page(page: TimelinePage, limit: int, *, as_json: bool) -> None:
    if as_json:
        print_json(TimelineView(page.items, None, page.position))
        return
    if not page.entries:
        click.echo("nothing that fits is recorded", err=True)
    for entry in page.entries:
        click.echo(_line(entry))
    if page.next is not None:
        click.echo(f"… and more: say --limit {limit * 10}, or --csv for all", err=True)


def _page(wiring: Wiring, query: TimelineQuery, limit: int) -> TimelinePage:
    entries: list[DescribedEvent] = []
    for page in _pages(wiring, query, min(limit, PAGE_ENTRIES)):
        entries += page.entries
        if page.next is None or len(entries) >= limit:
            more = page.next is not None or len(entries) > limit
            return TimelinePage(entries[:limit], 0 if more else None, page.position)
    raise AssertionError("there is always a page")


def _pages(wiring: Wiring, query: TimelineQuery, size: int) -> Iterator[TimelinePage]:
    services, after = wiring.services, None
    while True:
        page = timeline(
            services.book,
            wiring.tables,
            services.catalog,
            query,
            Visibility(services.texts),
            after=after,
            limit=size,
        )
        yield page
        after = page.next
        if after is None:
            return


def _line(entry: DescribedEvent) -> str:
    at, position = text_of(entry.event.recorded_at), f"{entry.event.position:>7}"
    if not is_terminal(sys.stdout):
        return f"{at}  {position}  {entry.summary}"
    done = entry.event.name.partition("@")[0].rpartition("_")[2].rpartition(".")[2]
    summary = click.style(entry.summary, fg=_COLOURS.get(done))
    return f"{click.style(at, dim=True)}  {click.style(position, dim=True)}  {summary}"


def _print_csv(wiring: Wiring, query: TimelineQuery) -> None:
    columns = EventView.__struct_encode_fields__
    with progress("Reading", None) as on_page:
        for page in _pages(wiring, query, PAGE_ENTRIES):
            print_csv(columns, map(astuple, page.items))
            columns = ()
            on_page()
