"""Free text that can be forgotten.

Labels, notes and reasons may name people. They are stored sealed: AES-256-GCM under a key of their
owner, which is kept beside the ledger, wrapped under the ledger's secret. Destroying that one key
makes every text of the owner unreadable, while the events and every proof over them stay.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterable
from datetime import datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ledger.events import Sealed
from ledger.store.text_keys import TextKeys

_NONCE_BYTES = 12
_LEDGER = "ledger"


class WrongSecret(Exception):
    """The secret is not the one that this ledger was made with."""


class Texts:
    """Seals and opens free text.

    `wrapping_key` (32 bytes) protects the owners' keys at rest, so that a stolen database alone
    opens nothing.
    """

    def __init__(
        self,
        keys: TextKeys,
        wrapping_key: bytes,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._keys = keys
        self._wrapping = AESGCM(wrapping_key)
        self._random_bytes = random_bytes

    def seal(self, owner: str, text: str | None, now: datetime) -> Sealed | None:
        """Return a text sealed under its owner's key, made at the first use; None stays None.

        Raises:
            OperationalError: the key cannot be read or stored now.
        """
        if text is None:
            return None
        box = self._encrypt(AESGCM(self._key_for(owner, now)), text.encode("utf-8"), owner)
        return Sealed(owner=owner, box=base64.b64encode(box).decode("ascii"))

    def open(self, sealed: Sealed | None) -> str | None:
        """Return one text; None when there is none, or when its key was destroyed."""
        return self.open_all([sealed])[0]

    def open_all(self, sealed: Iterable[Sealed | None]) -> list[str | None]:
        """Return many texts in the order given, fetching each owner's key once."""
        keys: dict[str, AESGCM | None] = {}
        texts: list[str | None] = []
        for one in sealed:
            if one is not None and one.owner not in keys:
                keys[one.owner] = self._existing_key(one.owner)
            texts.append(self._open(keys[one.owner], one) if one is not None else None)
        return texts

    def destroy(self, owner: str) -> bool:
        """Destroy an owner's key, and with it every text, for ever. Return whether there was one.

        Raises:
            OperationalError: the database does not respond, or may still hold the key's bytes.
        """
        return self._keys.destroy(owner)

    def knows(self, owner: str, wrapped: bytes) -> bool:
        """Return whether a wrapped key of an owner was wrapped under this ledger's secret."""
        try:
            self._unwrap(wrapped, owner)
        except (WrongSecret, ValueError):  # the latter for a few bytes that are no box at all
            return False
        return True

    def check_secret(self, now: datetime) -> None:
        """Hold the secret against the one that the ledger was first opened with.

        Without this a mistaken secret would look like a ledger with no tokens and no keys.

        Raises:
            WrongSecret: it is another one.
        """
        self._key_for(_LEDGER, now)

    def _open(self, key: AESGCM | None, sealed: Sealed) -> str | None:
        if key is None:
            return None
        try:
            return _decrypt(key, base64.b64decode(sealed.box), sealed.owner).decode("utf-8")
        except (InvalidTag, ValueError):
            # Sealed under a key that was destroyed since, and another made for a later text; or no
            # box of ours at all, which is for the proof to find, and must not keep a page from
            # being shown.
            return None

    def _existing_key(self, owner: str) -> AESGCM | None:
        wrapped = self._keys.get(owner)
        return AESGCM(self._unwrap(wrapped, owner)) if wrapped is not None else None

    def _key_for(self, owner: str, now: datetime) -> bytes:
        wrapped = self._keys.get(owner)
        if wrapped is None:
            fresh = self._encrypt(self._wrapping, self._random_bytes(32), owner)
            wrapped = self._keys.put_if_absent(owner, fresh, now.isoformat())
        return self._unwrap(wrapped, owner)

    def _unwrap(self, wrapped: bytes, owner: str) -> bytes:
        try:
            return _decrypt(self._wrapping, wrapped, owner)
        except InvalidTag:
            raise WrongSecret from None

    def _encrypt(self, cipher: AESGCM, plain: bytes, owner: str) -> bytes:
        nonce = self._random_bytes(_NONCE_BYTES)
        return nonce + cipher.encrypt(nonce, plain, owner.encode())


def knows_secret(keys: TextKeys) -> bool:
    """Return whether this ledger was opened with a secret before, by `Texts.check_secret`."""
    return keys.get(_LEDGER) is not None


def _decrypt(cipher: AESGCM, box: bytes, owner: str) -> bytes:
    return cipher.decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], owner.encode())
