"""Every listing can be had as a table for a file, too."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import click

from tests.cli.program import Program
from web.cli.main import keyfold as program

# With `--json`, and no listing: each shows one thing, or does something and tells how it went.
NO_LISTINGS = {
    *(
        "keys import",
        "keys migrate",
        "stripe adopt",
        "keys show",
        "keys amend",
        "keys revoke",
        "keys reissue",
        "batches revoke",
    ),
    *(f"resellers {name}" for name in ("show", "grant", "limits", "suspend", "resume", "revoke")),
    *("orders decline", "seats occupy", "seats replace", "link", "unlink", "billing"),
    *(f"subscription {name}" for name in ("start", "extend", "suspend", "resume", "transfer")),
    *("subscription terminate", "explain", "erase", "replay", "audit verify"),
    *(f"stripe {name}" for name in ("sync", "assign", "import", "reconcile", "remap")),
    *(f"webhooks {name}" for name in ("add", "test", "replay", "rotate")),
    *("tokens create", "secrets rotate", "notices link", "backup", "restore", "doctor"),
}


def commands(group: click.Group, *above: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command
        if isinstance(command, click.Group):
            yield from commands(command, *above, name)
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield " ".join((*above, name)), command


def test_every_listing_has_csv_beside_json() -> None:
    options = {
        name: {option.name for option in command.params} for name, command in commands(program)
    }
    with_json = {name for name, taken in options.items() if "as_json" in taken}
    with_csv = {name for name, taken in options.items() if "as_csv" in taken}
    assert with_json - with_csv == NO_LISTINGS
    assert with_csv - with_json == set()
    assert with_csv >= {"webhooks list", "webhooks deliveries", "notices", "seat-history", "diff"}


def test_what_became_different_and_seats_over_time_come_as_tables(filled: Program) -> None:
    account = filled.json("keys", "list", "--status", "redeemed")["items"][0]["redeemed_by"]
    span = (account, "--from", "2020-01-01T00:00:00Z")
    for listing, items in (("diff", "items"), ("seat-history", "points")):
        rows = list(csv.DictReader(io.StringIO(filled.done(listing, *span, "--csv").out)))
        found = filled.json(listing, *span)[items]
        assert len(rows) == len(found) > 0
        assert list(rows[0]) == list(found[0])
        assert not [cell for cell in rows[0].values() if "View(" in cell]
        both = filled.run(listing, *span, "--csv", "--json")
        assert (both.code, "choose one" in both.err) == (2, True)
