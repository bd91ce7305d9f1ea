"""What holds for the lists after any history of keys and tokens, wherever they were caught up."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta
from typing import NamedTuple
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from ledger.book import Book
from ledger.refusals import Refusal
from ledger.streams.token import TOKEN
from projections.audit.table_differences import differences
from projections.lists import catch_up
from projections.lists.catch_up import Projection
from projections.lists.keys import KEY_LIST, KeyQuery, KeyView, list_keys
from projections.lists.reseller_names import RESELLER_NAMES
from projections.lists.stores import Tables, open_tables
from projections.lists.stores.tables import Row
from projections.lists.tokens import TOKEN_LIST, list_tokens
from projections.views.account_at import Moment
from tests.projections.keys import (
    amend,
    create_token,
    issue,
    keys_by_loading,
    redeem,
    reissue,
    revoke,
    revoke_token,
    take_in_again,
)
from tests.projections.telling import at

START = at("2026-03-01 09:00")
LATER = at("2027-01-01 00:00")
GAPS = [timedelta(0), timedelta(microseconds=1), timedelta(hours=1), timedelta(days=1)]
RESELLERS = ["Straße", "south"]
PRODUCTS = ["cloud_pos", "integrations"]
ACCOUNTS = ["acme", "bolt"]
STATUSES = ["issued", "redeemed", "revoked", "lapsed"]


class Step(NamedTuple):
    """Something that somebody tries, some time after the step before."""

    gap: timedelta
    do: str
    number: int
    which: int


STEPS = st.lists(
    st.builds(
        Step,
        gap=st.sampled_from(GAPS),
        do=st.sampled_from(
            ["issue", "issue", "redeem", "revoke", "reissue", "amend", "again", "token", "untoken"]
        ),
        number=st.integers(0, 7),
        which=st.integers(0, 1),
    ),
    min_size=10,
    max_size=20,
)


def happen(steps: list[Step]) -> Book:
    """Return the ledger that comes of the steps; what the rules refuse does not happen."""
    book, now, keys, tokens = Book("memory:"), START, 0, 0
    for step in steps:
        now += step.gap
        id, which = f"k{step.number}", step.which
        try:
            match step.do:
                case "issue":
                    ids = [f"k{keys + n}" for n in range(1 + which)]
                    keys += len(ids)
                    lapses = now + timedelta(days=1) if step.number % 2 else None
                    issue(
                        book,
                        now,
                        *ids,
                        product=PRODUCTS[step.number % 2],
                        reseller=RESELLERS[which],
                        batch=f"bat_{step.number % 3}",
                        redeem_by=lapses,
                        derived=step.number % 3 > 0,
                    )
                case "redeem":
                    redeem(book, now, id, ACCOUNTS[which])
                case "revoke":
                    revoke(book, now, id)
                case "amend" | "again":
                    _change(book, now, step)
                case "reissue":
                    reissue(book, now, id, f"k{keys}")
                    keys += 1
                case "token":
                    create_token(book, now, f"t{tokens}", expires_at=LATER if which else None)
                    tokens += 1
                case "untoken" if tokens:
                    revoke_token(book, now, f"t{step.number % tokens}")
        except Refusal:
            continue
    return book


def _change(book: Book, now: datetime, step: Step) -> None:
    id, reseller = f"k{step.number}", RESELLERS[step.which]
    if step.do == "again":
        take_in_again(book, now, id, f"bat_{step.number % 3}", reseller)
    else:
        lapses = now + timedelta(hours=2 * step.which)
        amend(book, now, id, seats=step.number, reseller=reseller.upper(), redeem_by=lapses)


def rows(tables: Tables, projection: Projection) -> list[Row]:
    columns = ", ".join(projection.columns)
    order = ", ".join(projection.key)
    return tables.read(f"SELECT {columns} FROM {projection.table} ORDER BY {order}", {})


@given(STEPS.map(happen), st.data())
def test_caught_up_step_by_step_equals_rebuilt_from_zero(book: Book, data: st.DataObject) -> None:
    head = book.head()
    stops = sorted(data.draw(st.lists(st.integers(0, head), max_size=6)))
    page = data.draw(st.integers(1, 5))
    with closing(open_tables("memory:")) as step_by_step, closing(open_tables("memory:")) as anew:
        for projection in (KEY_LIST, TOKEN_LIST, RESELLER_NAMES):
            with (
                patch.object(catch_up, "PAGE_EVENTS", page),
                patch.object(catch_up, "PAGE_GROWTH", 1),
            ):
                for stop in [*stops, head]:
                    catch_up.catch_up(book, step_by_step, projection, upto=stop)
            catch_up.catch_up(book, anew, projection, upto=head)
            assert rows(step_by_step, projection) == rows(anew, projection)
            assert list(differences(book, step_by_step, projection)) == []


QUERIES = st.builds(
    KeyQuery,
    status=st.none() | st.sampled_from(STATUSES),
    product=st.none() | st.sampled_from(PRODUCTS),
    reseller=st.none() | st.sampled_from(RESELLERS),
    batch=st.none() | st.sampled_from(["bat_0", "bat_1", "bat_2"]),
    redeemed_by=st.none() | st.sampled_from(ACCOUNTS),
)


@given(STEPS.map(happen), st.data())
def test_the_list_at_any_moment_is_what_the_keys_own_streams_say(
    book: Book, data: st.DataObject
) -> None:
    happened = [event.recorded_at for event in book.follow(0)] or [START]
    beside = [timedelta(microseconds=n) for n in (-1, 0, 1)]
    times = sorted({time + near for time in happened for near in beside})
    times += [time + timedelta(days=1) for time in times]
    some_time = st.none() | st.sampled_from(times)
    with closing(open_tables("memory:")) as tables:
        for _ in range(5):
            moment = Moment(
                data.draw(st.sampled_from([*times, LATER])),
                data.draw(some_time),
                data.draw(some_time),
            )
            query = data.draw(QUERIES)
            expected = keys_by_loading(book, query, moment)
            limit = data.draw(st.integers(1, 4))
            listed: list[KeyView] = []
            page = list_keys(book, tables, query, moment, limit=limit)
            while page.next is not None and len(listed) <= len(expected):
                assert len(page.keys) == limit
                listed += page.keys
                page = list_keys(book, tables, query, moment, after=page.next, limit=limit)
            assert listed + page.keys == expected


@given(STEPS.map(happen))
def test_the_list_of_tokens_is_what_their_own_streams_say(book: Book) -> None:
    created = [e.stream for e in book.follow(0) if e.name == "token.created@1"]
    expected = [book.load(TOKEN, stream.removeprefix("token-")).state for stream in created]
    with closing(open_tables("memory:")) as tables:
        assert list_tokens(book, tables, limit=99).tokens == expected[::-1]
