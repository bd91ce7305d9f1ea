"""What is to be sent to webhooks, and how far it was.

    ledger       … 41 account-acme   42 key-1f   43 account-acme   44 account-blue
    messages     acme 1 ↔ 41, acme 2 ↔ 43; blue 1 ↔ 44
    lanes        acme sent 1 of 2, due now;  blue sent 0 of 1, due in a minute: it was refused

Messages follow from the ledger as a table's rows do (`catch_up`): each webhook has a bookmark, and
whoever sends puts what came after it into the queue first, in one transaction with the bookmark. So
a message is queued once, and those of an account have consecutive numbers. How far they were sent
is one number a lane, where a lane is an account's messages, those of no account, or tests. A replay
puts it back.

This is the only thing beside the ledger that cannot be made of it: if it is lost, everything is
sent once more, under the same ids.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from ledger import codec
from ledger.book import CLOCKS_APART_S, Book, LedgerUnavailable
from ledger.events import AnyEvent
from ledger.store.contract import Row as StoredRow
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.key import KEY
from ledger.streams.webhooks import (
    ACCOUNT_CHANGED,
    KEY_CHANGED,
    NOTICE,
    TEST,
    WEBHOOKS,
    Webhook,
    WebhookReplayed,
    Webhooks,
    WebhookTested,
)
from projections.lists import catch_up
from projections.lists import webhook_notices as notices
from projections.lists.notices_table import fill
from projections.lists.stores.tables import (
    Params,
    Row,
    Tables,
    WriteTransaction,
    to_moment,
    to_number,
)
from projections.lists.webhook_audience import gave, whose

# Lanes of messages that are no account's: an account's id is never so.
NO_ACCOUNT: Final = ""
TESTS: Final = "*"
PAGE_MAX: Final = 2_000
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
MESSAGES: Final = "keyfold_webhook_messages_1"
COLUMNS: Final = ("webhook", "lane", "sequence", "kind", "position", "notice", "at")


class QueuedMessage(NamedTuple):
    """A message to be sent; its columns in order.

    Attributes:
        notice: the notice that it tells, as JSON; None for an event.
        at: in microseconds, as tables have it.
    """

    webhook: str
    lane: str
    sequence: int
    kind: str
    position: int
    notice: str | None
    at: int

    @property
    def account(self) -> str | None:
        """Return the account that it is about, if it is about one."""
        return None if self.lane in (NO_ACCOUNT, TESTS) else self.lane


class DueMessage(NamedTuple):
    """A message of a lane that is due, and what became of it so far.

    Attributes:
        attempts: how often it was tried.
        failing_since: when it was not taken for the first time.
    """

    message: QueuedMessage
    attempts: int
    failing_since: datetime | None


class _Addressed(NamedTuple):
    """A message that a webhook is sent, before it has a number."""

    lane: str
    kind: str
    position: int
    at: int
    notice: str | None = None


class _Page(NamedTuple):
    """What some events mean to a webhook: messages to add, and replays, by their `after`."""

    added: list[_Addressed]
    replays: list[int]


def bookmark(webhook: str) -> str:
    """Return the name under which it is kept how far a webhook's messages are queued."""
    return f"webhook@1:{webhook}"


# Queueing


class Clocks(NamedTuple):
    """The time by the ledger's clock, and by this machine's."""

    ledger: datetime
    machine: datetime


def queue_messages(
    book: Book, tables: Tables, days: Sequence[int], webhooks: Iterable[Webhook], now: Clocks
) -> None:
    """Put what became true since into the queue of each of these webhooks.

    Args:
        days: before an end, that notices tell of it.
    """
    known = sorted(webhooks, key=lambda one: one.id)
    # Nobody who wants no notices waits until it is known which there are.
    for wants in (False, True):
        there = {bookmark(one.id): one for one in known if one.wants_notices is wants}
        if there:
            head = fill(book, tables, days) if wants else book.head()
            _queue_all(book, tables, days, there, head, now)


def _queue_all(
    book: Book,
    tables: Tables,
    days: Sequence[int],
    known: Mapping[str, Webhook],
    head: int,
    now: Clocks,
) -> None:
    for name, webhook in known.items():
        _begin(book, tables, name, webhook)
        if catch_up.reached(tables, name) > head:
            _forget_lost(tables, name, webhook.id, head)
        _set_clock_back(tables, webhook, now)

    def prepare(names: Sequence[str], old: int, new: int) -> catch_up.Apply:
        rows = catch_up.events_between(book, old, new)
        pages = {name: _page(book, known[name], rows, now.ledger) for name in names}
        telling = [name for name in names if known[name].wants_notices]
        cursors = {name: notices.read_cursor(tables, known[name].id) for name in telling}
        for name, cursor in cursors.items():
            told = notices.given_at_once(tables, days, cursor, old, new)
            its = [
                _of_notice(one, one.position, now.ledger)
                for one in told
                if _is_for(known[name], one)
            ]
            pages[name].added.extend(its)
            pages[name].added.sort(key=_in_order)

        def apply(work: WriteTransaction, name: str) -> None:
            catch_up.hold_to(tables, work, rows[-1])
            id, cursor = known[name].id, cursors.get(name)
            if cursor is not None and not notices.move(work, id, cursor, cursor):
                raise LedgerUnavailable("another server has queued notices: ask again")
            _apply(work, id, pages[name], to_number(now.machine))

        return apply

    catch_up.advance(tables, list(known), head, prepare, PAGE_MAX)
    for webhook in known.values():
        if webhook.wants_notices:
            _queue_timed(tables, days, webhook, now)


