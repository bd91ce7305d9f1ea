"""Sign how the ledger stands, unless that contradicts what was signed before.

A signature says: these events, in this order, and every later checkpoint will begin with them. So
each is remembered, and before the next is signed the ledger is held against the last:

    it ends before the last checkpoint's size       events were cut off, or a backup was restored
    its tree holds more events than it has          events were cut off
    its tree has another root at that size          history was rewritten

This protects those who sign from signing a lie. Who can write to the database can also make this
forget; what protects everybody else is that they keep the checkpoints they were given.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from ledger.book import LAG_POLL_S, LAG_S
from ledger.min_position import PositionNotReached, hold_to_min_position
from ledger.proof import notes
from ledger.proof.notes import Checkpoint, NoteInvalid, SigningKey, VerifierKey
from ledger.secret import Secret
from ledger.store.contract import ReadOnly
from ledger.store.signed_checkpoints import SignedCheckpoint, SignedCheckpoints

ORIGIN_CHARACTERS: Final = 16


# What to do about a ledger that contradicts what was signed or hashed of it.
NEXT_STEP: Final = (
    "stop writing to it; if an older copy was restored, restore the newest one instead (keyfold"
    " restore); else keep everything as it is, and compare it with an export"
)


class CannotSign(Exception):
    """The ledger contradicts a checkpoint that was signed; the message says how."""


class Signing(NamedTuple):
    """What checkpoints are signed with.

    Attributes:
        origin: the ledger's own name, on every checkpoint.
        keys: all of them sign; more than one while one takes over from another.
        signed: what was signed before.
    """

    origin: str
    keys: tuple[SigningKey, ...]
    signed: SignedCheckpoints

    @property
    def verifiers(self) -> tuple[VerifierKey, ...]:
        """Return what the signatures are checked with, in the order of the keys."""
        return tuple(key.verifier for key in self.keys)


class LedgerHead(NamedTuple):
    """How the ledger stands. What `tree` says must have been read before `head`.

    Attributes:
        tree: how many events are in its tree.
        head: how many it has.
        root_at: the tree's root at a size up to `head`.
    """

    tree: int
    head: int
    root_at: Callable[[int], bytes]


def signing_of(secret: Secret, own: Sequence[Secret], signed: SignedCheckpoints) -> Signing:
    """Return what a ledger signs with.

    Args:
        secret: the ledger's. It gives the ledger its name, which stays the same whoever serves it,
            from which address and database, and whatever keys sign.
        own: secrets that the signing keys are derived from; the ledger's if there are none.
    """
    name = base64.b32encode(secret.derive("ledger name"))[:ORIGIN_CHARACTERS].decode().lower()
    origin = f"keyfold/{name}"
    keys = tuple(SigningKey(origin, one.derive("checkpoints")) for one in own or (secret,))
    return Signing(origin, keys, signed)


def sign_checkpoint(signing: Signing, stand: Callable[[], LedgerHead], now: datetime) -> str:
    """Return a checkpoint of the whole ledger; the same for the same ledger and keys.

    On a standby, where nothing can be remembered, it is the last one that was signed.

    Raises:
        CannotSign: it contradicts one that was signed; nothing was signed.
        PositionNotReached: the last one that was signed is of fewer events than were asked for.
        ReadOnly: on a standby, and none was ever signed.
    """
    standing = hold_to_signed(signing, stand)
    try:
        root = standing.root_at(standing.head)
        note = notes.sign(Checkpoint(signing.origin, standing.head, root).text, signing.keys)
        signers = ",".join(key.id.hex() for key in signing.verifiers)
        remembered = signing.signed.put_if_absent(
            SignedCheckpoint(standing.head, signers, root, note, now.isoformat())
        )
    except (ReadOnly, PositionNotReached):
        last = signing.signed.newest()
        if last is None:
            raise
        hold_to_min_position(last.size)
        return last.note
    if remembered.note != note:
        raise CannotSign(f"another checkpoint of {standing.head} events was signed before")
    return note


def hold_to_signed(signing: Signing, stand: Callable[[], LedgerHead]) -> LedgerHead:
    """Hold the ledger against the last checkpoint that was signed, and return how it stands.

    Raises:
        CannotSign: it contradicts it.
    """
    # What was signed is read first: others append and sign meanwhile, and what they sign must not
    # look as if it were of events that are gone.
    last = signing.signed.newest()
    standing = stand()
    until = time.monotonic() + LAG_S
    while standing.head < max(standing.tree, last.size if last else 0):
        # The server that told where the ledger is may lag behind the one that told of the others.
        if time.monotonic() > until:
            break
        time.sleep(LAG_POLL_S)
        standing = stand()
    if standing.tree > standing.head:
        raise CannotSign(
            f"the ledger ends at position {standing.head}, but {standing.tree} events were hashed:"
            " events were cut off"
        )
    if last is not None:
        _hold_to_last(signing, standing, last)
    return standing


def _hold_to_last(signing: Signing, standing: LedgerHead, last: SignedCheckpoint) -> None:
    hold_to_note(signing, last)
    if last.size > standing.head:
        raise CannotSign(
            f"the ledger ends at position {standing.head}, but a checkpoint of {last.size} events"
            " was signed: events were cut off, or a backup was restored"
        )
    if standing.root_at(last.size) != last.root:
        raise CannotSign(
            f"the first {last.size} events are not those of the checkpoint that was signed of them"
        )


def hold_to_note(signing: Signing, last: SignedCheckpoint) -> None:
    """Hold what is remembered of a checkpoint against what was signed.

    A key that has been given up is not known any more, and cannot be asked for.

    Raises:
        CannotSign: it was changed.
    """
    try:
        note, checkpoint = notes.parse_checkpoint(last.note.encode())
        notes.signers(note, signing.verifiers)
    except NoteInvalid as error:
        raise CannotSign(f"the last checkpoint that was signed was changed: {error}") from None
    if checkpoint != (signing.origin, last.size, last.root):
        raise CannotSign("the last checkpoint that was signed is of another ledger, or was changed")
