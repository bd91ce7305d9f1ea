"""Faults that a served program is given, by name: each of them a drill must find."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final


def _replace(owner: Any, name: str, by: Any) -> None:
    assert name in vars(owner), name
    setattr(owner, name, by)


def _lets_nobody_make_room() -> None:
    from web.server.http_server import Server

    _replace(Server, "_make_room", lambda _self: None)


def _knows_no_other_file() -> None:
    from ledger.store.sqlite.files import Files

    _replace(Files, "are_not_replaced", lambda _self: True)


def _gives_no_reason() -> None:
    from web.api import health
    from web.app import errors

    for module in (errors, health):
        _replace(module, "hint_of", lambda _error: None)


def _takes_memory_for_ours() -> None:
    from web.app import errors

    _replace(errors, "_out_of_memory", errors._broken)  # noqa: SLF001


def _leaves_a_folder() -> None:
    import tempfile

    tempfile.mkdtemp(prefix="keyfold-")


def _goes_by_its_clock() -> None:
    from ledger.book import Book

    _replace(Book, "ahead_of", lambda *_args: None)


def _stays_at_one_moment() -> None:
    from web.cli import replay

    goes_on: Any = vars(replay)["replay"]

    def stays(book: Any, tables: Any, *args: Any) -> Any:
        with tables.snapshot() as live:
            live.execute("SELECT 1 FROM keyfold_events LIMIT 1", {})
            yield from goes_on(book, tables, *args)

    _replace(replay, "replay", stays)


FAULTS: Final[dict[str, Callable[[], None]]] = {
    "idle connections are kept, others wait": _lets_nobody_make_room,
    "another file in its place goes unnoticed": _knows_no_other_file,
    "a disk that cannot be read is given no reason": _gives_no_reason,
    "too little memory is called a mistake of ours": _takes_memory_for_ours,
    "a folder is left behind": _leaves_a_folder,
    "a clock that is behind the ledger is not spoken of": _goes_by_its_clock,
    "a reader stays at one moment": _stays_at_one_moment,
}
