"""The ledger's secret, and the keys derived from it."""

from __future__ import annotations

import base64
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from ledger.secret import Secret

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "golden" / "secrets.json").read_text("utf-8")
)
SECRET = Secret.from_base64(GOLDEN["secret"])


@pytest.mark.parametrize("label", GOLDEN["keys"])
def test_every_key_is_derived_as_it_always_was(label: str) -> None:
    """The vectors were made with `openssl dgst`. Never change them: codes, tokens and texts would
    be lost.
    """
    assert SECRET.derive(label).hex() == GOLDEN["keys"][label]


@pytest.mark.parametrize("label", ["codes", "key ids", "", "été"])
def test_a_key_is_hkdf_sha256_of_its_label(label: str) -> None:
    """RFC 5869, 2.2 and 2.3, in two lines: one block is as long as a key."""
    pseudorandom_key = hmac.digest(b"keyfold", base64.b64decode(GOLDEN["secret"]), "sha256")
    expected = hmac.digest(pseudorandom_key, label.encode() + b"\x01", "sha256")
    assert SECRET.derive(label) == expected


def test_every_label_has_a_key_of_its_own() -> None:
    assert len(set(GOLDEN["keys"].values())) == len(GOLDEN["keys"])
    assert SECRET.derive("codes") != Secret(b"another secret, and a long enough one").derive(
        "codes"
    )


def test_a_secret_is_read_from_base64_with_spaces_around_it() -> None:
    assert Secret.from_base64(f" {GOLDEN['secret']}\n").derive("x") == SECRET.derive("x")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds 0 bytes, but needs 32 or more"),
        (base64.b64encode(b"s" * 31).decode(), "holds 31 bytes, but needs 32 or more"),
        ("not!base64!at!all!" * 4, "is not base64"),
        ("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh", "is not base64"),
        ("gehéim" * 10, "is not base64"),
    ],
)
def test_what_is_no_secret_is_refused_without_repeating_it(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=f"^{told}$") as caught:
        Secret.from_base64(text)
    assert not text or text not in str(caught.value)


def test_a_secret_is_never_shown() -> None:
    assert repr(SECRET) == str(SECRET) == f"{SECRET}" == "Secret(…)"
