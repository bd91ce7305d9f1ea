"""Receipts: C2SP tlog-proof."""

from __future__ import annotations

from ledger.proof.verifier.exports import ExportedEvent, read_event, to_number
from ledger.proof.verifier.formats import HASH_BYTES, Wrong
from ledger.proof.verifier.signed_notes import CheckpointNote, from_base64, read_checkpoint
from ledger.proof.verifier.tree import root_of_inclusion_path


def check_receipt(name: str, receipt: bytes) -> tuple[ExportedEvent, CheckpointNote]:
    """Return the event that a receipt proves, and the checkpoint that it is proved by."""
    head, _, note = receipt.partition(b"\n\n")
    try:
        _, extra, index_line, *path = head.decode().split("\n")
        index = to_number(index_line.removeprefix("index "))
        event = read_event(name, from_base64(extra.removeprefix("extra "), "the event"))
        hashes = [from_base64(line, "a hash") for line in path]
    except (ValueError, Wrong):
        raise Wrong(f"{name} is no receipt, or a damaged one") from None
    checkpoint = read_checkpoint(f"the checkpoint in {name}", note)
    if any(len(hash) != HASH_BYTES for hash in hashes):
        raise Wrong(f"{name} is no receipt, or a damaged one")
    if event.position != index + 1 or not 0 <= index < checkpoint.size:
        raise Wrong(f"{name} has position {event.position}, and proves another: {index + 1}")
    if root_of_inclusion_path(event.leaf(), index, checkpoint.size, hashes) != checkpoint.root:
        raise Wrong(
            f"{name}: the event at position {event.position} is not the one in the ledger that"
            " the checkpoint was signed of"
        )
    return event, checkpoint
