"""Activation codes: `PREFIX-XXXX-XXXX-XXXX` over A–Z and 2–9.

A code is never stored. The twelve characters are derived from the ledger's secret, the batch, the
place in the batch and the generation (0 as issued, 1 as reissued once, …), so an order that is
repeated answers with the same codes and an owner can be shown them again. What the ledger holds is
the *key id*: another HMAC of the code, under another label. Looking a code up is therefore one
read by primary key, and a stolen database yields no code.

    >>> keys = CodeKeys(derivation=b"d" * 32, lookup=b"l" * 32)
    >>> code = keys.derive("POS", "bat_1", index=0)
    >>> parse(f"  {code.lower()} ", frozenset({"POS"})) == code
    True
    >>> keys.key_id(code).startswith("key_") and len(mask(code)) == len(code)
    True
"""

from __future__ import annotations

import hmac
import itertools
import re
import string
import unicodedata
from collections.abc import Callable, Collection, Iterator
from functools import cache
from typing import NamedTuple

ALPHABET = string.ascii_uppercase + "23456789"
BODY_LENGTH = 12
GROUP_LENGTH = 4
DOTS = "••••"

# The largest multiple of 34 that fits a byte: a byte at or above it is thrown away, since taking it
# modulo 34 would make the first characters of the alphabet likelier than the rest.
_UNBIASED_BELOW = 256 - 256 % len(ALPHABET)

_BASE32 = string.ascii_lowercase + "234567"
_PAIRS = [first + second for first in _BASE32 for second in _BASE32]

# The twelve characters after the prefix are always twelve, so where the prefix ends is known also
# without a dash: `POSX…` and `POS…` differ in length.
_TYPED = re.compile(r"([A-Z]{2,8})[- ]*([A-Z2-9]{4})[- ]*([A-Z2-9]{4})[- ]*([A-Z2-9]{4})", re.ASCII)
TYPED_LENGTH_MAX = 1_000
# Looser than the shape, since it guards logs and URLs: anything that may well be somebody's code.
_RESEMBLES = re.compile(
    r"[a-z]{2,8}[-_ ]?[a-z0-9]{4}[-_ ]?[a-z0-9]{4}[-_ ]?[a-z0-9]{4}", re.IGNORECASE
)


class CodeKeys(NamedTuple):
    """The two keys that codes are made and found with; 32 bytes each, of different labels."""

    derivation: bytes
    lookup: bytes

    def derive(self, prefix: str, batch: str, index: int, generation: int = 0) -> str:
        """Return the code at one place of a batch; the same for ever."""
        seed = f"{prefix}\0{batch}\0{index}\0{generation}\0".encode()
        body = "".join(itertools.islice(self._characters(seed), BODY_LENGTH))
        groups = (body[i : i + GROUP_LENGTH] for i in range(0, BODY_LENGTH, GROUP_LENGTH))
        return "-".join((prefix, *groups))

    def key_id(self, code: str) -> str:
        """Return the id that the ledger knows a whole, well-formed code by."""
        return "key_" + digest(self.lookup, code)

    def session_id(self, session: str) -> str:
        """Return the id that the ledger counts a session's tries by; the portal chose its own."""
        return digest(self.lookup, "session", session)

    def _characters(self, seed: bytes) -> Iterator[str]:
        for block in itertools.count():
            for byte in hmac.digest(self.derivation, seed + str(block).encode(), "sha256"):
                if byte < _UNBIASED_BELOW:
                    yield ALPHABET[byte % len(ALPHABET)]


def digest(key: bytes, *parts: str) -> str:
    """Return a keyed digest of some texts as 26 characters of `a-z2-7`: 130 bits of HMAC-SHA256."""
    message = "\0".join(parts).encode("utf-8")
    return letters(hmac.digest(key, message, "sha256"))


def letters(digest: bytes) -> str:
    """Return the first 130 bits of a digest in base 32 (RFC 4648), in small letters: 26 of them.

    Two letters at a time, since every request needs a few: four times as fast as the library's.
    """
    number = int.from_bytes(digest[:17], "big") >> 6
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])


def parse(text: str, prefixes: frozenset[str]) -> str | None:
    """Return the code that a person typed or pasted, or None when it cannot be one.

    Forgiven is what typing and pasting do to a code: see `tidy`. Between its groups there may be
    any number of dashes and spaces, or nothing. A `0` or `1` is not forgiven, since no code has
    either, and which letter was meant cannot be known; nor is a letter of another alphabet that
    looks alike, nor a prefix that no product has.

    Source: the troubleshooting pages of the products' user guides.
    """
    if len(text) > TYPED_LENGTH_MAX:
        return None
    match = _TYPED.fullmatch(tidy(text))
    return "-".join(match.groups()) if match and match[1] in prefixes else None


def tidy(text: str) -> str:
    """Return a typed text in one spelling, for reading a code in it.

    Compatibility forms become what they stand for (NFKC: full-width letters, superscripts), every
    dash a `-`, every space a single ` `; quotes, and characters that nobody sees, fall away; ASCII
    letters become capitals, and others stay as they are, so that none turns into one of a code.
    """
    if text.isascii():
        return text.translate(_ASCII).strip(" ")
    # Once before normalising, too, which would make a space and an accent of a spacing accent.
    forms = unicodedata.normalize("NFKC", "".join(map(_spelled, text)))
    return "".join(map(_spelled, forms)).translate(_CAPITALS).strip(" ")


