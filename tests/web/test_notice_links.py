"""Links to notices: who may make them, what they show, and that they end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import pytest
from icalendar import Calendar

from commands.give_access import create_token, revoke_token
from ledger.streams.notice_links import LINKS_MAX
from tests.stripe.shop import shop
from tests.web.api import OTHER_RESELLER, POS, RESELLER, Api
from tests.worlds import DAY, NOON, context
from web.api.notice_links import ENTRIES_MAX

ATOM = {"a": "http://www.w3.org/2005/Atom"}


def make(api: Api, role: str = "admin", **fields: Any) -> dict[str, str]:
    got = api.post(role, "/v1/notices/links", fields)
    assert got.status == 201, got.body
    return dict(got.body)


def path(url: str) -> str:
    return urlsplit(url).path


def parsed(feed: bytes) -> ET.Element:
    return ET.fromstring(feed)  # noqa: S314 - it is our own


def entries(api: Api, link: dict[str, str]) -> list[dict[str, str]]:
    got = api.get(None, path(link["atom"]))
    assert (got.status, got.headers["Content-Type"]) == (200, "application/atom+xml; charset=utf-8")
    fields = ("id", "title", "updated", "content")
    return [
        {name: entry.findtext(f"a:{name}", "", ATOM) for name in fields}
        for entry in parsed(got.raw).findall("a:entry", ATOM)
    ]


def events(api: Api, link: dict[str, str]) -> list[Any]:
    got = api.get(None, path(link["ics"]))
    assert (got.status, got.headers["Content-Type"]) == (200, "text/calendar; charset=utf-8")
    return list(Calendar.from_ical(got.raw).events)


# Who may make one


@pytest.mark.parametrize(
    ("role", "fields", "pointer"),
    [
        ("portal", {}, "/account"),
        ("portal", {"reseller": RESELLER}, "/account"),
        ("reseller", {"reseller": OTHER_RESELLER}, "/reseller"),
        ("admin", {"account": "a b"}, "/account"),
        ("admin", {"account": "POS-ABCD-EFGH-7K2M"}, "/account"),
        ("admin", {"reseller": " North"}, "/reseller"),
        ("admin", {"kinds": ["seats.full", "seats.empty"]}, "/kinds/1"),
        ("admin", {"language": "fr"}, "/language"),
        ("admin", {"days": 30}, "/days"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_recorded(
    api: Api, role: str, fields: dict[str, Any], pointer: str
) -> None:
    before = api.head
    got = api.post(role, "/v1/notices/links", fields)
    assert (got.status, got.pointers, api.head) == (422, [pointer], before)


def test_each_sees_and_revokes_the_links_of_its_own(api: Api) -> None:
    of_account = make(api, "portal", account="acme")["id"]
    of_reseller = make(api, "reseller")["id"]
    of_other = make(api, reseller=OTHER_RESELLER)["id"]
    of_all = make(api, "support")["id"]

    def listed(role: str, query: str = "") -> list[str]:
        return [one["id"] for one in api.get(role, f"/v1/notices/links{query}").body["items"]]

    assert listed("portal", "?account=acme") == listed("admin", "?account=acme") == [of_account]
    assert listed("reseller") == listed("auditor", f"?reseller={RESELLER.upper()}") == [of_reseller]
    assert listed("admin") == [of_all]
    for role, id in [
        ("portal", of_reseller), ("portal", of_all), ("reseller", of_account),
        ("reseller", of_other), ("reseller", of_all), ("admin", "kfnl_" + "a" * 36),
    ]:  # fmt: skip
        got = api.delete(role, f"/v1/notices/links/{id}")
        assert (got.status, got.code) == (404, "notice_link_not_found")
    assert api.delete("reseller", f"/v1/notices/links/{of_reseller}").status == 204
    assert api.delete("portal", f"/v1/notices/links/{of_account}").status == 204


def test_no_more_than_so_many_are_in_use(api: Api) -> None:
    ids = [make(api, account="acme")["id"] for _ in range(LINKS_MAX)]
    before = api.head
    got = api.post("portal", "/v1/notices/links", {"account": "acme"})
    assert (got.status, got.code, api.head) == (409, "too_many_notice_links", before)
    make(api, account="globex")
    api.delete("portal", f"/v1/notices/links/{ids[0]}")
    make(api, account="acme")


def test_those_of_a_revoked_token_leave_room_for_others(api: Api) -> None:
    given = create_token(api.services, context(), "portal", expires_at=NOON + DAY)
    api.tokens["short"] = given.secret
    for _ in range(LINKS_MAX):
        make(api, "short", account="acme")
    assert api.post("portal", "/v1/notices/links", {"account": "acme"}).status == 409
    revoke_token(api.services, context(), given.token.id)
    for _ in range(LINKS_MAX):
        make(api, account="acme")
    assert api.post("portal", "/v1/notices/links", {"account": "acme"}).status == 409


# What ends one


def test_a_revoked_link_shows_nothing_from_then_on(api: Api) -> None:
    link = make(api, account="acme")
    assert api.delete("admin", f"/v1/notices/links/{link['id']}").status == 204
    for url in (link["atom"], link["ics"]):
        got = api.get(None, path(url))
        assert (got.status, got.code) == (410, "notice_link_is_revoked")
    before = api.head
    assert api.delete("admin", f"/v1/notices/links/{link['id']}").status == 204
    assert api.head == before
    (listed,) = api.get("admin", "/v1/notices/links?account=acme").body["items"]
    assert (listed["status"], listed["revoked_at"]) == ("revoked", "2026-03-01T12:00:00.000000Z")


def test_it_ends_with_the_token_that_it_was_made_with_if_that_is_revoked(api: Api) -> None:
    given = create_token(api.services, context(), "portal", expires_at=NOON + DAY)
    api.tokens["short"] = given.secret
    link = make(api, "short", account="acme")
    api.clock.now = NOON + 2 * DAY
    assert api.get(None, path(link["atom"])).status == 200
    revoke_token(api.services, context(), given.token.id)
    assert api.get(None, path(link["atom"])).code == "notice_link_is_revoked"
    (listed,) = api.get("admin", "/v1/notices/links?account=acme").body["items"]
    assert (listed["status"], listed["revoked_at"]) == ("revoked", None)


def test_no_link_of_ours_is_found_and_none_is_kept(api: Api) -> None:
    link = make(api, account="acme")
    text = path(link["atom"]).split("/")[-2]
    for wrong in ("x", text[:-1], text[::-1], text.swapcase(), text + "A" * 400):
        for name in ("atom.xml", "calendar.ics"):
            got = api.get(None, f"/v1/notices/feeds/{wrong}/{name}")
            assert (got.status, got.code) == (404, "notice_link_not_found")
    told = api.get("auditor", "/v1/events").raw + api.get("auditor", "/v1/timeline?ref=acme").raw
    assert b"kfnl_" in told
    assert text.encode() not in told


# What one shows


def test_a_feed_has_what_was_told_and_a_calendar_also_what_is_to_come(api: Api) -> None:
    subscription = api.redeem("acme")
    link = make(api, "portal", account="acme", language="de")
    assert [one["title"] for one in entries(api, link)] == ["Beginn: Cloud POS, 2 Plätze"]
    found = events(api, link)
    assert [str(one["SUMMARY"]) for one in found] == [
        "Beginn: Cloud POS, 2 Plätze",
        *["Endet am 1. März 2027: Cloud POS, 2 Plätze"] * 3,
        "Ende: Cloud POS, 2 Plätze",
    ]
    asked = api.get("portal", "/v1/notices?account=acme&to=2027-03-02T00:00:00Z").body["items"]
    assert [(str(one["UID"]), one.start) for one in found] == [
        (one["id"], datetime.fromisoformat(one["at"])) for one in asked
    ]
    assert {one["subject"] for one in asked} == {subscription}
    api.clock.now = NOON + 364.5 * DAY
    titles = [one["title"] for one in entries(api, link)]
    assert titles == ["Endet am 1. März 2027: Cloud POS, 2 Plätze"] * 3
    assert [str(one["UID"]) for one in events(api, link)] == [one["id"] for one in asked[1:]]


def test_a_feed_is_whole_and_says_when_it_is_as_it_was(api: Api) -> None:
    api.redeem("acme")
    link = make(api, account="acme")
    got = api.get(None, path(link["atom"]))
    root = parsed(got.raw)
    assert root.findtext("a:title", "", ATOM) == "Keyfold: acme"
    assert root.findtext("a:author/a:name", "", ATOM) == "Keyfold"
    (own,) = root.findall("a:link[@rel='self']", ATOM)
    assert own.attrib["href"] == link["atom"]
    assert root.findtext("a:updated", "", ATOM) == entries(api, link)[0]["updated"]
    assert got.headers["Cache-Control"] == "private, no-cache"
    for url in (link["atom"], link["ics"]):
        tag = api.get(None, path(url)).headers["ETag"]
        api.clock.forward(hours=1)
        again = api.get(None, path(url), headers={"If-None-Match": tag})
        assert (again.status, again.raw) == (304, b"")
        assert api.get(None, path(url), headers={"If-None-Match": '"0"'}).status == 200


def test_kinds_and_resellers_are_told_apart(api: Api) -> None:
    api.redeem("acme")
    key = api.issue({**POS, "reseller": OTHER_RESELLER})
    api.post("portal", "/v1/keys/redeem", {"code": key["code"], "account": "b", "session": "s"})
    api.sit("till-1", "b")
    api.sit("till-2", "b")

    def titles(**fields: Any) -> list[str]:
        return sorted(one["title"] for one in entries(api, make(api, **fields)))

    full, began = "Cloud POS: all 2 seats are taken", "Start: Cloud POS, 2 seats"
    assert titles(role="reseller") == [f"{began} · acme"]
    assert titles(reseller=OTHER_RESELLER) == [f"{began} · b"]
    assert titles() == [
        f"{full} · b",
        f"{began} · acme · {RESELLER}",
        f"{began} · b · {OTHER_RESELLER}",
    ]
    assert titles(account="b", reseller=OTHER_RESELLER) == [began]
    assert titles(account="b", role="reseller") == []
    assert titles(account="b", kinds=["seats.full", "seats.over"]) == [full]
    assert titles(account="b", kinds=["subscription.unconfirmed"]) == []
    assert events(api, make(api, kinds=["subscription.unconfirmed"])) == []


def test_nothing_is_to_come_of_stripes_silence_alone() -> None:
    with shop() as it:
        it.subscribe("acme", seats=2)
        it.api.sit("till-1", "acme")
        it.api.sit("till-2", "acme")
        asked = it.api.get("admin", "/v1/notices?account=acme&to=2026-12-01T00:00:00Z").body
        kinds = {one["kind"] for one in asked["items"]}
        assert kinds >= {"subscription.unconfirmed", "seats.over"}
        for chosen in ([], ["seats.over", "seats.full"]):
            link = make(it.api, account="acme", kinds=chosen)
            titles = {str(one["SUMMARY"]) for one in events(it.api, link)}
            began = set() if chosen else {"Start: Cloud POS, 2 seats"}
            assert titles == began | {"Cloud POS: all 2 seats are taken"}


def test_lines_are_as_calendars_want_them(api: Api) -> None:
    name = 'Käse, "Söhne"; \\ & <Partner> ' + "ü" * 50
    key = api.issue({**POS, "reseller": name})
    api.post("portal", "/v1/keys/redeem", {"code": key["code"], "account": "acme", "session": "s"})
    link = make(api)
    raw = api.get(None, path(link["ics"])).raw
    lines = raw.split(b"\r\n")
    assert b"\n" not in b"".join(lines)
    assert max(map(len, lines)) <= 75
    title = f"Start: Cloud POS, 2 seats · acme · {name}"
    assert str(events(api, link)[0]["SUMMARY"]) == title
    assert entries(api, link)[0]["title"] == title


def test_a_long_history_is_bounded(api: Api) -> None:
    api.issue({**POS, "count": ENTRIES_MAX + 10, "redeem_by": "2026-03-02T12:00:00Z"})
    link = make(api)
    api.clock.now = NOON + 2 * DAY
    assert len(entries(api, link)) == ENTRIES_MAX
    api.clock.now = datetime(2026, 9, 1, tzinfo=UTC) + timedelta(days=1)
    assert (entries(api, link), events(api, link)) == ([], [])
