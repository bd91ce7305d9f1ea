"""The list of keys: what it shows, which keys it finds, and how its pages follow one another."""

from __future__ import annotations

from typing import get_args

from ledger.book import Book
from ledger.streams.key import KEY, Status
from projections.lists.keys import KeyPage, KeyQuery, KeyView, key_view, list_keys
from projections.lists.stores import Tables
from tests.projections.keys import issue, keys_by_loading, redeem, reissue, revoke
from tests.projections.telling import asked, at

LATER = "2030-01-01 00:00"
SOON = asked("2026-06-01 00:00")
ALL = KeyQuery()
STATUSES: tuple[Status, ...] = get_args(Status)


def listed(book: Book, tables: Tables, query: KeyQuery = ALL, *, limit: int = 50) -> KeyPage:
    return list_keys(book, tables, query, SOON, limit=limit)


def ids(page: KeyPage) -> list[str]:
    return [key.id for key in page.keys]


def test_the_list_of_an_empty_ledger_is_empty(book: Book, tables: Tables) -> None:
    assert listed(book, tables) == KeyPage([], None, SOON, 0)


def test_a_key_shows_all_that_is_known_of_it(book: Book, tables: Tables) -> None:
    issue(
        book,
        at("2026-03-01 09:00"),
        "abcd",
        product="integrations",
        tier="growth",
        redeem_by=at("2026-12-31 23:59:59.999999"),
    )
    redeem(book, at("2026-03-02 10:00:00.000001"), "abcd")
    page = listed(book, tables)
    assert page.position == 2
    assert page.keys == [
        KeyView(
            id="key_abcd",
            masked="POS-••••-••••-ABCD",
            product="integrations",
            tier="growth",
            seats=3,
            months=12,
            reseller="north",
            batch="bat_1",
            status="redeemed",
            issued_at=at("2026-03-01 09:00"),
            redeem_by=at("2026-12-31 23:59:59.999999"),
            redeemed_at=at("2026-03-02 10:00:00.000001"),
            redeemed_by="acme",
            subscription="kfsub_abcd",
            revoked_at=None,
            replaced_by=None,
            replaces=None,
        )
    ]


def test_a_reissued_key_and_its_successor_name_each_other(book: Book, tables: Tables) -> None:
    issue(book, at("2026-03-01 09:00"), "old")
    redeem(book, at("2026-03-02 09:00"), "old")
    reissue(book, at("2026-04-01 09:00"), "old", "new")
    new, old = listed(book, tables).keys
    assert (old.status, old.revoked_at, old.replaced_by) == (
        "revoked",
        at("2026-04-01 09:00"),
        "key_new",
    )
    assert (new.status, new.issued_at, new.replaces) == (
        "redeemed",
        at("2026-04-01 09:00"),
        "key_old",
    )
    assert new.redeemed_at == old.redeemed_at == at("2026-03-02 09:00")
    assert new.subscription == old.subscription == "kfsub_old"


def test_a_redeemed_keys_new_code_is_in_the_list_since_the_reissue(
    book: Book, tables: Tables
) -> None:
    issue(book, at("2026-03-01 09:00"), "old")
    redeem(book, at("2026-03-02 09:00"), "old")
    reissue(book, at("2026-04-01 09:00"), "old", "new")
    for moment, statuses in [
        ("2026-03-01 08:59:59.999999", []),
        ("2026-03-01 09:00", ["issued"]),
        ("2026-03-02 08:59:59.999999", ["issued"]),
        ("2026-03-02 09:00", ["redeemed"]),
        ("2026-04-01 08:59:59.999999", ["redeemed"]),
        ("2026-04-01 09:00", ["redeemed", "revoked"]),
    ]:
        for question in (asked(LATER, as_of=moment), asked(LATER, known_at=moment)):
            page = list_keys(book, tables, KeyQuery(), question, limit=9)
            assert [key.status for key in page.keys] == statuses, moment
            for status in STATUSES:
                found = list_keys(book, tables, KeyQuery(status), question, limit=9).keys
                assert [key.status for key in found] == [s for s in statuses if s == status]


def test_before_it_was_redeemed_a_key_shows_nothing_of_it(book: Book, tables: Tables) -> None:
    issue(book, at("2026-03-01 09:00"), "one")
    redeem(book, at("2026-03-02 09:00"), "one")
    reissue(book, at("2026-03-03 09:00"), "one", "two")
    moment = asked("2026-06-01 00:00", as_of="2026-03-01 12:00")
    (key,) = list_keys(book, tables, KeyQuery(), moment, limit=9).keys
    assert (key.redeemed_at, key.redeemed_by, key.subscription) == (None, None, None)
    assert (key.revoked_at, key.replaced_by) == (None, None)
    of_acme = KeyQuery(redeemed_by="acme")
    assert not list_keys(book, tables, of_acme, moment, limit=9).keys
    assert len(list_keys(book, tables, of_acme, SOON, limit=9).keys) == 2


