"""Names of resellers: which texts name the same one.

    >>> folded("Kassen Böhm") == folded("KASSEN BO\u0308HM")
    True

A name is kept as Unicode's NFC. Two are one reseller's if they are canonically caseless matches
(The Unicode Standard, 3.13, D145); which of its spellings is shown is the first that was recorded.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache


def normalized(name: str) -> str:
    """Return a name as it is kept, in NFC."""
    return unicodedata.normalize("NFC", name)


@lru_cache(maxsize=4096)
def folded(name: str) -> str:
    """Return what all spellings of a name have in common: its id among names."""
    return normalized(unicodedata.normalize("NFD", name).casefold())


def same(one: str, other: str) -> bool:
    """Return whether two names are one reseller's."""
    return one == other or folded(one) == folded(other)
