"""`POST /v1/accounts/{a}/portal-session`: what a portal asks for, and gets."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.api import PUBLIC_URL, Api

PATH = "/v1/accounts/acme/portal-session"


def test_a_link_is_an_address_of_the_public_url(shared: Api) -> None:
    got = shared.post("portal", PATH, {"return_url": f"{PUBLIC_URL}/back", "minutes": 5})
    assert got.status == 201
    assert list(got.body) == ["url"]
    assert got.body["url"].startswith(f"{PUBLIC_URL}/portal/open?link=")


def test_a_link_needs_nothing_but_an_account(shared: Api) -> None:
    assert shared.post("portal", PATH).status == 201


def test_two_links_are_never_the_same(shared: Api) -> None:
    first, second = (shared.post("portal", PATH, {}).body["url"] for _ in range(2))
    assert first != second


def test_making_a_link_is_recorded(api: Api) -> None:
    before = api.head
    got = api.post("portal", PATH, {})
    assert api.head == before + 1 == got.position


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"minutes": 0}, "/minutes"),
        ({"minutes": 1441}, "/minutes"),
        ({"minutes": "30"}, "/minutes"),
        ({"minutes": None}, "/minutes"),
        ({"permissions": ["root"]}, "/permissions/0"),
        ({"permissions": "manage_users"}, "/permissions"),
        ({"permissions": None}, "/permissions"),
        ({"return_url": "https://evil.example/"}, "/return_url"),
        ({"return_url": ""}, "/return_url"),
        ({"display_name": ""}, "/display_name"),
        ({"display_name": "x" * 81}, "/display_name"),
        ({"display_name": "two\nlines"}, "/display_name"),
        ({"page": "console"}, "/page"),
        ({"page": "buy"}, "/page"),
        ({"page": "buy/nothing"}, "/page"),
        ({"page": "activate/cloud_pos/x"}, "/page"),
        ({"account": "other"}, "/account"),
    ],
)
def test_what_does_not_fit_is_refused(shared: Api, body: dict[str, Any], pointer: str) -> None:
    got = shared.post("portal", PATH, body)
    assert (got.status, got.code, got.pointers) == (422, "invalid_request", [pointer])
