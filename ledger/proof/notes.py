"""Signed notes and checkpoints: a few lines of text that say how the ledger stood, and who says so.

    keyfold/7tq3bd5xw4a6bl7m                             the origin: which ledger
    41                                                   its size: so many events
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=         the root of its tree (`merkle`)

    — keyfold/7tq3bd5xw4a6bl7m Az3grlgtzPICa5OS8npV…     a signature, one line for each key

A note is a text and signatures under it. A checkpoint is a note whose text is those three lines. A
key is known by a name and four bytes of a hash over the name and the key; as text it is a *vkey*,
`name+id+key`. Signatures of keys that one does not know are passed over, so that others, witnesses
say, can sign the same note; one that is wrong, of a key that one does know, spoils it.

Source: C2SP signed-note and tlog-checkpoint; Ed25519 is RFC 8032.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ledger.proof.merkle import HASH_BYTES

NOTE_BYTES_MAX: Final = 1_000_000
SIGNATURES_MAX: Final = 100

_ED25519 = b"\x01"
_ID_BYTES = 4
_SIGNATURE = re.compile(r"— (?P<name>[^\s+]+) (?P<signature>\S+)")
_VKEY = re.compile(r"(?P<name>[^\s+]+)\+(?P<id>[0-9a-f]{8})\+(?P<key>\S+)")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


class NoteInvalid(ValueError):
    """A note or a key that cannot be used; the message says why."""


class VerifierKey(NamedTuple):
    """What a signature is checked with.

    Attributes:
        id: four bytes that, with the name, tell which key has signed.
        public: the Ed25519 public key, 32 bytes.
    """

    name: str
    id: bytes
    public: bytes

    @property
    def vkey(self) -> str:
        """Return the key as text: `name+id+key`."""
        return f"{self.name}+{self.id.hex()}+{_to_base64(_ED25519 + self.public)}"

    def has_signed(self, text: str, signature: bytes) -> bool:
        """Return whether a signature over this text is this key's."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


class SigningKey:
    """What a note is signed with; never shown by `repr`."""

    def __init__(self, name: str, seed: bytes) -> None:
        """Make the key of a seed of 32 secret bytes."""
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        public = self._private.public_key().public_bytes_raw()
        self.verifier = VerifierKey(name, _key_id(name, public), public)

    def line(self, text: str) -> str:
        """Return the line that is put under a text."""
        signature = self.verifier.id + self._private.sign(text.encode())
        return f"— {self.verifier.name} {_to_base64(signature)}\n"

    def __repr__(self) -> str:
        return f"SigningKey({self.verifier.name}+{self.verifier.id.hex()})"


class Signature(NamedTuple):
    """A line under a note: of which key, and the signature itself."""

    name: str
    id: bytes
    signature: bytes


class Note(NamedTuple):
    """A text, which ends with a line break, and the signatures under it, none of them checked."""

    text: str
    signatures: tuple[Signature, ...]


class Checkpoint(NamedTuple):
    """How a ledger stood.

    Attributes:
        origin: which ledger; never changes, whoever serves it and from where.
        size: how many events it had; the position of the last.
        root: of the tree of those events.
    """

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """Return the text to sign."""
        return f"{self.origin}\n{self.size}\n{_to_base64(self.root)}\n"


# Keys


def parse_vkey(text: str) -> VerifierKey:
    """Return the key that a text of the form `name+id+key` holds.

    Raises:
        NoteInvalid: not of that shape, not Ed25519, or its parts do not belong together.
    """
    match = _VKEY.fullmatch(text.strip())
    if match is None:
        raise NoteInvalid("a key is written name+id+key")
    key = _from_base64(match["key"], "the key")
    if key[:1] != _ED25519 or len(key) != 1 + HASH_BYTES:
        raise NoteInvalid("the key is not an Ed25519 key")
    found = VerifierKey(match["name"], bytes.fromhex(match["id"]), key[1:])
    if found.id != _key_id(found.name, found.public):
        raise NoteInvalid("the key's id is not that of its name and key: a character is wrong")
    return found


def _key_id(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:_ID_BYTES]


# Notes


def sign(text: str, keys: Iterable[SigningKey]) -> str:
    """Return a note: the text, and a line for each key."""
    assert text.endswith("\n")
    assert not _CONTROL.search(text)
    return f"{text}\n{''.join(key.line(text) for key in keys)}"


def parse(note: bytes) -> Note:
    """Return a note's text and signatures; nothing in it is to be trusted yet.

    Raises:
        NoteInvalid: it is no note.
    """
    if len(note) > NOTE_BYTES_MAX:
        raise NoteInvalid("it is too long for a note")
    try:
        whole = note.decode()
    except UnicodeDecodeError:
        raise NoteInvalid("it is not UTF-8") from None
    text, blank, signed = whole.rpartition("\n\n")
    if _CONTROL.search(whole) or not blank or not signed.endswith("\n"):
        raise NoteInvalid("it is not a text, an empty line, and lines of signatures")
    lines = signed.removesuffix("\n").split("\n")
    if len(lines) > SIGNATURES_MAX:
        raise NoteInvalid(f"it has more than {SIGNATURES_MAX} signatures")
    return Note(text + "\n", tuple(map(_parse_signature, lines)))


def _parse_signature(line: str) -> Signature:
    match = _SIGNATURE.fullmatch(line)
    if match is None:
        raise NoteInvalid("a line under the text is no signature")
    signed = _from_base64(match["signature"], "a signature")
    if len(signed) <= _ID_BYTES:
        raise NoteInvalid("a signature is too short")
    return Signature(match["name"], signed[:_ID_BYTES], signed[_ID_BYTES:])


def signers(note: Note, keys: Sequence[VerifierKey]) -> list[VerifierKey]:
    """Return which of some keys have signed a note; those that one does not know are passed over.

    Raises:
        NoteInvalid: a signature of one of the keys is wrong.
    """
    known = {(key.name, key.id): key for key in keys}
    found: dict[VerifierKey, None] = {}
    for line in note.signatures:
        key = known.get((line.name, line.id))
        if key is None:
            continue
        if not key.has_signed(note.text, line.signature):
            raise NoteInvalid(f"the signature of {key.name}+{key.id.hex()} is wrong")
        found[key] = None
    return list(found)


# Checkpoints


def parse_checkpoint(note: bytes) -> tuple[Note, Checkpoint]:
    """Return a note and its checkpoint, not to be trusted until the signers are known.

    Further lines of the text are passed over.

    Raises:
        NoteInvalid: it is none.
    """
    found = parse(note)
    lines = found.text.removesuffix("\n").split("\n")
    origin, size, root, *_ = [*lines, "", ""]
    if not all(lines) or not _SIZE.fullmatch(size):
        raise NoteInvalid("its first lines are not an origin, a size and a root")
    checkpoint = Checkpoint(origin, int(size), _from_base64(root, "the root"))
    if len(checkpoint.root) != HASH_BYTES:
        raise NoteInvalid(f"its root is not {HASH_BYTES} bytes")
    return found, checkpoint


# Base64


def _to_base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _from_base64(text: str, what: str) -> bytes:
    """Read base64, in the one form that there is of each value."""
    try:
        value = base64.b64decode(text, validate=True)
    except ValueError:
        raise NoteInvalid(f"{what} is not base64") from None
    if _to_base64(value) != text:
        raise NoteInvalid(f"{what} is not base64")
    return value
