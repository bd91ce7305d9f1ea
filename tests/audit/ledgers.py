"""Random ledgers, and every question that can be asked of one.

world = ports(Book("memory:"))
happens(world, Random(7))                     # thirty things or so, over a year
answers(world, tables, moments(Random(7)))    # what the ledger says at each of them
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, get_args

from commands.change_subscription import (
    extend_subscription,
    resume_subscription,
    start_subscription,
    suspend_subscription,
    terminate_subscription,
    transfer_subscription,
)
from commands.erase_account import UnknownAccount, erase_account
from commands.give_access import create_token, revoke_token
from commands.issue_keys import IssuedKey, Order, issue_keys
from commands.occupy_seat import Sitting, occupy_seat
from commands.redeem_key import Try, redeem_key, validate_key
from commands.reissue_key import reissue_key
from commands.release_seat import release_seat
from commands.replace_holder import Replacement, replace_holder
from commands.reveal_codes import reveal_codes
from commands.revoke_key import revoke_key
from commands.services import Services
from ledger.book import Book
from ledger.events import RequestContext
from ledger.refusals import Refusal
from ledger.store import schema
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.account.subscriptions import Start
from projections.lists.keys import KeyQuery, list_keys
from projections.lists.stores import Tables
from projections.lists.stripe_subscriptions import list_stripe
from projections.lists.timeline import TimelineQuery, Visibility, timeline
from projections.lists.tokens import list_tokens
from projections.views.account_at import Moment, account_at
from projections.views.billing import billing
from projections.views.diff import diff
from projections.views.entitlements import entitlements
from projections.views.explain import explain_holder
from projections.views.seat_history import seat_history
from projections.views.seats import seats
from projections.views.subscriptions import subscriptions
from tests.worlds import NOON

YEAR = timedelta(days=365)
ACCOUNTS = ("acme", "beta")
HOLDERS = ("till-1", "till-2", "till-3")
POOLS: tuple[tuple[str, str | None], ...] = (("cloud_pos", None), ("integrations", "growth"))
RESELLERS = ("North", "Süd")


class Story:
    """Things that happen to one ledger, in an order and at moments left to chance."""

    def __init__(self, world: Services, random: Random) -> None:
        self._world = world
        self._random = random
        self._at = NOON
        self._keys: list[IssuedKey] = []
        self._batches: list[str] = []
        self._tokens: list[str] = []
        self._number = 0

    def go_on(self, things: int) -> None:
        does: tuple[Callable[[], object], ...] = (
            *(self._issue, self._issue, self._redeem, self._validate),
            *(self._sit, self._sit, self._sit, self._sit, self._replace, self._leave, self._leave),
            *(self._terminate, self._change, self._change, self._change, self._revoke),
            *(self._reissue, self._reveal, self._token, self._erase),
        )
        for _ in range(things):
            self._at += self._random.choice((timedelta(0), timedelta(minutes=3), YEAR / 30))
            # What the rules refuse is a thing that happens, too.
            with suppress(Refusal, UnknownAccount):
                self._random.choice(does)()

    def _stamp(self) -> RequestContext:
        self._number += 1
        return RequestContext(self._at, "operator", f"req_{self._number}")

    def _account(self) -> str:
        return self._random.choice(ACCOUNTS)

    def _text(self) -> str | None:
        return self._random.choice((None, "Front desk", "Bär & Söhne 東京"))

    def _key(self) -> IssuedKey:
        return self._random.choice(self._keys or [IssuedKey("key_none", "POS-AAAA-BBBB-CCCC", "")])

    def _issue(self) -> None:
        product, tier = self._random.choice(POOLS)
        redeem_by = self._random.choice((None, self._at + YEAR / 20))
        order = Order(
            product,
            tier,
            seats=self._random.randint(1, 4),
            months=self._random.randint(1, 12),
            count=self._random.randint(1, 3),
            reseller=self._random.choice(RESELLERS),
            redeem_by=redeem_by,
            note=self._text(),
        )
        issued = issue_keys(self._world, self._stamp(), order)
        self._keys += issued.keys
        self._batches.append(issued.batch)
        with suppress(Refusal):
            redeem_key(self._world, self._stamp(), self._try(issued.keys[0]))

    def _try(self, key: IssuedKey | None = None) -> Try:
        session = f"s-{self._random.randint(1, 9)}"
        start = self._random.choice(get_args(Start))
        return Try(self._account(), session, (key or self._key()).code, start=start)

    def _redeem(self) -> None:
        redeem_key(self._world, self._stamp(), self._try())

    def _validate(self) -> None:
        validate_key(self._world, self._stamp(), self._try())

    def _sit(self) -> None:
        account = self._account()
        there = self._world.book.load(ACCOUNT, account).state.subscriptions.values()
        product, tier = self._random.choice([*POOLS, *((one.product, one.tier) for one in there)])
        wanted = Sitting(account, product, tier, self._random.choice(HOLDERS), self._text())
        occupy_seat(self._world, self._stamp(), wanted)

    def _replace(self) -> None:
        account = self._account()
        taken = sorted(self._world.book.load(ACCOUNT, account).state.seats)
        product, holder = self._random.choice([*taken, ("cloud_pos", "nobody")])
        comes = self._random.choice(HOLDERS)
        wanted = Replacement(account, product, None, comes, holder, self._text())
        replace_holder(self._world, self._stamp(), wanted)

    def _leave(self) -> None:
        account = self._account()
        taken = sorted(self._world.book.load(ACCOUNT, account).state.seats)
        product, holder = self._random.choice([*taken, ("cloud_pos", "nobody")])
        release_seat(self._world, self._stamp(), account, product, holder)

    def _terminate(self) -> None:
        account = self._account()
        there = [*self._world.book.load(ACCOUNT, account).state.subscriptions, "kfsub_none"]
        subscription = self._random.choice(there)
        terminate_subscription(self._world, self._stamp(), account, subscription, "Paid back")

    def _change(self) -> None:
        account = self._account()
        ids = [*self._world.book.load(ACCOUNT, account).state.subscriptions, "kfsub_none"]
        where = self._world, self._stamp(), account, self._random.choice(ids), "As agreed"
        match self._random.randrange(5):
            case 0:
                start_subscription(*where)
            case 1:
                extend_subscription(*where, days=self._random.randint(1, 400))
            case 2:
                suspend_subscription(*where)
            case 3:
                resume_subscription(*where)
            case 4:
                transfer_subscription(*where, to=self._account())

    def _revoke(self) -> None:
        revoke_key(self._world, self._stamp(), self._key().id, "Ordered twice")

    def _reissue(self) -> None:
        again = reissue_key(self._world, self._stamp(), self._key().id, "Lost")
        self._keys.append(IssuedKey(again.id, again.code, again.masked))

    def _reveal(self) -> None:
        batch = self._random.choice([*self._batches, "bat_none"])
        reveal_codes(self._world, self._stamp(), batch, "Asked again")

    def _token(self) -> None:
        if self._tokens and self._random.random() < 0.5:
            revoke_token(self._world, self._stamp(), self._random.choice(self._tokens))
        else:
            given = create_token(self._world, self._stamp(), "portal")
            self._tokens.append(given.token.id)

    def _erase(self) -> None:
        if self._random.random() < 0.3:
            erase_account(self._world, self._stamp(), self._account(), "Request 17")


def happens(world: Services, random: Random, things: int = 30) -> None:
    """Let things happen to an empty ledger."""
    Story(world, random).go_on(things)


# Questions


def moments(random: Random, count: int = 20) -> list[Moment]:
    """Return moments around the time in which things happened, as known at others, and now."""
    now = NOON + 2 * YEAR

    def sometime() -> datetime | None:
        return random.choice((None, NOON + random.random() * 1.2 * YEAR, now))

    return [Moment(now, sometime(), sometime()) for _ in range(count)]


def answers(world: Services, tables: Tables, asked: Sequence[Moment]) -> list[Any]:
    """Return everything that a ledger says at each of these moments."""
    book, catalog = world.book, world.catalog
    found: list[Any] = [
        list_tokens(book, tables, limit=500),
        list_stripe(book, tables),
        timeline(book, tables, catalog, TimelineQuery(), Visibility(None), limit=500),
    ]
    for moment in asked:
        found.append(list_keys(book, tables, KeyQuery(), moment, limit=500))
        for account in ACCOUNTS:
            found += _of_account(world, tables, account, moment)
    return found


def _of_account(world: Services, tables: Tables, account: str, moment: Moment) -> list[Any]:
    book, catalog = world.book, world.catalog
    there = account_at(book, account, moment)
    query = TimelineQuery(account=account, as_of=moment.as_of, known_at=moment.known_at)
    return [
        there,
        subscriptions(there, catalog, ended=True),
        entitlements(there, catalog),
        seats(there, catalog),
        billing(there, catalog),
        seat_history(book, account, there.moment, product=None, tier=None),
        timeline(book, tables, catalog, query, Visibility(None), limit=50),
        diff(book, account, catalog, NOON, moment.at, now=moment.now, known_at=moment.known_at),
        explain_holder(book, account, moment, catalog, "cloud_pos", HOLDERS[0]),
    ]


# Databases


class SqliteLedgers:
    """Empty ledgers on SQLite, each a copy of one whose tables were made once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made = 0
        schema.upgrade(f"sqlite:///{folder}/empty.db")

    def url(self) -> str:
        self._made += 1
        file = self._folder / f"{self._made}.db"
        shutil.copy(self._folder / "empty.db", file)
        return f"sqlite:///{file}"


def exported(book: Book) -> bytes:
    """Return the whole ledger as a file."""
    from projections.audit.export import blocks, plan

    return b"".join(blocks(book, plan(book)))
