"""Notices come to webhooks when their time has come, in the order of their account."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import Program, wait_until
from tests.webhooks.receiver import Receiver
from tests.webhooks.test_sending import Desk, hold_to_order

NEVER = 599


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def clock(tmp_path: Path) -> Path:
    clock = tmp_path / "clock"
    clock.write_text("2026-03-01T09:00:00Z")
    return clock


@pytest.fixture
def program(tmp_path: Path, clock: Path) -> Program:
    settings = {"KEYFOLD_WEBHOOK_HOSTS": "127.0.0.1", "KEYFOLD_TEST_CLOCK": str(clock)}
    program = Program(tmp_path, settings)
    program.done("db", "upgrade")
    return program


def test_notices_are_sent_when_their_time_has_come(
    program: Program, clock: Path, receiver: Receiver
) -> None:
    with program.served() as server:
        desk = Desk(program, server)
        desk.add(receiver.url, kinds=["notice.*"])
        desk.redeem("acme")
        assert [one.json["type"] for one in receiver.wait_for(1)] == ["notice.subscription.started"]
        clock.write_text("2027-02-25T09:00:00Z")
        receiver.wait_for(3)
        clock.write_text("2027-03-01T09:00:00Z")
        taken = receiver.wait_for(5)
        asked = desk.ask("GET", "/notices?account=acme&to=2027-03-02T00:00:00Z")["items"]
    hold_to_order(taken)
    assert [(one.json["data"]["id"], one.json["at"]) for one in taken] == [
        (one["id"], one["at"]) for one in asked
    ]
    assert [one.json["data"]["facts"].get("days") for one in taken] == [None, 30, 7, 1, None]
    seats = [one.json["state"]["products"][0]["seats"] for one in taken]
    assert seats == [10, 10, 10, 10, 0]


def test_a_notice_that_is_told_late_has_the_state_of_its_position(
    program: Program, clock: Path, receiver: Receiver
) -> None:
    with program.served() as server:
        desk = Desk(program, server)
        desk.redeem("acme")
        clock.write_text("2027-03-15T09:00:00Z")
        desk.redeem("acme")
        late = ["notice.subscription.ending", "notice.subscription.ended"]
        desk.add(receiver.url, kinds=["account.changed", *late], after=0)
        taken = [one.json for one in receiver.wait_for(6)]
        for one in taken:
            path = f"/accounts/acme/subscriptions?as_of={one['state']['as_of']}"
            view = desk.ask("GET", path)["products"][0]["seats"]
            assert one["state"]["products"][0]["seats"] == view, one["type"]
    told = [one["state"]["as_of"][:10] for one in taken if one["type"] in late]
    assert told == ["2027-03-15"] * 4


def test_single_kinds_of_notices_are_sent_alone(
    program: Program, clock: Path, receiver: Receiver
) -> None:
    with program.served() as server:
        desk = Desk(program, server)
        desk.add(receiver.url, kinds=["notice.subscription.ending", "notice.seats.full"])
        desk.redeem("acme")
        clock.write_text("2027-03-01T09:00:00Z")
        taken = [one.json for one in receiver.wait_for(3)]
        asked = desk.ask("GET", "/notices?kind=subscription.ending")["items"]
    assert [(one["type"], one["sequence"]) for one in taken] == [
        ("notice.subscription.ending", number) for number in (1, 2, 3)
    ]
    assert [one["data"]["id"] for one in taken] == [one["id"] for one in asked]


def test_a_webhook_that_fails_is_told_to_the_others_and_to_nobody_twice(
    program: Program, clock: Path, receiver: Receiver
) -> None:
    with program.served() as server, Receiver() as broken:
        broken.respond([NEVER])
        desk = Desk(program, server)
        failing = desk.add(broken.url)["id"]
        desk.add(receiver.url, kinds=["notice.*"])
        desk.redeem("acme")
        wait_until(lambda: len(broken.received) >= 2)
        clock.write_text("2026-03-05T09:00:00Z")
        told = [one.json for one in receiver.wait_for(2)]
        assert [one["type"] for one in told] == [
            "notice.subscription.started",
            "notice.webhook.failing",
        ]
        assert told[1]["data"]["subject"] == failing
        assert "path" not in json.dumps(told)
        (notice,) = desk.ask("GET", "/notices?kind=webhook.failing")["items"]
        assert notice["id"] == told[1]["data"]["id"]