def _in_order(one: _Addressed) -> tuple[int, bool]:
    return one.position, one.notice is not None


def _begin(book: Book, tables: Tables, name: str, webhook: Webhook) -> None:
    begun = tables.read(catch_up.BOOKMARK, {"projection": name})
    if begun and notices.has_cursor(tables, webhook.id):
        return
    begins_at = webhook.created_at
    if webhook.begins_after != webhook.added_at:
        found = book.events_at([webhook.begins_after]) if webhook.begins_after else []
        begins_at = found[0].written_at if found else _BEGINNING
    with tables.transaction() as work:
        work.execute(
            "INSERT INTO keyfold_projections (projection, position)"
            " VALUES (:projection, :position) ON CONFLICT DO NOTHING",
            {"projection": name, "position": webhook.begins_after},
        )
        notices.begin(work, webhook.id, begins_at)


# Notices. Those that are timed have for their position where the queue is when their time has come.


def _queue_timed(tables: Tables, days: Sequence[int], webhook: Webhook, now: Clocks) -> None:
    """Queue the notices whose time has come, each page in one transaction with the cursor."""
    name = bookmark(webhook.id)
    while True:
        cursor = notices.read_cursor(tables, webhook.id)
        queued_until = catch_up.reached(tables, name)
        rows, new = notices.next_timed(tables, days, cursor, now.ledger, queued_until)
        if new == cursor:
            return
        wanted = [row for row in rows if _is_for(webhook, row)]
        if cursor.at < cursor.ahead_until:
            wanted = [row for row in wanted if not _is_queued(tables, webhook, row)]
        due = [_of_notice(row, queued_until, now.ledger, is_timed=True) for row in wanted]
        with tables.transaction() as work:
            # In this order, as for events. Who has moved either has queued what follows from it.
            ours = catch_up.claim(work, name, queued_until, queued_until)
            if not ours or not notices.move(work, webhook.id, cursor, new):
                return
            _apply(work, webhook.id, _Page(due, []), to_number(now.machine))


def _set_clock_back(tables: Tables, webhook: Webhook, now: Clocks) -> None:
    """Go back to now with a clock that was wrong, and had gone on beyond."""
    cursor = notices.read_cursor(tables, webhook.id)
    if notices.is_ahead(cursor, now.ledger):
        with tables.transaction() as work:
            notices.set_back(work, webhook.id, cursor, to_number(now.ledger))


def _is_for(webhook: Webhook, row: notices.TimelyNotice) -> bool:
    return webhook.wants(f"{NOTICE}{row.kind}") and webhook.is_about(row.reseller)


def _of_notice(
    row: notices.TimelyNotice, position: int, now: datetime, *, is_timed: bool = False
) -> _Addressed:
    told: dict[str, Any] = {
        "id": row.id, "kind": row.kind, "subject": row.subject, "reseller": row.reseller,
        "facts": msgspec.Raw(row.facts.encode()),
    }  # fmt: skip
    if (state_at := _by_right_clock(to_moment(row.at), now)) != to_moment(row.at):
        told["state_at"] = state_at
    if is_timed:
        told["queued_at"] = now
    notice = msgspec.json.encode(told).decode()
    lane, kind = row.account or NO_ACCOUNT, f"{NOTICE}{row.kind}"
    return _Addressed(lane, kind, position, row.at, notice)


_QUEUED: Final = f"""
    SELECT 1 FROM {MESSAGES} WHERE webhook = :webhook AND lane = :lane AND kind = :kind AND at = :at
    AND substr(notice, 1, :length) = :begins LIMIT 1
"""  # noqa: S608


def _is_queued(tables: Tables, webhook: Webhook, row: notices.TimelyNotice) -> bool:
    begins = f'{{"id":"{row.id}"'
    return bool(
        tables.read(
            _QUEUED,
            {
                "webhook": webhook.id,
                "lane": row.account or NO_ACCOUNT,
                "kind": f"{NOTICE}{row.kind}",
                "at": row.at,
                "begins": begins,
                "length": len(begins),
            },
        )
    )


