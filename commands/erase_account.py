"""Make an account's free text unreadable, for ever.

The key that its labels and reasons are sealed under is destroyed. The events stay as they are, and
with them every proof; what was sealed is noise from then on, here and in every export.

What was erased, when and by whom is an event. The key is destroyed between reading the account and
recording that: had a text been sealed before the one and recorded after the other, the record would
not go in, and all is done again. So what was recorded before an erasure cannot be read, and what
comes after it can. A crash between the two leaves no text and no record; the same command again
makes the record.

The reason is sealed as well, under a key of its own (`erasure-<account>`): under the account's it
would be lost with the rest, and in the open it might be what somebody asked to have erased.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from commands import checks
from commands.deciding import deciding
from commands.ports import Ports
from ledger.book import Change
from ledger.events import Stamp
from ledger.loaded import Loaded
from ledger.streams import account as account_stream
from ledger.streams.account import ACCOUNT
from ledger.streams.account_state import Account


class UnknownAccount(Exception):
    """Nothing is recorded of this account."""


class Erased(NamedTuple):
    """An account without texts.

    Attributes:
        texts: how many were readable until now; 0 when they had been erased before.
        erased_at: when this, or the erasure before it, was recorded.
        position: of the event of this erasure; of the ledger's head when there was nothing to do.
    """

    texts: int
    erased_at: datetime
    position: int


def erase_account(ports: Ports, stamp: Stamp, account: str, reason: str) -> Erased:
    """Erase an account's texts. Erased already, and no text since: nothing is recorded.

    Raises:
        InvalidRequest: no reason, or fields that do not fit.
        UnknownAccount: nothing is recorded of it, so that its id may be a mistake.
    """
    checks.refuse_if([*checks.account(account), *checks.reason(ports, reason)])
    owner = ACCOUNT.name(account)

    had_key = False

    def attempt() -> Erased:
        nonlocal had_key
        loaded: Loaded[Account] = ports.book.load(ACCOUNT, account)
        if not loaded.version:
            raise UnknownAccount
        sealed = ports.texts.seal(f"erasure-{account}", reason, stamp.now)
        # Some texts are not in the account's own stream: why its key was reissued, or a block of
        # its tries lifted. Of those only the key that they were sealed under tells.
        had_key = ports.texts.destroy(owner) or had_key
        facts = account_stream.erase(loaded.state, owner, sealed, had_key=had_key)
        appended = ports.book.append(stamp, Change(loaded, facts))
        erased_at = appended.loaded[0].state.erased_at
        assert erased_at is not None
        return Erased(loaded.state.texts, erased_at, appended.position)

    return deciding(attempt)
