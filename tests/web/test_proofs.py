"""Checkpoints and proofs over HTTP."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from commands.sign_checkpoint import NEXT_STEP
from ledger.proof import notes
from ledger.proof.merkle import Frontier, verify_consistency, verify_inclusion
from ledger.store.signed_checkpoints import SignedCheckpoint
from projections.audit import tree
from tests.proof.attacks import Attacker, attacker
from tests.web.api import Api, Got, stored_api
from tests.worlds import rows
from web.app.context import EXTENSION, AppState
from web.app.services import Wiring


def wiring(api: Api) -> Wiring:
    parts: AppState = api.app.extensions[EXTENSION]
    return parts.wiring


def decoded(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def checkpoint(api: Api) -> notes.Checkpoint:
    got = api.get("auditor", "/v1/checkpoint")
    assert got.status == 200
    note, found = notes.parse_checkpoint(got.raw)
    keys = api.get("auditor", "/v1/checkpoint/keys").body
    assert found.origin == keys["origin"]
    verifiers = [notes.parse_vkey(key) for key in keys["keys"]]
    assert notes.signers(note, verifiers) == verifiers
    return found


def test_a_checkpoint_is_text_that_is_signed(any_api: Api) -> None:
    any_api.issue()
    got = any_api.get("auditor", "/v1/checkpoint")
    assert got.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert got.headers["Cache-Control"] == "no-store"
    assert checkpoint(any_api).size == any_api.head


def test_every_event_is_proved_to_be_under_the_checkpoint(any_api: Api) -> None:
    any_api.redeem()
    signed = checkpoint(any_api)
    leaves = [tree.hash_row(row) for row in any_api.services.book.store.read_from(0, 100)]
    for position in range(1, signed.size + 1):
        query = f"?position={position}&size={signed.size}"
        proof = any_api.get("support", f"/v1/proofs/inclusion{query}").body
        leaf = decoded(proof["leaf_hash"])
        assert leaf == leaves[position - 1]
        assert decoded(proof["root_hash"]) == signed.root
        assert (proof["leaf_index"], proof["size"]) == (position - 1, signed.size)
        path = [decoded(one) for one in proof["audit_path"]]
        assert verify_inclusion(leaf, position - 1, signed.size, path, signed.root)


def test_a_later_checkpoint_is_proved_to_begin_with_an_earlier_one(any_api: Api) -> None:
    old = checkpoint(any_api)
    any_api.redeem()
    new = checkpoint(any_api)
    query = f"?from={old.size}&to={new.size}"
    proof = any_api.get("auditor", f"/v1/proofs/consistency{query}").body
    assert (proof["from"], proof["to"]) == (old.size, new.size)
    assert (decoded(proof["from_root_hash"]), decoded(proof["to_root_hash"])) == (
        old.root,
        new.root,
    )
    hashes = [decoded(one) for one in proof["consistency"]]
    assert verify_consistency(old.size, new.size, old.root, new.root, hashes)


def test_each_proof_is_of_the_sizes_that_were_asked_for_and_not_of_another(api: Api) -> None:
    api.redeem()
    leaves = [tree.hash_row(row) for row in api.services.book.store.read_from(0, 100)]
    head = len(leaves)
    roots = [Frontier().root()]
    edge = Frontier()
    for leaf in leaves:
        edge.append(leaf)
        roots.append(edge.root())
    pairs = [(old, new) for new in range(1, head + 1) for old in range(1, new + 1)]
    random.Random(3).shuffle(pairs)
    for old, new in pairs:
        proof = api.get("auditor", f"/v1/proofs/consistency?from={old}&to={new}").body
        assert (proof["from"], proof["to"]) == (old, new)
        given = decoded(proof["from_root_hash"]), decoded(proof["to_root_hash"])
        assert given == (roots[old], roots[new])
        hashes = [decoded(one) for one in proof["consistency"]]
        assert verify_consistency(old, new, *given, hashes)
        found = api.get("auditor", f"/v1/proofs/inclusion?position={old}&size={new}").body
        assert (found["leaf_index"], found["size"]) == (old - 1, new)
        path = [decoded(one) for one in found["audit_path"]]
        assert verify_inclusion(leaves[old - 1], old - 1, new, path, roots[new])


def test_without_a_size_it_is_the_whole_ledger(api: Api) -> None:
    inclusion = api.get("auditor", "/v1/proofs/inclusion?position=1").body
    consistency = api.get("auditor", "/v1/proofs/consistency?from=1").body
    assert (inclusion["size"], consistency["to"]) == (api.head, api.head)


@pytest.mark.parametrize(
    ("path", "pointer", "detail"),
    [
        ("inclusion", "/position", "is missing"),
        ("inclusion?position=0", "/position", "must be from 1 to 9223372036854775807"),
        ("inclusion?position=x", "/position", "must be a whole number"),
        ("inclusion?position=1&size=0", "/size", "must be from 1 to 9223372036854775807"),
        ("inclusion?position=1&size=7", "/size", "must be at most 6, the ledger's head"),
        ("inclusion?position=7", "/position", "must be at most 6, the tree's size"),
        ("inclusion?position=4&size=3", "/position", "must be at most 3, the tree's size"),
        ("inclusion?position=1&leaf=2", "/leaf", "is not known here"),
        ("consistency", "/from", "is missing"),
        ("consistency?from=0", "/from", "must be from 1 to 9223372036854775807"),
        ("consistency?from=1&to=7", "/to", "must be at most 6, the ledger's head"),
        ("consistency?from=4&to=3", "/from", "must be at most 3, the larger tree's size"),
        ("consistency?from=7", "/from", "must be at most 6, the larger tree's size"),
    ],
)
def test_what_the_ledger_has_not_is_not_proved(
    api: Api, path: str, pointer: str, detail: str
) -> None:
    assert api.head == 6  # the tokens
    got = api.get("auditor", f"/v1/proofs/{path}")
    assert (got.status, got.code) == (422, "invalid_request")
    assert got.body["errors"] == [{"pointer": pointer, "detail": detail}]


@pytest.mark.parametrize(
    "path", ["checkpoint?", "proofs/inclusion?position=1&", "proofs/consistency?from=1&"]
)
def test_proofs_can_wait_for_an_event(api: Api, path: str) -> None:
    assert api.get("auditor", f"/v1/{path}min_position={api.head}").status == 200
    got = api.get("auditor", f"/v1/{path}min_position={api.head + 1}")
    assert (got.status, got.code) == (503, "position_not_reached")


def forge(api: Api, **changes: Any) -> None:
    """Put a checkpoint among those that were signed, so that the ledger contradicts it."""
    checkpoint(api)
    signed = wiring(api).signing.signed
    newest = signed.newest()
    assert newest
    signed.put_if_absent(newest._replace(**changes))


@pytest.fixture
def altered(api: Api) -> Api:
    forge(api, size=1000)
    return api


def refused(got: Got) -> str:
    assert (got.status, got.code) == (503, "ledger_altered")
    assert got.headers["Retry-After"]
    detail, step = str(got.body["detail"]), f": {NEXT_STEP}."
    assert detail.endswith(step)
    return f"{detail.removesuffix(step)}."


def test_a_ledger_that_contradicts_itself_signs_nothing_and_is_not_ready(altered: Api) -> None:
    expected = "The last checkpoint that was signed is of another ledger, or was changed."
    assert refused(altered.get("auditor", "/v1/checkpoint")) == expected
    assert refused(altered.get(None, "/readyz")) == expected
    assert altered.get(None, "/healthz").status == 200
    assert altered.get("auditor", "/v1/proofs/inclusion?position=1").status == 200


@dataclass(frozen=True)
class Done:
    """What somebody did to the database after a checkpoint was signed, and what is told."""

    name: str
    does: Callable[[Attacker], None]
    told: str

    def __str__(self) -> str:
        return self.name


def cut_with_tree(evil: Attacker) -> None:
    evil.cut_after(5)
    evil.forget_tree()


@rows(
    [
        Done(
            "the tail was cut off",
            lambda evil: evil.cut_after(5),
            "The ledger ends at position 5, but {head} events were hashed: events were cut off.",
        ),
        Done(
            "the tail was cut off, and the tree with it",
            cut_with_tree,
            "The ledger ends at position 5, but a checkpoint of {head} events was signed:"
            " events were cut off, or a backup was restored.",
        ),
        Done(
            "history was rewritten, and the tree with it",
            lambda evil: evil.rewrite_from(3),
            "The first {head} events are not those of the checkpoint that was signed of them.",
        ),
    ]
)
def test_readiness_tells_what_was_done_to_the_ledger(database_url: str, case: Done) -> None:
    with stored_api(database_url) as api:
        api.issue()
        head = checkpoint(api).size
        assert api.get(None, "/readyz").status == 200
        with attacker(database_url) as evil:
            case.does(evil)
        told = case.told.format(head=head)
        assert refused(api.get(None, "/readyz")) == told
        assert refused(api.get("auditor", "/v1/checkpoint")) == told


def test_a_tree_that_is_behind_catches_up_and_is_no_reason_to_refuse(database_url: str) -> None:
    with stored_api(database_url) as api:
        api.issue()
        signed = checkpoint(api)
        with attacker(database_url) as evil:
            evil.forget_tree()
        assert api.get(None, "/readyz").status == 200
        assert checkpoint(api) == signed


def test_a_damaged_tree_is_told(tmp_path_factory: pytest.TempPathFactory) -> None:
    url = f"sqlite:///{tmp_path_factory.mktemp('ledger')}/keyfold.db"
    with stored_api(url) as api:
        checkpoint(api)
        with attacker(url) as evil:
            evil.run("UPDATE keyfold_tree_1 SET hashes = ?", b"")
        told = "Tile 0 of level 0 is not whole."
        assert refused(api.get("auditor", "/v1/proofs/inclusion?position=1")) == told
        assert refused(api.get(None, "/readyz")) == told


def test_a_checkpoint_that_nobody_signed_is_none(api: Api) -> None:
    forged = SignedCheckpoint(api.head, "530d903a", bytes(32), "forged", "2026-03-01T09:00:00Z")
    wiring(api).signing.signed.put_if_absent(forged)
    refused(api.get("auditor", "/v1/checkpoint"))
