"""The kinds of notices: what becomes true as time passes, or is for somebody to look at."""

from __future__ import annotations

from typing import Final, Literal, get_args

NoticeKind = Literal[
    "subscription.started", "subscription.ending", "subscription.ended", "subscription.unconfirmed",
    "seats.over", "seats.full", "key.lapsing", "key.lapsed", "token.expiring", "allowance.low",
    "webhook.failing",
]  # fmt: skip
NOTICE_KINDS: Final[tuple[NoticeKind, ...]] = get_args(NoticeKind)
