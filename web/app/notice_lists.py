"""Somebody's notices as people read them: what was told lately, and what is to come."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from ledger.notice_kinds import NoticeKind
from projections.lists.notices import NoticeQuery, NoticeView, latest_notices, list_notices
from web.app.context import app_state, request_context, services

PAST: Final = timedelta(days=90)
AHEAD: Final = timedelta(days=366)
_AT_ONCE: Final = 500
_UNCONFIRMED: Final[NoticeKind] = "subscription.unconfirmed"


def told_lately(
    account: str | None, reseller: str | None, kinds: Sequence[str] = (), *, limit: int
) -> list[NoticeView]:
    """Return what was told in the last 90 days, the newest first."""
    now = request_context().now
    query = NoticeQuery(now, now - PAST, account, reseller, kinds)
    tables, catalog = app_state().wiring.tables, services().catalog
    return latest_notices(services().book, tables, catalog, query, limit=limit)


def to_come(
    account: str | None, reseller: str | None, kinds: Sequence[str] = (), *, limit: int
) -> list[NoticeView]:
    """Return what will be told within a year if nothing more happens, what comes first first."""
    now = request_context().now
    # Asked for in any case: what only Stripe's silence would bring is not to come, since it does
    # say more.
    asked = (*kinds, _UNCONFIRMED) if kinds else ()
    query = NoticeQuery(now + AHEAD, now, account, reseller, asked)
    tables, catalog = app_state().wiring.tables, services().catalog
    found: list[NoticeView] = []
    after = None
    while True:
        page = list_notices(services().book, tables, catalog, query, after=after, limit=_AT_ONCE)
        found += page.notices
        silent = {(one.account, one.at) for one in found if one.kind == _UNCONFIRMED}
        coming = [one for one in found if (one.account, one.at) not in silent]
        after = page.next
        if after is None or len(coming) > limit:
            return coming[:limit]
