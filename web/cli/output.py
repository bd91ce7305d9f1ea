"""What the commands print: JSON as the API's answers, tables, and progress.

On a terminal tables have lines and colours (not with NO_COLOR); elsewhere they are aligned text.
Progress goes to standard error, and only shows when the work takes a while.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import IO, TYPE_CHECKING, Any, Final

import click
import msgspec
from msgspec import Struct
from msgspec.structs import astuple

from web.app.csv_encoding import csv_lines
from web.app.json_encoding import encode

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

WIDTH_MAX: Final = 1_000
PROGRESS_AFTER_S: Final = 0.5
NOTHING: Final = "-"
RECORDING: Final = "Recording"

Cell = str | int | bool | datetime | timedelta | list[Any] | dict[str, Any] | None


def print_json(content: Any) -> None:
    """Print what the API would answer: as it would, or on a terminal with a line for each field."""
    encoded = encode(content)
    click.echo(msgspec.json.format(encoded, indent=2) if is_terminal(sys.stdout) else encoded)


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows as a table for a file, with everything that JSON would have."""
    click.echo(csv_lines(columns, rows), nl=False)


def print_items(kind: type[Struct], items: Iterable[Any]) -> None:
    """Print answers of one kind as a table for a file: all fields, a row each."""
    print_csv(kind.__struct_encode_fields__, map(astuple, items))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Print rows under their columns; numbers stand to the right."""
    values = [list(row) for row in rows]
    texts = [[text_of(cell) for cell in row] for row in values]
    right = [
        bool(values)
        and all(isinstance(row[i], int) and not isinstance(row[i], bool) for row in values)
        for i in range(len(columns))
    ]
    if is_terminal(sys.stdout):
        _print_rich(columns, texts, right)
        return
    widths = [max(map(len, column)) for column in zip(columns, *texts, strict=True)]
    for line in ([name.upper() for name in columns], *texts):
        click.echo(
            "  ".join(
                cell.rjust(width) if to_right else cell.ljust(width)
                for cell, width, to_right in zip(line, widths, right, strict=True)
            ).rstrip()
        )


def print_fields(rows: Iterable[Any], *columns: str) -> None:
    """Print fields of some answers, a row each.

    Args:
        columns: the fields' names; `title=field` for one that stands under another title.
    """
    named = [column.rpartition("=") for column in columns]
    print_table(
        [title or field for title, _, field in named],
        [[getattr(row, field) for _, _, field in named] for row in rows],
    )


def text_of(cell: Cell) -> str:
    """Return a cell as people read it."""
    match cell:
        case None:
            return NOTHING
        case bool():
            return "yes" if cell else "no"
        case datetime():
            return short_time(cell)
        case timedelta():
            from projections.text.formatting import about

            return about(cell) if cell else NOTHING
        case dict():
            return ", ".join(f"{name} {value}" for name, value in cell.items()) or NOTHING
        case list():
            return ", ".join(map(str, cell))
        case _:
            return str(cell)


def short_time(at: datetime) -> str:
    """Return a time to the second, in a form that `--as-of` takes."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_terminal(stream: IO[str]) -> bool:
    """Return whether somebody looks at a stream as it is written."""
    return stream.isatty()


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[], None]]:
    """Return a context that shows how far a piece of work is; its value is called after each step.

    Args:
        total: how many steps there are, if that is known.
    """
    if not is_terminal(sys.stderr):
        yield lambda: None
        return
    bar = _Bar(what, total)
    try:
        yield bar.advance
    finally:
        bar.stop()


class _Bar:
    """A progress bar that appears once the work has taken a while, and leaves nothing behind.

    It shows by the clock and not by the steps: the last step may be followed by the long commit of
    all of them.
    """

    def __init__(self, what: str, total: int | None) -> None:
        self._what = what
        self._total = total
        self._steps = 0
        self._shown: tuple[Progress, TaskID] | None = None
        self._timer = threading.Timer(PROGRESS_AFTER_S, self._show)
        self._timer.daemon = True
        self._timer.start()

    def advance(self) -> None:
        self._steps += 1
        self._update()

    def stop(self) -> None:
        self._timer.cancel()
        self._timer.join()
        if self._shown is not None:
            self._shown[0].stop()

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import Progress

        bar = Progress(console=Console(stderr=True), transient=True)
        self._shown = bar, bar.add_task(self._what, total=self._total)
        self._update()
        bar.start()

    def _update(self) -> None:
        if self._shown is not None:
            bar, task = self._shown
            what = RECORDING if self._steps == self._total else self._what
            bar.update(task, completed=self._steps, description=what)


def _print_rich(
    columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]
) -> None:
    from rich import box
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, show_edge=False)
    for name, to_right in zip(columns, right, strict=True):
        table.add_column(name, justify="right" if to_right else "left", no_wrap=True)
    for row in rows:
        # As text: a label may hold what rich would read as markup.
        table.add_row(*map(Text, row))
    console = Console()
    # Wider than the terminal if need be: an id that is broken over two lines cannot be copied.
    unlimited = console.options.update(max_width=WIDTH_MAX)
    console.width = max(console.width, Measurement.get(console, unlimited, table).maximum)
    console.print(table)
