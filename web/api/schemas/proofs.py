"""Proofs: what is asked, and what is answered."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from web.api.schemas.fields import NumberText, within
from web.api.schemas.requests import POSITION_MAX, ReadQuery

HASH = "6TJ5GubnqECkYWTJBHhkJtXngh3YspoA1hyucq/dTaQ="
VKEY = "keyfold/7tq3bd5xw4a6bl7m+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"


def _size(description: str, **options: Any) -> NumberText:
    return NumberText(
        validate=within(1, POSITION_MAX), metadata={"description": description}, **options
    )


class InclusionQuery(ReadQuery):
    position = _size("Of the event.", required=True)
    size = _size("How many events the tree has; as many as the ledger if left out.")


class ConsistencyQuery(ReadQuery):
    old = _size("How many events the smaller tree has.", data_key="from", required=True)
    new = _size(
        "How many events the larger tree has; as many as the ledger if left out.", data_key="to"
    )


def _hash(description: str) -> ma.fields.String:
    return ma.fields.String(
        required=True, metadata={"description": description, "examples": [HASH]}
    )


def _hashes(description: str) -> Any:
    return ma.fields.List(
        ma.fields.String(metadata={"examples": [HASH]}),
        required=True,
        metadata={"description": description},
    )


def _number(description: str, example: int, minimum: int = 1) -> ma.fields.Integer:
    return ma.fields.Integer(
        required=True,
        metadata={"description": description, "minimum": minimum, "examples": [example]},
    )


class InclusionProof(ma.Schema):
    """That an event is in the ledger; hashes are SHA-256, in base64."""

    position = _number("Of the event.", 17)
    leaf_index = _number("Of its leaf: the position less one.", 16, minimum=0)
    size = _number("How many events the tree has.", 41)
    leaf_hash = _hash("Of the event.")
    audit_path = _hashes("The siblings on the way from the leaf to the root (RFC 9162, 2.1.3).")
    root_hash = _hash("Of the tree.")


class ConsistencyProof(ma.Schema):
    """That a tree begins with a smaller one; hashes are SHA-256, in base64."""

    old = ma.fields.Integer(
        required=True, data_key="from", metadata={"minimum": 1, "examples": [41]}
    )
    new = ma.fields.Integer(required=True, data_key="to", metadata={"minimum": 1, "examples": [57]})
    old_root = ma.fields.String(
        required=True, data_key="from_root_hash", metadata={"examples": [HASH]}
    )
    new_root = ma.fields.String(
        required=True, data_key="to_root_hash", metadata={"examples": [HASH]}
    )
    consistency = _hashes("The hashes that prove it (RFC 9162, 2.1.4).")


class CheckpointKeys(ma.Schema):
    """What signatures of checkpoints are checked with."""

    origin = ma.fields.String(
        required=True,
        metadata={
            "description": "The ledger's name, in the first line of each of its checkpoints.",
            "examples": ["keyfold/7tq3bd5xw4a6bl7m"],
        },
    )
    keys = ma.fields.List(
        ma.fields.String(metadata={"examples": [VKEY]}),
        required=True,
        metadata={
            "description": "Verifier keys (C2SP signed-note). More than one while one takes over"
            " from another: then each checkpoint is signed by all of them."
        },
    )
