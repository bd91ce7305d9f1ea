"""The auditors' own program derives the Subscriptions view with what Stripe has said."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from eventsourcing.persistence import StoredEvent
from msgspec.structs import replace

from ledger.book import Book, Change
from ledger.catalog import builtin
from ledger.streams.account.stream import ACCOUNT
from projections.audit.export import blocks, plan
from projections.views.account_at import account_at
from projections.views.subscriptions import subscriptions
from tests.audit.ledgers import ACCOUNTS, moments
from tests.proof.auditors import Auditor
from tests.proof.ledgers import opened
from tests.proof.one_file import SOURCE
from tests.proof.stripe_stories import StripeStory
from tests.stripe.payloads import TAKING, changed, deliver, subscription
from tests.web.api import memory_api
from tests.worlds import NOON, SECOND, context, services
from web.app.json_encoding import to_plain

ROOT = Path(__file__).parents[2]
STORIES, IN_EVERY_RUN = 100, 30


@pytest.fixture
def auditor(tmp_path_factory: pytest.TempPathFactory) -> Auditor:
    return Auditor(tmp_path_factory.mktemp("auditor"))


def story(seed: int, things: int = 60) -> Book:
    world = services(Book("memory:"))
    StripeStory(world, Random(seed)).go_on(things)
    return world.book


def export(book: Book) -> bytes:
    return b"".join(blocks(book, plan(book)))


def test_a_quantity_on_record_that_nothing_has_counts_as_none(auditor: Auditor) -> None:
    api = memory_api(stripe=TAKING)
    deliver(api, changed(subscription()))
    loaded = api.services.book.load(ACCOUNT, "acme")
    told = loaded.state.stripe.subscriptions["sub_1"].latest
    assert told.items is not None
    items = tuple(replace(one, quantity=2**53) for one in told.items)
    later = replace(told, items=items, created=NOON + SECOND, stripe_event="evt_later")
    api.services.book.append(context(NOON + SECOND), Change(loaded, [later]))
    api.clock.forward(minutes=1)
    got = api.get("portal", "/v1/accounts/acme/subscriptions").body
    assert got["products"][0]["seats"] == 0
    for page in ("entitlements", "billing", "seats", "seat-history", "timeline"):
        assert api.get("admin", f"/v1/accounts/acme/{page}").status == 200
    assert api.get("admin", "/v1/overview").status == 200
    auditor.keeps("ledger.jsonl", export(api.services.book))
    auditor.keeps("answer.json", json.dumps(got))
    said = auditor.verifies("ledger.jsonl", "--account", "acme", "--answer", "answer.json")
    assert said.good == ["answer.json is what follows from these events"]


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(seed, marks=[] if seed < IN_EVERY_RUN else [pytest.mark.long])
        for seed in range(STORIES)
    ],
)
def test_the_view_that_it_derives_is_what_the_api_answered(seed: int, auditor: Auditor) -> None:
    book, random = story(seed), Random(seed)
    auditor.keeps("ledger.jsonl", export(book))
    for moment in moments(random, 8):
        account, ended = random.choice(ACCOUNTS), random.random() < 0.5
        asked = account_at(book, account, moment)
        answer = to_plain(subscriptions(asked, builtin(), ended=ended))
        auditor.keeps("answer.json", json.dumps(answer))
        said = auditor.verifies(
            *("ledger.jsonl", "--account", account),
            *("--as-of", answer["as_of"], "--known-at", answer["known_at"]),
            *(["--all"] if ended else []),
        )
        assert (said.code, said.json) == (0, answer)
        # Nothing but the answer: whether ended rows were asked for is seen in it.
        said = auditor.verifies("ledger.jsonl", "--account", account, "--answer", "answer.json")
        assert said.good == ["answer.json is what follows from these events"]


@pytest.mark.parametrize(
    ("stories", "times"), [(IN_EVERY_RUN, 1), pytest.param(STORIES, 5, marks=pytest.mark.long)]
)
def test_the_stories_have_every_kind_of_row(stories: int, times: int) -> None:
    """Else the test above would compare nothing with nothing."""
    seen: Counter[str] = Counter()
    for seed in range(stories):
        book, random = story(seed), Random(seed)
        for moment in moments(random, 8):
            view = subscriptions(account_at(book, "acme", moment), builtin(), ended=True)
            for product in view.products:
                seen["over"] += product.over > 0
                seen["departed"] += product.product == "users"
                for row in product.rows:
                    seen[row.status] += row.source == "stripe"
                    seen["open"] += row.used > row.seats
                    seen["endless"] += row.expires_at is None
                    seen["several"] += row.source == "stripe" and len(product.rows) > 2
    wanted = {
        *("active", "trialing", "past_due", "unpaid", "paused", "incomplete", "unconfirmed"),
        *("canceled", "unknown", "a word of tomorrow"),
        *("over", "departed", "open", "endless", "several"),
    }
    assert {what for what in wanted if seen[what] < times} == set(), seen


_ANSWER = """
import json, sys
from tests.proof.test_verifier_stripe import answer_of
print(json.dumps(answer_of(int(sys.argv[1]))))
"""


def answer_of(seed: int) -> object:
    random = Random(seed)
    asked = account_at(story(seed), "acme", moments(random, 1)[0])
    return to_plain(subscriptions(asked, builtin(), ended=True))


def test_every_process_answers_with_the_rows_in_the_same_order() -> None:
    """Rows that rest are in no order of filling; hashes of text differ from process to process."""
    said = {
        subprocess.run(
            [sys.executable, "-c", _ANSWER, "11"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in range(4)
    }
    assert len(said) == 1
    (only,) = said
    rows = [row for product in json.loads(only)["products"] for row in product["rows"]]
    assert len({row["stripe_subscription"] for row in rows}) > 2


QUOTED = re.findall(r'"[^"\n]*"', SOURCE)


def test_every_fact_of_an_account_is_known_to_it() -> None:
    # Those of keys' subscriptions are told apart by what comes after their common beginning.
    ends = {name: name.removeprefix("account.subscription_") for name in ACCOUNT.facts}
    unknown = [name for name, end in ends.items() if not {f'"{name}"', f'"{end}"'} & set(QUOTED)]
    assert unknown == []


@pytest.mark.parametrize(
    "state",
    [
        b'{"fact":{},"recorded_at":"2026-03-01T09:00:00Z","occurred_at":"2026-03-01T09:00:00Z"}',
        b'{"fact":[],"recorded_at":"2026-03-01T09:00:00Z","occurred_at":"2026-03-01T09:00:00Z"}',
        b'{"recorded_at":"2026-03-01T09:00:00Z"}',
        b"[]",
        b"{",
    ],
)
@pytest.mark.parametrize(
    "name", ["account.subscription_activated@1", "stripe.subscription_reported@1"]
)
def test_an_event_that_nobody_can_have_written_is_told(
    auditor: Auditor, name: str, state: bytes
) -> None:
    ledger = opened("memory:")
    ledger.book.store.insert_events([StoredEvent("account-acme", 1, name, state)])
    auditor.keeps("ledger.jsonl", export(ledger.book))
    said = auditor.verifies("ledger.jsonl", "--account", "acme")
    assert said.code == 1
    assert said.wrong == ["position 1 has a state that is none of Keyfold's"]