_CAPITALS = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)
# Dashes that Unicode has under another heading (Pd): minus signs, a hyphen bullet, the modifier
# letter minus, lines for drawing boxes, and the long vowel mark, which Japanese keyboards type.
_DASHES = frozenset("\u02d7\u2043\u2053\u207b\u208b\u2212\u2500\u2501\u2796\u30fc\uff70")
# Quotes that are under another heading than Pi and Pf; primes, accents and apostrophes alike.
_QUOTES = frozenset(
    "\"'`\u00b4\u02b9\u02ba\u02bb\u02bc\u02bd\u02ee\u2032\u2033\u2034\u2035\u2036\u2037\u201a"
    "\u201e\u2e42\u300c\u300d\u300e\u300f\u301d\u301e\u301f\ufe41\ufe42\ufe43\ufe44\uff02\uff07"
    "\uff62\uff63"
)
# Control and format characters are nothing to see, nor are these: joiners, fillers, selectors.
_INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0"
    + "".join(map(chr, range(0xFE00, 0xFE10)))
    + "".join(map(chr, range(0xE0100, 0xE01F0)))
)


def _spelled(character: str) -> str:
    if character in _DASHES:
        return "-"
    if character.isspace() or character == "\u2800":  # the empty pattern of Braille
        return " "
    if character in _QUOTES or character in _INVISIBLE:
        return ""
    match unicodedata.category(character):
        case "Pd":
            return "-"
        case "Cc" | "Cf" | "Pi" | "Pf":
            return ""
    return character


# What `tidy` makes of each ASCII character: addresses are looked through at every request.
_ASCII = {number: _spelled(chr(number)).translate(_CAPITALS) for number in range(128)}


def prefix_of(code: str) -> str:
    """Return the product's prefix, the part before the first dash."""
    return code.partition("-")[0]


def mask(code: str) -> str:
    """Return what may be shown of a code: its prefix and last group."""
    prefix, _, _, last = code.split("-")
    return f"{prefix}-{DOTS}-{DOTS}-{last}"


def resembles_code(text: str) -> bool:
    """Return whether a text may be a whole code, well-formed or mistyped: not for URLs and logs."""
    return _RESEMBLES.fullmatch(text.strip()) is not None


@cache
def whole_codes(prefixes: frozenset[str]) -> re.Pattern[str]:
    """Return what finds whole codes, with dashes and a prefix of these, in ids, URLs and logs.

    Only such: looser, and ids of accounts would be taken for codes.
    """
    known = "|".join(sorted(map(re.escape, prefixes)))
    return re.compile(
        rf"(?<![a-z0-9])(?:{known})(?:-[a-z2-9]{{4}}){{3}}(?![a-z0-9])", re.IGNORECASE
    )


def holds_code(text: str, prefixes: frozenset[str]) -> bool:
    """Return whether a text surely has a whole code in it, however it is spelled (`tidy`).

    Surely: with dashes between its groups, or in one piece with a digit in it. In other spellings a
    code looks like words (`POS till 4477 Graz`); see `possible_codes`.
    """
    return any(True for _ in _sure(tidy(text), prefixes))


def possible_codes(text: str, prefixes: frozenset[str]) -> Iterator[str]:
    """Return every code that a text may have in it, wherever it begins and whatever is between its
    groups. Most are words: what tells is whether the ledger has such a key.
    """
    for match in _possible(tidy(text), prefixes):
        yield "-".join(match.groups())


def mask_possible(
    text: str, prefixes: frozenset[str], which: Callable[[list[str]], Collection[str]]
) -> str:
    """Return the text in one spelling (`tidy`), with the codes in it masked; or, without any, as it
    is. No text that is returned has a code in it.

    Args:
        which: given what may be codes and may be words, all of a text at once, tells which of them
            are codes. It is asked again when masking has brought others together.
    """
    while (masked := _masked(text, prefixes, which)) != text:
        text = masked
    return text


def _masked(
    text: str, prefixes: frozenset[str], which: Callable[[list[str]], Collection[str]]
) -> str:
    tidied = tidy(text)
    sure = {(match.start(), match[1]) for match in _sure(tidied, prefixes)}
    found = sorted(_possible(tidied, prefixes), key=re.Match.start)
    codes = {match: "-".join(match.groups()) for match in found}
    unsure = dict.fromkeys(
        code for match, code in codes.items() if (match.start(), match[1]) not in sure
    )
    known = which(list(unsure)) if unsure else ()
    shown, end = "", 0
    for match, code in codes.items():
        start = match.start()
        if (start, match[1]) not in sure and code not in known:
            continue
        if start >= end:
            shown += tidied[end:start] + mask(code)
        end = max(end, match.end(4))
    return shown + tidied[end:] if end else text


def _sure(tidied: str, prefixes: frozenset[str]) -> Iterator[re.Match[str]]:
    yield from (match for match in _DASHED.finditer(tidied) if match[1] in prefixes)
    for match in _PIECE.finditer(tidied):
        if match[1] in prefixes and not match[2].isalpha():
            yield match


def _possible(tidied: str, prefixes: frozenset[str]) -> Iterator[re.Match[str]]:
    for prefix in sorted(prefixes):
        if prefix in tidied:  # or the pattern would look ahead from everywhere for nothing
            yield from _possible_with(prefix).finditer(tidied)


@cache
def _possible_with(prefix: str) -> re.Pattern[str]:
    # `(?=…)`: also those that overlap.
    return re.compile(rf"(?=({re.escape(prefix)}){_LOOSE * 3})")


_DASHED = re.compile(r"(?=([A-Z]{2,8})(?: *-[- ]*[A-Z2-9]{4}){3})")
_PIECE = re.compile(r"(?<![A-Z0-9])([A-Z]{2,8})([A-Z2-9]{12})(?![A-Z0-9])")
# Between two groups: what `parse` forgives, however much of it, or a little of anything else; but
# not the dots of a masked code, whose last group would go together with the words after it.
_LOOSE = r"(?:[- ]*|[^A-Z0-9•]{0,12})([A-Z2-9]{4})"
