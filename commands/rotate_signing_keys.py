"""Sign links and cookies with a new key."""

from __future__ import annotations

from commands.retry import decide
from commands.services import Services
from ledger.events import RequestContext
from ledger.streams import signing_keys
from ledger.streams.signing_keys import SIGNING_KEYS, SigningKeysRotated


def rotate_signing_keys(
    services: Services, context: RequestContext, *, keep_previous: bool = True
) -> int:
    """Sign links and cookies with a new key from now on, and return the position.

    Args:
        keep_previous: whether what was signed with the last key is still taken; older ones are not.
    """
    fact = SigningKeysRotated(
        salt=services.random_bytes(signing_keys.SALT_BYTES).hex(), keep_previous=keep_previous
    )
    return decide(services, context, SIGNING_KEYS, signing_keys.ID, lambda _: [fact]).position
