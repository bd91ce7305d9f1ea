"""docs/proof-format.md says what the program does: its test vectors, computed once more."""

from __future__ import annotations

import json
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from eventsourcing.persistence import StoredEvent

from commands.sign_checkpoint import signing_of
from ledger.proof.merkle import leaf_bytes
from ledger.secret import Secret
from projections.audit import receipts, tree
from tests.proof.auditors import Auditor
from tests.proof.ledgers import Ledger, opened
from tests.proof.one_file import keyfold_verify

DOCUMENT = (Path(__file__).parents[2] / "docs" / "proof-format.md").read_text("utf-8")

# In UTF-8, of several streams, and one with a state of no bytes.
EVENTS = [
    ("token-a2", 1, "token.created@1", '{"fact":{},"recorded_at":"2026-03-01T09:00:00Z"}'),
    ("account-acme", 1, "account.seat_occupied@1", '{"fact":{"holder":"Kasse-ä"}}'),
    ("account-acme", 2, "account.seat_released@1", "{}"),
    ("key-b3", 1, "key.issued@1", ""),
    ("account-acme", 3, "account.seat_occupied@1", '{"fact":{}}'),
]
SECRET = Secret(bytes(range(32)))
NEXT_SECRET = Secret(bytes(range(32, 64)))


def vectors() -> dict[str, Any]:
    """Return the test vectors as they should be."""
    with closing(opened("memory:")) as ledger:
        ledger.book.store.insert_events(
            [
                StoredEvent(stream, version, name, state.encode())
                for stream, version, name, state in EVENTS
            ]
        )
        ledger.signing = signing_of(SECRET, (NEXT_SECRET, SECRET), ledger.signing.signed)
        return {
            "events": [
                {"stream": stream, "version": version, "name": name, "state": state}
                for stream, version, name, state in EVENTS
            ],
            "leaves": [
                leaf_bytes(stream, version, name, state.encode()).hex()
                for stream, version, name, state in EVENTS
            ],
            "leaf_hashes": [tree.hash_row(row).hex() for row in ledger.book.store.read_from(0, 9)],
            "roots": [_root(ledger, size).hex() for size in range(len(EVENTS) + 1)],
            "inclusion": [_inclusion(ledger, *one) for one in ((1, 1), (3, 5), (5, 5))],
            "consistency": [_consistency(ledger, *one) for one in ((3, 5), (4, 5))],
            "secrets": ["00 01 02 … 1f", "20 21 22 … 3f"],
            "keys": [key.vkey for key in reversed(ledger.signing.verifiers)],
            "checkpoint": ledger.checkpoint().splitlines(),
            "receipt": _receipt(ledger, 3).splitlines(),
        }


def _root(ledger: Ledger, size: int) -> bytes:
    return tree.root(ledger.book, ledger.tables, size)


def _inclusion(ledger: Ledger, position: int, size: int) -> dict[str, Any]:
    proof = tree.inclusion(ledger.book, ledger.tables, position, size)
    return {
        "position": position,
        "size": size,
        "hashes": [one.hex() for one in proof.hashes],
    }


def _consistency(ledger: Ledger, old: int, new: int) -> dict[str, Any]:
    proof = tree.consistency(ledger.book, ledger.tables, old, new)
    return {"from": old, "to": new, "hashes": [one.hex() for one in proof.hashes]}


def _receipt(ledger: Ledger, position: int) -> str:
    (row,) = ledger.book.store.read_from(position - 1, 1)
    return receipts.receipt(ledger.book, ledger.tables, row, ledger.checkpoint())


def documented() -> dict[str, Any]:
    (block,) = re.findall(r"```json\n(\{\n \"events\".*?)```", DOCUMENT, re.DOTALL)
    found: dict[str, Any] = json.loads(block)
    return found


@pytest.mark.parametrize("name", vectors())
def test_the_test_vectors_are_what_the_program_makes(name: str) -> None:
    assert documented()[name] == vectors()[name]


def test_there_are_no_other_test_vectors() -> None:
    assert list(documented()) == list(vectors())


def test_the_bytes_of_a_leaf_are_shown_as_they_are() -> None:
    (table,) = re.findall(r"```text\n(00 00 00 .*?)```", DOCUMENT, re.DOTALL)
    shown = "".join(re.findall(r"^((?:[0-9a-f]{2} )+)", table, re.MULTILINE)).replace(" ", "")
    stream, version, name, state = EVENTS[2]
    assert shown == leaf_bytes(stream, version, name, state.encode()).hex()


def test_the_verifier_takes_the_receipt_of_the_document(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    auditor = Auditor(tmp_path_factory.mktemp("auditor"))
    auditor.keeps("receipt", "\n".join(documented()["receipt"]) + "\n")
    auditor.keeps("checkpoint", "\n".join(documented()["checkpoint"]) + "\n")
    for key in documented()["keys"]:
        said = auditor.verifies("receipt", "--checkpoint", "checkpoint", "--key", key)
        assert (said.code, said.wrong) == (0, [])


OPTIONS = [
    "checkpoint",
    "key",
    "old",
    "account",
    "as-of",
    "known-at",
    "all",
    "catalog",
    "answer",
    "statement",
]


def test_every_option_of_the_verifier_is_in_the_document() -> None:
    shown = re.findall(r"--([a-z-]+)", keyfold_verify.parser().format_help())
    assert set(shown) - {"help"} == set(OPTIONS)
    for option in OPTIONS:
        assert f"`--{option}" in DOCUMENT
