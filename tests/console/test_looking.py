"""What the console shows: by any reference, at any moment, and why."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

import pytest

from ledger.book import Change, Dated
from ledger.streams.account import decisions
from ledger.streams.account.stream import ACCOUNT as ACCOUNT_STREAM
from tests.console.desk import Desk, Seen, signed_in
from tests.projections.test_account_notices import report
from tests.web.api import RESELLER, Api, memory_api
from tests.worlds import DAY, NOON, context
from web.console import accounts, questions, time_travel

ACCOUNT = "accounts/acme"


@pytest.fixture
def api() -> Api:
    """Return a world of some days: two seats, then three more, two tills, one refused."""
    api = memory_api()
    api.redeem(seats=1)
    api.clock.forward(days=1)
    api.sit("till-1", label="Front desk")
    api.clock.forward(days=1)
    api.sit("till-2")
    api.clock.forward(days=1)
    api.redeem(seats=3)
    api.sit("till-2")
    return api


@pytest.fixture
def desk(api: Api) -> Desk:
    return signed_in(api, "support")


def day(number: int) -> str:
    return f"2026-03-{1 + number:02}T12:00:00Z"


def sitting(seen: Seen) -> list[str]:
    return re.findall(r'data-label="Holder"><div>.*?<code>(.*?)</code>', seen.page)


# Search


@pytest.mark.parametrize(
    ("reference", "leads"),
    [
        (lambda _: "acme", "Account acme"),
        (lambda _: " acme ", "Account acme"),
        (lambda _: "till-1", "Timeline of till-1"),
        (lambda key: key["id"], "Key POS-••••-••••-"),
        (lambda key: key["code"], "Key POS-••••-••••-"),
        (lambda key: key["code"].lower(), "Key POS-••••-••••-"),
        (lambda key: key["masked"], "Timeline of POS-••••-••••-"),
        (lambda key: key["batch"], "Batch bat_"),
        (lambda _: "POS-ABCD-EFGH-7K2M", "Nothing like key_"),
        (lambda _: "req_1", "Timeline of req_1"),
        (lambda _: "cus_1", "Nothing like cus_1"),
        (lambda _: "nothing at all", "Nothing like nothing at all"),
    ],
)
def test_any_reference_leads_to_its_page(
    api: Api, desk: Desk, reference: Callable[[dict[str, str]], str], leads: str
) -> None:
    seen = desk.send("search", ref=reference(api.issue()))
    assert seen.status == 200
    assert seen.title.startswith(leads)


def test_a_code_that_was_tried_and_never_issued_is_found(api: Api, desk: Desk) -> None:
    api.try_code("POS-ABCD-EFGH-7K2M")
    seen = desk.send("search", ref="POS-ABCD-EFGH-7K2M")
    assert "could not be redeemed: This activation key is not available" in seen.text


@pytest.mark.parametrize("ref", ["", "my code is POS-ABCD-EFGH-7K2M", "kf_abcdefghijkl", "a" * 300])
def test_what_is_no_reference_is_told_and_put_into_no_address(desk: Desk, ref: str) -> None:
    answer = desk.client.post("/console/search", data={"form_token": desk.form_token(), "ref": ref})
    assert (answer.status_code, "Location" in answer.headers) == (422, False)
    assert not ref or ref not in answer.text


@pytest.mark.parametrize(
    ("typed", "kind", "called"),
    [
        ("ACM", "account", "acme"),
        ("TILL-", "holder", "till-1"),
        ("northw", "reseller", RESELLER),
        ("acme-hop", "account", "acme"),
    ],
)
def test_what_is_near_is_listed(api: Api, typed: str, kind: str, called: str) -> None:
    seen = signed_in(api, "support").send("search", ref=typed)
    assert f"{kind} {called} " in seen.text


def test_a_key_is_found_by_the_last_of_its_code(api: Api, desk: Desk) -> None:
    key = api.issue()
    assert desk.send("search", ref=key["code"][-4:].lower()).title.startswith("Key POS-")


def test_what_is_called_so_but_for_its_case_is_opened(desk: Desk) -> None:
    assert desk.send("search", ref="Acme").title == "Account acme"


def test_accents_and_sharp_s_may_be_typed_or_not(api: Api) -> None:
    api.issue(reseller="Kassen Böhm, Hauptstraße", note="Für das Frühjahr")
    looking = signed_in(api, "support")
    for typed in ("bohm", "BÖHM", "hauptstrasse", "HAUPTSTRAẞE"):
        assert "Böhm" in looking.send("search", ref=typed).text, typed
    assert "Für das Frühjahr" in looking.send("search", ref="fruhjahr").text


def test_an_order_is_found_by_its_note_by_those_who_may_read_it(api: Api) -> None:
    batch = api.issue(note="For the Spring-fair, 2 tills")["batch"]
    other = api.issue(reseller="Coastline", note="The spring fair at the coast")["batch"]
    found = {
        role: signed_in(api, role).send("search", ref="spring fair").page
        for role in ("support", "reseller", "auditor")
    }
    assert [role for role, page in found.items() if batch in page] == ["support", "reseller"]
    assert [role for role, page in found.items() if other in page] == ["support"]


def test_few_letters_are_enough(desk: Desk) -> None:
    assert "account acme" in desk.send("search", ref="A").text


def test_accounts_are_listed_with_their_seats(api: Api, desk: Desk) -> None:
    api.redeem("North-2", seats=5)
    seen = desk.get("accounts")
    assert re.findall(r"<code>(.*?)</code></a></span></div></td>", seen.page) == ["acme", "North-2"]
    assert "acme Cloud POS 2 / 4 North-2 Cloud POS 0 / 5" in seen.text
    named = desk.get("accounts?starts=NORTH")
    assert re.findall(r"<code>(.*?)</code></a></span></div></td>", named.page) == ["North-2"]


def test_one_request_is_one_entry_beneath_its_day(api: Api, desk: Desk) -> None:
    api.redeem("south")
    seen = desk.get("accounts/south")
    assert "Wednesday, 4 March 2026" in seen.text
    assert seen.page.count('<li class="entry">') == 2
    assert seen.text.count("Details, and 1 more of this request") == 1


# Time travel


def test_an_account_is_shown_as_it_was(desk: Desk) -> None:
    assert sitting(desk.get(ACCOUNT)) == ["till-1", "till-2"]
    assert sitting(desk.get(f"{ACCOUNT}?as_of={day(1)}")) == ["till-1"]
    assert sitting(desk.get(f"{ACCOUNT}?as_of={day(0)}")) == []
    later = desk.get(f"{ACCOUNT}?as_of=2028-01-01T00:00")
    assert "No: no active subscription" in later.text


def test_every_moment_of_the_slider_shows_what_the_api_answers(api: Api, desk: Desk) -> None:
    page = desk.get(ACCOUNT).page
    values = re.findall(r'<option value="(2026-[^"]+)"', page.partition("</select>")[0])
    assert len(values) == 3
    for value in values:
        for then in ("", "&then=yes"):
            seen = desk.get(f"{ACCOUNT}?as_of={value}{then}")
            known = f"&known_at={value}" if then else ""
            query = f"?as_of={value}{known}"
            view = api.get("support", f"/v1/accounts/acme/subscriptions{query}&all=true").body
            used = [f"{one['used']} / {one['seats']}" for one in view["products"]]
            assert re.findall(r"Used <strong>(.*?)</strong>", seen.page) == used
            seats = api.get("support", f"/v1/accounts/acme/seats{query}").body["items"]
            assert sitting(seen) == [one["holder"] for one in seats]


def test_what_was_learnt_late_is_left_out_as_we_knew_it_then(api: Api, desk: Desk) -> None:
    loaded = api.services.book.load(ACCOUNT_STREAM, "acme")
    facts = decisions.release(loaded.state, "cloud_pos", "till-1")
    late = [Dated(fact, NOON + DAY * 2) for fact in facts]
    api.services.book.append(context(api.clock.now), Change(loaded, late))
    assert sitting(desk.get(f"{ACCOUNT}?as_of={day(2)}")) == []
    then = desk.get(f"{ACCOUNT}?as_of={day(2)}&then=yes")
    assert sitting(then) == ["till-1"]
    assert "As we knew it then: only what was recorded by 2026-03-03 12:00:00Z counts." in then.text
    known = desk.get(f"{ACCOUNT}?as_of={day(2)}&known_at={day(2)}")
    assert "As we knew it then" in known.text.partition("Link to this view")[0]
    labels = re.findall(r"<option[^>]*>(2026.*?)</option>", then.page.partition("</select>")[0])
    assert [one.partition("Z")[0] for one in labels] == [
        "2026-03-01 12:00:00",
        "2026-03-02 12:00:00",
        "2026-03-03 12:00:00",
        "2026-03-04 12:00:00",
    ]
    heard = then.text.partition("Wednesday, 4 March 2026")[2]
    assert "12:00:00Z seat Holder till-1 gave its Cloud POS seat back" in heard
    assert "true since 3 Mar 2026, 12:00 UTC" in heard


def test_the_panel_alone_is_sent_to_the_slider(desk: Desk) -> None:
    answer = desk.client.get(f"/console/{ACCOUNT}?as_of={day(1)}", headers={"HX-Request": "true"})
    assert answer.text.lstrip().startswith("<section")
    assert "<html" not in answer.text
    whole = desk.get(f"{ACCOUNT}?as_of={day(1)}").page
    assert answer.text.strip().splitlines()[0] in whole


def test_a_link_shows_the_same_for_ever(api: Api, desk: Desk) -> None:
    def pictured(seen: Seen) -> str:
        state = seen.page.partition('id="state"')[2].partition('id="timeline"')[0]
        return state.partition("</p>")[2]

    auditor = signed_in(api, "auditor")
    for path in (ACCOUNT, f"{ACCOUNT}?as_of={day(1)}", f"{ACCOUNT}?as_of={day(1)}&then=yes"):
        seen = auditor.get(path)
        (link,) = re.findall(r'<a href="/console/([^"]+)">Link to this view', seen.page)
        link = link.replace("&amp;", "&")
        assert pictured(auditor.get(link)) == pictured(seen)
        api.clock.forward(hours=1)
        api.redeem("acme", seats=7)
        api.sit(f"late-{api.head}")
        assert pictured(auditor.get(link)) == pictured(seen)
        assert pictured(auditor.get(ACCOUNT)) != pictured(seen)


def test_the_moments_of_a_long_history_are_those_around_the_one_shown(
    api: Api, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_travel, "MOMENTS_MAX", 2)
    last = desk.get(ACCOUNT)
    assert "Earlier moments" in last.text
    assert "Later moments" not in last.text
    (earlier,) = re.findall(r'href="/console/([^"]+)">Earlier', last.page)
    first = desk.get(earlier)
    assert "Later moments" in first.text


@pytest.mark.parametrize(
    "query",
    ["as_of=soon", "known_at=2026-13-01T00:00:00Z", "from=x", "to=1", "as_of=2026-03-01"],
)
def test_a_time_that_is_none_is_refused(desk: Desk, query: str) -> None:
    assert desk.get(f"{ACCOUNT}?{query}").status == 422


@pytest.mark.parametrize(
    ("account", "status"), [("a b", 404), ("a" * 65, 404), ("a%00b", 400), ("ü", 404)]
)
def test_what_cannot_be_an_account_has_no_page(desk: Desk, account: str, status: int) -> None:
    assert desk.get(f"accounts/{account}").status == status


def test_an_account_that_nobody_heard_of_is_shown_as_such(desk: Desk) -> None:
    seen = desk.get("accounts/nobody")
    assert (seen.status, "Nothing has happened" in seen.text) == (200, True)


def test_of_too_many_seats_those_that_may_not_work_are_listed_first(
    api: Api, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "SITTING_MAX", 1)
    assert sitting(desk.get(ACCOUNT)) == ["till-1"]
    assert "1 more. Look for one by its holder." in desk.get(ACCOUNT).text
    newest = api.get("admin", "/v1/keys?redeemed_by=acme").body["items"][0]["subscription"]
    path = f"/v1/accounts/acme/subscriptions/{newest}/terminate"
    api.post("admin", path, {"reason": "Paid back"})
    assert sitting(desk.get(ACCOUNT)) == ["till-2"]


# Timeline


def test_the_timeline_has_both_times_who_and_what_it_names(api: Api, desk: Desk) -> None:
    seen = desk.get(ACCOUNT)
    sentences = re.findall(r'<p><a href="[^"]+">(.*?)</a></p>', seen.page)
    assert sentences[-1].startswith("Key POS-••••-••••-")
    assert sentences[0] == "Holder till-2 took a Cloud POS seat, by portal"
    for one in ("True since", "Recorded", "2026-03-04 12:00:00Z", "(portal)", "Request", "Cause"):
        assert one in seen.text
    for one in ("/console/timeline?ref=till-2", "/console/timeline?ref=req_", "/console/cause?of="):
        assert one in seen.page


FORMS = (
    "explain", "link", "release", "unlink", "assign", "end-sessions", "clear-attempts", "search",
    "sign-out", "diff", "preview", "language",
)  # fmt: skip


def test_every_link_of_the_page_leads_somewhere(desk: Desk) -> None:
    for link in sorted({one.partition("#")[0] for one in desk.get(ACCOUNT).links}):
        if link.startswith("/console/") and not link.endswith(FORMS):
            assert desk.get(link.removeprefix("/console/")).status in {200, 303}, link


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ("event=account.seat_occupied", 2),
        ("actor=operator", 0),
        (f"from={day(2)}", 4),
        (f"to={day(1)}", 2),
        ("ref=till-2", 2),
        ("event=attempts.seat_refused&ref=till-2", 1),
    ],
)
def test_the_timeline_is_filtered(desk: Desk, filters: str, expected: int) -> None:
    seen = desk.get(f"{ACCOUNT}?{filters}")
    assert seen.page.count('<li class="entry">') == expected


def test_the_timeline_has_pages_that_keep_the_filter(api: Api, desk: Desk) -> None:
    api.redeem("acme", seats=100)
    for number in range(70):
        api.sit(f"till-{10 + number}")
    path, found = f"{ACCOUNT}?event=account.seat_occupied", []
    while path:
        seen = desk.get(path.removeprefix("/console/"))
        found += re.findall(r"Holder (\S+) ", " ".join(re.findall(r"<p><a.*?</p>", seen.page)))
        older = [one for one in seen.links if "cursor=" in one]
        path = older[0] if older else ""
    assert found == [*(f"till-{10 + number}" for number in reversed(range(70))), "till-2", "till-1"]


# Diff, explain, seat history, attempts, overview


def test_what_changed_is_told_with_the_events_that_did_it(desk: Desk) -> None:
    seen = desk.get(f"{ACCOUNT}/diff?from={day(0)}&to={day(1)}")
    assert "Holder till-1 (“Front desk”) took a Cloud POS seat, by portal" in seen.text
    assert "Holder till-2" not in seen.text
    # Of what there was before, only what is not the same is told.
    assert re.findall(r"<dt>(.*?)</dt>", seen.page.rpartition("Cloud POS: used")[2])[:2] == [
        "used",
        "used",
    ]
    assert desk.get(f"{ACCOUNT}/diff?from={day(1)}&to={day(0)}").status == 200
    assert "Nothing is different." in desk.get(f"{ACCOUNT}/diff?from={day(3)}").text
    assert desk.get(f"{ACCOUNT}/diff").status == 422


def test_of_too_many_differences_the_rest_is_counted(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "LINES_MAX", 1)
    seen = desk.get(f"{ACCOUNT}/diff?from=2026-01-01T00:00")
    assert "4 more. Choose moments that are closer together." in seen.text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"product": "cloud_pos", "holder": "till-1"}, "Holder till-1 may work"),
        (
            {"product": "cloud_pos", "holder": "till-2", "as_of": "2028-01-01T00:00"},
            "On 1 Jan 2028, 00:00 UTC, if nothing more happens: Holder till-2 may not work",
        ),
        ({"code": "POS-ABCD-EFGH-7K2M"}, "There is no such key"),
        ({"product": "cloud_pos", "holder": "till-9"}, "Holder till-9"),
    ],
)
def test_why_is_explained_with_rule_and_events(
    desk: Desk, fields: dict[str, str], said: str
) -> None:
    seen = desk.send(f"{ACCOUNT}/explain", **fields)
    assert seen.status == 200
    assert said.lower() in seen.text.lower()
    assert "Rule" in seen.text
    assert "POS-ABCD-EFGH-7K2M" not in seen.page


def test_a_question_without_a_holder_or_a_code_is_told_beside_the_form(desk: Desk) -> None:
    seen = desk.send(f"{ACCOUNT}/explain", product="cloud_pos")
    assert (seen.status, "enter a holder or a code" in seen.said) == (422, True)


def test_the_seat_history_is_a_table_as_well(api: Api, desk: Desk) -> None:
    seen = desk.get(f"{ACCOUNT}/seat-history")
    points = api.get("support", "/v1/accounts/acme/seat-history?product=cloud_pos").body["points"]
    cells = re.findall(r'data-label="(?:Seats|Used)"[^>]*><div>(\d+)<', seen.page)
    expected = [str(one[name]) for one in reversed(points) for name in ("seats", "used")]
    assert cells == expected
    assert "Holder till-1 (“Front desk”) took a Cloud POS seat" in seen.text
    assert "Integrations" not in seen.text


def test_refused_tries_are_listed_with_their_reasons_and_lockouts(api: Api, desk: Desk) -> None:
    for _ in range(5):
        api.try_code("POS-ABCD-EFGH-7K2M", session="guessing")
    seen = desk.get("attempts?account=acme")
    assert "Session guessing is blocked until 2026-03-04 12:15:00Z" in seen.text
    assert seen.page.count('<li class="entry">') == 5
    assert "there is no such key" in seen.text
    seats = desk.get("attempts?account=acme&what=seats")
    assert "Holder till-2 refused a Cloud POS seat: No seat is free (1 of 1 taken)" in seats.text
    api.clock.forward(minutes=15)
    assert "is blocked" not in desk.get("attempts?account=acme").text
    for wrong in ("what=all", f"account={quote('a b')}"):
        assert desk.get(f"attempts?{wrong}").status == 422


def test_an_address_that_there_is_not_leads_on_from_where_one_is(api: Api, desk: Desk) -> None:
    seen = desk.get("nowhere")
    assert (seen.status, seen.title) == (404, "There is no such page")
    assert {"/console/search", "/console/accounts", "/console/overview"} <= set(seen.links)
    assert "/console/tokens" not in seen.links
    desk.send("sign-out")
    assert "/console/accounts" not in desk.get("nowhere").links


def test_the_overview_names_what_should_be_looked_at(api: Api, desk: Desk) -> None:
    seen = desk.get("overview")
    for title in ("Active seats by product", "Keys by reseller", "Ending in 30 days"):
        assert title in seen.text
    api.clock.forward(days=350)
    assert 'href="/console/accounts/acme"' in signed_in(api, "support").get("overview").page


def test_the_overview_counts_what_stripe_sells_or_says_how_much_is_left(
    api: Api, desk: Desk
) -> None:
    of_a_month = re.compile(r'data-label="Seats"><div><span class="measured"><span>(\d+)<')
    month = int(of_a_month.findall(desk.get("overview").page)[0])
    told = report(0, api.clock.now + 30 * DAY)
    change = Change(api.services.book.load(ACCOUNT_STREAM, "beta"), [Dated(told, NOON)])
    api.services.book.append(context(api.clock.now), change)
    assert int(of_a_month.findall(desk.get("overview").page)[0]) == month + 3
    more = "INSERT INTO keyfold_stripe_changed_1 (account, position, recorded_at) VALUES"
    every = ", ".join(f"('customer-{number}', 1, 1)" for number in range(1001))
    api.app.extensions["keyfold"].wiring.tables.change([f"{more} {every}"], {})
    text = desk.get("overview").text
    assert "Seats by month are still being counted. Accounts that are left: " in text
    assert "at the end of each month" not in text


def test_keys_are_listed_by_what_they_are(api: Api, desk: Desk) -> None:
    api.issue(count=60)
    assert desk.get("keys?status=redeemed").page.count("<tr>") == 1 + 2
    first = desk.get("keys?status=issued")
    (older,) = [one for one in first.links if "cursor=" in one]
    second = desk.get(older.removeprefix("/console/"))
    assert (first.page.count("<tr>"), second.page.count("<tr>")) == (1 + 50, 1 + 10)
    assert desk.get("keys?status=lost").status == 422
    assert desk.get("keys?cursor=abc").status == 422


@pytest.mark.parametrize(
    ("path", "faults"),
    [
        (f"{ACCOUNT}/diff", ["From is missing."]),
        (f"{ACCOUNT}/diff?from=yesterday", ["From must be"]),
        ("statement", ["Reseller", "Month"]),
    ],
)
def test_an_address_that_does_not_fit_says_which_part_of_it(
    api: Api, path: str, faults: list[str]
) -> None:
    seen = signed_in(api, "admin").get(path)
    assert seen.status == 422
    assert [one for one in faults if one not in seen.text] == []
