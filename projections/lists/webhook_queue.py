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
from typing import Final, NamedTuple

import msgspec

from ledger import codec
from ledger.book import Book
from ledger.events import AnyEvent
from ledger.store.contract import Row as StoredRow
from ledger.streams.account.facts import (
    SubscriptionActivated,
    SubscriptionChange,
    SubscriptionKeyReissued,
    SubscriptionScheduled,
    SubscriptionTakenOver,
)
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.key import KEY, Key, KeyIssued, KeyRedeemed
from ledger.streams.key import stream_id as key_stream_id
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
from projections.lists.notices_table import fill, setting
from projections.lists.stores.tables import (
    Params,
    Row,
    Tables,
    WriteTransaction,
    to_moment,
    to_number,
)

# Lanes of messages that are no account's: an account's id is never so.
NO_ACCOUNT: Final = ""
TESTS: Final = "*"
PAGE_MAX: Final = 2_000
# How far the clock of notices goes on before that is kept, when there is none.
_CLOCK_STEP: Final = 60_000_000
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


_OF_KEYS: Final = (
    SubscriptionActivated
    | SubscriptionScheduled
    | SubscriptionTakenOver
    | SubscriptionKeyReissued
    | SubscriptionChange
)


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
    known = {bookmark(one.id): one for one in sorted(webhooks, key=lambda one: one.id)}
    if not known:
        return
    head = _begin_all(book, tables, days, known)

    def prepare(names: Sequence[str], old: int, new: int) -> catch_up.Apply:
        rows = catch_up.events_between(book, old, new)
        pages = {name: _page(book, known[name], rows) for name in names}
        for name, page in pages.items():
            if known[name].wants_notices:
                page.added.extend(_given_at_once(tables, days, known[name], old, new))
                page.added.sort(key=_in_order)

        def apply(work: WriteTransaction, name: str) -> None:
            catch_up.hold_to(tables, work, rows[-1])
            _apply(work, known[name].id, pages[name], to_number(now.machine))

        return apply

    catch_up.advance(tables, list(known), head, prepare, PAGE_MAX)
    for webhook in known.values():
        if webhook.wants_notices:
            _queue_timed(tables, days, webhook, now)


def _begin_all(
    book: Book, tables: Tables, days: Sequence[int], known: Mapping[str, Webhook]
) -> int:
    """Make what is needed to queue messages, and return where the ledger is."""
    wants_notices = any(one.wants_notices for one in known.values())
    head = fill(book, tables, days) if wants_notices else book.head()
    for name, webhook in known.items():
        _begin(book, tables, name, webhook)
        if catch_up.reached(tables, name) > head:
            _forget_lost(tables, name, webhook.id, head)
    return head


def _in_order(one: _Addressed) -> tuple[int, bool]:
    return one.position, one.notice is not None


def _begin(book: Book, tables: Tables, name: str, webhook: Webhook) -> None:
    if tables.read(catch_up.BOOKMARK, {"projection": name}):
        return
    begins_at = webhook.created_at
    if webhook.begins_after != webhook.added_at:
        found = book.events_at([webhook.begins_after]) if webhook.begins_after else []
        begins_at = found[0].written_at if found else _BEGINNING
    with tables.transaction() as work:
        for projection, position in (
            (name, webhook.begins_after),
            (_clock(webhook.id), to_number(begins_at)),
        ):
            work.execute(
                "INSERT INTO keyfold_projections (projection, position)"
                " VALUES (:projection, :position) ON CONFLICT DO NOTHING",
                {"projection": projection, "position": position},
            )


def _clock(webhook: str) -> str:
    """Return the name under which it is kept up to when a webhook's notices are queued."""
    return f"webhook_notices@1:{webhook}"


# Notices. Those that were true when they became known come with the event that told; the others
# when their time has come, and their position is where the queue is then.

_NOTICE: Final = "SELECT id, kind, subject, account, reseller, at, position, facts"
_AT_ONCE: Final = f"""
    {_NOTICE} FROM keyfold_notices_1
    WHERE days = :days AND position > :old AND position <= :new
    AND (at <= known_at OR at <= :told_until) ORDER BY position, at, id
"""
_TIMED: Final = f"""
    {_NOTICE} FROM keyfold_notices_1
    WHERE days = :days AND at > :told_until AND at <= :now AND at > known_at
    AND position <= :queued_until ORDER BY at, position, id
"""


def _given_at_once(
    tables: Tables, days: Sequence[int], webhook: Webhook, old: int, new: int
) -> list[_Addressed]:
    told_until = catch_up.reached(tables, _clock(webhook.id))
    params: Params = {"days": setting(days), "old": old, "new": new, "told_until": told_until}
    rows = tables.read(_AT_ONCE, params)
    return [_of_notice(row, row[6]) for row in rows if _is_for(webhook, row)]


