"""The ledger as a Merkle tree: leaves, roots, and proofs that anybody can check.

The event at position N is the tree's leaf N - 1, and its leaf is the event exactly as it is stored:
stream, version, name and state, each after its length. So one hash, the *root*, stands for the
whole history in its order, and a few hashes prove that an event is in it (*inclusion*), or that a
longer history begins with a shorter one (*consistency*).

            root          size 5: the first four leaves are one *perfect* subtree, the fifth another
           /    \\
         abcd    e        inclusion of c in 5:     [d, ab, e]
        /    \\            consistency of 3 and 5:  [c, d, ab, e]
       ab    cd
      /  \\  /  \\
     a   b  c   d

Everything here is pure. `docs/proof-format.md` says the same byte for byte, with test vectors.

Source: RFC 9162, section 2.1 (the same tree as in RFC 6962).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()

_length = struct.Struct(">I").pack
_LEAF = b"\x00"
_NODE = b"\x01"


class Subtree(NamedTuple):
    """A perfect subtree: the leaves `[number << height, (number + 1) << height)`."""

    height: int
    number: int


class Span(NamedTuple):
    """Some leaves next to each other, `[start, end)`, under one node of a tree."""

    start: int
    end: int


# Hashing


def leaf_bytes(stream: str, version: int, name: str, state: bytes) -> bytes:
    """Return what is hashed of an event: four fields, each after its length in four bytes.

    Text is UTF-8, the version is decimal digits, lengths are big-endian.
    """
    where, number, what = stream.encode(), b"%d" % version, name.encode()
    return b"".join(
        (
            *(_length(len(where)), where, _length(len(number)), number),
            *(_length(len(what)), what, _length(len(state)), state),
        )
    )


def leaf_hash(stream: str, version: int, name: str, state: bytes) -> bytes:
    """Return the hash of an event as the tree's leaf."""
    return hashlib.sha256(_LEAF + leaf_bytes(stream, version, name, state)).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node over its two children."""
    return hashlib.sha256(_NODE + left + right).digest()


def perfect_root(hashes: bytes) -> bytes:
    """Return the root over a power of two of hashes, each of a subtree of the same height.

    They come one after the other. It is what most of a proof's time goes into: so they are taken in
    pairs, as they lie, and not apart.
    """
    count = len(hashes) // HASH_BYTES
    assert len(hashes) == count * HASH_BYTES > 0
    assert count & (count - 1) == 0, "a power of two"
    while len(hashes) > HASH_BYTES:
        pairs = range(0, len(hashes), 2 * HASH_BYTES)
        hashes = b"".join(
            [hashlib.sha256(_NODE + hashes[i : i + 2 * HASH_BYTES]).digest() for i in pairs]
        )
    return hashes


def join(hashes: Iterable[bytes]) -> bytes:
    """Return the root over perfect subtrees that grow smaller from left to right."""
    smallest_first = list(hashes)[::-1]
    if not smallest_first:
        return EMPTY_ROOT
    root = smallest_first[0]
    for left in smallest_first[1:]:
        root = node_hash(left, root)
    return root


class Frontier:
    """The right edge of a growing tree: all that is needed to go on, and to know its root.

    One hash for each perfect subtree, the largest first; as many as `size` has ones in binary.
    """

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        """Go on with a tree of a size, from the hashes of its perfect subtrees.

        Raises:
            ValueError: there are not as many hashes as the size has perfect subtrees.
        """
        if size < 0 or len(hashes) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} perfect subtrees")
        self.size = size
        self._hashes = list(hashes)

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """Return the perfect subtrees' hashes, the largest first."""
        return tuple(self._hashes)

    def append(self, leaf: bytes) -> None:
        """Add the hash of the next leaf."""
        size = self.size
        while size & 1:
            leaf = node_hash(self._hashes.pop(), leaf)
            size >>= 1
        self._hashes.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """Return the root of the tree as it is now."""
        return join(self._hashes)


# Which hashes a proof is made of


def inclusion_path(index: int, size: int) -> list[Span]:
    """Return the spans whose hashes prove that leaf `index` is in a tree, from the leaf upwards.

    Source: RFC 9162, section 2.1.3.1.
    """
    assert 0 <= index < size
    path: list[Span] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _left_size(end - start)
        if index < middle:
            path.append(Span(middle, end))
            end = middle
        else:
            path.append(Span(start, middle))
            start = middle
    return path[::-1]


def consistency_path(old: int, new: int) -> list[Span]:
    """Return the spans whose hashes prove that the tree of `new` leaves begins with that of `old`.

    None for the same tree.

    Source: RFC 9162, section 2.1.4.1.
    """
    assert 0 < old <= new
    path: list[Span] = []
    start, end = 0, new
    while old < end:
        middle = start + _left_size(end - start)
        if old <= middle:
            path.append(Span(middle, end))
            end = middle
        else:
            path.append(Span(start, middle))
            start = middle
    if start > 0:
        path.append(Span(start, end))
    return path[::-1]


def perfect_subtrees(span: Span) -> Iterator[Subtree]:
    """Return the perfect subtrees that make up a node's span, the largest first."""
    start = span.start
    while start < span.end:
        height = (span.end - start).bit_length() - 1
        assert start % (1 << height) == 0, "a span under one node"
        yield Subtree(height, start >> height)
        start += 1 << height


def _left_size(size: int) -> int:
    """Return the largest power of two that is smaller than the size."""
    return 1 << ((size - 1).bit_length() - 1)


# Checking proofs


def verify_inclusion(
    leaf: bytes, index: int, size: int, hashes: Sequence[bytes], root: bytes
) -> bool:
    """Return whether the hashes prove that a leaf is in the tree at an index, counted from 0.

    Source: RFC 9162, section 2.1.3.2.
    """
    if not 0 <= index < size or not _are_hashes(leaf, root, *hashes):
        return False
    here, last, found = index, size - 1, leaf
    for sibling in hashes:
        if last == 0:
            return False
        if here & 1 or here == last:
            found = node_hash(sibling, found)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        here, last = here >> 1, last >> 1
    return last == 0 and found == root


def verify_consistency(
    old: int, new: int, old_root: bytes, new_root: bytes, hashes: Sequence[bytes]
) -> bool:
    """Return whether the hashes prove that the tree of `new` leaves begins with that of `old`.

    A tree begins with itself, and the proof is empty then. Of an empty tree nothing is proved.

    Source: RFC 9162, section 2.1.4.2.
    """
    if not 0 < old <= new or not _are_hashes(old_root, new_root, *hashes):
        return False
    if old == new:
        return not hashes and old_root == new_root
    path = list(hashes) if old & (old - 1) else [old_root, *hashes]
    here, last = old - 1, new - 1
    while here & 1:
        here, last = here >> 1, last >> 1
    if not path:
        return False
    old_found = new_found = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if here & 1 or here == last:
            old_found, new_found = node_hash(sibling, old_found), node_hash(sibling, new_found)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            new_found = node_hash(new_found, sibling)
        here, last = here >> 1, last >> 1
    return last == 0 and (old_found, new_found) == (old_root, new_root)


def _are_hashes(*values: bytes) -> bool:
    """Return whether all are as long as a hash: otherwise two could be cut elsewhere."""
    return all(len(value) == HASH_BYTES for value in values)
