"""Checkpoints, and proofs that need no trust in whoever gives them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import Blueprint, Response

from ledger.min_position import hold_to_min_position
from ledger.refusals import FieldError, InvalidRequest, KeyNotFound, ReceiptNotReady
from projections.audit import tree
from web.api.answers import CheckpointKeys, ConsistencyProof, InclusionProof
from web.api.operations import Returns, operation
from web.api.request_fields import NumberText, within
from web.api.requests import POSITION_MAX, ReadQuery
from web.app import checkpoints
from web.app.auth import ADMIN, AUDITOR, RESELLER, SUPPORT, only
from web.app.checkpoints import to_base64
from web.app.context import app_state, caller, request_context, services
from web.app.errors import ALTERED
from web.app.responses import file, reply, text

blueprint = Blueprint("proofs", __name__, url_prefix="/v1")

READERS = only(ADMIN, AUDITOR, SUPPORT)


def _tree_size(description: str, **options: Any) -> NumberText:
    return NumberText(
        validate=within(1, POSITION_MAX), **options, document={"description": description}
    )


class InclusionQuery(ReadQuery):
    position = _tree_size("Of the event.", required=True)
    size = _tree_size("How many events the tree has; as many as the ledger if left out.")


class ConsistencyQuery(ReadQuery):
    old = _tree_size("How many events the smaller tree has.", data_key="from", required=True)
    new = _tree_size(
        "How many events the larger tree has; as many as the ledger if left out.", data_key="to"
    )


@blueprint.get("/checkpoint")
@operation(
    access=READERS,
    query=ReadQuery,
    responses={200: Returns(None, "A checkpoint: C2SP tlog-checkpoint.")},
    problems=(ALTERED,),
)
def get_checkpoint() -> Response:
    """Sign how the ledger stands now.

    A few lines of text: the ledger's name, how many events it has, the root of their tree
    (RFC 9162), and Ed25519 signatures. Whoever keeps them can show later that nothing in those
    events was changed, and that none is missing.
    """
    return text(checkpoints.sign_checkpoint(app_state().wiring, request_context().now))


@blueprint.get("/checkpoint/keys")
@operation(
    access=READERS,
    responses={200: Returns(CheckpointKeys, "The keys.")},
)
def list_checkpoint_keys() -> Response:
    """Show what signatures of checkpoints are checked with.

    Compare them with a copy that came to you by another way.
    """
    signing = app_state().wiring.signing
    return reply(CheckpointKeys(signing.origin, [key.vkey for key in signing.verifiers]))


@blueprint.get("/proofs/inclusion")
@operation(
    access=READERS,
    query=InclusionQuery,
    responses={200: Returns(InclusionProof, "The proof.")},
    problems=(ALTERED,),
)
def get_inclusion_proof(position: int, size: int | None = None) -> Response:
    """Prove that an event is in the ledger.

    The hashes lead from the event to the root of the tree, which a checkpoint of the same size has.
    """
    size = _size(size, "/size")
    if position > size:
        raise InvalidRequest(FieldError("/position", f"must be at most {size}, the tree's size"))
    proof = tree.inclusion(services().book, app_state().wiring.tables, position, size)
    return reply(
        InclusionProof(
            position=position,
            leaf_index=position - 1,
            size=size,
            leaf_hash=to_base64(proof.leaf),
            audit_path=_all_to_base64(proof.hashes),
            root_hash=to_base64(proof.root),
        )
    )


@blueprint.get("/proofs/consistency")
@operation(
    access=READERS,
    query=ConsistencyQuery,
    responses={200: Returns(ConsistencyProof, "The proof.")},
    problems=(ALTERED,),
)
def get_consistency_proof(old: int, new: int | None = None) -> Response:
    """Prove that the ledger begins with what it was before.

    The hashes lead from the root of the smaller tree to that of the larger one: nothing in the
    first events was changed, and none was put between them or taken away.
    """
    new = _size(new, "/to")
    if old > new:
        raise InvalidRequest(FieldError("/from", f"must be at most {new}, the larger tree's size"))
    proof = tree.consistency(services().book, app_state().wiring.tables, old, new)
    return reply(
        ConsistencyProof(
            old=old,
            new=new,
            old_root=to_base64(proof.old_root),
            new_root=to_base64(proof.new_root),
            consistency=_all_to_base64(proof.hashes),
        )
    )


@blueprint.get("/keys/<id:key>/receipt")
@operation(
    access=only(ADMIN, AUDITOR, SUPPORT, RESELLER),
    query=ReadQuery,
    responses={
        200: Returns(None, "The receipt: C2SP tlog-proof.", headers=("Content-Disposition",))
    },
    refusals=(KeyNotFound, ReceiptNotReady),
    problems=(ALTERED,),
)
def get_key_receipt(key: str) -> Response:
    """Write a receipt of a key.

    One small file that proves itself offline: the event that redeemed the key, or its last one if
    nobody did; the proof that it is in the ledger; and a checkpoint of the ledger as it is now.
    A reseller gets those of its own keys, of what happened while it had them.
    """
    receipt = checkpoints.key_receipt(
        app_state().wiring, key, caller().reseller, request_context().now
    )
    return file(receipt, f"{key}.tlog-proof")


def _size(asked: int | None, pointer: str) -> int:
    """Return the size of a tree that the ledger has."""
    if asked is None:
        return tree.whole(services().book, app_state().wiring.tables)
    head = services().book.head()
    if asked > head:
        raise InvalidRequest(FieldError(pointer, f"must be at most {head}, the ledger's head"))
    hold_to_min_position(asked)
    return asked


def _all_to_base64(values: Iterable[bytes]) -> list[str]:
    return [to_base64(value) for value in values]
