"""What was sent to a webhook, try by try, and how much waits.

A row is one try. It has no body: that follows from the ledger, and its receiver has it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Final, NamedTuple

from msgspec import Meta

from ledger.book import Book
from ledger.streams.webhooks import Webhook, Webhooks
from projections.answer import AccountId, Answer, Next, Time, doc
from projections.lists import catch_up
from projections.lists.stores.tables import Params, Row, Tables, to_moment, to_number
from projections.lists.webhook_queue import QueuedMessage, bookmark

# So many tries of each webhook are kept, and a few more until those are dropped.
KEPT: Final = 10_000


class DeliveryView(Answer, frozen=True):
    """One try to send a message."""

    message: Annotated[
        str,
        doc(
            "`webhook-id`, the same at each try.",
            "msg_c5nfx2ynqk7tq3bd5xw4a6bl7m_1234_k3vq7zt2mhwd",
        ),
    ]
    type: Annotated[str, doc(None, "account.changed")]
    account: AccountId | None
    sequence: Annotated[int, Meta(ge=1), doc(None, 3)]
    position: Annotated[int, Meta(ge=1), doc(None, 1234)]
    attempt: Annotated[int, Meta(ge=1), doc("Which try of this message it was.", 1)]
    at: Time
    took_ms: Annotated[int, Meta(ge=0), doc(None, 42)]
    delivered: bool
    status: Annotated[int | None, doc("Of the response, if there was one.", 200)]
    problem: Annotated[
        str | None, doc("Why it was not taken; null if it was.", "no response in time")
    ]
    next_at: Annotated[Time | None, doc("When it is tried again.")]


class DeliveryList(Answer, frozen=True):
    """Tries, the newest first."""

    items: list[DeliveryView]
    next: Next


class DeliveryPage(NamedTuple):
    """Some tries, newest first; `next` is where the next page goes on."""

    deliveries: list[DeliveryView]
    next: int | None


class Attempt(NamedTuple):
    """A try to send a message, and what came of it.

    Attributes:
        message_id: as its receiver knows it.
        attempt: which one of this message, from 1.
        at: when it was tried, by the ledger's clock.
        status: of the response; None if there was none.
        problem: why it was not taken; None if it was.
        retry_at: when it is tried again, by this machine's clock.
    """

    message: QueuedMessage
    message_id: str
    attempt: int
    at: datetime
    took_ms: int
    status: int | None
    problem: str | None
    retry_at: datetime | None


# Whether the message is in the queue still. It is not when the webhook was removed, or the ledger
# went back and another has its number; what came of it must then not be taken for that one's.
_IS_THERE: Final = """EXISTS (
        SELECT 1 FROM keyfold_webhook_messages_1 WHERE webhook = :webhook AND lane = :lane
        AND sequence = :sequence AND position = :position AND kind = :kind AND at = :queued_at
        AND COALESCE(notice, '') = COALESCE(:notice, '')
    )"""
# While it is waited for a lane, the queue may go back: then less is queued than the number says.
_IS_NEXT: Final = f"""webhook = :webhook AND lane = :lane AND sent = :sequence - 1
    AND queued >= :sequence AND {_IS_THERE}"""
_TAKEN: Final = f"""
    UPDATE keyfold_webhook_lanes_1 SET sent = :sequence, attempts = 0, failing_since = NULL,
        due_at = CASE WHEN queued > :sequence THEN :now ELSE NULL END
    WHERE {_IS_NEXT}
"""  # noqa: S608
_NOT_TAKEN: Final = f"""
    UPDATE keyfold_webhook_lanes_1 SET attempts = attempts + 1,
        failing_since = COALESCE(failing_since, :at), due_at = :retry_at
    WHERE {_IS_NEXT}
"""  # noqa: S608
_ADD: Final = f"""
    INSERT INTO keyfold_webhook_deliveries_1 (webhook, number, message, kind, account, sequence,
        position, attempt, at, took_ms, status, problem, next_at)
    SELECT
        :webhook, COALESCE((
            SELECT MAX(number) FROM keyfold_webhook_deliveries_1 WHERE webhook = :webhook
        ), 0) + 1,
        :message, :kind, :account, :sequence, :position, :attempt, :at, :took_ms, :status, :problem,
        :retry_at
    WHERE {_IS_THERE}
"""  # noqa: S608
_DROP: Final = """
    DELETE FROM keyfold_webhook_deliveries_1 WHERE webhook = :webhook AND number <= (
        SELECT MAX(number) - :kept FROM keyfold_webhook_deliveries_1 WHERE webhook = :webhook
    )