def test_a_key_lapses_at_the_very_moment_with_no_event(book: Book, tables: Tables) -> None:
    issue(book, at("2026-03-01 09:00"), "one", redeem_by=at("2026-04-01 00:00"))
    for now, status in [
        ("2026-03-31 23:59:59.999999", "issued"),
        ("2026-04-01 00:00", "lapsed"),
        ("2026-04-01 00:00:00.000001", "lapsed"),
    ]:
        for moment in (asked(now), asked(LATER, as_of=now), asked(now, known_at=now)):
            page = list_keys(book, tables, KeyQuery(), moment, limit=9)
            assert [key.status for key in page.keys] == [status], now
            for other in STATUSES:
                found = list_keys(book, tables, KeyQuery(other), moment, limit=9).keys
                assert len(found) == (other == status)


def test_a_key_that_was_redeemed_or_revoked_does_not_lapse(book: Book, tables: Tables) -> None:
    issue(book, at("2026-03-01 09:00"), "one", "two", redeem_by=at("2026-04-01 00:00"))
    redeem(book, at("2026-03-02 09:00"), "one")
    revoke(book, at("2026-03-02 09:00"), "two")
    assert [key.status for key in listed(book, tables).keys] == ["revoked", "redeemed"]
    assert not listed(book, tables, KeyQuery(status="lapsed")).keys


def test_each_filter_finds_its_keys_and_all_together_find_those_that_fit_all(
    book: Book, tables: Tables
) -> None:
    issue(book, at("2026-03-01 09:00"), "p1", "p2", batch="bat_1", reseller="north")
    issue(book, at("2026-03-01 09:00"), "p3", batch="bat_2", reseller="south")
    issue(
        book,
        at("2026-03-01 09:00"),
        "i4",
        product="integrations",
        tier="growth",
        batch="bat_3",
        reseller="south",
    )
    redeem(book, at("2026-03-02 09:00"), "p2", "acme")
    redeem(book, at("2026-03-02 09:00"), "i4", "bolt")

    def found(**wanted: str) -> list[str]:
        return ids(listed(book, tables, KeyQuery(**wanted)))  # type: ignore[arg-type]

    assert found() == ["key_i4", "key_p3", "key_p2", "key_p1"]
    assert found(product="cloud_pos") == ["key_p3", "key_p2", "key_p1"]
    assert found(reseller="south") == ["key_i4", "key_p3"]
    assert found(batch="bat_1") == ["key_p2", "key_p1"]
    assert found(redeemed_by="acme") == ["key_p2"]
    assert found(status="issued") == ["key_p3", "key_p1"]
    assert found(status="redeemed", reseller="south") == ["key_i4"]
    assert found(product="cloud_pos", reseller="north", batch="bat_1", status="issued") == [
        "key_p1"
    ]
    assert found(reseller="south' OR '1' = '1") == []


def test_pages_follow_one_another_whatever_is_issued_meanwhile(book: Book, tables: Tables) -> None:
    issue(book, at("2026-03-01 09:00"), "k1", "k2", "k3", "k4", "k5")
    first = listed(book, tables, limit=2)
    issue(book, at("2026-03-01 10:00"), "k6", "k7")
    second = list_keys(book, tables, KeyQuery(), SOON, after=first.next, limit=2)
    third = list_keys(book, tables, KeyQuery(), SOON, after=second.next, limit=2)
    assert ids(first) + ids(second) + ids(third) == [f"key_k{n}" for n in (5, 4, 3, 2, 1)]
    assert third.next is None
    assert ids(listed(book, tables, limit=2)) == ["key_k7", "key_k6"]


def test_a_page_that_is_just_full_has_no_next(book: Book, tables: Tables) -> None:
    issue(book, at("2026-03-01 09:00"), "k1", "k2")
    assert listed(book, tables, limit=2).next is None
    assert listed(book, tables, limit=1).next is not None


def test_one_key_by_its_stream_is_what_the_list_shows(book: Book, tables: Tables) -> None:
    now = at("2026-03-01 09:00")
    issue(book, now, "k1", "k2", "k3", "k4", redeem_by=at("2026-04-01 00:00"))
    redeem(book, now, "k1")
    revoke(book, now, "k2")
    reissue(book, now, "k3", "k5")
    reissue(book, now, "k1", "k6")
    page = listed(book, tables)
    states = [book.load(KEY, key.id.removeprefix("key_")).state for key in page.keys]
    assert [key_view(state, SOON.at) for state in states if state] == page.keys
    assert page.keys == keys_by_loading(book, KeyQuery(), SOON)
    assert len(page.keys) == 6
