"""The lines that an account has: bought by a key, or at Stripe."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple


class ViewLine(NamedTuple):
    """What a subscription has of one product and tier, at the moment asked about.

    Attributes:
        open: its seats are billed by the number of holders, so that it takes all who are left.
        gives: whether it gives seats at that moment.
        ended_at: when it ended, if it has; one that does not give and has not ended rests.
    """

    id: str
    product: str
    tier: str | None
    seats: int
    open: bool
    gives: bool
    ended_at: datetime | None
    key: str | None
    stripe_subscription: str | None
    status: str
    started_at: datetime
    expires_at: datetime | None
    renews: bool
    can_manage: bool

    def order(self) -> tuple[bool, float, datetime, str]:
        """Return the order in which rows are filled: renewing, latest end, earliest start, id."""
        end = -self.expires_at.timestamp() if self.expires_at else float("-inf")
        return not self.renews, end, self.started_at, self.id


class KeySubscription(NamedTuple):
    """What a redeemed key gave.

    Attributes:
        scheduled: it was to begin later than it was redeemed.
        left: it ended here by leaving for another account.
    """

    id: str
    masked: str
    product: str
    tier: str | None
    seats: int
    started_at: datetime
    expires_at: datetime
    terminated_at: datetime | None = None
    scheduled: bool = False
    suspended: bool = False
    left: bool = False

    def status(self, at: datetime) -> str:
        """Return what it is at a moment."""
        if self.terminated_at is not None:
            return "transferred" if self.left else "terminated"
        if self.scheduled and at < self.started_at:
            return "scheduled"
        if at >= self.expires_at:
            return "expired"
        return "suspended" if self.suspended else "active"

    def line(self, at: datetime) -> ViewLine:
        """Return its row of the Subscriptions view at a moment."""
        status = self.status(at)
        goes_on = status in ("scheduled", "active", "suspended")
        return ViewLine(
            self.id,
            self.product,
            self.tier,
            self.seats,
            open=False,
            gives=status == "active",
            ended_at=None if goes_on else self.terminated_at or self.expires_at,
            key=self.masked,
            stripe_subscription=None,
            status=status,
            started_at=self.started_at,
            expires_at=self.expires_at,
            renews=False,
            can_manage=False,
        )
