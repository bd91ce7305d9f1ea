"""Tills on POS Manager: added, renewed, renamed, found among many and removed."""

from __future__ import annotations

import html
import io
import re

import pytest
from werkzeug.test import TestResponse

from tests.portal import certificates as files
from tests.web.api import Api, memory_api
from tests.web.test_portal_lifetime import FIELD, Browser, visitor

MANAGER = "manage/cloud_pos"
SIGNED = re.compile(r'name="renewal" value="([^"]*)"')


@pytest.fixture
def api() -> Api:
    """Certificates are made for today, so the clock is, too."""
    found = memory_api()
    found.clock.now = files.certificate().not_valid_before_utc + files.DAY
    return found


def upload(browser: Browser, *sent: bytes) -> TestResponse:
    its = [(io.BytesIO(data), f"till-{n}.pem") for n, data in enumerate(sent, start=1)]
    return browser.post(f"{MANAGER}/add", certificate=its)


def seats(api: Api) -> list[dict[str, str]]:
    return list(api.get("support", "/v1/accounts/acme/seats?limit=500").body["items"])


def names(api: Api) -> list[str]:
    return [one["label"].partition(" (valid")[0] for one in seats(api)]


def renewed(browser: Browser, shown: TestResponse, **more: str) -> TestResponse:
    found = SIGNED.search(shown.text)
    assert found
    return browser.post(f"{MANAGER}/replace", renewal=html.unescape(found[1]), **more)


def test_an_expired_certificate_is_refused(api: Api) -> None:
    api.redeem()
    told = upload(visitor(api), files.pem("Old", starts_days=-9, ends_days=-1))
    assert told.status_code == 422
    assert "This certificate expired on" in told.text
    assert seats(api) == []


def test_a_renewed_certificate_may_take_the_seat_of_the_one_before_also_at_the_limit(
    api: Api,
) -> None:
    api.redeem(seats=2)
    browser = visitor(api)
    old, new = files.issued("Till 1"), files.issued("Till 1", ends_days=700)
    assert upload(browser, files.as_pem(old)).status_code == 303
    assert upload(browser, files.pem("Till 2")).status_code == 303
    since = seats(api)[0]["occupied_at"]
    holder = seats(api)[0]["holder"]
    browser.post(f"{MANAGER}/rename", holder=holder, name="At the door")
    api.clock.forward(days=3)
    browser = visitor(api)
    head = api.head
    asked = upload(browser, files.as_pem(new))
    assert (asked.status_code, "Replace At the door?" in asked.text) == (200, True)
    assert api.head == head
    done = renewed(browser, asked)
    assert (done.status_code, done.location) == (303, f"/portal/{MANAGER}?done=replaced")
    assert names(api) == ["At the door", "Till 2"]
    assert seats(api)[0]["occupied_at"] == since
    assert seats(api)[0]["holder"] != holder
    # Sent twice it is done once.
    assert renewed(browser, asked).location == f"/portal/{MANAGER}?done=replaced"
    assert names(api) == ["At the door", "Till 2"]


