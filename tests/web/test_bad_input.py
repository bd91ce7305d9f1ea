"""Input that does not fit: a problem names the field, and nothing is recorded."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.web.api import INT, POS, Api

SEAT = "/v1/accounts/acme/seats/cloud_pos/till-1"
TRY = {"code": "POS-ABCD-EFGH-7K2M", "account": "acme", "session": "s-1"}
A_CODE = "POS-ABCD-EFGH-7K2M"
A_TOKEN = "kf_" + "a" * 40
MIB = 2**20


@dataclass(frozen=True)
class Bad:
    """A request, and where it does not fit; None where no field is to blame."""

    name: str
    method: str
    path: str
    pointer: str | None
    body: Any = None
    status: int = 422
    code: str = "invalid_request"
    raw: bytes | None = None
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.path}: {self.name}"


def order(name: str, pointer: str, **changes: Any) -> Bad:
    return Bad(name, "POST", "/v1/keys", pointer, {**POS, **changes})


def integrations(name: str, pointer: str, **changes: Any) -> Bad:
    return Bad(name, "POST", "/v1/keys", pointer, {**INT, **changes})


def missing(field_name: str) -> Bad:
    rest = {name: value for name, value in POS.items() if name != field_name}
    return Bad(f"no {field_name}", "POST", "/v1/keys", f"/{field_name}", rest)


def tried(name: str, pointer: str, **changes: Any) -> Bad:
    body = {name: value for name, value in {**TRY, **changes}.items() if value is not ...}
    return Bad(name, "POST", "/v1/keys/redeem", pointer, body)


def seat(name: str, pointer: str, body: Any = None, path: str = SEAT) -> Bad:
    return Bad(name, "PUT", path, pointer, body if body is not None else {})


def query(name: str, path: str, pointer: str) -> Bad:
    return Bad(name, "GET", path, pointer)


def reason(name: str, value: Any) -> Bad:
    return Bad(name, "POST", f"/v1/keys/key_{'a' * 26}/revoke", "/reason", {"reason": value})


def header(
    name: str, method: str, path: str, header_name: str, value: str, body: Any = None
) -> Bad:
    return Bad(name, method, path, f"/{header_name}", body, headers={header_name: value})


def unreadable(name: str, raw: bytes, status: int = 400, code: str = "malformed_request") -> Bad:
    return Bad(name, "POST", "/v1/keys", None, status=status, code=code, raw=raw)


def as_text(**changes: Any) -> bytes:
    return json.dumps({**POS, **changes}).encode()


ACCOUNT = "/v1/accounts/acme"

ROWS = [
    # Fields of an order
    *(missing(name) for name in ("product", "seats", "months", "reseller")),
    order("unknown field", "/colour", colour="red"),
    order("field with a slash and a tilde", "/a~1b~0c", **{"a/b~c": 1}),
    order("text for a number", "/seats", seats="5"),
    order("fraction", "/seats", seats=5.5),
    order("true for a number", "/seats", seats=True),
    order("list for a number", "/seats", seats=[5]),
    order("null for a number", "/seats", seats=None),
    order("no seats", "/seats", seats=0),
    order("negative", "/seats", seats=-1),
    order("too many seats", "/seats", seats=100_001),
    order("10^9 seats", "/seats", seats=10**9),
    order("10^400 seats", "/seats", seats=10**400),
    order("1.7e308 seats", "/seats", seats=1.7e308),
    order("no months", "/months", months=0),
    order("too many months", "/months", months=121),
    order("no keys", "/count", count=0),
    order("too many keys", "/count", count=10_001),
    order("null count", "/count", count=None),
    order("number for a text", "/product", product=5),
    order("object for a text", "/product", product={"id": "cloud_pos"}),
    order("unknown product", "/product", product="cloud_cash"),
    order("empty product", "/product", product=""),
    order("NUL in a product", "/product", product="cloud_pos\0"),
    order("tier of a product without", "/tier", tier="growth"),
    integrations("no tier", "/tier", tier=None),
    integrations("tier of no product", "/tier", tier="huge"),
    integrations("tier of another case", "/tier", tier="Growth"),
    order("empty reseller", "/reseller", reseller=""),
    order("blank reseller", "/reseller", reseller="   "),
    order("space around a reseller", "/reseller", reseller=" Northwind"),
    order("long reseller", "/reseller", reseller="n" * 81),
    order("NUL in a reseller", "/reseller", reseller="North\0wind"),
    order("line break in a reseller", "/reseller", reseller="North\nwind"),
    order("right-to-left override", "/reseller", reseller="North\u202ewind"),
    order("zero-width space", "/reseller", reseller="North\u200bwind"),
    order("half a surrogate pair", "/reseller", reseller="North\ud800wind"),
    order("code for a reseller", "/reseller", reseller=A_CODE),
    order("token for a reseller", "/reseller", reseller=A_TOKEN),
    order("NUL in a note", "/note", note="a\0b"),
    order("right-to-left override in a note", "/note", note="a\u202eb"),
    order("half a surrogate pair in a note", "/note", note="\udfff"),
    order("blank note", "/note", note=" "),
    order("empty note", "/note", note=""),
    order("long note", "/note", note="n" * 501),
    order("number for a note", "/note", note=5),
    order("time without zone", "/redeem_by", redeem_by="2027-01-01T00:00:00"),
    order("date for a time", "/redeem_by", redeem_by="2027-01-01"),
    order("no such day", "/redeem_by", redeem_by="2027-02-30T00:00:00Z"),
    order("number for a time", "/redeem_by", redeem_by=1798761600),
    order("past time", "/redeem_by", redeem_by="2026-03-01T12:00:00Z"),
    order("time before time", "/redeem_by", redeem_by="0001-01-01T00:00:00+01:00"),
    # Fields of a try
    *(tried(f"no {name}", f"/{name}", **{name: ...}) for name in ("code", "account", "session")),
    tried("unknown field", "/colour", colour="red"),
    tried("number for a code", "/code", code=5),
    tried("list for a code", "/code", code=[A_CODE]),
    tried("null for a code", "/code", code=None),
    tried("empty account", "/account", account=""),
    tried("space in an account", "/account", account="a b"),
    tried("slash in an account", "/account", account="a/b"),
    tried("long account", "/account", account="a" * 65),
    tried("line break after an account", "/account", account="acme\n"),
    tried("NUL in an account", "/account", account="acme\0"),
    tried("accented account", "/account", account="acmé"),
    tried("code for an account", "/account", account=A_CODE),
    tried("token for an account", "/account", account=A_TOKEN),
    tried("space in a session", "/session", session="s 1"),
    tried("long session", "/session", session="s" * 129),
    tried("code for a session", "/session", session=A_CODE.lower()),
    tried("unknown product", "/product", product="cloud_cash"),
    # Fields of a seat
    seat("unknown field", "/colour", {"colour": "red"}),
    seat("tier of a product without", "/tier", {"tier": "growth"}),
    seat("no tier", "/tier", path=f"{ACCOUNT}/seats/integrations/shop-1"),
    seat("tier of no product", "/tier", {"tier": "x"}, f"{ACCOUNT}/seats/integrations/shop-1"),
    seat("NUL in a label", "/label", {"label": "a\0b"}),
    seat("right-to-left override in a label", "/label", {"label": "\u202eevil"}),
    seat("long label", "/label", {"label": "n" * 501}),
    seat("empty label", "/label", {"label": ""}),
    seat("unknown product", "/product", path=f"{ACCOUNT}/seats/cloud_cash/till-1"),
    seat("product out of shape", "/product", path=f"{ACCOUNT}/seats/Cloud-POS/till-1"),
    seat("space in a holder", "/holder", path=f"{ACCOUNT}/seats/cloud_pos/till%201"),
    seat("NUL in a holder", "/holder", path=f"{ACCOUNT}/seats/cloud_pos/till%00"),
    seat("override in a holder", "/holder", path=f"{ACCOUNT}/seats/cloud_pos/a%E2%80%AEb"),
    seat("long holder", "/holder", path=f"{ACCOUNT}/seats/cloud_pos/{'h' * 129}"),
    seat("broken UTF-8 in a holder", "/holder", path=f"{ACCOUNT}/seats/cloud_pos/a%FFb"),
    seat("long account", "/account", path=f"/v1/accounts/{'a' * 65}/seats/cloud_pos/till-1"),
    Bad("unknown product", "DELETE", f"{ACCOUNT}/seats/cloud_cash/till-1", "/product"),
    # Reasons
    reason("empty", ""),
    reason("blank", " \u3000 "),
    reason("NUL", "a\0"),
    reason("long", "x" * 501),
    reason("null", None),
    reason("list", ["a"]),
    Bad("no reason", "POST", f"/v1/keys/key_{'a' * 26}/reissue", "/reason", {}),
    Bad("no reason", "POST", f"/v1/keys/key_{'a' * 26}/reveal", "/reason", {}),
    Bad("no reason", "POST", f"/v1/batches/bat_{'a' * 26}/reveal", "/reason", {}),
    # Queries
    query("unknown parameter", f"{ACCOUNT}/subscriptions?colour=red", "/colour"),
    query("unknown parameter", "/v1/keys?colour=red", "/colour"),
    query("unknown parameter", "/healthz?colour=red", "/colour"),
    Bad("unknown parameter", "POST", "/v1/keys?colour=red", "/colour", POS),
    Bad("unknown parameter", "PUT", f"{SEAT}?colour=red", "/colour", {}),
    query("twice", "/v1/keys?limit=1&limit=2", "/limit"),
    query("limit 0", "/v1/keys?limit=0", "/limit"),
    query("limit 501", "/v1/keys?limit=501", "/limit"),
    query("limit -1", "/v1/keys?limit=-1", "/limit"),
    query("limit 1.0", "/v1/keys?limit=1.0", "/limit"),
    query("limit with a sign", "/v1/keys?limit=%2B1", "/limit"),
    query("limit of other digits", "/v1/keys?limit=%D9%A5", "/limit"),
    query("empty limit", "/v1/keys?limit=", "/limit"),
    query("limit that is no number", f"{ACCOUNT}/seats?limit=many", "/limit"),
    query("status", "/v1/keys?status=gone", "/status"),
    query("empty status", "/v1/keys?status=", "/status"),
    query("product", "/v1/keys?product=Cloud%20POS", "/product"),
    query("batch", "/v1/keys?batch=1", "/batch"),
    query("line break after redeemed_by", "/v1/keys?redeemed_by=acme%0A", "/redeemed_by"),
    query("redeemed_by", "/v1/keys?redeemed_by=a%20b", "/redeemed_by"),
    query("cursor that is garbage", "/v1/keys?cursor=garbage", "/cursor"),
    query("cursor that is empty", "/v1/keys?cursor=", "/cursor"),
    query("cursor of other letters", "/v1/keys?cursor=%C3%A4%C3%B6", "/cursor"),
    query("cursor that is garbage", f"{ACCOUNT}/seats?cursor=AAAA", "/cursor"),
    query("as_of without zone", f"{ACCOUNT}/subscriptions?as_of=2026-03-01T00:00:00", "/as_of"),
    query("as_of with a space", f"{ACCOUNT}/seats?as_of=2026-03-01T00:00:00+01:00", "/as_of"),
    query("empty as_of", f"{ACCOUNT}/seats?as_of=", "/as_of"),
    query("as_of now", f"{ACCOUNT}/entitlements?as_of=now", "/as_of"),
    query("known_at without zone", f"{SEAT}?known_at=2026-03-01T00:00:00.5", "/known_at"),
    query("known_at of month 13", f"{SEAT}?known_at=2026-13-01T00:00:00Z", "/known_at"),
    query("all", f"{ACCOUNT}/subscriptions?all=yes", "/all"),
    query("min_position", f"{ACCOUNT}/subscriptions?min_position=x", "/min_position"),
    query("negative min_position", f"{SEAT}?min_position=-1", "/min_position"),
    query("huge min_position", f"{SEAT}?min_position={2**63}", "/min_position"),
    query("from without zone", f"{ACCOUNT}/seat-history?from=2026-03-01T00:00:00", "/from"),
    query(
        "from after to",
        f"{ACCOUNT}/seat-history?from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z",
        "/from",
    ),
    query("from after now", f"{ACCOUNT}/seat-history?from=2026-03-02T00:00:00Z", "/from"),
    query("unknown product", f"{ACCOUNT}/seat-history?product=cloud_cash", "/product"),
    query("tier of no product", f"{ACCOUNT}/seat-history?tier=growth", "/tier"),
    query("tier of another", f"{ACCOUNT}/seat-history?product=cloud_pos&tier=growth", "/tier"),
    query("tier", f"{ACCOUNT}/seat-history?product=integrations&tier=huge", "/tier"),
    query("unknown product", f"{ACCOUNT}/seats?product=cloud_cash", "/product"),
    query("space in an account", "/v1/accounts/a%20b/subscriptions", "/account"),
    query("NUL in an account", "/v1/accounts/a%00/seats", "/account"),
    # Headers
    *(
        header(f"If-Match {value}", "PUT", SEAT, "If-Match", value, {})
        for value in ("1", '"x"', 'W/"1"', '"1", "2"', '"-1"', '""', '"' + "1" * 19 + '"', "**")
    ),
    header("If-Match 1", "DELETE", SEAT, "If-Match", "1"),
    *(
        header(f"Idempotency-Key {value[:9]!r}", "POST", path, "Idempotency-Key", value, body)
        for value in ("", "a b", "k" * 256, "\u00e4", "tab\there")
        for path, body in (("/v1/keys", POS), ("/v1/keys/redeem", TRY))
    ),
    # Bodies
    unreadable("empty", b""),
    unreadable("half an object", b'{"product": "cloud_pos"'),
    unreadable("words", b"not json"),
    unreadable("trailing comma", b'{"seats": 1,}'),
    unreadable("two values", b"{} {}"),
    unreadable("single quotes", b"{'seats': 1}"),
    unreadable("NaN", as_text().replace(b"12", b"NaN")),
    unreadable("Infinity", as_text().replace(b"12", b"Infinity")),
    unreadable("-Infinity", as_text().replace(b"12", b"-Infinity")),
    unreadable("a number of 5000 digits", as_text().replace(b"12", b"1" * 5000)),
    unreadable("name twice", b'{"seats": 1, "seats": 1}'),
    unreadable("name twice deep inside", b'{"seats": [{"a": 1, "b": 2, "a": 3}]}'),
    unreadable("name twice, once escaped", b'{"seats": 1, "s\\u0065ats": 1}'),
    unreadable("Latin-1", '{"note": "\u00e4"}'.encode("latin-1")),
    unreadable("UTF-16", json.dumps(POS).encode("utf-16")),
    unreadable("byte order mark", b"\xef\xbb\xbf" + as_text()),
    unreadable("NUL", b"\0"),
    unreadable("100,000 lists", b"[" * 100_000),
    unreadable("100,000 closed lists", b"[" * 100_000 + b"]" * 100_000),
    unreadable("100,000 objects", b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    *(
        Bad(name, "POST", "/v1/keys", "", raw=raw)
        for name, raw in {
            "list": b"[]",
            "number": b"5",
            "text": b'"text"',
            "null": b"null",
            "true": b"true",
        }.items()
    ),
    unreadable("2 MiB", as_text(note="x" * 2 * MIB), 413, "payload_too_large"),
    unreadable("1 MiB and a byte", b" " * (MIB + 1), 413, "payload_too_large"),
    unreadable("1 MiB of spaces", b" " * MIB),
    *(
        Bad(
            f"as {content_type or 'nothing'}", "POST", "/v1/keys", None, status=415,
            code="unsupported_media_type", raw=as_text(), content_type=content_type,
        )
        for content_type in (
            "", "text/plain", "text/json", "application/x-www-form-urlencoded",
            "multipart/form-data", "application/json; charset=latin-1",
            "application/cloudevents+json",
        )
    ),
    Bad("as text", "PUT", SEAT, None, status=415, code="unsupported_media_type", raw=b"{}",
        content_type="text/plain"),
]  # fmt: skip


@pytest.mark.parametrize("bad", ROWS, ids=str)
def test_it_is_told_what_does_not_fit_and_nothing_is_recorded(shared: Api, bad: Bad) -> None:
    head = shared.head
    options: dict[str, Any] = {}
    if bad.raw is not None:
        options = {"data": bad.raw, "content_type": bad.content_type or None}
    got = shared.ask("admin", bad.method, bad.path, bad.body, headers=bad.headers, **options)
    assert (got.status, got.code) == (bad.status, bad.code), got.body
    assert got.pointers == ([] if bad.pointer is None else [bad.pointer])
    assert shared.head == head


def test_all_that_does_not_fit_is_told_at_once(shared: Api) -> None:
    got = shared.post("admin", "/v1/keys", {"seats": "5", "months": 0, "colour": "red"})
    assert sorted(got.pointers) == ["/colour", "/months", "/product", "/reseller", "/seats"]
    got = shared.get("admin", "/v1/keys?limit=x&status=x&colour=red")
    assert sorted(got.pointers) == ["/colour", "/limit", "/status"]


def test_what_does_not_fit_is_told_in_the_same_order_by_every_process(shared: Api) -> None:
    unknown = dict.fromkeys(("zebra", "apple", "mango", "kiwi"), 1)
    got = shared.post("admin", "/v1/keys", {**unknown, "seats": "x", "product": 1})
    told = [one["pointer"] for one in got.body["errors"]]
    assert told[-4:] == ["/apple", "/kiwi", "/mango", "/zebra"]
    assert told.index("/product") < told.index("/seats")


def test_a_body_full_of_unknown_names_is_answered_briefly(shared: Api) -> None:
    body = {f"name-{n}-{'x' * 100}": n for n in range(5000)}
    got = shared.post("admin", "/v1/keys", body)
    assert len(got.pointers) == 50
    assert len(got.raw) < 20_000


def test_names_that_are_codes_or_tokens_are_not_repeated(shared: Api) -> None:
    got = shared.post("admin", "/v1/keys", {**POS, A_CODE: 1, A_TOKEN: 2})
    assert sorted(got.pointers) == ["/POS-••••-••••-7K2M", "/kf_…"]


def test_a_name_that_cannot_be_sent_is_told_all_the_same(shared: Api) -> None:
    got = shared.post("admin", "/v1/keys", {**POS, "\ud800": 1})
    assert got.pointers == ["/?"]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (as_text().replace(b" 12", b" 12.0"), "application/json"),
        (as_text(), "application/json; charset=utf-8"),
        (as_text(), "application/json; charset=UTF-8"),
        (b" " * (MIB - 1000) + as_text(), "application/json"),
        (as_text(note="für Müller – 東京 🛈"), "application/json"),
        (as_text(tier=None, redeem_by=None, note=None), "application/json"),
    ],
)
def test_what_means_the_same_is_taken(api: Api, body: bytes, content_type: str) -> None:
    got = api.ask("admin", "POST", "/v1/keys", data=body, content_type=content_type)
    assert got.status == 201, got.body


def test_a_seat_may_be_taken_without_a_body(api: Api) -> None:
    api.redeem()
    assert api.ask("portal", "PUT", SEAT).status == 201


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/", "/v1/keys/", "/v1//keys", "/v2/keys", "/static/../app.py"]
)
def test_a_page_that_is_not_there_is_told_and_not_redirected(shared: Api, path: str) -> None:
    got = shared.get("admin", path)
    assert (got.status, got.code) == (404, "not_found")
