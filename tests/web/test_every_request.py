"""What holds for every request: its id, its headers, its line in the log, and no secrets in any."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, product
from urllib.parse import quote

import pytest
from eventsourcing.persistence import OperationalError

from tests.web.api import POS, Api, memory_api
from tests.web.faults import failing
from web.app.logs import JsonLines
from web.app.redaction import Redactor

CODE = "POS-ABCD-EFGH-7K2M"
TOKEN = "kf_" + "a" * 40
MADE = re.compile(r"req_[a-z2-7]{26}")

# One of each kind of answer.
PATHS = [
    ("admin", "/v1/keys", 200),
    ("admin", "/v1/keys?limit=0", 422),
    ("admin", f"/v1/keys/{CODE}", 422),
    (None, "/v1/keys", 401),
    ("portal", "/v1/keys", 403),
    (None, "/nowhere", 404),
    (None, "/healthz", 200),
    (None, "/docs", 200),
    (None, "/openapi.json", 200),
    (None, "/static/docs.css", 200),
]


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Return what Keyfold's loggers write, as lines of JSON."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLines())
    ours = logging.getLogger("keyfold")
    level = ours.level
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    yield written
    ours.removeHandler(handler)
    ours.setLevel(level)


def lines(log: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


@pytest.mark.parametrize(("role", "path", "status"), PATHS)
def test_a_request_id_is_taken_and_echoed(
    shared: Api, role: str | None, path: str, status: int
) -> None:
    got = shared.get(role, path, headers={"X-Request-Id": "a.B_9:-z"})
    assert (got.status, got.headers["X-Request-Id"]) == (status, "a.B_9:-z")


@pytest.mark.parametrize(("role", "path", "status"), PATHS)
def test_a_request_id_is_made_when_none_was_sent(
    shared: Api, role: str | None, path: str, status: int
) -> None:
    first, second = (shared.get(role, path).headers["X-Request-Id"] for _ in range(2))
    assert MADE.fullmatch(first)
    assert first != second


@pytest.mark.parametrize(
    "sent",
    ["", " ", "a b", "a\tb", "x" * 129, "\u00e4", "<script>", "a/b", CODE, CODE.lower(), TOKEN],
)
def test_a_request_id_out_of_shape_is_not_taken(shared: Api, sent: str) -> None:
    got = shared.get("admin", "/v1/keys", headers={"X-Request-Id": sent})
    assert MADE.fullmatch(got.headers["X-Request-Id"])


def test_the_request_id_is_stored_with_the_events(api: Api) -> None:
    got = api.post("admin", "/v1/keys", POS, headers={"X-Request-Id": "portal-4711"})
    (event,) = api.services.book.follow(got.position - 1)
    assert event.request_id == "portal-4711"


@pytest.mark.parametrize(("role", "path", "status"), PATHS)
def test_every_answer_is_guarded(shared: Api, role: str | None, path: str, status: int) -> None:
    headers = shared.get(role, path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "default-src" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Server"] == "keyfold"
    assert not [name for name, _ in headers if name.startswith("Access-Control")]
    if path.startswith("/v1") or status >= 400:
        assert headers["Cache-Control"] == "no-store"


# Codes in URLs


@pytest.mark.parametrize(
    "path",
    [
        f"/v1/keys/{CODE}",
        f"/v1/keys/{CODE.lower()}",
        f"/v1/keys/{CODE}/revoke",
        f"/v1/keys?batch={CODE}",
        f"/v1/keys?colour=x&{CODE}=1",
        f"/v1/keys?reseller={quote(CODE).replace('-', '%2D')}",
        f"/v1/keys?reseller={quote(quote(CODE).replace('-', '%2D'))}",
        f"/v1/accounts/acme/seats/cloud_pos/{CODE}",
        f"/v1/accounts/till_{CODE}/seats",
        f"/v1/timeline?ref={CODE}",
        f"/nowhere/{CODE}/at/all",
        f"/healthz?{CODE}",
        f"/docs/{CODE}",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("role", ["admin", None])
def test_a_whole_code_in_a_url_is_refused_and_not_repeated(
    shared: Api, log: io.StringIO, path: str, method: str, role: str | None
) -> None:
    got = shared.ask(role, method, path)
    assert (got.status, got.code) == (422, "code_in_url")
    assert "ABCD" not in (got.raw.decode() + str(got.headers) + log.getvalue()).upper()


FORGIVEN = [
    lambda code: code.replace("-", ""),
    lambda code: code.replace("-", "").lower(),
    lambda code: code.replace("-", " "),
    lambda code: code.replace("-", "–"),
    lambda code: code.replace("-", "--"),
    lambda code: code.replace("-", "_"),
    lambda code: "".join(chr(ord(one) + 0xFEE0) for one in code),
    lambda code: f"{code}.",
    lambda code: f"x{code.replace('-', '')}x",
]
ADDRESSES = [
    "/v1/timeline?ref={}",
    "/v1/keys?reseller={}",
    "/v1/keys/{}",
    "/v1/keys?redeemed_by=acme&batch={}",
    "/v1/accounts/acme/seats/cloud_pos/{}",
    "/v1/accounts/acme/seats?{}=1",
    "/v1/accounts/acme/subscriptions?as_of={}",
]


@pytest.mark.parametrize("spell", FORGIVEN)
@pytest.mark.parametrize("address", ADDRESSES)
def test_a_code_of_ours_in_a_url_is_refused_however_it_is_spelled(
    shared: Api, log: io.StringIO, address: str, spell: Callable[[str], str]
) -> None:
    spelled = spell(shared.issue()["code"])
    for sent in (spelled, quote(spelled), quote(quote(spelled))):
        got = shared.get("admin", address.format(sent))
        assert (got.status, got.code) == (422, "code_in_url")
        told = got.raw.decode() + str(got.headers) + log.getvalue()
        assert spelled.upper() not in told.upper()
        assert quote(spelled).upper() not in told.upper()


@pytest.mark.parametrize("spell", FORGIVEN)
def test_a_stranger_and_a_reseller_do_not_learn_from_it_which_codes_there_are(
    shared: Api, spell: Callable[[str], str]
) -> None:
    there, none = shared.issue(reseller="Southgate")["code"], "POS-ABCD-EFGH-7K2M"
    for role in (None, "reseller"):
        answers = []
        for code in (there, none):
            path = f"/v1/timeline?ref={quote(spell(code))}"
            got = shared.ask(role, "GET", path, headers={"X-Request-Id": spell(code).strip()})
            answers.append(
                (got.status, {**got.body, "request_id": ""}, got.headers["X-Request-Id"][:4])
            )
        assert answers[0] == answers[1]


@pytest.mark.parametrize("spell", [FORGIVEN[0], FORGIVEN[1], FORGIVEN[4], FORGIVEN[5], FORGIVEN[8]])
def test_a_request_is_not_named_by_a_code_however_it_is_spelled(
    shared: Api, spell: Callable[[str], str]
) -> None:
    spelled, account = spell(shared.issue()["code"]), "/v1/accounts/acme/subscriptions"
    for role in ("portal", "reseller", None):
        got = shared.ask(role, "GET", account, headers={"X-Request-Id": spelled})
        assert got.headers["X-Request-Id"].startswith("req_")
    looks_like_one = spell("POS-ABCD-EFGH-7K2M")
    got = shared.ask("portal", "GET", account, headers={"X-Request-Id": looks_like_one})
    assert got.headers["X-Request-Id"] == looks_like_one


@pytest.mark.parametrize(
    "path",
    [
        "/v1/timeline?ref=posterminal2345",
        "/v1/accounts/posterminal2345/subscriptions",
        "/v1/timeline?ref=POS%20Till%20Nord%20West",
        "/v1/accounts/account_12345678/subscriptions",
        "/v1/accounts/acmecorporation1/subscriptions",
        "/v1/accounts/shop-abcd-efgh-ijkl/subscriptions",
        "/v1/accounts/3f0e5a52-9c1b-4d8e-a7aa-0d2f1c3b4a59/subscriptions",
        "/v1/accounts/POS-0001-0002-0003/subscriptions",
        "/v1/keys?reseller=Pos%20Data%20Plus%20Shop",
    ],
)
def test_an_id_that_only_resembles_a_code_is_an_id(shared: Api, path: str) -> None:
    assert shared.get("admin", path).status == 200


def test_a_masked_code_in_a_url_is_only_unknown(shared: Api) -> None:
    assert shared.get("admin", f"/v1/keys/{quote('POS-••••-••••-7K2M')}").status == 404


def test_codes_and_tokens_are_found_wherever_they_stand() -> None:
    redactor = Redactor({"POS", "INT"})
    assert redactor.scrub(f"a {CODE.lower()}, {TOKEN}!") == "a pos-••••-••••-7k2m, kf_…!"
    assert not redactor.holds_code(f"X{CODE}")
    assert not redactor.holds_code(f"{CODE}X")
    assert not redactor.holds_code("POS-ABCD-EFGH-7K2")
    assert not redactor.holds_code("ABC-ABCD-EFGH-7K2M")


def test_the_ledger_is_asked_once_for_all_codes_that_an_address_may_have() -> None:
    asked: list[set[str]] = []

    def any_known(codes: Iterable[str]) -> bool:
        asked.append(set(codes))
        return False

    redactor = Redactor({"POS", "INT"}, any_known)
    words = ["".join(word) for word in islice(product("ABCDEF", repeat=12), 300)]
    url = "/v1/timeline?" + "&".join(f"ref=POS{word}" for word in words)
    assert not redactor.holds_known_code_quoted(url)
    assert [len(codes) for codes in asked] == [300]
    assert not redactor.holds_known_code_quoted("/v1/accounts/acme/seats?product=cloud_pos")
    assert len(asked) == 1


def test_an_address_that_was_made_to_have_very_many_codes_is_refused(shared: Api) -> None:
    words = ["".join(word) for word in islice(product("ABCDEF", repeat=12), 201)]
    for many, code in ((200, "invalid_request"), (201, "code_in_url")):
        query = "&".join(f"ref=POS{word}" for word in words[:many])
        got = shared.get("admin", f"/v1/timeline?{query}")
        assert (got.status, got.code) == (422, code)


# Logs


def test_a_request_is_one_line_with_its_route_and_not_its_path(api: Api, log: io.StringIO) -> None:
    path = "/v1/accounts/jane.doe/seats/cloud_pos/till-of-jane?as_of=2026-03-01T00:00:00Z"
    got = api.get("portal", path)
    (line,) = lines(log)
    assert line == {
        "at": line["at"],
        "level": "info",
        "message": "request",
        "method": "GET",
        "route": "/v1/accounts/<account>/seats/<product>/<holder>",
        "status": 200,
        "ms": line["ms"],
        "request_id": got.headers["X-Request-Id"],
        "actor": line["actor"],
    }
    assert str(line["actor"]).startswith("kft_")


def test_a_request_for_nothing_is_logged_without_its_path(api: Api, log: io.StringIO) -> None:
    api.get(None, "/nowhere/jane.doe")
    (line,) = lines(log)
    assert (line["route"], line["status"], line["actor"]) == ("(none)", 404, "")


def test_neither_codes_nor_tokens_nor_texts_are_logged(api: Api, log: io.StringIO) -> None:
    key = api.issue(note="Note of the order")
    api.try_code(key["code"])
    api.try_code(key["code"], account="other")
    api.sit("till-1", label="Label of a till")
    api.post("admin", f"/v1/batches/{key['batch']}/reveal", {"reason": "Reason of it"})
    api.post("admin", f"/v1/keys/{key['id']}/reissue", {"reason": "Reason of it"})
    written = log.getvalue()
    assert len(lines(log)) == 6
    assert api.tokens["admin"] not in written
    for secret in (key["code"], "Note of", "Label of", "Reason of", "till-1", "acme"):
        assert secret not in written


def test_what_is_unexpected_is_told_to_the_log_and_to_nobody_else(
    api: Api, log: io.StringIO
) -> None:
    with failing(api, "read_stream", RuntimeError(f"{CODE} {TOKEN} jane.doe")):
        got = api.get("portal", "/v1/accounts/jane.doe/seats?product=cloud_pos")
    assert (got.status, got.code) == (500, "internal_error")
    assert "Runtime" not in got.raw.decode()
    error, request = lines(log)
    assert error["level"] == "error"
    assert error["request_id"] == request["request_id"] == got.headers["X-Request-Id"]
    assert "RuntimeError at " in str(error["message"])
    assert "faults.py" in str(error["message"])
    for secret in (CODE, TOKEN, "jane.doe", "product="):
        assert secret not in log.getvalue()


def test_a_database_that_is_away_is_told_to_the_log(api: Api, log: io.StringIO) -> None:
    with failing(api, "read_stream", OperationalError(f"password of {TOKEN}")):
        got = api.get("portal", "/v1/accounts/acme/seats")
    assert (got.status, got.headers["Retry-After"]) == (503, "1")
    warning, _ = lines(log)
    assert warning["level"] == "warning"
    assert "OperationalError" in str(warning["message"])
    assert TOKEN not in log.getvalue()


def test_an_exception_that_came_of_another_names_both(api: Api, log: io.StringIO) -> None:
    outer = RuntimeError("outer")
    outer.__cause__ = KeyError("inner")
    with failing(api, "read_stream", outer):
        api.get("portal", "/v1/accounts/acme/seats")
    assert re.search(r"RuntimeError at .* from KeyError at ", str(lines(log)[0]["message"]))


HTTPS_PATHS = [*(path for _, path, _ in PATHS), "/portal/subscriptions", "/console/", "/portal"]


def test_over_https_every_answer_keeps_browsers_from_going_back_to_http() -> None:
    api = memory_api(public_url="https://licences.example")
    for path in HTTPS_PATHS:
        for method in ("GET", "HEAD", "POST", "OPTIONS"):
            with api.client.open(path, method=method) as answer:
                given = answer.headers.getlist("Strict-Transport-Security")
            assert given == ["max-age=31536000"], (method, path)


def test_over_http_no_browser_is_kept_from_it(shared: Api) -> None:
    for path in HTTPS_PATHS:
        with shared.client.open(path) as answer:
            assert "Strict-Transport-Security" not in answer.headers
