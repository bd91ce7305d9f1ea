"""Each command does what it says, and says it in both ways."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest

from tests.cli.program import Program, Ran

POS = ("--product", "cloud_pos", "--seats", "2", "--months", "12", "--reseller", "North")
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


def refused_with(ran: Ran, code: str) -> bool:
    """Tell whether a command was refused in the agreed way: one line, by its code, and exit 1."""
    return (
        ran.code == 1
        and not ran.out
        and len(ran.err.splitlines()) == 1
        and (ran.err.startswith(f"{code}: "))
    )


def issue(keyfold: Program, *more: str) -> Any:
    return keyfold.json("keys", "issue", *POS, *more)


def test_the_version_is_printed(bare: Program) -> None:
    assert re.fullmatch(r"keyfold \d+\.\d+\.\d+\n", bare.done("--version").out)


# Tables and tokens


def test_the_tables_are_made_once_and_checked(bare: Program) -> None:
    assert bare.run("db", "check").code == 1
    assert "applied 0001_ledger" in bare.done("db", "upgrade").out
    assert bare.done("db", "upgrade").out == "the schema is up to date\n"
    assert "the schema is as it should be\n" in bare.done("db", "check").out


def test_a_token_is_printed_once_and_listed_without_its_secret(keyfold: Program) -> None:
    created = keyfold.json(
        "tokens", "create", "--role", "reseller", "--reseller", "North", "--days", "7"
    )
    assert list(created) == ["id", "token", "role", "reseller", "expires_at"]
    assert re.fullmatch(TIME, created["expires_at"])
    issue(keyfold)
    misspelt = keyfold.done("tokens", "create", "--role", "reseller", "--reseller", "Nroth")
    assert misspelt.err == "warning: the reseller Nroth has no keys (is it North?)\n"
    known = keyfold.done("tokens", "create", "--role", "reseller", "--reseller", "north")
    assert known.err == ""
    plain = keyfold.done("tokens", "create", "--role", "admin")
    assert re.fullmatch(r"kf_[a-z2-7]{40}\n", plain.out)
    assert plain.err == ""

    listed = keyfold.json("tokens", "list")
    assert [token["role"] for token in listed["items"]] == ["admin", *["reseller"] * 3]
    assert [token["reseller"] for token in listed["items"]] == [None, "North", "Nroth", "North"]
    assert listed["next"] is None
    table = keyfold.done("tokens", "list").out
    assert created["id"] in table
    assert created["token"] not in table


def test_a_revoked_token_shows_as_revoked(keyfold: Program) -> None:
    token = keyfold.json("tokens", "create", "--role", "portal")["id"]
    keyfold.done("tokens", "revoke", token)
    assert keyfold.json("tokens", "list")["items"][0]["revoked_at"] is not None
    assert refused_with(keyfold.run("tokens", "revoke", "kft_nobody"), "token_not_found")


def test_a_person_is_found_locked_out_and_let_in_again(keyfold: Program) -> None:
    asked = ("people", "id", "https://login.example", "248289761001")
    person = keyfold.done(*asked).out.strip()
    assert re.fullmatch(r"kfu_[a-z2-7]{26}", person)
    assert keyfold.done(*asked).out.strip() == person
    assert keyfold.done(*asked[:-1], "248289761002").out.strip() != person
    assert refused_with(keyfold.run("people", "end-sessions", person), "person_not_found")
    assert refused_with(keyfold.run("people", "let-in", person), "person_not_found")
    assert refused_with(keyfold.run("people", "lock-out", "kft_nobody"), "invalid_request")
    keyfold.done("people", "lock-out", person, "--reason", "Has left")
    (found,) = keyfold.json("people", "list")["items"]
    assert (found["id"], found["role"]) == (person, None)
    assert re.fullmatch(TIME, found["locked_out_at"])
    assert person in keyfold.done("people", "list").out
    told = keyfold.done("timeline", person).out
    assert "locked out of the console" in told
    assert "Has left" in told
    keyfold.done("people", "let-in", person)
    assert keyfold.json("people", "list")["items"][0]["locked_out_at"] is None


def test_a_reseller_token_needs_its_reseller(keyfold: Program) -> None:
    ran = keyfold.run("tokens", "create", "--role", "reseller")
    assert refused_with(ran, "invalid_request")
    assert "(reseller: " in ran.err


# Keys


def test_keys_are_issued_as_json_csv_and_a_table(keyfold: Program) -> None:
    issued = issue(keyfold, "--count", "2", "--note", "For the shop")
    assert list(issued) == ["batch", "keys"]
    assert list(issued["keys"][0]) == ["id", "code", "masked"]

    sheet = keyfold.done("keys", "issue", *POS, "--count", "3", "--csv").out
    rows = list(csv.reader(io.StringIO(sheet)))
    assert rows[0][:4] == ["id", "code", "masked", "product"]
    assert len(rows) == 4

    table = keyfold.done("keys", "issue", *POS).out.splitlines()
    assert table[0].split() == ["ID", "CODE", "MASKED"]
    assert re.fullmatch(r"batch bat_\w{26}", table[-1])
    assert "\t" not in "".join(table)
    assert "\x1b" not in "".join(table)


def test_an_order_repeated_with_its_key_answers_with_the_same_keys(keyfold: Program) -> None:
    first = issue(keyfold, "--idempotency-key", "order-1")
    again = keyfold.done("keys", "issue", *POS, "--idempotency-key", "order-1", "--json")
    assert again.json == first
    assert "carried out before" in again.err
    other = keyfold.run("keys", "issue", *POS, "--count", "2", "--idempotency-key", "order-1")
    assert refused_with(other, "idempotency_key_reused")
    assert keyfold.run("keys", "issue", *POS, "--idempotency-key", "two words").code == 2


def test_every_field_that_does_not_fit_is_named(keyfold: Program) -> None:
    ran = keyfold.run(
        "keys", "issue", "--product", "integrations", "--seats", "0", "--months", "12",
        "--reseller", "North",
    )  # fmt: skip
    assert refused_with(ran, "invalid_request")
    assert "tier: is missing" in ran.err
    assert "seats: must be from 1 to 100000, not 0" in ran.err


def test_ten_thousand_keys_are_issued_and_listed(keyfold: Program) -> None:
    assert len(issue(keyfold, "--count", "10000")["keys"]) == 10_000
    listed = keyfold.json("keys", "list")
    assert len({key["id"] for key in listed["items"]}) == 10_000
    assert listed["next"] is None


def test_keys_are_listed_by_what_they_are(keyfold: Program) -> None:
    batch = issue(keyfold, "--count", "2")
    issue(keyfold, "--redeem-by", "2999-01-01T00:00:00+01:00")
    gone = batch["keys"][0]["id"]
    keyfold.done("keys", "revoke", gone, "--reason", "lost")

    def ids(*wanted: str) -> list[str]:
        return [key["id"] for key in keyfold.json("keys", "list", *wanted)["items"]]

    assert len(ids()) == 3
    assert ids("--status", "revoked") == [gone]
    assert len(ids("--batch", batch["batch"])) == 2
    assert ids("--reseller", "South") == []
    assert len(ids("--product", "cloud_pos", "--status", "issued")) == 2
    assert ids("--redeemed-by", "acme") == []
    assert keyfold.done("keys", "list").out.count("POS-••••-••••-") == 3
    assert keyfold.run("keys", "list", "--status", "stolen").code == 2


def test_a_key_is_shown_by_its_id_and_by_its_code_which_is_not_repeated(keyfold: Program) -> None:
    key = issue(keyfold)["keys"][0]
    by_id = keyfold.json("keys", "show", key["id"])
    assert by_id["status"] == "issued"
    assert re.fullmatch(TIME, by_id["issued_at"])
    assert keyfold.json("keys", "show", key["code"]) == by_id
    assert (
        keyfold.done("keys", "show", "-", "--json", stdin=f" {key['code'].lower()}\n").json == by_id
    )
    shown = keyfold.done("keys", "show", key["code"])
    assert key["masked"] in shown.out
    assert key["code"] not in shown.out + shown.err


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ("key_nobody", "key_not_found"),
        ("POS-AAAA-BBBB-CCCC", "key_not_found"),
        ("POS-AAAA-BBBB-CC01", "invalid_key_format"),
    ],
)
def test_a_key_that_is_not_there_is_refused_without_repeating_it(
    keyfold: Program, asked: str, code: str
) -> None:
    ran = keyfold.run("keys", "show", asked)
    assert refused_with(ran, code)
    assert asked not in ran.err


def test_a_reissued_code_replaces_the_old_one(keyfold: Program) -> None:
    old = issue(keyfold)["keys"][0]
    new = keyfold.json("keys", "reissue", old["id"], "--reason", "on a photo")
    assert list(new) == ["id", "code", "masked"]
    assert keyfold.json("keys", "show", old["id"])["replaced_by"] == new["id"]
    again = keyfold.run("keys", "reissue", old["id"], "--reason", "again")
    assert refused_with(again, "key_already_revoked")


def test_a_reason_is_required(keyfold: Program) -> None:
    for command in (("keys", "revoke"), ("keys", "reissue"), ("keys", "reveal")):
        assert keyfold.run(*command, "key_nobody").code == 2


def test_codes_are_revealed_to_those_who_say_why(keyfold: Program) -> None:
    issued = issue(keyfold, "--count", "2")
    keyfold.done("keys", "revoke", issued["keys"][1]["id"], "--reason", "lost")
    revealed = keyfold.json("keys", "reveal", issued["batch"], "--reason", "sheet lost")
    assert revealed["keys"][0] == issued["keys"][0]
    assert revealed["keys"][1]["code"] == issued["keys"][1]["masked"]
    first = issued["keys"][0]
    one = keyfold.json("keys", "reveal", first["id"], "--reason", "sheet lost")
    assert one == {"keys": [first]}
    told = keyfold.done("keys", "reveal", first["id"], "--reason", "sheet lost").out
    assert first["code"] in told
    assert issued["batch"] in told


SHEET = """code,product,tier,seats,months,reseller,redeem_by
POS-2345-ABCD-WXYZ,cloud_pos,,5,12,North,2999-12-31
POS-2345-ABCD-WX01,cloud_pos,,5,12,North,
INT-2345-ABCD-WXYZ,integrations,,5,12,North,
"""


def test_an_import_tells_what_it_refused_and_why(keyfold: Program) -> None:
    (keyfold.folder / "codes.csv").write_text(SHEET)
    ran = keyfold.run("keys", "import", "codes.csv")
    assert ran.code == 1
    assert "accepted 1, refused 2" in ran.out
    assert re.search(r"^ +3  -  +code ", ran.out, re.MULTILINE)
    assert re.search(r"^ +4  INT-••••-••••-WXYZ  tier ", ran.out, re.MULTILINE)
    assert "ABCD" not in ran.out + ran.err

    again = keyfold.run("keys", "import", "-", "--json", stdin=SHEET)
    assert again.code == 1
    assert again.json["accepted"] == 0
    assert again.json["refused"][0]["reason"] == "already in the ledger"
    assert keyfold.json("keys", "show", "POS-2345-ABCD-WXYZ")["seats"] == 5


def test_an_import_may_be_tried_first_and_come_as_excel_saves_it(keyfold: Program) -> None:
    good = "\n".join(SHEET.splitlines()[:2]) + "\n"
    for content in (
        good.encode("utf-8-sig"),
        good.replace(",", ";").encode(),
        good.replace(",", "\t").encode("utf-16"),
    ):
        (keyfold.folder / "codes.csv").write_bytes(content)
        ran = keyfold.done("keys", "import", "--check", "codes.csv")
        assert ran.out == "would accept 1, refused 0\n"
        assert keyfold.json("keys", "list")["items"] == []
    keyfold.done("keys", "import", "codes.csv")
    key = keyfold.json("keys", "list")["items"][0]
    assert (key["reseller"], key["seats"]) == ("North", 5)
    code = "POS-2345-ABCD-WXYZ"
    amended = keyfold.json("keys", "amend", code, "--seats", "2", "--reason", "slip")
    assert amended == {**key, "seats": 2}


def test_a_batch_is_listed_revoked_and_reissued(keyfold: Program) -> None:
    issued = issue(keyfold, "--count", "3")
    batch = issued["batch"]
    rows = list(csv.DictReader(io.StringIO(keyfold.done("batches", "list", "--csv").out)))
    assert [(row["batch"], row["open"]) for row in rows] == [(batch, "3")]
    sheet = keyfold.done("batches", "reissue", batch, "--reason", "leaked", "--csv").out
    codes = [row["code"] for row in csv.DictReader(io.StringIO(sheet))]
    assert len(codes) == 3
    # It can be taken in elsewhere: here, all are known.
    again = keyfold.run("keys", "import", "--check", "-", "--json", stdin=sheet)
    assert {one["reason"] for one in again.json["refused"]} == {"already in the ledger"}
    assert keyfold.done("batches", "revoke", batch, "--reason", "leaked").out == (
        "revoked 3, kept 0\n"
    )
    assert keyfold.json("batches", "list")["items"][0]["revoked"] == 3
    both = keyfold.run("keys", "list", "--csv", "--json")
    assert (both.code, "choose one" in both.err) == (2, True)


def test_an_import_of_what_is_no_sheet_is_refused(keyfold: Program) -> None:
    assert refused_with(keyfold.run("keys", "import", "-", stdin="a,b\n"), "invalid_request")
    assert keyfold.run("keys", "import", "nowhere.csv").code == 2
    (keyfold.folder / "latin.csv").write_bytes(b"code,produ\xe9\n")
    assert refused_with(keyfold.run("keys", "import", "latin.csv"), "invalid_request")
    assert keyfold.json("keys", "list")["items"] == []


# Accounts


def test_seats_are_taken_given_back_and_refused(filled: Program) -> None:
    seat = filled.json(
        "seats", "occupy", "harbour-hotel", "cloud_pos", "till-9", "--label", "Terrace"
    )
    assert (seat["holder"], seat["label"], seat["licensed"]) == ("till-9", "Terrace", True)
    again = filled.done("seats", "occupy", "harbour-hotel", "cloud_pos", "till-9")
    assert "had a seat already" in again.out
    full = filled.run("seats", "occupy", "harbour-hotel", "cloud_pos", "till-10")
    assert refused_with(full, "no_seat_available")
    assert full.err == "no_seat_available: No seat is free (3 of 3 seats are taken)\n"
    other = filled.json("seats", "replace", "harbour-hotel", "cloud_pos", "till-9", "till-8")
    assert (other["holder"], other["licensed"], other["label"]) == ("till-8", True, None)
    back = filled.done("seats", "replace", "harbour-hotel", "cloud_pos", "till-8", "till-9")
    assert back.out == "till-9 has the seat of till-8: cloud_pos\n"
    filled.done("seats", "release", "harbour-hotel", "cloud_pos", "till-9")
    gone = filled.run("seats", "release", "harbour-hotel", "cloud_pos", "till-9")
    assert refused_with(gone, "seat_not_occupied")
    elsewhere = filled.run(
        "seats", "occupy", "garden-centre", "integrations", "webshop", "--tier", "starter"
    )
    assert refused_with(elsewhere, "holder_in_other_tier")


def test_what_a_key_gave_is_changed_with_a_reason(filled: Program) -> None:
    account = "harbour-hotel"
    (first, *_) = filled.json("subscriptions", account)["products"][0]["rows"]
    id, expires = first["subscription"], first["expires_at"]

    def change(what: str, *more: str) -> dict[str, Any]:
        made = filled.json("subscription", what, account, id, *more, "--reason", "So agreed")
        row: dict[str, Any] = made["subscription"]
        return row

    longer = change("extend", "--days", "10")
    assert longer["expires_at"] > expires
    assert change("extend", "--until", longer["expires_at"]) == longer
    assert change("suspend")["status"] == "suspended"
    assert refused_with(
        filled.run("subscription", "start", account, id, "--reason", "x"),
        "subscription_is_suspended",
    )
    assert change("resume")["status"] == "active"
    said = filled.done("subscription", "start", account, id, "--reason", "x").out
    assert said.startswith(f"{id} of {account} is active until ")
    assert change("transfer", "--to", "beta")["status"] == "active"
    assert change("transfer", "--to", "beta")["status"] == "active"
    ended = filled.done("subscription", "terminate", "beta", id, "--reason", "x").out
    assert ended == f"{id} of beta is terminated\n"
    both = ("--days", "1", "--until", expires)
    for wrong in ((), both):
        assert filled.run("subscription", "extend", "beta", id, *wrong, "--reason", "x").code == 2


def test_the_accounts_questions_are_answered(filled: Program) -> None:
    view = filled.json("subscriptions", "corner-bakery")
    assert list(view) == ["account", "as_of", "known_at", "position", "products"]
    pos = view["products"][0]
    assert (pos["seats"], pos["used"], pos["over"], len(pos["rows"])) == (2, 6, 4, 1)
    ended = filled.json("subscriptions", "corner-bakery", "--all")["products"][0]["rows"]
    assert [row["status"] for row in ended] == ["active", "expired"]
    table = filled.done("subscriptions", "corner-bakery").out
    assert "Cloud POS: 2 seats, 6 used, 4 over" in table

    seats = filled.json("seats", "list", "corner-bakery", "--product", "cloud_pos")
    assert [seat["licensed"] for seat in seats["items"]] == [True] * 2 + [False] * 4
    assert seats["totals"][0]["over"] == 4
    assert "Market stall" in filled.done("seats", "list", "corner-bakery").out

    entitled = filled.json("entitlements", "garden-centre")["entitlements"]
    assert entitled[0]["limits"]["invoices_per_month"] == 10_000
    assert "sync Real-time" in filled.done("entitlements", "garden-centre").out

    points = filled.json("seat-history", "corner-bakery", "--product", "cloud_pos")["points"]
    assert points[-1]["seats"] == 2
    assert filled.done("seat-history", "corner-bakery").out.startswith("AT ")


def test_an_account_is_shown_as_it_was_and_as_it_was_known(filled: Program) -> None:
    early = "2001-01-01T01:00:00+01:00"
    for times in (("--as-of", early), ("--known-at", early)):
        view = filled.json("subscriptions", "corner-bakery", *times)
        assert view["products"][0]["seats"] == 0
        assert "2001-01-01T00:00:00.000000Z" in (view["as_of"], view["known_at"])
    later = filled.json("subscriptions", "corner-bakery", "--as-of", "2999-01-01T00:00:00Z")
    assert later["products"][0]["over"] == 6


@pytest.mark.parametrize(
    "time", ["2026-03-01", "2026-03-01T09:00:00", "yesterday", "2026-02-30T00:00:00Z"]
)
def test_a_time_without_its_zone_is_wrong_usage(keyfold: Program, time: str) -> None:
    ran = keyfold.run("subscriptions", "acme", "--as-of", time)
    assert ran.code == 2
    assert "like 2026-03-01T09:00:00Z" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("subscriptions", "no such account"),
        ("seats", "list", "acme", "--product", "nothing"),
        ("seats", "occupy", "acme", "nothing", "till-1"),
        ("seat-history", "acme", "--product", "cloud_pos", "--tier", "starter"),
        ("seat-history", "acme", "--tier", "starter"),
        ("seat-history", "acme", "--from", "2999-01-01T00:00:00Z"),
        ("entitlements", "é"),
    ],
)
def test_what_does_not_fit_is_refused(keyfold: Program, arguments: tuple[str, ...]) -> None:
    assert refused_with(keyfold.run(*arguments), "invalid_request")


def test_a_ledger_on_postgres_is_served_by_the_same_commands(
    bare: Program, postgres_url: str
) -> None:
    bare.settings |= {"KEYFOLD_DATABASE_URL": postgres_url, "KEYFOLD_SECRET": "c2VjcmV0" * 6}
    without = bare.run("keys", "list")
    assert (without.code, without.err.count("\n")) == (2, 1)
    assert "keyfold db upgrade" in without.err
    bare.done("db", "upgrade")
    issued = issue(bare, "--count", "3")
    assert len(bare.json("keys", "list", "--batch", issued["batch"])["items"]) == 3
    assert len(bare.json("tokens", "list")["items"]) == 0
    assert bare.json("subscriptions", "acme")["position"] == 4
    assert list(bare.folder.iterdir()) == []


def test_staff_end_sessions_and_lift_blocks_with_a_reason(keyfold: Program) -> None:
    for command, said in (
        ("sessions end acme", "all portal sessions of acme have ended\n"),
        ("attempts clear acme", "acme may try codes again\n"),
    ):
        assert keyfold.run(*command.split()).code == 2
        blank = keyfold.run(*command.split(), "--reason", " ")
        assert (blank.code, "must not be blank" in blank.err) == (1, True)
        assert keyfold.done(*command.split(), "--reason", "They called").out == said
        assert "They called" in keyfold.done("timeline", "acme").out
    assert keyfold.run("sessions", "end", "a b", "--reason", "x").code == 1


def test_links_to_notices_are_made_listed_and_revoked(keyfold: Program) -> None:
    id, atom, ics = keyfold.done("notices", "link", "--account", "acme").out.split()
    assert (atom.endswith("/atom.xml"), ics.endswith("/calendar.ics")) == (True, True)
    (listed,) = keyfold.json("notices", "links", "--account", "acme")["items"]
    assert (listed["id"], listed["status"]) == (id, "active")
    keyfold.done("notices", "unlink", id)
    assert "revoked" in keyfold.done("notices", "links", "--account", "acme").out
    assert keyfold.json("notices", "links") == {"items": []}
    ran = keyfold.run("notices", "unlink", "kfnl_x")
    assert (ran.code, ran.err.partition(":")[0]) == (1, "notice_link_not_found")
    ran = keyfold.run("notices", "--account", "acme", "links")
    assert (ran.code, "after `links`" in ran.err) == (2, True)
