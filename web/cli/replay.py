"""`keyfold replay`: do the tables say what the ledger says?"""

from __future__ import annotations

import click

from projections.replaying import NAMES, EventUnreadable, Finding, replay
from web.cli.examples import Exampled
from web.cli.failures import Refused
from web.cli.opening import opened
from web.cli.options import json_option
from web.cli.pace import pace
from web.cli.printing import print_json
from web.wiring import Wiring


@click.command(
    "replay",
    cls=Exampled,
    short_help="Rebuild every table from the events, and tell what differs.",
    examples=("keyfold replay --verify",),
)
@click.option("--verify", is_flag=True, help="Rebuild them beside the live ones, and compare.")
@json_option
def replay_(verify: bool, as_json: bool) -> None:
    """Rebuild every table that lists are answered from, from the ledger's first event on.

    With --verify that happens beside the live tables, which stay in use and are not changed, and
    every row that differs is printed. Exits with 1 if there is any. Without it nothing is done.
    """
    if not verify:
        raise click.UsageError(f"say --verify to rebuild and compare {', '.join(NAMES)}")
    with opened() as (wiring, _, _):
        events, findings = _replayed(wiring, silent=as_json)
    if as_json:
        print_json({"events": events, "items": [one._asdict() for one in findings], "next": None})
    else:
        click.echo(f"replayed {events} events into {', '.join(NAMES)}")
    if findings:
        places = "1 place is" if len(findings) == 1 else f"{len(findings)} places are"
        raise Refused("tables_differ", f"{places} not what the ledger says")


def _replayed(wiring: Wiring, *, silent: bool) -> tuple[int, list[Finding]]:
    book, tables = wiring.ports.book, wiring.tables
    events = book.head()
    findings = []
    try:
        with pace("Replaying") as on_events:
            for one in replay(book, tables, lambda more: on_events(more, events * len(NAMES))):
                findings.append(one)
                if not silent:
                    click.echo(f"{one.table}, position {one.position}: {one.sentence}")
    except EventUnreadable as error:
        raise Refused(
            "event_unreadable",
            f"The event at position {error.position} cannot be read: run keyfold audit verify",
        ) from None
    return events, findings
