"""Hashing: RFC 9162, section 2.1."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def hash_leaf(entry: bytes) -> bytes:
    """Return the hash of an entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    """Return the hash of two subtrees' roots."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree that grows: the roots of its perfect subtrees, the largest first."""

    def __init__(self) -> None:
        self.size = 0
        self.parts: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        ones = self.size
        while ones % 2:
            leaf = hash_node(self.parts.pop(), leaf)
            ones //= 2
        self.parts.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """Return the root of what has been added so far."""
        if not self.parts:
            return hashlib.sha256(b"").digest()
        root = self.parts[-1]
        for left in self.parts[-2::-1]:
            root = hash_node(left, root)
        return root


def root_of_inclusion_path(
    leaf: bytes, index: int, size: int, path: Sequence[bytes]
) -> bytes | None:
    """Return the root that an inclusion proof leads to; None if it does not fit the place."""
    if size == 1:
        return None if path else leaf
    if not path:
        return None
    half = 1 << ((size - 1).bit_length() - 1)
    if index < half:
        left, right = root_of_inclusion_path(leaf, index, half, path[:-1]), path[-1]
        return left and hash_node(left, right)
    below = root_of_inclusion_path(leaf, index - half, size - half, path[:-1])
    return below and hash_node(path[-1], below)
