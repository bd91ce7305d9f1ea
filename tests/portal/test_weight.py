"""How much a first page weighs; how soon it is there is the benchmark's to say."""

from __future__ import annotations

import gzip
import http.client
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Response

from tests.portal.vendor import INT, Vendor

KIB = 1024


def loaded(vendor: Vendor, page: Page, account: str) -> list[Response]:
    """Open Subscriptions for the first time, and answer all that came for it."""
    answers: list[Response] = []
    vendor.customer(page, account)
    # As for the first time: nothing is kept from the door.
    page.context.new_cdp_session(page).send("Network.clearBrowserCache")

    def note(answer: Response) -> None:
        answers.append(answer)

    page.on("response", note)
    page.goto(f"{vendor.url}/portal/subscriptions", wait_until="networkidle")
    return answers


def wire_bytes(response: Response) -> int:
    sizes: Any = response.request.sizes()
    return int(sizes["responseBodySize"] + sizes["responseHeadersSize"])


@pytest.fixture
def account(vendor: Vendor) -> str:
    account = vendor.account()
    for _ in range(3):
        vendor.redeem(account)
        vendor.redeem(account, INT)
    return account


def test_the_first_page_is_light_with_one_stylesheet_and_two_scripts(
    vendor: Vendor, page: Page, account: str
) -> None:
    answers = loaded(vendor, page, account)
    assert sum(map(wire_bytes, answers)) < 100 * KIB
    kinds = [answer.request.resource_type for answer in answers]
    assert kinds.count("document") == 1
    assert kinds.count("stylesheet") == 1
    assert kinds.count("script") <= 2
    assert {answer.status for answer in answers} == {200}


def test_files_are_named_by_their_content_and_kept_for_ever(
    vendor: Vendor, page: Page, account: str
) -> None:
    for answer in loaded(vendor, page, account):
        if answer.request.resource_type == "document":
            continue
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        name = urlsplit(answer.url).path.rpartition("/")[2]
        assert len(name.split(".")) == 3
    page.reload()
    kept = page.evaluate("performance.getEntriesByType('resource').map((one) => one.transferSize)")
    assert set(kept) == {0}


@pytest.mark.parametrize(
    ("accepts", "packed"),
    [
        ("gzip", True),
        ("br, gzip;q=0.5", True),
        ("identity", False),
        ("", False),
        ("gzip;q=0", False),
    ],
)
def test_files_are_compressed_for_who_takes_them_so(
    vendor: Vendor, page: Page, account: str, accepts: str, packed: bool
) -> None:
    (sheet,) = [
        answer
        for answer in loaded(vendor, page, account)
        if answer.request.resource_type == "stylesheet"
    ]
    connection = http.client.HTTPConnection("127.0.0.1", vendor.server.port)
    connection.request("GET", urlsplit(sheet.url).path, headers={"Accept-Encoding": accepts})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert (answer.headers["Content-Encoding"] == "gzip") is packed
    assert (gzip.decompress(body) if packed else body).startswith(b'@charset "UTF-8";')