def _queue_timed(tables: Tables, days: Sequence[int], webhook: Webhook, now: Clocks) -> None:
    name = _clock(webhook.id)
    told_until = catch_up.reached(tables, name)
    until = to_number(now.ledger)
    if until <= told_until:
        return
    queued_until = catch_up.reached(tables, bookmark(webhook.id))
    params: Params = {
        "days": setting(days),
        "told_until": told_until,
        "now": until,
        "queued_until": queued_until,
    }
    rows = tables.read(_TIMED, params)
    due = [_of_notice(row, queued_until) for row in rows if _is_for(webhook, row)]
    if not due and until - told_until < _CLOCK_STEP:
        return
    with tables.transaction() as work:
        if catch_up.claim(work, name, told_until, until):
            _apply(work, webhook.id, _Page(due, []), to_number(now.machine))


def _is_for(webhook: Webhook, row: Row) -> bool:
    kind, reseller = row[1], row[4]
    return webhook.wants(f"{NOTICE}{kind}") and webhook.is_about(reseller)


def _of_notice(row: Row, position: int) -> _Addressed:
    id, kind, subject, account, reseller, at, _, facts = row
    told = {"id": id, "kind": kind, "subject": subject, "reseller": reseller}
    notice = msgspec.json.encode({**told, "facts": msgspec.Raw(facts.encode())}).decode()
    return _Addressed(account or NO_ACCOUNT, f"{NOTICE}{kind}", position, at, notice)


# Events


def _page(book: Book, webhook: Webhook, rows: Iterable[StoredRow]) -> _Page:
    page = _Page([], [])
    for row in rows:
        stream = row.stream.partition("-")[0]
        if stream == WEBHOOKS.kind:
            _note_asked(page, webhook, codec.decode(row))
        elif stream == ACCOUNT.kind and webhook.wants(ACCOUNT_CHANGED):
            event = codec.decode(row)
            if webhook.is_about(_gave(book, event)):
                account = row.stream.removeprefix(f"{ACCOUNT.kind}-")
                page.added.append(_addressed(account, ACCOUNT_CHANGED, event))
        elif stream == KEY.kind and webhook.wants(KEY_CHANGED):
            event = codec.decode(row)
            redeemed_by, reseller = _whose(book, event, webhook.reseller is not None)
            if webhook.is_about(reseller):
                page.added.append(_addressed(redeemed_by or NO_ACCOUNT, KEY_CHANGED, event))
    return page


def _note_asked(page: _Page, webhook: Webhook, event: AnyEvent) -> None:
    match event.fact:
        case WebhookTested(webhook=webhook.id):
            page.added.append(_addressed(TESTS, TEST, event))
        case WebhookReplayed(webhook=webhook.id, after=after):
            page.replays.append(after)


def _addressed(lane: str, kind: str, event: AnyEvent) -> _Addressed:
    return _Addressed(lane, kind, event.position, to_number(event.written_at))


def _gave(book: Book, event: AnyEvent) -> str | None:
    """Return whose key gave the subscription that an event of an account is about."""
    fact = event.fact
    return reseller_of(book, fact.subscription) if isinstance(fact, _OF_KEYS) else None


def reseller_of(book: Book, subscription: str) -> str | None:
    """Return whose key first gave a subscription; None for one that no key did."""
    # It bears the digest of that key.
    key = book.load(KEY, subscription.removeprefix("kfsub_")).state
    return key.issued.reseller if key is not None else None


def _whose(book: Book, event: AnyEvent, named: bool) -> tuple[str | None, str | None]:
    """Return the account that a key was redeemed on when an event happened to it, and its reseller.

    Args:
        named: whether the reseller is asked for.
    """
    match event.fact:
        case KeyIssued(reseller=reseller):
            return None, reseller
        case KeyRedeemed(account=account) if not named:
            return account, None
    key = key_at(book, event)
    return (key.redeemed_by, key.issued.reseller) if key is not None else (None, None)


def key_at(book: Book, event: AnyEvent) -> Key | None:
    """Return a key as it was just after something happened to it."""
    id = key_stream_id(event.stream.replace("key-", "key_", 1))
    _, events = book.occurrences(KEY, id)
    return KEY.fold(KEY.initial, (one for one in events if one.version <= event.version))


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


def forget_removed(tables: Tables, webhooks: Webhooks) -> None:
    """Delete what is kept of webhooks that were removed."""
    found = tables.read("SELECT DISTINCT webhook FROM keyfold_webhook_lanes_1", {})
    for (id,) in found:
        if id in webhooks:
            continue
        with tables.transaction() as work:
            for table in ("messages", "lanes", "deliveries"):
                work.execute(
                    f"DELETE FROM keyfold_webhook_{table}_1 WHERE webhook = :webhook",  # noqa: S608
                    {"webhook": id},
                )
            for name in (bookmark(id), _clock(id)):
                work.execute(
                    "DELETE FROM keyfold_projections WHERE projection = :name", {"name": name}
                )
