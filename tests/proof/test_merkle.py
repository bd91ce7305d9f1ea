"""The tree itself: leaves, roots and proofs, against published values and another's program."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scitt_cose import merkle as theirs  # type: ignore[import-untyped]

from ledger.proof.merkle import (
    EMPTY_ROOT,
    Frontier,
    Span,
    consistency_path,
    inclusion_path,
    join,
    leaf_bytes,
    node_hash,
    perfect_root,
    perfect_subtrees,
    verify_consistency,
    verify_inclusion,
)


def hash_leaf(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def hash_span(leaves: list[bytes], span: Span) -> bytes:
    return join(
        perfect_root(b"".join(leaves[one.number << one.height : one.number + 1 << one.height]))
        for one in perfect_subtrees(span)
    )


def root_of(leaves: list[bytes]) -> bytes:
    return hash_span(leaves, Span(0, len(leaves)))


def inclusion(leaves: list[bytes], index: int) -> list[bytes]:
    return [hash_span(leaves, span) for span in inclusion_path(index, len(leaves))]


def consistency(leaves: list[bytes], old: int) -> list[bytes]:
    return [hash_span(leaves, span) for span in consistency_path(old, len(leaves))]


def grown(leaves: list[bytes]) -> Frontier:
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier


# Leaves


def test_a_leaf_is_four_fields_each_after_its_length() -> None:
    assert leaf_bytes("account-ä", 12, "a.b@1", b'{"x":1}') == (
        b"\x00\x00\x00\x0aaccount-\xc3\xa4"
        b"\x00\x00\x00\x0212"
        b"\x00\x00\x00\x05a.b@1"
        b'\x00\x00\x00\x07{"x":1}'
    )


@given(st.tuples(st.text(), st.integers(1), st.text(), st.binary()), st.data())
def test_no_two_events_have_the_same_leaf(
    event: tuple[str, int, str, bytes], data: st.DataObject
) -> None:
    """Above all not when bytes move from one field to the next."""
    stream, version, name, state = event
    other = data.draw(
        st.sampled_from(
            [
                (stream + "1", version, name, state),
                (stream[:-1], version, stream[-1:] + name, state),
                (stream, version * 10 + 1, name, state),
                (stream, version, name + "x", state[1:]),
                (stream, version, name, state + b"\x00"),
            ]
        )
    )
    assert (leaf_bytes(*event) == leaf_bytes(*other)) is (event == other)


# Published values

# The eight entries with which implementations of Certificate Transparency are tested, and the roots
# of the trees of the first 1 to 8 of them.
ENTRIES = [
    bytes.fromhex(entry)
    for entry in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
LEAVES = [hash_leaf(entry) for entry in ENTRIES]


def test_the_empty_tree_has_its_published_root() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert Frontier().root() == EMPTY_ROOT


def test_a_node_has_its_published_hash() -> None:
    assert (
        node_hash(b"N123", b"N456").hex()
        == "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"
    )


@pytest.mark.parametrize("size", range(1, 9))
def test_trees_have_their_published_roots(size: int) -> None:
    assert grown(LEAVES[:size]).root().hex() == ROOTS[size - 1]
    assert root_of(LEAVES[:size]).hex() == ROOTS[size - 1]


class PublishedInclusion(NamedTuple):
    leaf: int
    size: int
    hashes: tuple[str, ...]


class PublishedConsistency(NamedTuple):
    old: int
    new: int
    hashes: tuple[str, ...]


INCLUSIONS = [
    PublishedInclusion(0, 1, ()),
    PublishedInclusion(
        0,
        8,
        (
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ),
    ),
    PublishedInclusion(
        5,
        8,
        (
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ),
    ),
    PublishedInclusion(2, 3, ("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",)),
    PublishedInclusion(
        1,
        5,
        (
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ),
    ),
]
CONSISTENCIES = [
    PublishedConsistency(1, 1, ()),
    PublishedConsistency(
        1,
        8,
        (
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ),
    ),
    PublishedConsistency(
        6,
        8,
        (
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ),
    ),
    PublishedConsistency(
        2,
        5,
        (
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ),
    ),
]


@pytest.mark.parametrize("published", INCLUSIONS, ids=str)
def test_inclusions_have_their_published_proofs(published: PublishedInclusion) -> None:
    leaves = LEAVES[: published.size]
    hashes = inclusion(leaves, published.leaf)
    assert [one.hex() for one in hashes] == list(published.hashes)
    leaf, root = leaves[published.leaf], bytes.fromhex(ROOTS[published.size - 1])
    assert verify_inclusion(leaf, published.leaf, published.size, hashes, root)


@pytest.mark.parametrize("published", CONSISTENCIES, ids=str)
def test_consistencies_have_their_published_proofs(published: PublishedConsistency) -> None:
    hashes = consistency(LEAVES[: published.new], published.old)
    assert [one.hex() for one in hashes] == list(published.hashes)
    old_root, new_root = (bytes.fromhex(ROOTS[size - 1]) for size in (published.old, published.new))
    assert verify_consistency(published.old, published.new, old_root, new_root, hashes)


def test_the_example_of_rfc_9162_comes_out_as_it_stands_there() -> None:
    """Section 2.1.5: seven leaves, and the names of their nodes.

    The tree of seven, and those of its first three, four and six, which the consistency proofs are
    from.
    """
    a, b, c, d, e, f, j = LEAVES[:7]
    g, h, i = node_hash(a, b), node_hash(c, d), node_hash(e, f)
    k, l = node_hash(g, h), node_hash(i, j)  # noqa: E741 - so named there
    seven = LEAVES[:7]
    assert root_of(seven) == node_hash(k, l)
    assert inclusion(seven, 0) == [b, h, l]
    assert inclusion(seven, 3) == [c, g, l]
    assert inclusion(seven, 4) == [f, j, k]
    assert inclusion(seven, 6) == [i, k]
    assert consistency(seven, 3) == [c, d, g, l]
    assert consistency(seven, 4) == [l]
    assert consistency(seven, 6) == [i, j, k]


# Another's program

SIZES = [*range(1, 35), 63, 64, 65, 100, 127, 128, 129]


@pytest.mark.parametrize("size", SIZES)
def test_our_proofs_pass_with_an_independent_program_and_its_proofs_with_ours(size: int) -> None:
    entries = [n.to_bytes(2, "big") for n in range(size)]
    leaves, texts = [hash_leaf(entry) for entry in entries], [entry.hex() for entry in entries]
    root = grown(leaves).root()
    assert root.hex() == theirs.merkle_root(texts)
    for index in range(size):
        ours = [one.hex() for one in inclusion(leaves, index)]
        assert theirs.verify_inclusion(texts[index], index, size, ours, root.hex())
        made = [bytes.fromhex(one) for one in theirs.inclusion_proof(texts, index)]
        assert verify_inclusion(leaves[index], index, size, made, root)
    for old in range(1, size + 1):
        old_root = root_of(leaves[:old])
        ours = [one.hex() for one in consistency(leaves, old)]
        assert theirs.verify_consistency(old_root.hex(), root.hex(), old, size, ours)
        made = [bytes.fromhex(one) for one in theirs.consistency_proof(texts, old, size)]
        assert verify_consistency(old, size, old_root, root, made)


# What must not pass

FLIPPED = bytes([1, *bytes(31)])


def flip(value: bytes) -> bytes:
    return bytes([value[0] ^ 1]) + value[1:]


def spoilt(hashes: list[bytes]) -> list[list[bytes]]:
    """Return every way to spoil a proof a little."""
    changed = [[*hashes[:n], flip(hashes[n]), *hashes[n + 1 :]] for n in range(len(hashes))]
    missing = [[*hashes[:n], *hashes[n + 1 :]] for n in range(len(hashes))]
    added = [[*hashes[:n], FLIPPED, *hashes[n:]] for n in range(len(hashes) + 1)]
    cut = [[*hashes[:-1], hashes[-1][:-1]]] if hashes else []
    swapped = [[*hashes[1::-1], *hashes[2:]]] if len(hashes) > 1 else []
    return [*changed, *missing, *added, *cut, *swapped]


@given(st.integers(1, 40), st.data())
def test_a_spoilt_proof_of_inclusion_does_not_pass(size: int, data: st.DataObject) -> None:
    leaves = [hash_leaf(bytes([n])) for n in range(size)]
    index = data.draw(st.integers(0, size - 1))
    root, hashes, leaf = root_of(leaves), inclusion(leaves, index), leaves[index]
    assert verify_inclusion(leaf, index, size, hashes, root)
    for other in spoilt(hashes):
        assert not verify_inclusion(leaf, index, size, other, root)
    assert not verify_inclusion(flip(leaf), index, size, hashes, root)
    assert not verify_inclusion(leaf, index, size, hashes, flip(root))
    for elsewhere in {index - 1, index + 1, index + size, -1} - {index}:
        assert not verify_inclusion(leaf, elsewhere, size, hashes, root)


@given(st.integers(2, 40), st.data())
def test_a_spoilt_proof_of_consistency_does_not_pass(new: int, data: st.DataObject) -> None:
    leaves = [hash_leaf(bytes([n])) for n in range(new)]
    old = data.draw(st.integers(1, new - 1))
    roots = root_of(leaves[:old]), root_of(leaves)
    hashes = consistency(leaves, old)
    assert verify_consistency(old, new, *roots, hashes)
    for other in spoilt(hashes):
        assert not verify_consistency(old, new, *roots, other)
    assert not verify_consistency(old, new, flip(roots[0]), roots[1], hashes)
    assert not verify_consistency(old, new, roots[0], flip(roots[1]), hashes)
    assert not verify_consistency(new, old, *roots, hashes)


def test_nothing_is_proved_of_an_empty_tree() -> None:
    assert not verify_inclusion(LEAVES[0], 0, 0, [], EMPTY_ROOT)
    assert not verify_consistency(0, 1, EMPTY_ROOT, LEAVES[0], [])
    assert not verify_consistency(0, 0, EMPTY_ROOT, EMPTY_ROOT, [])


def test_a_proof_that_is_longer_than_the_tree_is_high_does_not_pass() -> None:
    """Whatever root it leads to: a tree of one leaf has no siblings."""
    leaf, more = LEAVES[0], LEAVES[1]
    assert not verify_inclusion(leaf, 0, 1, [more], node_hash(more, leaf))
    higher = node_hash(node_hash(leaf, more), more)
    assert not verify_consistency(1, 2, leaf, higher, [more, more])


def test_what_is_no_hash_proves_nothing() -> None:
    assert not verify_inclusion(b"", 0, 1, [], b"")
    assert not verify_consistency(1, 1, b"", b"", [])


# Growing


@given(st.integers(0, 300), st.integers(0, 300))
def test_a_tree_grows_on_from_its_right_edge(first: int, then: int) -> None:
    leaves = [hash_leaf(bytes([n % 256, n // 256])) for n in range(first + then)]
    edge = grown(leaves[:first])
    again = Frontier(edge.size, edge.hashes)
    for leaf in leaves[first:]:
        again.append(leaf)
    assert (again.size, again.root()) == (first + then, grown(leaves).root())


@pytest.mark.parametrize(("size", "hashes"), [(1, 0), (0, 1), (3, 1), (4, 2), (-1, 1)])
def test_a_right_edge_has_a_hash_for_each_perfect_subtree(size: int, hashes: int) -> None:
    with pytest.raises(ValueError, match="perfect subtrees"):
        Frontier(size, [LEAVES[0]] * hashes)
