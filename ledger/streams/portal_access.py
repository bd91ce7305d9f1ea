"""Who of an account may still come in to the hosted pages by a link that was made for it.

Stream:    `portal_access-<account>`
Facts:     PortalSessionsEnded
Invariant: what was made before the last of them is over, links that nobody opened among it.
"""

from __future__ import annotations

from collections.abc import Iterable

from ledger.events import AnyOccurrence, Fact, Sealed, Stream


class PortalSessionsEnded(Fact, frozen=True):
    """Staff ended all sessions of an account, and took its unopened links back."""

    account: str
    reason: Sealed | None = None


def fold(ended_at: int, events: Iterable[AnyOccurrence]) -> int:
    """Return the position of the last event that ended all sessions."""
    for event in events:
        ended_at = event.position
    return ended_at


# The state is the position of the last end; 0 if there was none.
PORTAL_ACCESS: Stream[int] = Stream(
    kind="portal_access",
    facts={"portal_access.sessions_ended@1": PortalSessionsEnded},
    initial=0,
    fold=fold,
)
