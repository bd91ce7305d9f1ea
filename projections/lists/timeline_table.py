"""The timeline's table: one row for each event and each thing that it names.

Whose an event is it says, too, as it was then: a key that is given to another reseller takes
nothing of its past with it, and what happens to it afterwards is no more the first one's.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from ledger.events import AnyEvent, Fact
from ledger.streams.batch import CodesRevealed, KeysImported, KeysIssued
from ledger.streams.key import KeyAmended, KeyImportedAgain, KeyIssued
from ledger.streams.order import OrderPlaced
from projections.lists.catch_up import Projection, Write
from projections.lists.references import EVERYTHING, named
from projections.lists.stores.tables import Params, Row, to_number

# A later event of a key or a batch does not say whose it is: the one that issued it did, or of a
# key the last one that gave it to another reseller. All that names a key and is somebody's is of
# that key's owner.
_INSERT_OWNED = """
    INSERT INTO keyfold_timeline_2 (
        ref, position, event, actor, reseller, recorded_at, occurred_at
    ) VALUES (
        :ref, :position, :event, :actor, (
            SELECT issued.reseller FROM keyfold_timeline_2 AS issued
            WHERE issued.ref = :owner AND issued.position < :position
            AND issued.reseller IS NOT NULL ORDER BY issued.position LIMIT 1
        ), :recorded_at, :occurred_at
    )
"""
_INSERT_OWNED_NOW = _INSERT_OWNED.replace("issued.position LIMIT", "issued.position DESC LIMIT")
_ALL = str(EVERYTHING)


def _write(event: AnyEvent) -> list[Row] | Write:
    refs = named(event)
    refs.append(_ALL)
    name, actor, position = _event(event.name), event.actor, event.position
    occurred_at = recorded_at = to_number(event.recorded_at)
    if event.occurred_at != event.recorded_at:
        occurred_at = to_number(event.occurred_at)
    reseller = _named(event.fact)
    owned = None if reseller is not None else _owned(event, refs[0])
    if owned is not None:
        row: Params = {
            "position": position,
            "event": name,
            "actor": actor,
            "owner": owned,
            "recorded_at": recorded_at,
            "occurred_at": occurred_at,
        }
        sql = _INSERT_OWNED_NOW if owned.startswith("key:") else _INSERT_OWNED
        return Write(sql, [{**row, "ref": ref} for ref in refs])
    return [(ref, position, name, actor, reseller, recorded_at, occurred_at) for ref in refs]


def _named(fact: Fact) -> str | None:
    """Return the reseller that a fact says is whose it is."""
    match fact:
        case KeyAmended(after=after):
            return after.reseller
        case (
            KeyIssued(reseller=name)
            | KeyImportedAgain(reseller=name)
            | KeysIssued(reseller=name)
            | OrderPlaced(reseller=name)
        ):
            return name
    return None


def _owned(event: AnyEvent, ref: str) -> str | None:
    """Return the reference to what an event is about, whose owner's it is; None for nobody's."""
    match event.fact:
        case CodesRevealed(key=str(key)):
            return f"key:{key}"
        case KeysImported():  # its keys may be several resellers'
            return None
    return ref if event.stream.startswith(("key-", "batch-", "order-")) else None


@cache
def _event(name: str) -> str:
    return name.partition("@")[0]


TIMELINE: Final = Projection(
    name="timeline@2",
    table="keyfold_timeline_2",
    columns=("ref", "position", "event", "actor", "reseller", "recorded_at", "occurred_at"),
    write=_write,
    key=("ref", "position"),
)
