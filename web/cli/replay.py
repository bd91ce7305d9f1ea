"""`keyfold replay`: do the tables say what the ledger says?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec

from projections.audit.rebuild import NAMES, EventUnreadable, RebuildFinding, replay
from web.cli.context import open_ledger
from web.cli.errors import CommandRefused
from web.cli.examples import Exampled
from web.cli.options import json_option
from web.cli.progress import event_progress
from web.cli.whatif import print_what_if


@click.command(
    "replay",
    cls=Exampled,
    short_help="Rebuild every table from the events, and tell what differs.",
    examples=("keyfold replay --verify", "keyfold replay --policy grace.toml"),
)
@click.option("--verify", is_flag=True, help="Rebuild them beside the live ones, and compare.")
@click.option(
    "--policy",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Fold history under another rule instead, and tell who would have been affected.",
)
@json_option
def replay_(verify: bool, policy: Path | None, as_json: bool) -> None:
    """Rebuild every table that lists are answered from, from the ledger's first event on.

    With --verify that happens beside the live tables, which stay in use and are not changed, and
    every row that differs is printed as soon as it is found. Exits with 1 if there is any. Without
    it nothing is done.

    With --policy nothing is rebuilt: accounts are folded under the rule in a file (grace_days = 14,
    holders = "newest_first"), and who would have worked, or been let in, is printed. Nothing is
    changed.
    """
    if policy is not None:
        if verify:
            raise click.UsageError("say --verify or --policy, not both")
        print_what_if(policy, as_json=as_json)
        return
    if not verify:
        raise click.UsageError(f"say --verify to rebuild and compare {', '.join(NAMES)}")
    with open_ledger() as (wiring, _, _), _refusing():
        book = wiring.services.book
        events = book.head()
        with event_progress("Replaying") as on_events:
            found = replay(book, wiring.tables, lambda more: on_events(more, events * len(NAMES)))
            count = _print_json(events, found) if as_json else _print_lines(found)
    if not as_json:
        click.echo(f"replayed {events} events into {', '.join(NAMES)}")
    if count:
        summary = "1 place is" if count == 1 else f"{count} places are"
        raise CommandRefused("tables_differ", f"{summary} not what the ledger says")


# Findings are printed on their way and not kept: a table may differ in every row.


def _print_lines(found: Iterable[RebuildFinding]) -> int:
    """Print findings, a line each; return how many there were."""
    count = 0
    for one in found:
        click.echo(f"{one.table}, position {one.position}: {one.sentence}")
        count += 1
    return count


def _print_json(events: int, found: Iterable[RebuildFinding]) -> int:
    """Print one JSON object, an item a line; return how many there were.

    It is not closed when an event cannot be read: what was found until then is not all.
    """
    opening, count = f'{{"events":{events},"items":[', 0
    for one in found:
        click.echo("," if count else opening)
        click.echo(msgspec.json.encode(one._asdict()), nl=False)
        count += 1
    click.echo("\n" if count else opening, nl=False)
    click.echo('],"next":null}')
    return count


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except EventUnreadable as error:
        raise CommandRefused(
            "event_unreadable",
            f"The event at position {error.position} cannot be read: run keyfold audit verify",
        ) from None
