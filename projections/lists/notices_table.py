"""The table of notices: each with the moment at which it is given, those to come among them.

An event adds what follows from it, and takes back what was to come after it and does not follow any
more. What has been given is never taken back. So the notices up to a moment are those that followed
from what was recorded by then, and a list of any stretch of time is a range of an index.

The catalog says how many days before an end it is told of; rows are kept for each such setting.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from ledger import codec
from ledger.book import Book, LedgerUnavailable
from ledger.codes import letters
from ledger.events import AnyEvent
from ledger.notice_kinds import NoticeKind
from ledger.reseller_names import folded
from ledger.store.contract import Row as StoredRow
from ledger.streams.account.facts import SubscriptionImported
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.key import (
    KEY,
    Key,
    KeyAmended,
    KeyImportedAgain,
    KeyIssued,
    KeyRedeemed,
    KeyReissued,
    KeyRevoked,
    KeyTerms,
)
from ledger.streams.reseller import RESELLER, Allowance, SeatsGranted, SeatsSpent
from ledger.streams.token import TOKEN, TokenCreated, TokenRevoked
from ledger.streams.webhooks import WEBHOOKS, WebhookDisabled
from projections.lists import catch_up
from projections.lists.account_states import AccountsAtPositions, StatesAtPositions
from projections.lists.stores.tables import (
    Params,
    ReadTransaction,
    Tables,
    WriteTransaction,
    to_number,
)
from projections.views.account_notices import Coming, changes, warnings

NAME: Final = "notices@2"
TABLE: Final = "keyfold_notices_2"
PAGE_MAX: Final = 4_000
ACCOUNTS_MAX: Final = 5_000
RESELLERS_MAX: Final = 1_000
# An allowance is low when no more than one in so many of its seats is left.
LOW: Final = 10
# Events of an account that change what is coming; no others are looked at.
_TELLING: Final = (
    "account.seat_occupied", "account.seat_released", "account.subscription_",
    "stripe.subscription_", "stripe.prices_mapped",
)  # fmt: skip


class _Owner(NamedTuple):
    """Whose a notice is."""

    account: str | None
    reseller: str | None


class NoticeRow(NamedTuple):
    """A row of the table, without the days; its columns in order."""

    id: str
    kind: NoticeKind
    subject: str
    account: str | None
    reseller: str | None
    reseller_id: str | None
    at: int
    position: int
    known_at: int
    facts: str


# Account, subject and kind.
_Place = tuple[str | None, str, NoticeKind]


def setting(days: Iterable[int]) -> str:
    """Return the days before an end as the table has them."""
    return ",".join(map(str, sorted(days, reverse=True)))


def notice_id(kind: NoticeKind, subject: str, account: str | None, at: datetime) -> str:
    """Return a notice's id: always the same for this kind, of this subject, at this moment."""
    named = "\0".join((kind, subject, account or "", str(to_number(at))))
    return f"kfn_{letters(hashlib.sha256(named.encode()).digest())}"


class _States:
    """Accounts and resellers as they were folded last, so that what is new is folded on."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.accounts = AccountsAtPositions(book, ACCOUNTS_MAX)
        self.resellers = StatesAtPositions(book, RESELLER, RESELLERS_MAX)


class _StatesOfThread(threading.local):
    def __init__(self) -> None:
        self._known: _States | None = None

    def of(self, book: Book) -> _States:
        """Return those of this thread."""
        if self._known is None or self._known.book != book:
            self._known = _States(book)
        return self._known


_states = _StatesOfThread()


def _name(days: Iterable[int]) -> str:
    return f"{NAME}:{setting(days)}"


def filled_up_to(tables: Tables, days: Iterable[int]) -> int:
    """Return the position up to which the table holds what follows from the ledger."""
    return catch_up.reached(tables, _name(days))


def settings_filled(reading: ReadTransaction) -> Iterator[tuple[list[int], int]]:
    """Yield the days before an end that rows are kept for, and the position these are filled to."""
    for name, position in reading.execute(_SETTINGS, {"names": f"{NAME}:%"}):
        days = name.removeprefix(f"{NAME}:")
        yield [int(one) for one in days.split(",") if one], position


def fill(book: Book, tables: Tables, days: Sequence[int], upto: int | None = None) -> int:
    """Bring the table up to a position, the ledger's head by default, and return that."""
    head = book.head() if upto is None else upto
    name = _name(days)
    ahead = catch_up.reached(tables, name)
    if ahead > head:
        catch_up.begin_anew(tables, name, TABLE, ahead, {"days": setting(days)})
    states = _states.of(book)

    def prepare(_names: Sequence[str], old: int, new: int) -> catch_up.Apply:
        rows = catch_up.events_between(book, old, new)
        page = _Page(book, states, days)
        for row in rows:
            page.take(row)

        def apply(work: WriteTransaction, _name: str) -> None:
            catch_up.hold_to(tables, work, rows[-1])
            page.apply(work)

        return apply

    catch_up.advance(tables, [name], head, prepare, PAGE_MAX)
    return head


