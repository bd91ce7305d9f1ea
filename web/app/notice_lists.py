"""Somebody's notices as people read them: what was told lately, and what is to come."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from ledger.notice_kinds import NOTICE_KINDS
from projections.lists.notices import NoticeQuery, NoticeView, latest_notices, list_notices
from web.app.context import app_state, request_context, services

PAST: Final = timedelta(days=90)
AHEAD: Final = timedelta(days=366)
# Not what is to come if Stripe says nothing more: it does.
_COMING_KINDS: Final = tuple(kind for kind in NOTICE_KINDS if kind != "subscription.unconfirmed")


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
    wanted = tuple(kind for kind in _COMING_KINDS if not kinds or kind in kinds)
    if not wanted:
        return []
    query = NoticeQuery(now + AHEAD, now, account, reseller, wanted)
    tables, catalog = app_state().wiring.tables, services().catalog
    return list_notices(services().book, tables, catalog, query, limit=limit).notices
