"""The keys that links and cookies are signed with, as they are rotated.

Stream:    `signing_keys-<of what>`, where `pages` is all there is
Facts:     SigningKeysRotated
Invariant: two keys live at a time, the newest and the one before it; or the newest alone.

A key is made of the ledger's secret and a random salt, which is what is recorded; the first has
none. So rotating them needs neither a new secret nor a restart, and every process signs with the
new key from its next request on.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Final

from ledger.events import AnyOccurrence, Fact, Stream

ID: Final = "pages"
SALT_BYTES: Final = 32


class SigningKeysRotated(Fact, frozen=True):
    """Links and cookies are signed with a new key from now on.

    Attributes:
        salt: of the new key, in hex.
        keep_previous: whether what was signed with the last key is still taken.
    """

    salt: str
    keep_previous: bool


# The salts of the keys that are alive, the newest first.
Salts = tuple[str, ...]


def fold(salts: Salts, events: Iterable[AnyOccurrence]) -> Salts:
    """Return the salts that keys are derived with, the newest first; at most two."""
    for event in events:
        match event.fact:
            case SigningKeysRotated(salt=salt, keep_previous=keep_previous):
                salts = (salt, salts[0]) if keep_previous else (salt,)
    return salts


def keys(base: bytes, salts: Salts) -> tuple[bytes, ...]:
    """Return the keys that are alive, the one to sign with first.

    Args:
        base: derived from the ledger's secret for what is signed.
    """
    return tuple(
        hmac.digest(base, bytes.fromhex(salt), "sha256") if salt else base for salt in salts
    )


SIGNING_KEYS: Stream[Salts] = Stream(
    kind="signing_keys",
    facts={"signing_keys.rotated@1": SigningKeysRotated},
    initial=("",),
    fold=fold,
)
