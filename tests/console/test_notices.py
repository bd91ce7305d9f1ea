"""At the console: notices, and links by which they are read elsewhere."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from commands.give_access import create_token, revoke_token
from tests.console.desk import signed_in
from tests.web.api import OTHER_RESELLER, RESELLER, Api, memory_api
from tests.worlds import context


@pytest.fixture
def api() -> Api:
    return memory_api()


def test_staff_see_notices_of_whom_they_choose(api: Api) -> None:
    api.redeem("acme")
    api.redeem("globex")
    desk = signed_in(api, "support")
    assert desk.get("notices").text.count("Start: Cloud POS, 2 seats") == 2
    shown = desk.get("notices?account=acme").text
    assert f"Start: Cloud POS, 2 seats acme · {RESELLER}" in shown
    assert "globex" not in shown


@pytest.mark.parametrize("role", ["admin", "support", "reseller"])
def test_a_link_is_made_shown_once_and_revoked(api: Api, role: str) -> None:
    api.redeem("acme")
    desk = signed_in(api, role)
    fields = {"account": "", "reseller": RESELLER, "language": "de"}
    made = desk.send("notices/links", **fields)
    path = urlsplit(made.field("atom")).path
    assert "Beginn: Cloud POS" in api.get(None, path).raw.decode()
    shown = desk.get(f"notices?reseller={RESELLER}")
    assert path not in shown.page
    (revoke,) = [one for one in shown.links if one.endswith("/revoke")]
    assert "shows nothing any more" in desk.send(revoke.removeprefix("/console/")).said
    assert api.get(None, path).status == 410


def test_it_ends_with_the_token_that_signed_in_not_with_the_session(api: Api) -> None:
    given = create_token(api.services, context(), "support")
    api.tokens["short"] = given.secret
    desk = signed_in(api, "short")
    made = desk.send("notices/links", account="acme", language="en")
    path = urlsplit(made.field("ics")).path
    desk.send("sign-out")
    assert api.get(None, path).status == 200
    revoke_token(api.services, context(), given.token.id)
    assert api.get(None, path).status == 410


def test_a_reseller_has_links_to_its_own_notices_alone(api: Api) -> None:
    desk = signed_in(api, "reseller")
    made = desk.send("notices/links", reseller=OTHER_RESELLER, language="en")
    assert made.status == 200
    (link,) = api.get("admin", f"/v1/notices/links?reseller={RESELLER}").body["items"]
    assert link["reseller"] == RESELLER
    other = api.post("admin", "/v1/notices/links", {"reseller": OTHER_RESELLER}).body["id"]
    assert desk.send(f"notices/links/{other}/revoke").status == 404
    assert "must be one of" in desk.send("notices/links", language="fr").said
