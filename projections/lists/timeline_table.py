"""The timeline's table: one row for each event and each thing that it names."""

from __future__ import annotations

from functools import cache
from typing import Final

from ledger.events import AnyEvent
from ledger.streams.key import KeyAmended
from projections.lists.catch_up import Projection, Write
from projections.lists.references import EVERYTHING, named
from projections.lists.stores.tables import Params, Row, to_number

# A later event of a key or a batch does not say whose it is: the one that issued it did, or of a
# key the last one that gave it to another reseller.
_INSERT_OWNED = """
    INSERT INTO keyfold_timeline_1 (
        ref, position, event, actor, reseller, recorded_at, occurred_at
    ) VALUES (
        :ref, :position, :event, :actor, (
            SELECT issued.reseller FROM keyfold_timeline_1 AS issued
            WHERE issued.ref = :owner AND issued.position < :position
            AND issued.reseller IS NOT NULL ORDER BY issued.position LIMIT 1
        ), :recorded_at, :occurred_at
    )
"""
_INSERT_OWNED_NOW = _INSERT_OWNED.replace("issued.position LIMIT", "issued.position DESC LIMIT")
_ALL = str(EVERYTHING)


def _write(event: AnyEvent) -> list[Row] | Write:
    refs = named(event)
    owner = refs[0]
    refs.append(_ALL)
    name, actor, position = _event(event.name), event.actor, event.position
    occurred_at = recorded_at = to_number(event.recorded_at)
    if event.occurred_at != event.recorded_at:
        occurred_at = to_number(event.occurred_at)
    reseller = None
    if event.stream.startswith(("key-", "batch-", "order-")):
        reseller = getattr(event.fact, "reseller", None)
        if isinstance(event.fact, KeyAmended):
            reseller = event.fact.after.reseller
        if reseller is None:
            row: Params = {
                "position": position,
                "event": name,
                "actor": actor,
                "owner": owner,
                "recorded_at": recorded_at,
                "occurred_at": occurred_at,
            }
            sql = _INSERT_OWNED_NOW if event.stream.startswith("key-") else _INSERT_OWNED
            return Write(sql, [{**row, "ref": ref} for ref in refs])
    return [(ref, position, name, actor, reseller, recorded_at, occurred_at) for ref in refs]


@cache
def _event(name: str) -> str:
    return name.partition("@")[0]


TIMELINE: Final = Projection(
    name="timeline@1",
    table="keyfold_timeline_1",
    columns=("ref", "position", "event", "actor", "reseller", "recorded_at", "occurred_at"),
    write=_write,
    key=("ref", "position"),
)