_SETTINGS: Final = """
    SELECT projection, position FROM keyfold_projections WHERE projection LIKE :names
    ORDER BY projection
"""
_DROP: Final = f"""
    DELETE FROM {TABLE} WHERE days = :days AND subject = :subject AND kind = :kind AND at > :after
    AND at > known_at AND COALESCE(account, '') = :account
"""  # noqa: S608 - the name is this program's own
_ADD: Final = f"""
    INSERT INTO {TABLE}
        (days, id, kind, subject, account, reseller, reseller_id, at, position, known_at, facts)
    VALUES (:days, :id, :kind, :subject, :account, :reseller, :reseller_id, :at, :position,
        :known_at, :facts)
    ON CONFLICT (days, id) DO NOTHING
"""  # noqa: S608


class _Page:
    """What some events do to the table: first what is dropped, then what is added."""

    def __init__(self, book: Book, states: _States, days: Sequence[int]) -> None:
        self._book = book
        self._states = states
        self._days = days
        self._dropped: dict[_Place, int] = {}
        self._added: dict[_Place, dict[int, NoticeRow]] = {}

    def take(self, row: StoredRow) -> None:
        """Note what an event does."""
        kind = row.stream.partition("-")[0]
        if kind == ACCOUNT.kind and row.name.startswith(_TELLING):
            self._of_account(codec.decode(row))
        elif kind == KEY.kind:
            self._of_key(codec.decode(row))
        elif kind == TOKEN.kind:
            self._of_token(codec.decode(row))
        elif kind == RESELLER.kind:
            self._of_reseller(codec.decode(row))
        elif kind == WEBHOOKS.kind:
            event = codec.decode(row)
            match event.fact:
                case WebhookDisabled(webhook=id, why=why, message=message):
                    facts = {"why": why, "message": message}
                    told = Coming("webhook.failing", id, event.written_at, facts)
                    self._add(event, _Owner(None, None), [told])

    def _of_account(self, event: AnyEvent) -> None:
        id = event.stream.removeprefix(f"{ACCOUNT.kind}-")
        before = self._states.accounts.at(id, event.position - 1)
        after = self._states.accounts.at(id, event.position)
        found = changes(before, after, event.written_at, self._days, anew=event.is_behind)
        for kind, subject in found.dropped:
            self._drop(event, _Owner(id, None), subject, kind)
        if isinstance(event.fact, SubscriptionImported):
            # What is past was another system's to tell.
            found.added[:] = [one for one in found.added if one.at > event.written_at]
        of_keys = {one.subject for one in found.added if one.facts.get("key")}
        gave = {subject: self._reseller_of(subject, event) for subject in of_keys}
        for one in found.added:
            self._add(event, _Owner(id, gave.get(one.subject)), [one])

    def _reseller_of(self, subscription: str, event: AnyEvent) -> str | None:
        key = self._key(subscription.removeprefix("kfsub_"), event)
        return key.issued.reseller if key is not None else None

    def _key(self, id: str, event: AnyEvent) -> Key | None:
        """Return a key as it was just after an event, so that rows are the same whenever filled."""
        head, events = self._book.occurrences(KEY, id)
        if head < event.position:
            raise LedgerUnavailable(f"this server lacks events up to {event.position}")
        return KEY.fold(KEY.initial, (one for one in events if one.position <= event.position))

    def _of_key(self, event: AnyEvent) -> None:
        subject = event.stream.replace("key-", "key_", 1)
        terms: KeyIssued | KeyImportedAgain | KeyTerms | None = None
        told_before = False
        match event.fact:
            case KeyIssued() | KeyImportedAgain() as issued:
                terms = issued
            case KeyAmended(before=before, after=amended):
                terms = amended
                told_before = before.redeem_by == amended.redeem_by
            case KeyRedeemed() | KeyRevoked() | KeyReissued():
                pass
            case _:
                return
        self._drop(event, _Owner(None, None), subject, "key.lapsing")
        self._drop(event, _Owner(None, None), subject, "key.lapsed")
        if terms is None or terms.redeem_by is None or terms.redeem_by <= event.written_at:
            return
        masked, product, began_at = self._named(event)
        facts = {
            "key": masked,
            "product": product,
            "tier": terms.tier,
            "seats": terms.seats,
            "redeem_by": terms.redeem_by,
        }
        lasts = event.written_at if told_before else began_at, terms.redeem_by, event.written_at
        told = [*warnings("key.lapsing", subject, *lasts, self._days, facts)]
        told.append(Coming("key.lapsed", subject, terms.redeem_by, facts))
        self._add(event, _Owner(None, terms.reseller), told)

    def _named(self, event: AnyEvent) -> tuple[str, str, datetime]:
        """Return a key's masked code and product, which stay, and when it was issued."""
        fact = event.fact
        if isinstance(fact, KeyIssued):
            return fact.masked, fact.product, event.written_at
        key = self._key(event.stream.removeprefix("key-"), event)
        assert key is not None
        began_at = event.written_at if isinstance(fact, KeyImportedAgain) else key.issued_at
        return key.issued.masked, key.issued.product, began_at

    def _of_token(self, event: AnyEvent) -> None:
        subject = event.stream.replace("token-", "kft_", 1)
        match event.fact:
            case TokenCreated(expires_at=datetime() as expires_at, role=role, reseller=reseller):
                facts = {"role": role, "expires_at": expires_at}
                lasts = event.written_at, expires_at, event.written_at
                told = warnings("token.expiring", subject, *lasts, self._days, facts)
                self._add(event, _Owner(None, reseller), told)
            case TokenRevoked():
                self._drop(event, _Owner(None, None), subject, "token.expiring")

    def _of_reseller(self, event: AnyEvent) -> None:
        """Tell when little is left of what a reseller may order of a product and tier."""
        fact = event.fact
        if not isinstance(fact, SeatsGranted | SeatsSpent):
            return
        id = event.stream.removeprefix(f"{RESELLER.kind}-")
        before = self._states.resellers.at(id, event.position - 1)
        after = self._states.resellers.at(id, event.position)
        left = after.allowance(fact.product, fact.tier)
        if not _is_low(left) or _is_low(before.allowance(fact.product, fact.tier)):
            return
        name = after.name or id
        subject = f"{id}/{fact.product}" + (f"/{fact.tier}" if fact.tier else "")
        facts = {
            "product": fact.product,
            "tier": fact.tier,
            "granted": left.granted,
            "left": left.left,
        }
        told = Coming("allowance.low", subject, event.written_at, facts)
        self._add(event, _Owner(None, name), [told])

    def _drop(self, event: AnyEvent, owner: _Owner, subject: str, kind: NoticeKind) -> None:
        place, after = (owner.account, subject, kind), to_number(event.written_at)
        self._dropped[place] = min(after, self._dropped.get(place, after))
        added = self._added.get(place, {})
        for at in [at for at, row in added.items() if max(after, row.known_at) < at]:
            del added[at]

    def _add(self, event: AnyEvent, owner: _Owner, told: Iterable[Coming]) -> None:
        for one in told:
            place, at = (owner.account, one.subject, one.kind), to_number(one.at)
            row = NoticeRow(
                notice_id(one.kind, one.subject, owner.account, one.at),
                one.kind,
                one.subject,
                owner.account,
                owner.reseller,
                folded(owner.reseller) if owner.reseller else None,
                at,
                event.position,
                to_number(event.written_at),
                msgspec.json.encode(one.facts).decode(),
            )
            self._added.setdefault(place, {}).setdefault(at, row)

    def apply(self, work: WriteTransaction) -> None:
        """Carry it out."""
        days = setting(self._days)
        dropped: list[Params] = [
            {"days": days, "account": account or "", "subject": subject, "kind": kind, "after": at}
            for (account, subject, kind), at in sorted(self._dropped.items(), key=str)
        ]
        if dropped:
            work.execute_many(_DROP, dropped)
        added: list[Params] = [
            {"days": days, **row._asdict()}
            for rows in self._added.values()
            for row in rows.values()
        ]
        if added:
            work.execute_many(_ADD, added)


def _is_low(allowance: Allowance) -> bool:
    return allowance.granted > 0 and allowance.left * LOW <= allowance.granted
