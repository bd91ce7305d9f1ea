"""`keyfold stripe import`: events of Stripe's from files."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, NamedTuple

import click

from commands.record_stripe_event import record_event
from ledger.stripe.objects import NotAnEvent, StripeEvent, read_event
from web.app.errors import HttpProblem
from web.app.request_parsing import read_json
from web.cli.context import CliContext, open_ledger
from web.cli.errors import REFUSED
from web.cli.examples import Exampled
from web.cli.options import json_option
from web.cli.output import print_json, progress


class _Payload(NamedTuple):
    """An event in a file, and where it stands, for people."""

    place: str
    payload: Any


class _Unreadable(NamedTuple):
    place: str
    reason: str


@click.command(
    "import",
    cls=Exampled,
    short_help="Record events from files.",
    examples=(
        "keyfold stripe import events.jsonl",
        "keyfold stripe import saved/*.json",
    ),
)
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE…",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
)
@json_option
def import_(files: tuple[Path, ...], as_json: bool) -> None:
    """Record the events in each FILE: one event, a JSON array, a Stripe list, or JSON Lines.

    Whoever can write a FILE is believed: saved events carry no signature. An event that is on
    record already is passed over, so the same files can be imported again. What cannot be read is
    told with its place, and exits with 1; all else is recorded. `-` is standard input.
    """
    outcomes: Counter[str] = Counter()
    refused: list[_Unreadable] = []
    with open_ledger() as work, progress("Importing", None) as on_event:
        for one in chain.from_iterable(map(_read, files)):
            _record(work, one, outcomes, refused)
            on_event()
    if as_json:
        items = [one._asdict() for one in refused]
        print_json({"events": dict(sorted(outcomes.items())), "refused": items})
    else:
        _print(outcomes, refused)
    if refused:
        sys.exit(REFUSED)


def _record(
    work: CliContext,
    one: _Payload | _Unreadable,
    outcomes: Counter[str],
    refused: list[_Unreadable],
) -> None:
    if isinstance(one, _Unreadable):
        refused.append(one)
        return
    try:
        event = read_event(one.payload)
        _refuse_foreign(work, event)
    except NotAnEvent as error:
        refused.append(_Unreadable(one.place, str(error)))
        return
    recorded = record_event(work.services, work.request_context, event, "file")
    outcomes[recorded.outcome if recorded.new else "on record already"] += 1


def _refuse_foreign(work: CliContext, event: StripeEvent) -> None:
    stripe = work.services.stripe
    if stripe and stripe.livemode is not None and stripe.livemode is not event.livemode:
        raise NotAnEvent("`livemode` is not that of STRIPE_API_KEY")
    if event.connected is not None and not (stripe and stripe.is_own(event.connected)):
        raise NotAnEvent("`account` is a connected account, not the vendor's own")


def _read(file: Path) -> Iterator[_Payload | _Unreadable]:
    """Return what is in a file, whichever of the four forms it has; JSON Lines line by line."""
    with _opened(file) as lines:
        first = list(islice(lines, 2))
        if any(map(_is_object, first)):
            yield from _lines(file, chain(first, lines))
        else:
            yield from _whole(file, b"".join(chain(first, lines)))


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    if str(file) == "-":
        yield sys.stdin.buffer
        return
    with file.open("rb") as lines:
        yield lines


def _is_object(line: bytes) -> bool:
    try:
        found = _json(line)
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("object") != "list"


def _whole(file: Path, raw: bytes) -> Iterator[_Payload | _Unreadable]:
    try:
        found = _json(raw)
    except ValueError as error:
        yield _Unreadable(str(file), str(error))
        return
    if isinstance(found, dict) and found.get("object") == "list":
        found = found.get("data")
    if isinstance(found, list):
        for number, payload in enumerate(found, start=1):
            yield _Payload(f"{file}, event {number}", payload)
    else:
        yield _Payload(str(file), found)


def _lines(file: Path, lines: Iterable[bytes]) -> Iterator[_Payload | _Unreadable]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{file}, line {number}"
        try:
            yield _Payload(place, _json(line))
        except ValueError as error:
            yield _Unreadable(place, str(error))


def _json(raw: bytes) -> Any:
    try:
        return read_json(raw)
    except HttpProblem as problem:
        raise ValueError(problem.detail) from None


def _print(outcomes: Counter[str], refused: list[_Unreadable]) -> None:
    for place, reason in refused:
        click.echo(f"{place}: {reason}", err=True)
    for outcome, count in sorted(outcomes.items()):
        click.echo(f"{count} {outcome.replace('_', ' ')}")
    if not outcomes and not refused:
        click.echo("there is no event in these files")