# Events


def _by_right_clock(at: datetime, now: datetime) -> datetime:
    """Return a moment, or now for one that is yet to come: a clock was ahead."""
    return now if at - now > timedelta(seconds=CLOCKS_APART_S) else at


def _page(book: Book, webhook: Webhook, rows: Iterable[StoredRow], now: datetime) -> _Page:
    page = _Page([], [])
    for row in rows:
        stream = row.stream.partition("-")[0]
        if stream == WEBHOOKS.kind:
            _note_asked(page, webhook, codec.decode(row), now)
        elif stream == ACCOUNT.kind and webhook.wants(ACCOUNT_CHANGED):
            event = codec.decode(row)
            if webhook.is_about(gave(book, event)):
                account = row.stream.removeprefix(f"{ACCOUNT.kind}-")
                page.added.append(_addressed(account, ACCOUNT_CHANGED, event, now))
        elif stream == KEY.kind and webhook.wants(KEY_CHANGED):
            event = codec.decode(row)
            redeemed_by, resellers = whose(book, event, webhook.reseller is not None)
            if any(webhook.is_about(reseller) for reseller in resellers):
                page.added.append(_addressed(redeemed_by or NO_ACCOUNT, KEY_CHANGED, event, now))
    return page


def _note_asked(page: _Page, webhook: Webhook, event: AnyEvent, now: datetime) -> None:
    match event.fact:
        case WebhookTested(webhook=webhook.id):
            page.added.append(_addressed(TESTS, TEST, event, now))
        case WebhookReplayed(webhook=webhook.id, after=after):
            page.replays.append(after)


def _addressed(lane: str, kind: str, event: AnyEvent, now: datetime) -> _Addressed:
    at = _by_right_clock(event.written_at, now)
    return _Addressed(lane, kind, event.position, to_number(at))


_LANE: Final = """
    SELECT queued FROM keyfold_webhook_lanes_1 WHERE webhook = :webhook AND lane = :lane
"""
_QUEUE: Final = """
    INSERT INTO keyfold_webhook_lanes_1 AS kept
        (webhook, lane, sent, queued, due_at, attempts, failing_since)
    VALUES (:webhook, :lane, 0, :queued, :now, 0, NULL)
    ON CONFLICT (webhook, lane) DO UPDATE
    SET queued = excluded.queued, due_at = COALESCE(kept.due_at, excluded.due_at)
"""
_REWIND: Final = """
    UPDATE keyfold_webhook_lanes_1 SET sent = CASE WHEN lane = '*' THEN sent ELSE COALESCE((
        SELECT MIN(m.sequence) - 1 FROM keyfold_webhook_messages_1 AS m
        WHERE m.webhook = :webhook AND m.lane = keyfold_webhook_lanes_1.lane
        AND m.position > :after AND m.sequence <= keyfold_webhook_lanes_1.sent
    ), sent) END
    WHERE webhook = :webhook
"""
_TRY_ANEW: Final = """
    UPDATE keyfold_webhook_lanes_1 SET due_at = :now, attempts = 0, failing_since = NULL
    WHERE webhook = :webhook AND sent < queued
"""


def _apply(work: WriteTransaction, webhook: str, page: _Page, now: int) -> None:
    lanes: defaultdict[str, list[_Addressed]] = defaultdict(list)
    for one in page.added:
        lanes[one.lane].append(one)
    rows: list[Row] = []
    for lane, added in sorted(lanes.items()):
        place = {"webhook": webhook, "lane": lane}
        found = work.execute(_LANE, place)
        queued: int = found[0][0] if found else 0
        for sequence, one in enumerate(added, queued + 1):
            rows.append(
                QueuedMessage(webhook, lane, sequence, one.kind, one.position, one.notice, one.at)
            )
        work.execute(_QUEUE, {**place, "queued": queued + len(added), "now": now})
    if rows:
        work.insert(MESSAGES, COLUMNS, rows)
    for after in page.replays:
        work.execute(_REWIND, {"webhook": webhook, "after": after})
    if page.replays:
        work.execute(_TRY_ANEW, {"webhook": webhook, "now": now})


