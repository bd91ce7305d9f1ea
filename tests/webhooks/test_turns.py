"""Receivers take turns; one whose messages cannot be noted is left alone, longer each time."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path

import pytest

from commands.add_webhook import WantedWebhook, add_webhook
from commands.issue_keys import Order, issue_keys
from ledger.store import schema
from ledger.streams.webhooks import ID, KEY_CHANGED, WEBHOOKS
from tests.cli.program import wait_until
from tests.webhooks.receiver import Receiver
from web.app.services import Wiring, wire
from web.app.settings import read_settings
from web.server import webhook_sender
from web.server.webhook_sender import WEBHOOKS_AT_ONCE

KEYS = 400


@pytest.fixture
def wiring(tmp_path: Path) -> Iterator[Wiring]:
    url = f"sqlite:///{tmp_path}/keyfold.db"
    schema.upgrade(url)
    settings = {"KEYFOLD_DATABASE_URL": url, "KEYFOLD_WEBHOOK_HOSTS": "127.0.0.1"}
    with closing(wire(read_settings(settings))) as wiring:
        yield wiring


@contextmanager
def told_of_keys(wiring: Wiring, *receivers: Receiver) -> Iterator[None]:
    """Return a context in which these are sent a message for each of some keys."""
    services, hosts = wiring.services, wiring.settings.webhook_hosts
    for receiver in receivers:
        wanted = WantedWebhook(receiver.url, [KEY_CHANGED])
        add_webhook(services, wiring.request_context("operator", "req"), wanted, hosts)
    order = Order("cloud_pos", None, 1, 12, KEYS, "Northwind")
    issue_keys(services, wiring.request_context("operator", "req"), order)
    with webhook_sender.running(wiring.settings):
        yield


def test_one_more_than_are_sent_to_at_once_waits_for_no_other_to_come_to_its_end(
    wiring: Wiring,
) -> None:
    with ExitStack() as stack:
        receivers = [stack.enter_context(Receiver()) for _ in range(WEBHOOKS_AT_ONCE + 1)]
        for receiver in receivers:
            receiver.delay_s = 0.1
        stack.enter_context(told_of_keys(wiring, *receivers))
        wait_until(lambda: all(receiver.taken for receiver in receivers))
        assert max(len(receiver.taken) for receiver in receivers) < KEYS


def test_what_is_sent_and_cannot_be_noted_is_sent_again_after_growing_pauses(
    wiring: Wiring, tmp_path: Path
) -> None:
    def lanes(statement: str) -> None:
        with closing(sqlite3.connect(tmp_path / "keyfold.db")) as connection, connection:
            connection.execute(statement)

    lanes(
        "CREATE TRIGGER no_room BEFORE UPDATE OF sent ON keyfold_webhook_lanes_1"
        " BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
    )
    with Receiver() as receiver, told_of_keys(wiring, receiver):
        came: list[float] = []
        for count in range(1, 5):
            receiver.wait_for(count)
            came.append(time.monotonic())
        pauses = [later - before for before, later in pairwise(came)]
        assert pauses == sorted(pauses)
        assert len({one.id for one in receiver.taken}) == 1
        lanes("DROP TRIGGER no_room")
        wait_until(lambda: len({one.id for one in receiver.taken}) == KEYS)


def test_a_receiver_that_answers_gone_is_tried_again(wiring: Wiring) -> None:
    with Receiver() as receiver:
        receiver.respond([HTTPStatus.GONE, HTTPStatus.GONE, *[HTTPStatus.OK] * KEYS])
        with told_of_keys(wiring, receiver):
            wait_until(lambda: len({one.id for one in receiver.taken}) == KEYS)
    (webhook,) = wiring.services.book.load(WEBHOOKS, ID).state.values()
    assert webhook.disabled is None
