"""Messages are sent, signed and in order, whatever the receiver and the machine do."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import Program, Server, wait_until
from tests.webhooks.receiver import HANG_UP, Received, Receiver

KINDS = ["account.changed", "key.changed", "notice.*"]
SEATED = "account.seat_occupied@1"
HOLDERS = [f"till-{number}" for number in range(6)]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(params=["sqlite", "postgres"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Program:
    program = Program(tmp_path, {"KEYFOLD_WEBHOOK_HOSTS": "127.0.0.1"})
    if request.param == "postgres":
        program.settings["KEYFOLD_DATABASE_URL"] = request.getfixturevalue("postgres_ledger_url")
        program.settings["KEYFOLD_SECRET"] = "c2VjcmV0IG9mIHRoaXMgdGVzdCwgMzIgYnl0ZXMgbG9uZw=="
    program.done("db", "upgrade")
    return program


class Desk:
    """An administrator of a served ledger."""

    def __init__(self, program: Program, server: Server) -> None:
        self.token = str(program.json("tokens", "create", "--role", "admin")["token"])
        self.server = server
        self.program = program

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        sent = None if body is None else json.dumps(body)
        status, text = self.server.request(method, f"/v1{path}", self.token, sent)
        assert status < 300, (path, status, text)
        return json.loads(text) if text else None

    def add(self, url: str, **fields: Any) -> dict[str, str]:
        added: dict[str, str] = self.ask(
            "POST", "/webhooks", {"url": url, "kinds": KINDS, **fields}
        )
        return added

    def issue(self, reseller: str = "North", seats: int = 10) -> str:
        order = {"product": "cloud_pos", "seats": seats, "months": 12, "reseller": reseller}
        return str(self.ask("POST", "/keys", order)["keys"][0]["code"])

    def redeem(self, account: str, reseller: str = "North") -> None:
        body = {"code": self.issue(reseller), "account": account, "session": "s"}
        self.ask("POST", "/keys/redeem", body)

    def sit(self, account: str, holder: str) -> None:
        self.ask("PUT", f"/accounts/{account}/seats/cloud_pos/{holder}", {})

    def fill(self, *accounts: str) -> int:
        """Let things happen to accounts; return how many messages tell of it."""
        for account in accounts:
            self.redeem(account)
        for holder in HOLDERS:
            for account in accounts:
                self.sit(account, holder)
        # Issued, redeemed, activated, a notice of that, and each holder.
        return len(accounts) * (4 + len(HOLDERS))


def hold_to_order(taken: list[Received]) -> None:
    """Hold what each account was told to being in order and without gaps, once repeats are out."""
    for account in {one.json["account"] for one in taken}:
        told = [one.json["sequence"] for one in taken if one.json["account"] == account]
        assert [number for number, _ in groupby(told)] == list(range(1, max(told) + 1)), told


def used(message: Received) -> int:
    return int(message.json["state"]["products"][0]["used"])


def test_messages_come_in_order_signed_with_the_state_of_their_position(
    program: Program, receiver: Receiver
) -> None:
    with program.served("--workers", "2") as server:
        desk = Desk(program, server)
        secret = desk.add(receiver.url)["secret"]
        count = desk.fill("acme", "blue")
        taken = receiver.wait_for(count)
    hold_to_order(taken)
    assert all(one.is_signed_by(secret) for one in taken)
    assert len({one.id for one in taken}) == count
    for one in taken:
        told = one.json
        assert list(told) == [
            "id", "type", "at", "position", "account", "sequence", "data", "state",
        ]  # fmt: skip
        assert told["id"] == one.id
        if told["account"] is None:
            assert (told["type"], told["state"]) == ("key.changed", None)
            continue
        assert told["state"]["position"] == told["position"]
        assert told["state"]["account"] == told["account"]
    seated = [one for one in taken if one.json["data"].get("event") == SEATED]
    acme = [used(one) for one in seated if one.json["account"] == "acme"]
    assert acme == list(range(1, len(HOLDERS) + 1))


def test_what_is_refused_is_tried_again_and_keeps_only_its_own_account_waiting(
    program: Program, receiver: Receiver
) -> None:
    receiver.respond([500, 200, HANG_UP, 200, 302, 200])
    receiver.location = receiver.url
    with program.served() as server:
        desk = Desk(program, server)
        id = desk.add(receiver.url, kinds=["account.changed"])["id"]
        desk.redeem("acme")
        desk.sit("acme", "till-1")
        desk.redeem("blue")
        taken = receiver.wait_for(3, 60)
        hold_to_order(taken)
        wait_until(lambda: desk.ask("GET", f"/webhooks/{id}")["waiting"] == 0)
        tries = desk.ask("GET", f"/webhooks/{id}/deliveries")["items"]
    problems = {one["problem"] for one in tries}
    assert problems >= {None, "status 500", "the connection was closed before a response"}
    assert sum(one["delivered"] for one in tries) == 3
    assert all("till" not in json.dumps(one) for one in tries)


def test_a_killed_sender_sends_at_most_the_last_message_again(
    program: Program, receiver: Receiver
) -> None:
    receiver.delay_s = 0.05
    with program.served() as server:
        desk = Desk(program, server)
        desk.add(receiver.url, kinds=["account.changed"])
        desk.fill("acme", "blue")
        count = 2 * (1 + len(HOLDERS))
        receiver.wait_for(3)
        server.process.kill()
        server.process.wait()
    before = len(receiver.received)
    assert before < count
    with program.served():
        wait_until(lambda: len({one.id for one in receiver.taken}) == count)
    hold_to_order(receiver.taken)
    again = [
        one.id
        for one in receiver.received[before:]
        if one.id in {earlier.id for earlier in receiver.received[:before]}
    ]
    assert again in ([], [receiver.received[before - 1].id])
    assert len(receiver.received) <= count + 1


def test_of_two_servers_one_sends_and_the_other_goes_on_when_it_is_killed(
    program: Program, receiver: Receiver
) -> None:
    receiver.delay_s = 0.02
    with program.served() as first, program.served() as second:
        desk = Desk(program, second)
        desk.add(receiver.url, kinds=["account.changed"])
        desk.fill("acme")
        receiver.wait_for(1 + len(HOLDERS))
        assert len(receiver.received) == 1 + len(HOLDERS)
        first.process.kill()
        first.process.wait()
        desk.fill("blue")
        wait_until(lambda: len({one.id for one in receiver.taken}) == 2 * (1 + len(HOLDERS)))
    hold_to_order(receiver.taken)
    assert len(receiver.received) <= 2 * (1 + len(HOLDERS)) + 1


def test_rotated_secrets_sign_together_and_a_replay_sends_the_same_again(
    program: Program, receiver: Receiver
) -> None:
    with program.served() as server:
        desk = Desk(program, server)
        added = desk.add(receiver.url)
        webhook = f"/webhooks/{added['id']}"
        count = desk.fill("acme")
        receiver.wait_for(count)
        rotated = desk.ask("POST", f"{webhook}/rotate")
        assert rotated["secret"] != added["secret"]
        message = desk.ask("POST", f"{webhook}/test")["message"]
        test = receiver.wait_for(count + 1)[-1]
        assert (test.id, test.json["type"]) == (message, "webhook.test")
        assert test.is_signed_by(added["secret"])
        assert test.is_signed_by(rotated["secret"])
        desk.ask("POST", f"{webhook}/replay", {"after": 0})
        again = receiver.wait_for(2 * count + 1)[count + 1 :]
        first = {one.id: one.body for one in receiver.taken[:count]}
        assert {one.id: one.body for one in again} == first
        middle = sorted(one.json["position"] for one in again)[count // 2]
        desk.ask("POST", f"{webhook}/replay", {"after": middle})
        later = {one.id for one in again if one.json["position"] > middle}
        receiver.wait_for(2 * count + 1 + len(later))
        assert {one.id for one in receiver.taken[2 * count + 1 :]} == later
        desk.ask("DELETE", webhook)
        assert server.request("GET", f"/v1{webhook}", desk.token)[0] == 404
    assert len(receiver.received) == 2 * count + 1 + len(later)


def test_a_message_that_is_not_taken_for_three_days_disables_it_until_a_replay(
    tmp_path: Path, receiver: Receiver
) -> None:
    clock = tmp_path / "clock"
    clock.write_text("2026-03-01T09:00:00Z")
    program = Program(
        tmp_path, {"KEYFOLD_WEBHOOK_HOSTS": "127.0.0.1", "KEYFOLD_TEST_CLOCK": str(clock)}
    )
    program.done("db", "upgrade")
    receiver.respond([503])
    with program.served() as server:
        desk = Desk(program, server)
        id = desk.add(receiver.url)["id"]
        desk.redeem("acme")
        wait_until(lambda: len(receiver.received) >= 2)
        assert desk.ask("GET", f"/webhooks/{id}")["failing_since"] is not None
        clock.write_text("2026-03-04T09:00:00Z")
        wait_until(lambda: desk.ask("GET", f"/webhooks/{id}")["status"] == "disabled")
        desk.sit("acme", "till-1")
        status, text = server.request("POST", f"/v1/webhooks/{id}/test", desk.token)
        assert (status, json.loads(text)["code"]) == (409, "webhook_not_sending")
        receiver.respond([200])
        desk.ask("POST", f"/webhooks/{id}/replay", {"after": 0})
        hold_to_order(receiver.wait_for(5))


def test_a_reseller_hears_of_its_own_keys_and_of_what_they_gave(
    tmp_path: Path, receiver: Receiver
) -> None:
    program = Program(tmp_path, {"KEYFOLD_WEBHOOK_HOSTS": "127.0.0.1"})
    program.done("db", "upgrade")
    with program.served() as server:
        desk = Desk(program, server)
        desk.add(receiver.url, reseller="North")
        desk.redeem("acme", "South")
        desk.redeem("acme", "North")
        for holder in HOLDERS:
            desk.sit("acme", holder)
        desk.redeem("acme", "North")
        taken = receiver.wait_for(8)
    assert len(receiver.received) == 8
    hold_to_order(taken)
    told = json.dumps([one.json for one in taken])
    assert "till" not in told
    assert "South" not in told
    assert not any({"actor", "request_id", "refs"} & set(one.json["data"]) for one in taken)
    last = taken[-1].json["state"]["products"][0]
    assert (last["seats"], len(last["rows"]), last["over"]) == (20, 2, 0)


def test_nothing_that_is_kept_holds_a_secret_or_an_address(
    tmp_path: Path, receiver: Receiver
) -> None:
    program = Program(tmp_path, {"KEYFOLD_WEBHOOK_HOSTS": "127.0.0.1"})
    program.done("db", "upgrade")
    with program.served() as server:
        desk = Desk(program, server)
        secret = desk.add(f"{receiver.url}/path-that-is-a-password")["secret"]
        desk.redeem("acme")
        receiver.wait_for(3)
        metrics = server.get("/metrics")[1]
        assert server.stop() == 0
        log = server.log.read_text()
    with closing(sqlite3.connect(tmp_path / "keyfold.db")) as database:
        dumped = "\n".join(database.iterdump())
    for kept in (dumped, log, metrics):
        assert secret.removeprefix("whsec_") not in kept
        assert "path-that-is-a-password" not in kept
