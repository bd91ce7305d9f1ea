"""Give a key's holder a new code."""

from __future__ import annotations

from typing import NamedTuple

from commands import checks
from commands.deciding import deciding
from commands.ports import Ports
from commands.revoke_key import seal_reason
from ledger import codes
from ledger.book import Change, moment, unwritten
from ledger.events import Stamp
from ledger.streams import key
from ledger.streams.account import ACCOUNT, rename_key
from ledger.streams.key import KEY, Key, KeyIssued


class Reissued(NamedTuple):
    """The new key, with its code, which is shown now and can be derived again."""

    id: str
    code: str
    masked: str
    position: int


def reissue_key(
    ports: Ports, stamp: Stamp, key_id: str, reason: str, *, reseller: str | None = None
) -> Reissued:
    """Let a new code take a key's place; the old one stops working in the same commit.

    A redeemed key's subscription stays as it is, and is known by the new code from now on.

    Args:
        reseller: who asks; None for the vendor.

    Raises:
        InvalidRequest: no reason, or one that does not fit.
        KeyNotFound, KeyAlreadyRevoked, KeyLapsed: in this order.
    """
    checks.refuse_if(checks.reason(reason))

    def attempt() -> Reissued:
        loaded = ports.book.load(KEY, key.stream_id(key_id))
        old = key.owned(loaded.state, reseller)
        code = ports.codes.derive(
            codes.prefix_of(old.issued.masked),
            old.issued.batch,
            old.issued.index,
            old.issued.generation + 1,
        )
        facts, succeeding, issued = key.reissue(
            old,
            reseller,
            successor=ports.codes.key_id(code),
            masked=codes.mask(code),
            reason=seal_reason(ports, loaded, reason, stamp),
            now=moment(stamp.now, loaded),
        )
        successor = unwritten(KEY, key.stream_id(issued.key))
        appended = ports.book.append(
            stamp,
            Change(loaded, facts),
            Change(successor, succeeding, causation=loaded.next_event),
            *_renamed(ports, old, issued, causation=loaded.next_event),
        )
        return Reissued(issued.key, code, issued.masked, appended.position)

    return deciding(attempt)


def _renamed(ports: Ports, old: Key, issued: KeyIssued, causation: str) -> list[Change]:
    """Answer the change of the account whose subscription the key gave, if it gave one."""
    if old.redeemed_by is None or old.subscription is None:
        return []
    account = ports.book.load(ACCOUNT, old.redeemed_by)
    return [Change(account, rename_key(old.subscription, issued), causation=causation)]