def _forget_lost(tables: Tables, name: str, webhook: str, head: int) -> None:
    """Take back what was queued of events that the ledger has no more: it went back."""
    with tables.transaction() as work:
        ahead = work.execute(catch_up.BOOKMARK, {"projection": name})[0][0]
        if catch_up.stored(tables, work, ahead) is not None:
            return  # the head was a standby's, which lags behind the tables
        of: dict[str, str | int] = {"webhook": webhook, "head": head}
        work.execute(
            "UPDATE keyfold_projections SET position = :head WHERE projection = :name",
            {"name": name, "head": head},
        )
        # Timed ones have a later position than the event that they follow from, which may be there.
        first = work.execute(
            f"SELECT MIN(at) FROM {MESSAGES} WHERE webhook = :webhook AND position > :head"  # noqa: S608
            " AND notice IS NOT NULL",
            of,
        )[0][0]
        cursor = notices.read_cursor(tables, webhook)
        if first is not None and first <= cursor.at:
            notices.set_back(work, webhook, cursor, first - 1)
        work.execute(
            f"DELETE FROM {MESSAGES} WHERE webhook = :webhook AND position > :head",  # noqa: S608
            of,
        )
        work.execute(
            "UPDATE keyfold_webhook_lanes_1 SET queued = COALESCE((SELECT MAX(m.sequence)"  # noqa: S608
            f" FROM {MESSAGES} AS m WHERE m.webhook = :webhook"
            " AND m.lane = keyfold_webhook_lanes_1.lane), 0) WHERE webhook = :webhook",
            of,
        )
        work.execute(
            "UPDATE keyfold_webhook_lanes_1 SET sent = queued, due_at = NULL"
            " WHERE webhook = :webhook AND sent >= queued",
            of,
        )


# Sending

_DUE: Final = """
    SELECT m.webhook, m.lane, m.sequence, m.kind, m.position, m.notice, m.at,
        due.sent, due.attempts, due.failing_since
    FROM (
        SELECT lane, sent, due_at, attempts, failing_since FROM keyfold_webhook_lanes_1
        WHERE webhook = :webhook AND due_at <= :now ORDER BY due_at LIMIT :lanes
    ) AS due
    JOIN keyfold_webhook_messages_1 AS m
    ON m.webhook = :webhook AND m.lane = due.lane
        AND m.sequence > due.sent AND m.sequence <= due.sent + :each
    ORDER BY due.due_at, m.lane, m.sequence
"""


def due_messages(
    tables: Tables, webhook: str, now: datetime, lanes: int, each: int = 1
) -> list[DueMessage]:
    """Return what can be tried now, of the lanes that waited longest the next messages in order.

    Args:
        now: by this machine's clock.
        each: how many of a lane at most. The later ones can be tried once the first is taken.
    """
    params: Params = {"webhook": webhook, "now": to_number(now), "lanes": lanes, "each": each}
    due = []
    for *message, sent, attempts, failing_since in tables.read(_DUE, params):
        queued = QueuedMessage(*message)
        is_first = queued.sequence == sent + 1
        tried = (attempts, to_moment(failing_since)) if is_first else (0, None)
        due.append(DueMessage(queued, *tried))
    return due


def wait_no_longer(tables: Tables, webhook: str, now: datetime, longest: timedelta) -> None:
    """Have tried now what would wait for longer than anything does: the clock was set back."""
    far: Params = {"webhook": webhook, "now": to_number(now), "far": to_number(now + longest)}
    select = "SELECT lane FROM keyfold_webhook_lanes_1 WHERE webhook = :webhook AND due_at > :far"
    if tables.read(f"{select} LIMIT 1", far):
        with tables.transaction() as work:
            work.execute(
                "UPDATE keyfold_webhook_lanes_1 SET due_at = :now"
                " WHERE webhook = :webhook AND due_at > :far",
                far,
            )


def wait_less(tables: Tables, webhook: str, now: datetime, by: timedelta) -> None:
    """Have tried so much earlier what waits."""
    with tables.transaction() as work:
        work.execute(
            "UPDATE keyfold_webhook_lanes_1 SET due_at = due_at - :by"
            " WHERE webhook = :webhook AND due_at > :now",
            {"webhook": webhook, "now": to_number(now), "by": by // timedelta(microseconds=1)},
        )


_KEPT_OF: Final = """
    SELECT substr(projection, :length) FROM keyfold_projections WHERE projection LIKE :names
    UNION SELECT webhook FROM keyfold_webhook_notices_1
    UNION SELECT webhook FROM keyfold_webhook_lanes_1
    UNION SELECT webhook FROM keyfold_webhook_deliveries_1
"""


def forget_removed(tables: Tables, webhooks: Webhooks) -> None:
    """Delete what is kept of webhooks that were removed."""
    names: Params = {"names": bookmark("%"), "length": len(bookmark("")) + 1}
    found = tables.read(_KEPT_OF, names)
    for (id,) in found:
        if id in webhooks:
            continue
        with tables.transaction() as work:
            for table in ("messages", "lanes", "deliveries", "notices"):
                work.execute(
                    f"DELETE FROM keyfold_webhook_{table}_1 WHERE webhook = :webhook",  # noqa: S608
                    {"webhook": id},
                )
            work.execute(
                "DELETE FROM keyfold_projections WHERE projection = :name", {"name": bookmark(id)}
            )
