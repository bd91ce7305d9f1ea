"""`keyfold stripe import`: events from files, in each form they are saved in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import Program
from tests.stripe.payloads import TEST_KEY, changed, event, item, subscription
from tests.worlds import NOON
from web.app.times import iso

SUBSCRIBED = changed(subscription(), id="evt_1")
IGNORED = event("payout.paid", {"id": "po_1", "object": "payout"}, id="evt_2")
MORE = changed(subscription("sub_2", items=[item("cloud_pos_month", 5)]), id="evt_3")
EVENTS = [SUBSCRIBED, IGNORED, MORE]

FORMS = {
    "one event": json.dumps(SUBSCRIBED),
    "an indented event": json.dumps(SUBSCRIBED, indent=2),
    "an array": json.dumps(EVENTS, indent=2),
    "a list of Stripe's": json.dumps({"object": "list", "data": EVENTS, "has_more": False}),
    "JSON Lines": "\n".join(map(json.dumps, EVENTS)) + "\n\n",
    "one line": json.dumps(SUBSCRIBED) + "\n",
}


@pytest.fixture
def keyfold(tmp_path: Path) -> Program:
    (tmp_path / "clock").write_text(iso(NOON))
    program = Program(tmp_path, {"KEYFOLD_TEST_CLOCK": str(tmp_path / "clock")})
    program.done("db", "upgrade")
    return program


def seats(keyfold: Program) -> int:
    return int(keyfold.json("subscriptions", "acme")["products"][0]["seats"])


def head(keyfold: Program) -> Any:
    return keyfold.json("subscriptions", "acme")["position"]


@pytest.mark.parametrize("form", FORMS)
def test_events_are_recorded_from_whichever_form_they_are_in(keyfold: Program, form: str) -> None:
    (keyfold.folder / "events").write_text(FORMS[form])
    done = keyfold.done("stripe", "import", "events")
    several = "evt_3" in FORMS[form]
    assert done.out.splitlines() == (["1 ignored", "2 reported"] if several else ["1 reported"])
    assert seats(keyfold) == (7 if several else 2)


def test_the_same_files_can_be_given_again(keyfold: Program) -> None:
    (keyfold.folder / "a.json").write_text(json.dumps(SUBSCRIBED))
    (keyfold.folder / "b.jsonl").write_text(FORMS["JSON Lines"])
    first = keyfold.json("stripe", "import", "a.json", "b.jsonl")
    assert first == {"events": {"ignored": 1, "on record already": 1, "reported": 2}, "refused": []}
    before = head(keyfold)
    again = keyfold.json("stripe", "import", "b.jsonl", "a.json")
    assert (again["events"], head(keyfold)) == ({"on record already": 4}, before)


def test_they_can_come_by_standard_input(keyfold: Program) -> None:
    keyfold.done("stripe", "import", "-", stdin=FORMS["an array"])
    assert seats(keyfold) == 7


def test_what_cannot_be_read_is_told_with_its_place_and_all_else_recorded(keyfold: Program) -> None:
    lines = [json.dumps(SUBSCRIBED), "{", json.dumps({"object": "customer"}), json.dumps(MORE)]
    (keyfold.folder / "events.jsonl").write_text("\n".join(lines))
    ran = keyfold.run("stripe", "import", "events.jsonl")
    assert ran.code == 1
    assert "events.jsonl, line 2: the body is not JSON" in ran.err
    assert "events.jsonl, line 3: `object` must be `event`" in ran.err
    assert seats(keyfold) == 7


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not JSON"),
        ("no JSON", "is not JSON"),
        ("7", "must be a JSON object"),
        ("[7]", "event 1: the body must be a JSON object"),
        (json.dumps(SUBSCRIBED)[:-20], "is not JSON"),
        (json.dumps(SUBSCRIBED | {"account": "acct_1"}), "stripe_unavailable"),
        (json.dumps(SUBSCRIBED | {"livemode": True}), "`livemode` is not that of STRIPE_API_KEY"),
    ],
)
def test_a_file_of_no_use_changes_nothing(keyfold: Program, text: str, reason: str) -> None:
    keyfold.settings["STRIPE_API_KEY"] = TEST_KEY
    (keyfold.folder / "events").write_text(text)
    before = head(keyfold)
    ran = keyfold.run("stripe", "import", "events")
    assert (ran.code, ran.out) == (1, "")
    assert reason in ran.err
    assert head(keyfold) == before


def test_a_file_that_is_not_there_is_a_mistake_of_usage(keyfold: Program) -> None:
    ran = keyfold.run("stripe", "import", "nowhere.json")
    assert (ran.code, "nowhere.json" in ran.err) == (2, True)


def test_link_applies_what_had_waited(keyfold: Program) -> None:
    waiting = [changed(subscription(account=None), id="evt_1")]
    (keyfold.folder / "events").write_text(json.dumps(waiting))
    assert keyfold.done("stripe", "import", "events").out == "1 waiting\n"
    done = keyfold.done("link", "acme", "cus_1")
    assert done.out == "cus_1 is acme; 1 report that had waited applied\n"
    assert seats(keyfold) == 2
    refused = keyfold.run("link", "other", "cus_1")
    assert (refused.code, refused.err.split(":")[0]) == (1, "customer_linked_elsewhere")


CATALOG = """
[[products]]
id = "cloud_pos"
name = "Cloud POS"
prefix = "POS"
seat = "certificate"
prices = [{ price = "price_old", interval = "month", seats = 2 }]
"""


def test_a_price_that_meant_nothing_is_mapped_from_then_on(keyfold: Program) -> None:
    items = [item(None, 3, price="price_old"), item(None, 1, price="price_unknown")]
    (keyfold.folder / "events").write_text(json.dumps(changed(subscription(items=items))))
    keyfold.done("stripe", "import", "events")
    ran = keyfold.run("stripe", "remap")
    assert ran.code == 1
    assert "prices_unmapped: 2 prices mean nothing in the catalog" in ran.err
    (keyfold.folder / "catalog.toml").write_text(CATALOG)
    keyfold.settings["KEYFOLD_CATALOG"] = str(keyfold.folder / "catalog.toml")
    before = head(keyfold)
    told = keyfold.run("stripe", "remap", "--dry-run", "--json").json
    assert (told["accounts"][0]["mapped"], head(keyfold)) == (
        {"price_old": {"product": "cloud_pos", "tier": None}},
        before,
    )
    assert seats(keyfold) == 0
    mapped = keyfold.run("stripe", "remap")
    assert (mapped.code, seats(keyfold)) == (1, 6)
    assert "1 price means nothing" in mapped.err
    again = keyfold.run("stripe", "remap", "--json").json
    assert again["accounts"] == [{"account": "acme", "mapped": {}, "unmapped": ["price_unknown"]}]
    assert head(keyfold) == before + 1