def status(browser: Browser) -> list[str]:
    found = re.findall(r'data-label="Status">(.*?)</td>', browser.get(MANAGER).text, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", " ", one).split()) for one in found]


def test_one_that_expires_keeps_its_seat_and_gives_way_when_none_is_free(api: Api) -> None:
    api.redeem(seats=2)
    browser = visitor(api)
    upload(browser, files.pem("Till 1", ends_days=40), files.pem("Till 2", ends_days=20))
    assert status(browser) == ["Active", "Active Expires soon"]
    assert "keeps its seat until" not in browser.get(MANAGER).text
    before = seats(api)
    api.clock.forward(days=25)
    browser = visitor(api)
    assert status(browser) == ["Active Expires soon", "Expired certificate"]
    assert "keeps its seat until it is replaced or removed" in browser.get(MANAGER).text
    assert seats(api) == before
    asked = upload(browser, files.pem("Till 3"), files.pem("Till 4"))
    assert "No seat is free, but this certificate has expired." in asked.text
    assert asked.text.count("Replace Till 2?") == 1
    assert "No seat is free: 2 of 2 are taken." in asked.text
    assert renewed(browser, asked).location == f"/portal/{MANAGER}?done=replaced"
    assert names(api) == ["Till 1", "Till 3"]
    assert seats(api)[1]["occupied_at"] == before[1]["occupied_at"]
    assert status(browser) == ["Active Expires soon", "Active"]


def test_one_that_is_not_valid_yet_says_from_when_on_it_is(api: Api) -> None:
    api.redeem(seats=2)
    browser = visitor(api)
    upload(browser, files.pem("Till 1", ends_days=35))
    early = files.certificate("Till 1", starts_days=9, ends_days=400)
    asked = upload(browser, files.as_pem(early))
    assert "The new certificate is valid only from" in asked.text
    assert renewed(browser, asked, beside="yes").location == f"/portal/{MANAGER}?done=added"
    assert status(browser) == ["Active", "Not yet valid"]
    assert f'valid from <time datetime="{early.not_valid_before_utc:%Y-%m-%dT%H:%M}' in (
        browser.get(MANAGER).text
    )
    api.clock.forward(days=10)
    assert status(visitor(api)) == ["Active Expires soon", "Active"]


def test_it_may_be_another_till_as_well(api: Api) -> None:
    api.redeem(seats=2)
    browser = visitor(api)
    upload(browser, files.as_pem(files.issued("Till 1")))
    asked = upload(browser, files.as_pem(files.issued("Till 1", ends_days=700)))
    assert renewed(browser, asked, beside="yes").location == f"/portal/{MANAGER}?done=added"
    assert len(seats(api)) == 2


def test_a_renewal_of_another_session_or_made_up_is_none(api: Api) -> None:
    api.redeem(seats=2)
    browser = visitor(api)
    upload(browser, files.as_pem(files.issued("Till 1")))
    asked = upload(browser, files.as_pem(files.issued("Till 1", ends_days=700)))
    assert renewed(visitor(api), asked).status_code == 400
    assert browser.post(f"{MANAGER}/replace", renewal="AAAA").status_code == 400
    browser.post(f"{MANAGER}/remove", holder=seats(api)[0]["holder"])
    gone = renewed(browser, asked)
    assert (gone.status_code, "has been removed in the meantime" in gone.text) == (409, True)


def test_several_files_are_taken_at_once_and_each_that_is_not_says_why(api: Api) -> None:
    api.redeem(seats=3)
    browser = visitor(api)
    all_good = upload(browser, files.pem("Till 1"), files.der("Till 2"))
    assert all_good.location == f"/portal/{MANAGER}?done=added_all"
    some = upload(browser, b"no certificate", files.pem("Till 3"), b"", files.pem("Till 4"))
    assert some.status_code == 422
    for says in (
        "1 certificate was added. 3 files took no seat.",
        "till-1.pem: The file is not a certificate.",
        "till-3.pem: The file is empty.",
        "till-4.pem: No seat is free: 3 of 3 are taken.",
    ):
        assert says in some.text
    assert names(api) == ["Till 1", "Till 2", "Till 3"]


def test_a_till_is_renamed_and_what_else_is_known_of_it_stays(api: Api) -> None:
    api.redeem()
    browser = visitor(api)
    upload(browser, files.pem("Till 1"))
    (before,) = seats(api)
    done = browser.post(f"{MANAGER}/rename", holder=before["holder"], name=" At  the door ")
    assert done.location == f"/portal/{MANAGER}?done=renamed"
    (after,) = seats(api)
    assert after["label"] == before["label"].replace("Till 1", "At the door")
    for name in ("", " ", "x" * 600, api.issue()["code"]):
        assert browser.post(
            f"{MANAGER}/rename", holder=before["holder"], name=name
        ).status_code == (422)
    gone = browser.post(f"{MANAGER}/rename", holder="nobody", name="A")
    assert gone.location == f"/portal/{MANAGER}?done=gone"
    assert len(seats(api)) == 1


def test_removing_names_the_till_and_asks(api: Api) -> None:
    api.redeem()
    browser = visitor(api)
    upload(browser, files.pem("Till 1"))
    (seat,) = seats(api)
    asked = browser.get(f"{MANAGER}/remove?holder={seat['holder']}")
    assert "Remove Till 1?" in asked.text
    assert len(seats(api)) == 1
    browser.post(f"{MANAGER}/remove", holder=seat["holder"])
    assert seats(api) == []
    assert browser.get(f"{MANAGER}/remove?holder={seat['holder']}").status_code == 303


def test_of_three_hundred_tills_a_page_is_shown_and_each_is_found(api: Api) -> None:
    api.redeem(seats=300)
    for number in range(1, 301):
        api.sit(f"till-{number:03}", label=f"Kasse {number:03}")
    browser = visitor(api)

    def shown(query: str) -> list[str]:
        return re.findall(r"Kasse \d{3}(?= <small)", browser.get(f"{MANAGER}?{query}").text)

    assert shown("") == [f"Kasse {n:03}" for n in range(1, 51)]
    assert shown("page=6") == [f"Kasse {n:03}" for n in range(251, 301)]
    assert shown("page=99") == shown("page=6")
    assert shown("page=x") == shown("")
    assert shown("q=KASSE+27") == [f"Kasse {n}" for n in range(270, 280)]
    assert shown("q=k%C3%A4sse+300") == shown("q=till-300") == ["Kasse 300"]
    assert "Nothing matches your search." in browser.get(f"{MANAGER}?q=zzz").text
    assert "Page 2 of 6" in browser.get(f"{MANAGER}?page=2").text


def test_nothing_of_a_form_is_taken_without_its_token(api: Api) -> None:
    browser = visitor(api)
    assert FIELD.search(browser.get(MANAGER).text)
    for path in ("replace", "rename", "remove"):
        assert browser.client.post(f"/portal/{MANAGER}/{path}", data={}).status_code == 403
