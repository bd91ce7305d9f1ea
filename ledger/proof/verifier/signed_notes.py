"""Notes and checkpoints: C2SP signed-note, tlog-checkpoint."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from ledger.proof.verifier.formats import HASH_BYTES, ID_BYTES, NUMBER, Unchecked, Wrong


class PublicKey(NamedTuple):
    """A verifier key: who signs, and what to check it with."""

    name: str
    id: bytes
    public: bytes


class CheckpointNote(NamedTuple):
    """What somebody signed: the root of the first `size` events of the ledger `origin`."""

    source: str
    text: str
    signatures: list[tuple[str, bytes, bytes]]
    origin: str
    size: int
    root: bytes


def from_base64(text: str, what: str) -> bytes:
    """Return the bytes of a canonical base64 text; `what` names it where it is none."""
    try:
        value = base64.b64decode(text, validate=True)
    except (ValueError, TypeError):
        raise Wrong(f"{what} is not base64") from None
    if base64.b64encode(value).decode() != text:
        raise Wrong(f"{what} is not base64")
    return value


def read_key(text: str) -> PublicKey:
    """Return the key that a text of the form `name+id+key` holds."""
    name, _, rest = text.strip().partition("+")
    id_text, _, encoded = rest.partition("+")
    key = from_base64(encoded, f"the key {text.strip()!r}")
    expected = hashlib.sha256(name.encode() + b"\n" + key).digest()[:ID_BYTES]
    if not name or key[:1] != b"\x01" or len(key) != 1 + HASH_BYTES or id_text != expected.hex():
        raise Wrong(f"{text.strip()!r} is no key: copy it again, it is written name+id+key")
    return PublicKey(name, expected, key[1:])


def read_checkpoint(source: str, note: bytes) -> CheckpointNote:
    """Return the checkpoint in a signed note, or in its text alone; no signature is checked yet."""
    try:
        whole = note.decode()
        text, blank, signed = whole.rpartition("\n\n")
        if not blank:  # typed in from paper, without the signatures
            text, signed = whole.removesuffix("\n"), ""
        origin, size, root, *_ = (text + "\n").split("\n")
        *lines, rest = signed.split("\n")
        signatures = [read_signature(line) for line in lines]
        hash = from_base64(root, "the root")
    except (ValueError, Wrong):
        raise Wrong(f"{source} is no checkpoint") from None
    if rest or not NUMBER.fullmatch(size) or len(hash) != HASH_BYTES:
        raise Wrong(f"{source} is no checkpoint")
    return CheckpointNote(source, text + "\n", signatures, origin, int(size), hash)


def read_signature(line: str) -> tuple[str, bytes, bytes]:
    """Return a signature line's name, key id and signature."""
    dash, name, encoded = line.split(" ")
    signature = from_base64(encoded, "a signature")
    if dash != "—" or not name or len(signature) <= ID_BYTES:
        raise Wrong("that is no signature")
    return name, signature[:ID_BYTES], signature[ID_BYTES:]


def is_signed(checkpoint: CheckpointNote, keys: Sequence[PublicKey]) -> bool:
    """Return whether one of the keys has signed; a wrong signature of one of them spoils all."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        raise Unchecked("signatures need the package `cryptography`: pip install it") from None
    signed = False
    for name, id, signature in checkpoint.signatures:
        for key in keys:
            if (key.name, key.id) == (name, id):
                try:
                    public = Ed25519PublicKey.from_public_bytes(key.public)
                    public.verify(signature, checkpoint.text.encode())
                except InvalidSignature:
                    return False
                signed = True
    return signed


def signature_problems(
    checkpoints: Sequence[CheckpointNote], keys: Sequence[PublicKey]
) -> Iterator[str]:
    """Return what speaks against checkpoints, before any event is looked at."""
    origins = {checkpoint.origin for checkpoint in checkpoints} | {key.name for key in keys}
    for checkpoint in checkpoints:
        signers = (
            ", ".join(f"{name}+{id.hex()}" for name, id, _ in checkpoint.signatures) or "no name"
        )
        if keys and not is_signed(checkpoint, keys):
            wanted = " or ".join(f"{key.name}+{key.id.hex()}" for key in keys)
            yield f"{checkpoint.source} is not signed by {wanted}: under it stands {signers}"
    if len(origins) > 1:
        yield f"these are of different ledgers: {', '.join(sorted(origins))}"
    elif not keys:
        for one, other in pairwise(one for one in checkpoints if one.signatures):
            if not {line[:2] for line in one.signatures} & {line[:2] for line in other.signatures}:
                yield f"{other.source} is signed by other keys than {one.source}"