"""


def record_attempt(tables: Tables, tried: Attempt, now: datetime) -> bool:
    """Keep what came of a try, and return whether its lane goes on by it.

    It does not when a replay came between, or another that sends. Of a message that is not in the
    queue any more nothing is kept.

    Args:
        now: by this machine's clock.
    """
    message = tried.message
    params: Params = {
        "webhook": message.webhook,
        "lane": message.lane,
        "message": tried.message_id,
        "kind": message.kind,
        "account": message.account,
        "sequence": message.sequence,
        "position": message.position,
        "queued_at": message.at,
        "notice": message.notice,
        "attempt": tried.attempt,
        "at": to_number(tried.at),
        "took_ms": tried.took_ms,
        "status": tried.status,
        "problem": tried.problem,
        "retry_at": to_number(tried.retry_at),
        "now": to_number(now),
    }
    goes_on, _ = tables.change([_TAKEN if tried.problem is None else _NOT_TAKEN, _ADD], params)
    return bool(goes_on)


def drop_old_attempts(tables: Tables, webhook: str) -> None:
    """Keep the last tries of a webhook, and no others."""
    tables.change([_DROP], {"webhook": webhook, "kept": KEPT})


_SELECT: Final = """
    SELECT number, message, kind, account, sequence, position, attempt, at, took_ms, status,
        problem, next_at
    FROM keyfold_webhook_deliveries_1 WHERE webhook = :webhook AND number < :after
    ORDER BY number DESC LIMIT :limit
"""
_AFTER_ALL: Final = 2**63 - 1


def list_deliveries(
    tables: Tables, webhook: str, *, after: int | None = None, limit: int
) -> DeliveryPage:
    """Return a page of the tries to send to a webhook.

    Args:
        after: the `next` of the page before; None for the first.
    """
    params: Params = {
        "webhook": webhook,
        "after": _AFTER_ALL if after is None else after,
        "limit": limit + 1,
    }
    rows = tables.read(_SELECT, params)
    shown = rows[:limit]
    following: int | None = shown[-1][0] if len(rows) > limit else None
    return DeliveryPage([_view(row) for row in shown], following)


def _view(row: Row) -> DeliveryView:
    _, message, kind, account, sequence, position, attempt, at, took, status, problem, next_at = row
    return DeliveryView(
        message,
        kind,
        account,
        sequence,
        position,
        attempt,
        to_moment(at),
        took,
        problem is None,
        status,
        problem,
        to_moment(next_at),
    )


# What waits


class Backlog(NamedTuple):
    """What is still to be sent to a webhook.

    Attributes:
        waiting: messages in the queue.
        oldest_at: what the oldest of them is about happened then; None when none waits.
        failing_since: when one that waits was not taken for the first time.
        behind: positions of the ledger that are not in the queue yet.
    """

    webhook: Webhook
    waiting: int
    oldest_at: datetime | None
    failing_since: datetime | None
    behind: int

    def lag(self, now: datetime) -> timedelta:
        """Return for how long the oldest message waits."""
        return max(now - self.oldest_at, timedelta()) if self.oldest_at else timedelta()


_BACKLOG: Final = """
    SELECT CAST(COALESCE(SUM(due.queued - due.sent), 0) AS bigint), MIN(m.at),
        MIN(due.failing_since)
    FROM keyfold_webhook_lanes_1 AS due
    JOIN keyfold_webhook_messages_1 AS m
    ON m.webhook = :webhook AND m.lane = due.lane AND m.sequence = due.sent + 1
    WHERE due.webhook = :webhook AND due.due_at > 0
"""


def backlog(book: Book, tables: Tables, webhook: Webhook) -> Backlog:
    """Return what is still to be sent to a webhook."""
    ((waiting, oldest_at, failing_since),) = tables.read(_BACKLOG, {"webhook": webhook.id})
    found = tables.read(catch_up.BOOKMARK, {"projection": bookmark(webhook.id)})
    queued_up_to = found[0][0] if found else webhook.begins_after
    return Backlog(
        webhook,
        waiting,
        to_moment(oldest_at),
        to_moment(failing_since),
        max(0, book.head() - queued_up_to),
    )


def backlogs(book: Book, tables: Tables, webhooks: Webhooks) -> list[Backlog]:
    """Return what is still to be sent to each webhook, the oldest webhook first."""
    ordered = sorted(webhooks.values(), key=lambda one: (one.created_at, one.id))
    return [backlog(book, tables, one) for one in ordered]
