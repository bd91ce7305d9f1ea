"""Addresses and texts that no client of ours sends: refused, whatever the store, and no fault."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.api import POS, Api
from web.app.request_hooks import ADDRESS_BYTES_MAX

EVIL = {"Host": "evil.example"}
NULS = [
    "/v1/keys?reseller=%00", "/v1/keys?reseller=a%00b", "/v1/timeline?ref=%00", "/v1/keys/a%00b",
    "/v1/timeline?cursor=%00", "/v1/accounts/a%00/seats", "/v1/accounts/acme/seats?as_of=%00",
    "/v1/explain/acme?product=%00", "/console/accounts/a%00b", "/console/accounts/%00/timeline",
    "/console/keys?reseller=%00", "/console/search?ref=%00", "/portal/open?link=%00",
    "/portal/manage/%00", "/portal/buy/a%00", "/nowhere%00", "/static/%00",
]  # fmt: skip
FIELDS = [path for path in NULS if path.startswith("/v1/")]


@pytest.mark.parametrize("role", ["admin", None])
def test_a_nul_in_an_address_is_refused(any_api: Api, role: str | None) -> None:
    for path in NULS:
        response = any_api.client.get(path, headers=bearer(any_api, role))
        assert response.status_code == (422 if path in FIELDS else 400), path
        assert b"NUL" in response.data or b"<html" in response.data, path


def bearer(api: Api, role: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {api.tokens[role]}"} if role else {}


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800", "a\udfffb"])
def test_a_text_that_no_database_takes_is_refused_in_every_field(any_api: Api, text: str) -> None:
    for field in ("product", "tier", "reseller", "note", "redeem_by", text):
        assert any_api.post("admin", "/v1/keys", {**POS, field: text}).status == 422, field
    bodies: dict[str, dict[str, Any]] = {
        "/v1/keys/redeem": {"code": text, "account": text, "session": text},
        "/v1/keys/validate": {"code": text, "account": text, "session": text},
        "/v1/accounts/acme/portal-session": {"return_url": text},
    }
    for path, body in bodies.items():
        assert any_api.post("portal", path, body).status == 422, path
    seat = "/v1/accounts/acme/seats/cloud_pos/till-1"
    assert any_api.put("portal", seat, {"label": text}).status == 422


@pytest.mark.parametrize("path", ["/portal/open", "/console/sign-in"])
def test_a_nul_in_a_form_is_refused(any_api: Api, path: str) -> None:
    for form in ({"link": "a\0b", "token": "a\0b", "form": "\0"}, {"\0": "a"}):
        any_api.client.set_cookie("keyfold_door", "a" * 32)
        response = any_api.client.post(path, data=form)
        assert 400 <= response.status_code < 500


def test_an_address_has_an_end(shared: Api) -> None:
    for path in ("/v1/keys?reseller=" + "a" * ADDRESS_BYTES_MAX, "/" + "a" * ADDRESS_BYTES_MAX):
        assert shared.client.get(path).status_code == 400


@pytest.mark.parametrize(
    "path", ["//console/", "//console", "///portal/", "//v1/keys", "//healthz"]
)
def test_two_slashes_lead_nowhere(shared: Api, path: str) -> None:
    environ = {"PATH_INFO": path, "HTTP_AUTHORIZATION": f"Bearer {shared.tokens['admin']}"}
    response = shared.client.get("/", environ_overrides=environ)
    assert response.status_code == 404


@pytest.mark.parametrize("path", ["/portal", "/console", "/portal?a=b", "/console?a=//evil"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_redirect_names_no_host_and_no_scheme(shared: Api, path: str, scheme: str) -> None:
    response = shared.client.get(path, headers=EVIL, environ_base={"wsgi.url_scheme": scheme})
    assert response.status_code == 308
    page, _, query = path.partition("?")
    assert response.headers["Location"] == f"{page}/" + (f"?{query}" if query else "")


@pytest.mark.parametrize(
    "environ",
    [
        {"SERVER_PROTOCOL": "HTTP/1.0"},
        {"HTTP_HOST": "licences.example"},
        {"HTTP_HOST": "127.0.0.1.evil.example"},
        {"HTTP_HOST": ""},
        {"HTTP_X_FORWARDED_FOR": "203.0.113.7"},
    ],
)
def test_figures_need_a_token_behind_a_plain_proxy(shared: Api, environ: dict[str, str]) -> None:
    environ = {"REMOTE_ADDR": "127.0.0.1", **environ}
    assert shared.client.get("/metrics", environ_overrides=environ).status_code in {400, 401}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:8000", "[::1]"])
def test_figures_need_no_token_on_this_machine(shared: Api, host: str) -> None:
    environ = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": host}
    assert shared.client.get("/metrics", environ_overrides=environ).status_code == 200


@pytest.mark.parametrize("path", ["/portal/nope", "/console/nope", "/v1/nope"])
@pytest.mark.parametrize("host", [".x", "a" * 400])
def test_a_host_that_is_no_host_is_refused_on_every_page(shared: Api, host: str, path: str) -> None:
    got = shared.client.get(path, environ_overrides={"HTTP_HOST": host})
    assert 400 <= got.status_code < 500
    assert got.headers["X-Request-Id"]
