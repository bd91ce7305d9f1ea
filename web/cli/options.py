"""What several commands take: times, the two times of a question, `--json`, reasons."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any, Final, TypeVar, cast

import click

from ledger.limits import IDEMPOTENCY_KEY
from web.app.times import NotATime, parse_time

F = TypeVar("F", bound=Callable[..., Any])

EXAMPLE: Final = "2026-03-01T09:00:00Z"


class TimeParam(click.ParamType[datetime]):
    """A moment as RFC 3339 has it, with its offset; UTC from here on."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return a time of the command line in UTC."""
        if isinstance(value, datetime):
            return value
        try:
            return parse_time(value)
        except NotATime:
            self.fail(f"{value!r} is no time with its zone, like {EXAMPLE}", param, ctx)


TIME: Final = TimeParam()

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, as the API answers."
)


def csv_option(command: F) -> F:
    """Return a listing with `--csv` beside its `--json`."""

    @wraps(command)
    def checked(*args: Any, **options: Any) -> Any:
        if options["as_csv"] and options["as_json"]:
            raise click.UsageError("--csv and --json: choose one of them")
        return command(*args, **options)

    option = click.option("--csv", "as_csv", is_flag=True, help="Print a table for a file: CSV.")
    return cast(F, option(checked))


def _as_idempotency_key(
    _context: click.Context, _param: click.Parameter, text: str | None
) -> str | None:
    if text is not None and not re.fullmatch(IDEMPOTENCY_KEY, text):
        raise click.BadParameter("1 to 255 printable characters, no spaces")
    return text


idempotency_key_option = click.option(
    "--idempotency-key",
    metavar="KEY",
    callback=_as_idempotency_key,
    help="The same with the same KEY again answers as before, and changes nothing twice.",
)

reason_option = click.option(
    "--reason", required=True, help="Why; kept with the event, readable for the vendor only."
)


def moment_options(command: F) -> F:
    """Return the command with options for the two times of a question about an account."""
    as_of = click.option(
        "--as-of",
        type=TIME,
        metavar="TIME",
        help=f"What was, or will be, true then, e.g. {EXAMPLE}; now if left out.",
    )
    known_at = click.option(
        "--known-at",
        type=TIME,
        metavar="TIME",
        help="Use only what had been recorded by then; everything if left out.",
    )
    return as_of(known_at(command))
