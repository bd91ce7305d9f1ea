"""Drills of the sender: killed again and again, taken over, and with receivers that misbehave.

What counts is the same each time: every message came at least once, those of an account in order
and without gaps, each with the account as it was at its position.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing
from datetime import datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from commands.add_webhook import WantedWebhook, add_webhook
from commands.issue_keys import Order, issue_keys
from commands.occupy_seat import Sitting, occupy_seat
from commands.redeem_key import Try, redeem_key
from ledger.store import schema
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.webhooks import ACCOUNT_CHANGED, WEBHOOKS
from projections.lists.webhook_deliveries import backlog
from projections.views.account_at import Moment, account_at
from projections.views.subscriptions import subscriptions
from tests.cli.program import wait_until
from tests.pairs import Pair
from tests.webhooks.receiver import HANG_UP, Received, Receiver
from tests.webhooks.sender import sender
from web.app.json_encoding import encode
from web.app.services import Wiring, wire
from web.app.settings import read_settings

SECRET = "c2VjcmV0IG9mIHRoaXMgdGVzdCwgMzIgYnl0ZXMgbG9uZw=="
BEGAN, AN_HOUR_LATER = "2026-03-02T09:00:00Z", "2026-03-02T10:00:00Z"
PATIENCE_S = 150.0


class World:
    """A ledger whose webhook is told of accounts, and the processes that send."""

    def __init__(self, url: str, receiver: Receiver, **settings: str) -> None:
        self.environ = {
            "KEYFOLD_DATABASE_URL": url,
            "KEYFOLD_SECRET": SECRET,
            "KEYFOLD_WEBHOOK_HOSTS": "127.0.0.1",
            **settings,
        }
        self.wiring: Wiring = wire(read_settings(self.environ))
        self.receiver = receiver
        self.webhook = self._add(receiver.url)
        self.told = 0

    def _add(self, url: str) -> str:
        hosts = self.wiring.settings.webhook_hosts
        wanted = WantedWebhook(url, [ACCOUNT_CHANGED])
        return add_webhook(self.wiring.services, self._context(), wanted, hosts).webhook.id

    def _context(self) -> Any:
        return self.wiring.request_context("operator", "drill")

    def fill(self, accounts: int, seats: int) -> None:
        """Let things happen to accounts, in turn; a message tells of each."""
        services = self.wiring.services
        names = [f"acct-{number}" for number in range(accounts)]
        order = Order("cloud_pos", None, seats, 12, accounts, "Northwind")
        for name, key in zip(names, issue_keys(services, self._context(), order).keys, strict=True):
            redeem_key(services, self._context(), Try(name, f"s-{name}", key.code))
        for number in range(seats):
            for name in names:
                sitting = Sitting(name, "cloud_pos", None, f"till-{number}")
                occupy_seat(services, self._context(), sitting)
        self.told += accounts * (1 + seats)

    def sender(self) -> AbstractContextManager[BaseProcess]:
        """Start a process that sends, and kill it in the end."""
        return sender(self.environ)

    def came(self) -> bool:
        """Return whether every message came."""
        return len({one.id for one in self.receiver.taken}) >= self.told

    def waiting(self) -> int:
        webhook = self.wiring.services.book.load(WEBHOOKS, "all").state[self.webhook]
        return backlog(self.wiring.services.book, self.wiring.tables, webhook).waiting

    def hold_to_it(self, sample: int = 50) -> None:
        """Hold what came to what happened: all of it, in order, as it was then.

        Args:
            sample: of so many messages the whole state is held to the view at their moments, which
                are to be apart.
        """
        taken = self.receiver.taken
        numbers: dict[str, list[int]] = {}
        for one in taken:
            account, number = one.place
            numbers.setdefault(account, []).append(number)
        for account, came in numbers.items():
            version = self.wiring.services.book.load(ACCOUNT, account).version
            assert list(dict.fromkeys(came)) == list(range(1, version + 1)), account
        assert sum(len(set(came)) for came in numbers.values()) == self.told
        for one in taken:
            assert one.json["state"]["position"] == one.json["position"]
            assert one.json["state"]["products"][0]["used"] == one.json["sequence"] - 1
        for one in Random(7).sample(taken, min(sample, len(taken))):
            assert one.json["state"]["products"] == self._products(one), one.place

    def _products(self, message: Received) -> Any:
        """Return what the ledger says of a message's account at the moment it is about."""
        book, catalog = self.wiring.services.book, self.wiring.services.catalog
        at = msgspec.convert(message.json["at"], type=datetime)
        view = subscriptions(
            account_at(book, message.json["account"], Moment(at, as_of=at)), catalog
        )
        return msgspec.json.decode(encode(view))["products"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(params=["sqlite", "postgres"])
def world(request: pytest.FixtureRequest, tmp_path: Path, receiver: Receiver) -> Iterator[World]:
    url = f"sqlite:///{tmp_path}/drill.db"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_ledger_url")
    schema.upgrade(url)
    world = World(url, receiver)
    with closing(world.wiring):
        yield world


@pytest.mark.parametrize(
    ("kills", "seed"),
    [
        (2, 26),
        pytest.param(200, 260, marks=[pytest.mark.long, pytest.mark.timeout(1800)]),
    ],
)
def test_a_sender_that_is_killed_sends_at_most_the_last_message_again(
    world: World, receiver: Receiver, kills: int, seed: int
) -> None:
    random = Random(seed)
    world.fill(accounts=8, seats=8 * kills // 2)
    ends: list[int] = []
    while len(ends) < kills and not world.came():
        with world.sender() as process:
            before = len(receiver.received)
            wait_until(lambda before=before: len(receiver.received) > before)  # type: ignore[misc]
            time.sleep(random.uniform(0, 0.02))
            process.kill()
        time.sleep(0.1)  # what is under way comes to its end
        ends.append(len(receiver.received))
    with world.sender():
        wait_until(world.came, PATIENCE_S)
        wait_until(lambda: world.waiting() == 0)
    world.hold_to_it()
    ids = [one.id for one in receiver.received]
    first = {id: place for place, id in reversed(list(enumerate(ids)))}
    again = [place for place, id in enumerate(ids) if first[id] < place]
    print(f"seed {seed}: killed {len(ends)} times, {world.told} messages, {len(again)} came twice")
    last = Counter(ids[end - 1] for end in ends)
    assert Counter(ids[place] for place in again) <= last, "only the last before a kill came again"


def test_two_servers_and_a_primary_that_is_lost(pair: Pair, receiver: Receiver) -> None:
    receiver.delay_s = 0.005
    world = World(pair.url, receiver)
    with closing(world.wiring):
        world.fill(accounts=4, seats=40)
        pair.wait_for_standby(world.wiring.services.book.head())
        with world.sender() as first, world.sender():
            receiver.wait_for(20)
            first.kill()
            seen = len(receiver.taken)
            receiver.wait_for(seen + 20)
            pair.fail_over()
            wait_until(world.came, PATIENCE_S)
        world.hold_to_it()


@pytest.mark.parametrize(
    ("responses", "delay_s"),
    [([200], 0.03), ([500, 200], 0.0), ([HANG_UP, 200, 200], 0.0)],
    ids=["slow", "500 every other time", "closing in the middle"],
)
def test_a_receiver_that_misbehaves_gets_all_of_it(
    tmp_path: Path, receiver: Receiver, responses: Sequence[int], delay_s: float
) -> None:
    receiver.respond(responses)
    receiver.delay_s = delay_s
    url = f"sqlite:///{tmp_path}/drill.db"
    schema.upgrade(url)
    world = World(url, receiver)
    with closing(world.wiring):
        world.fill(accounts=6, seats=3)
        with world.sender():
            wait_until(world.came, PATIENCE_S)
        world.hold_to_it()


def test_a_receiver_that_is_down_for_an_hour_gets_all_of_it(tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_text(BEGAN)
    url = f"sqlite:///{tmp_path}/drill.db"
    schema.upgrade(url)
    with Receiver() as first:
        world = World(url, first, KEYFOLD_TEST_CLOCK=str(clock))
        port = first.port
    with closing(world.wiring), world.sender():
        world.fill(accounts=3, seats=3)
        wait_until(lambda: world.waiting() == world.told)
        with closing(sqlite3.connect(tmp_path / "drill.db")) as connection, connection:
            connection.execute(
                "UPDATE keyfold_webhook_lanes_1 SET due_at = due_at + :pause",
                {"pause": timedelta(minutes=50) // timedelta(microseconds=1)},
            )
        clock.write_text(AN_HOUR_LATER)
        with Receiver(port) as second:
            world.receiver = second
            wait_until(world.came, PATIENCE_S)
            world.hold_to_it(sample=0)
