"""The console over each kind of store, and over one that does not answer."""

from __future__ import annotations

import pytest

from ledger.book import LedgerUnavailable
from tests.console.desk import routes, signed_in
from tests.web.api import POS, RESELLER, Api, memory_api
from tests.web.faults import failing


def test_every_page_is_shown_over_every_store(any_api: Api) -> None:
    api = any_api
    api.redeem("acme", {**POS, "note": "For the fair"})
    api.sit("till-1", label="Front desk")
    api.sit("till-2")
    api.sit("till-3")
    api.try_code("POS-ABCD-EFGH-7K2M")
    key = api.issue()
    desk = signed_in(api, "admin")
    for one in routes(api):
        if one.method == "GET":
            rule = one.rule.lstrip("/")
            for name, value in {
                "<account>": "acme",
                "<key>": key["id"],
                "<batch>": key["batch"],
                "<reseller>": RESELLER,
                "<int:position>": str(api.head),
            }.items():
                rule = rule.replace(name, value)
            asks = {
                "cause": "?of=account-acme/1",
                "statement": f"?reseller={RESELLER}&month=2026-03",
            }
            query = asks.get(rule, "")
            query = "?from=2026-01-01T00:00" if rule.endswith("diff") else query
            assert desk.get(rule + query).status in {200, 303}, rule
    for path in ("timeline?ref=till-1&account=acme", "keys?status=issued", "events/" + "9" * 30):
        assert desk.get(path).status == (404 if "999" in path else 200)
    seen = desk.send("accounts/acme/release", product="cloud_pos", holder="till-1", reason="x")
    assert "given back" in seen.said
    assert desk.send("accounts/acme/explain", product="cloud_pos", holder="till-3").status == 200


@pytest.mark.parametrize("path", ["", "accounts/acme", "nowhere", "sign-in"])
def test_a_ledger_that_does_not_answer_is_told_by_a_page(path: str) -> None:
    api = memory_api()
    desk = signed_in(api, "admin")
    with failing(api, "read_stream", LedgerUnavailable()):
        seen = desk.get(path)
    assert seen.status in {404, 503}
    assert seen.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "/console/" in seen.page


def test_a_form_that_is_too_large_is_told_by_a_page() -> None:
    desk = signed_in(memory_api(), "admin")
    seen = desk.send("search", ref="a" * (1024 * 1024 + 10))
    assert (seen.status, seen.title) == (413, "The body is too large")
