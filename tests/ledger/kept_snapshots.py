"""Histories of accounts beside the snapshots that were once kept of them.

`tests/golden/account_snapshots.json` holds both. Remake it when the shape was raised, or when
accounts have learned of a new kind of fact: `./dev python -m tests.ledger.kept_snapshots`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from ledger import codec
from ledger.store.contract import Row
from ledger.streams.account import snapshot as account_packing
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT
from tests.audit.ledgers import happens
from tests.worlds import services

GOLDEN = Path(__file__).parents[1] / "golden"
FILE = GOLDEN / "account_snapshots.json"
SHUFFLED = 20
LIVED = 3


class Kept(NamedTuple):
    """What was recorded of an account, and the bytes of the snapshot that was kept of it then."""

    rows: list[Row]
    snapshot: bytes

    def folded(self) -> Account:
        """Return the state that the events make today."""
        return ACCOUNT.fold(ACCOUNT.initial, [codec.decode(row) for row in self.rows])


def golden_row(name: str, kind: str, version: int) -> Row:
    """Return a recorded event of tests/golden/events; `kind` is `full` or `minimal`."""
    state = (GOLDEN / "events" / f"{name}.{kind}.json").read_bytes()
    return Row(version, "account-golden", version, name, state)


def golden_names() -> list[tuple[str, str]]:
    """Return name and kind of two events of every fact that an account can have."""
    return [(name, kind) for name in sorted(ACCOUNT.facts) for kind in ("full", "minimal")]


def read() -> tuple[int, list[Kept]]:
    """Return the shape of the snapshots in the file, and all of them."""
    known = json.loads(FILE.read_text("utf-8"))
    return known["shape"], [_read(one) for one in known["snapshots"]]


def _read(one: dict[str, Any]) -> Kept:
    rows = [
        golden_row(event[0], event[1], number)
        if len(event) == 2
        else Row(number, "account-golden", number, event[0], json.dumps(event[2]).encode())
        for number, event in enumerate(one["events"], start=1)
    ]
    return Kept(rows, base64.b64decode(one["snapshot"]))


def _histories() -> Iterator[list[list[Any]]]:
    """Yield events as the file has them: name and kind of a golden one, or name, "", and body."""
    names = [list(one) for one in golden_names()]
    yield names
    for seed in range(SHUFFLED):
        yield Random(seed).sample(names, k=Random(seed).randint(len(names) // 2, len(names)))
    for seed in range(LIVED):
        world = services(seed=seed)
        happens(world, Random(seed), things=60)
        rows = world.book.store.read_from(0, 10_000)
        stream = next(row.stream for row in rows if row.stream.startswith("account-"))
        yield [[row.name, "", json.loads(row.state)] for row in rows if row.stream == stream]


def main() -> None:
    """Write the file."""
    made = []
    for events in _histories():
        state = _read({"events": events, "snapshot": ""}).folded()
        snapshot = base64.b64encode(account_packing.pack(state)).decode()
        made.append({"events": events, "snapshot": snapshot})
    lines = ",\n".join(json.dumps(one, ensure_ascii=False) for one in made)
    FILE.write_text(f'{{"shape": {account_packing.SHAPE}, "snapshots": [\n{lines}\n]}}\n', "utf-8")


if __name__ == "__main__":
    main()
