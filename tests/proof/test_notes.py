"""Signed notes and checkpoints, against what C2SP and the Go project have published of them."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.proof import notes
from ledger.proof.notes import Checkpoint, NoteInvalid, SigningKey

# Published values. The first is the example of C2SP signed-note, the others are the test cases of
# golang.org/x/mod/sumdb/note: text, signatures, and keys, one of them with its private part.

EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE = """\
This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
"""  # noqa: E501
PETER_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
ENOCH_KEY = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
PETER = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"  # noqa: E501
ENOCH = "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"  # noqa: E501
# The example of C2SP tlog-checkpoint; its key is not published.
CHECKPOINT = """\
example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
"""  # noqa: E501


def names_of_signers(note: str, *vkeys: str) -> list[str]:
    keys = [notes.parse_vkey(vkey) for vkey in vkeys]
    return [key.name for key in notes.signers(notes.parse(note.encode()), keys)]


def test_the_published_example_passes() -> None:
    assert notes.parse(EXAMPLE.encode()).text == "This is an example message.\n"
    assert names_of_signers(EXAMPLE, EXAMPLE_KEY) == ["example.com/foo"]


def test_signing_with_the_published_key_makes_the_published_note() -> None:
    key = SigningKey("PeterNeumann", PETER_SEED)
    assert key.verifier.vkey == PETER_KEY
    assert notes.sign(TEXT, [key]) == f"{TEXT}\n{PETER}"


def test_a_key_as_text_is_read_and_written_alike() -> None:
    for vkey in (EXAMPLE_KEY, PETER_KEY, ENOCH_KEY):
        assert notes.parse_vkey(vkey).vkey == vkey


def test_a_note_may_have_several_signatures() -> None:
    both = f"{TEXT}\n{PETER}{ENOCH}"
    assert names_of_signers(both, PETER_KEY) == ["PeterNeumann"]
    assert names_of_signers(both, PETER_KEY, ENOCH_KEY) == ["PeterNeumann", "EnochRoot"]
    assert names_of_signers(both) == []
    assert names_of_signers(f"{TEXT}\n{PETER}{PETER}", PETER_KEY) == ["PeterNeumann"]


def test_a_wrong_signature_of_a_known_key_spoils_the_note() -> None:
    note = f"{TEXT}\n{ENOCH}{PETER[:60]}ABCD{PETER[60:]}"
    with pytest.raises(NoteInvalid, match=r"the signature of PeterNeumann\+c74f20a3 is wrong"):
        names_of_signers(note, ENOCH_KEY, PETER_KEY)
    assert names_of_signers(note, ENOCH_KEY) == ["EnochRoot"]


def test_another_text_has_not_been_signed() -> None:
    with pytest.raises(NoteInvalid, match="is wrong"):
        names_of_signers(f"{TEXT.replace('your', 'my')}\n{PETER}", PETER_KEY)


@pytest.mark.parametrize(
    "note",
    [
        TEXT,
        TEXT + "\n",
        f"{TEXT}\n{PETER}"[:-1],
        f"\x01{TEXT}\n{PETER}",
        f"{TEXT}\r\n\r\n{PETER}",
        f"{TEXT}\n{PETER.replace('PeterNeumann', 'Bad Name')}",
        f"{TEXT}\n{PETER.replace('PeterNeumann', 'Bad+Name')}",
        f"{TEXT}\n{PETER}Unexpected line.\n",
        f"{TEXT}\n{PETER * 101}",
        f"{TEXT}\n— PeterNeumann x08g\n",
        f"{TEXT}\n— PeterNeumann\n",
        "x" * 1_000_001,
        "",
    ],
    ids=repr,
)
def test_what_is_no_note_is_refused(note: str) -> None:
    with pytest.raises(NoteInvalid):
        notes.parse(note.encode())


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(NoteInvalid, match="not UTF-8"):
        notes.parse(b"\xff" + EXAMPLE.encode())


def test_a_key_with_any_character_wrong_is_refused() -> None:
    for place in range(len(PETER_KEY)):
        changed = PETER_KEY[:place] + chr(ord(PETER_KEY[place]) + 1) + PETER_KEY[place + 1 :]
        with pytest.raises(NoteInvalid):
            notes.parse_vkey(changed)
        if place > 0:
            with pytest.raises(NoteInvalid):
                notes.parse_vkey(PETER_KEY[:place])
            with pytest.raises(NoteInvalid):
                notes.parse_vkey(PETER_KEY[place:])


@pytest.mark.parametrize(
    "vkey",
    [
        # Published: each with the id that goes with it.
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "",
        "PeterNeumann",
    ],
)
def test_a_key_of_another_kind_is_refused(vkey: str) -> None:
    with pytest.raises(NoteInvalid):
        notes.parse_vkey(vkey)


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n")),
    st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=3, unique=True),
)
def test_what_was_signed_is_read_back(text: str, seeds: list[bytes]) -> None:
    keys = [SigningKey("keyfold/7tq3bd5xw4a6bl7m", seed) for seed in seeds]
    note = notes.parse(notes.sign(f"{text}\n", keys).encode())
    assert note.text == f"{text}\n"
    assert notes.signers(note, [key.verifier for key in keys]) == [key.verifier for key in keys]


def test_a_signing_key_does_not_show_itself() -> None:
    assert repr(SigningKey("PeterNeumann", PETER_SEED)) == "SigningKey(PeterNeumann+c74f20a3)"


# Checkpoints


def test_the_published_checkpoint_is_read_and_written_alike() -> None:
    note, checkpoint = notes.parse_checkpoint(CHECKPOINT.encode())
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert base64.b64encode(checkpoint.root) == b"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
    assert note.text == checkpoint.text
    assert [line.name for line in note.signatures] == ["example.com/behind-the-sofa"]


def test_further_lines_of_a_checkpoint_are_passed_over() -> None:
    extended = CHECKPOINT.replace("q2I=\n", "q2I=\nmore\nand more\n", 1)
    assert notes.parse_checkpoint(extended.encode())[1] == Checkpoint(
        *notes.parse_checkpoint(CHECKPOINT.encode())[1]
    )


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("20852163", "020852163"),
        ("20852163", "-1"),
        ("20852163", "٢"),
        ("20852163", ""),
        ("20852163", "1" + "0" * 19),
        ("example.com/behind-the-sofa\n2", "\n2"),
        ("j2jxq2I=", "j2jxqw=="),
        ("j2jxq2I=", "j2jxq2J="),
        ("j2jxq2I=", "no base64"),
        ("\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=", ""),
        ("q2I=\n", "q2I=\n\nmore\n"),
    ],
)
def test_what_is_no_checkpoint_is_refused(part: str, other: str) -> None:
    with pytest.raises(NoteInvalid):
        notes.parse_checkpoint(CHECKPOINT.replace(part, other, 1).encode())
