"""The auditors' own program has a tree and notes of its own: against what others have published."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scitt_cose import merkle as theirs  # type: ignore[import-untyped]

from tests.proof.one_file import keyfold_verify
from tests.proof.test_merkle import (
    ENTRIES,
    INCLUSIONS,
    LEAVES,
    ROOTS,
    SIZES,
    PublishedInclusion,
    flip,
    hash_leaf,
    inclusion,
    root_of,
    spoilt,
)
from tests.proof.test_notes import (
    CHECKPOINT,
    ENOCH,
    ENOCH_KEY,
    EXAMPLE,
    EXAMPLE_KEY,
    PETER,
    PETER_KEY,
    TEXT,
)


def grown(leaves: list[bytes]) -> Any:
    tree = keyfold_verify.Tree()
    for leaf in leaves:
        tree.add(leaf)
    return tree


# The tree


@pytest.mark.parametrize("size", range(1, 9))
def test_trees_have_their_published_roots(size: int) -> None:
    tree = grown([keyfold_verify.hash_leaf(entry) for entry in ENTRIES[:size]])
    assert (tree.size, tree.root().hex()) == (size, ROOTS[size - 1])


def test_the_empty_tree_and_a_node_have_their_published_hashes() -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert keyfold_verify.Tree().root().hex() == empty
    node = "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"
    assert keyfold_verify.hash_node(b"N123", b"N456").hex() == node


@pytest.mark.parametrize("published", INCLUSIONS, ids=str)
def test_published_inclusions_lead_to_the_root(published: PublishedInclusion) -> None:
    path = [bytes.fromhex(one) for one in published.hashes]
    leaf = LEAVES[published.leaf]
    found = keyfold_verify.root_of_inclusion_path(leaf, published.leaf, published.size, path)
    assert found
    assert found.hex() == ROOTS[published.size - 1]


@pytest.mark.parametrize("size", SIZES)
def test_an_independent_programs_proofs_lead_to_its_root(size: int) -> None:
    texts = [n.to_bytes(2, "big").hex() for n in range(size)]
    leaves = [hash_leaf(bytes.fromhex(text)) for text in texts]
    root = theirs.merkle_root(texts)
    assert grown(leaves).root().hex() == root
    for index in range(size):
        path = [bytes.fromhex(one) for one in theirs.inclusion_proof(texts, index)]
        found = keyfold_verify.root_of_inclusion_path(leaves[index], index, size, path)
        assert found
        assert found.hex() == root


@given(st.integers(1, 40), st.data())
def test_a_spoilt_proof_does_not_lead_to_the_root(size: int, data: st.DataObject) -> None:
    leaves = [hash_leaf(bytes([n])) for n in range(size)]
    index = data.draw(st.integers(0, size - 1))
    root, path = root_of(leaves), inclusion(leaves, index)
    lead = keyfold_verify.root_of_inclusion_path
    assert lead(leaves[index], index, size, path) == root
    for other in spoilt(path):
        assert lead(leaves[index], index, size, other) != root
    assert lead(flip(leaves[index]), index, size, path) != root
    for elsewhere in {index - 1, index + 1} & set(range(size)):
        assert lead(leaves[index], elsewhere, size, path) != root


# Notes


def note_of(text: str) -> keyfold_verify.CheckpointNote:
    """Return a published note as one that has three lines, whose signatures are of its text."""
    text, _, signed = text.rpartition("\n\n")
    signatures = [keyfold_verify.read_signature(line) for line in signed.splitlines()]
    return keyfold_verify.CheckpointNote("note", text + "\n", signatures, "", 0, b"")


@pytest.mark.parametrize("vkey", [EXAMPLE_KEY, PETER_KEY, ENOCH_KEY])
def test_published_keys_are_read(vkey: str) -> None:
    name, id, public = keyfold_verify.read_key(vkey)
    assert (f"{name}+{id.hex()}", len(public)) == ("+".join(vkey.split("+")[:2]), 32)


@pytest.mark.parametrize(
    ("note", "vkeys"),
    [
        (EXAMPLE, [EXAMPLE_KEY]),
        (f"{TEXT}\n{PETER}", [PETER_KEY]),
        (f"{TEXT}\n{PETER}{ENOCH}", [ENOCH_KEY]),
        (f"{TEXT}\n{PETER}{ENOCH}", [PETER_KEY, ENOCH_KEY]),
    ],
)
def test_published_signatures_pass(note: str, vkeys: list[str]) -> None:
    keys = [keyfold_verify.read_key(vkey) for vkey in vkeys]
    assert keyfold_verify.is_signed(note_of(note), keys)


@pytest.mark.parametrize(
    ("note", "vkeys"),
    [
        (f"{TEXT}\n{PETER}", [ENOCH_KEY]),
        (f"{TEXT}\n{PETER}", []),
        (f"{TEXT.replace('your', 'my')}\n{PETER}", [PETER_KEY]),
        (f"{TEXT}\n{PETER}{ENOCH[:60]}ABCD{ENOCH[60:]}", [PETER_KEY, ENOCH_KEY]),
    ],
)
def test_others_do_not(note: str, vkeys: list[str]) -> None:
    keys = [keyfold_verify.read_key(vkey) for vkey in vkeys]
    assert not keyfold_verify.is_signed(note_of(note), keys)


def test_the_published_checkpoint_is_read() -> None:
    found = keyfold_verify.read_checkpoint("it", CHECKPOINT.encode())
    assert (found.origin, found.size) == ("example.com/behind-the-sofa", 20852163)
    assert [name for name, _, _ in found.signatures] == ["example.com/behind-the-sofa"]


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("20852163", "020852163"),
        ("20852163", "-1"),
        ("20852163", "٢"),
        ("20852163", ""),
        ("j2jxq2I=", "j2jxqw=="),
        ("j2jxq2I=", "j2jxq2J="),
        ("— example", "- example"),
    ],
)
def test_what_is_no_checkpoint_is_refused(part: str, other: str) -> None:
    with pytest.raises(keyfold_verify.Wrong, match="it is no checkpoint"):
        keyfold_verify.read_checkpoint("it", CHECKPOINT.replace(part, other, 1).encode())
