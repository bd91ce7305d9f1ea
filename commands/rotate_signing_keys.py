"""Sign links and cookies with a new key."""

from __future__ import annotations

from commands.retry import deciding
from commands.services import Ports
from ledger.book import Change
from ledger.events import Stamp
from ledger.streams import signing_keys
from ledger.streams.signing_keys import SIGNING_KEYS, SigningKeysRotated


def rotate_signing_keys(ports: Ports, stamp: Stamp, *, keep_previous: bool = True) -> int:
    """Sign links and cookies with a new key from now on, and return the position.

    Args:
        keep_previous: whether what was signed with the last key is still taken; older ones are not.
    """
    fact = SigningKeysRotated(
        salt=ports.random_bytes(signing_keys.SALT_BYTES).hex(), keep_previous=keep_previous
    )

    def attempt() -> int:
        loaded = ports.book.load(SIGNING_KEYS, signing_keys.ID)
        return ports.book.append(stamp, Change(loaded, [fact])).position

    return deciding(attempt)
