"""One of several processes that race: `python -m tests.races.worker SCENARIO INDEX`.

It wires Keyfold from the environment, says `ready`, waits for a line on standard input, and then
does its share of the scenario: one line of JSON on standard output for each thing it was answered.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from random import Random
from typing import Any

from commands.change_subscription import transfer_subscription
from commands.issue_keys import Issued, IssuedKey, Order, issue_keys
from commands.occupy_seat import Sitting, occupy_seat
from commands.order_keys import order_keys
from commands.redeem_key import Try, redeem_key
from commands.revoke_key import revoke_key
from ledger.refusals import Refusal
from web.app.services import Wiring, wire
from web.app.settings import read_settings

HOLDERS_EACH = 10
TRANSFERRING = 4


def redeem(wiring: Wiring, index: int, code: str) -> Iterator[dict[str, Any]]:
    """Try one code on an account of our own."""
    wanted = Try(account=f"account-{index}", session=f"s-{index}", code=code)
    context = wiring.request_context("operator", f"race-{index}")
    try:
        yield {"subscription": redeem_key(wiring.services, context, wanted).subscription}
    except Refusal as refusal:
        yield {"refused": refusal.code}


def occupy(wiring: Wiring, index: int, account: str) -> Iterator[dict[str, Any]]:
    """Want a seat for each of ten holders of our own."""
    for number in range(HOLDERS_EACH):
        holder = f"till-{index}-{number}"
        context = wiring.request_context("operator", f"race-{holder}")
        try:
            occupy_seat(wiring.services, context, Sitting(account, "cloud_pos", None, holder))
            yield {"holder": holder}
        except Refusal as refusal:
            yield {"refused": refusal.code, "holder": holder}


def order(wiring: Wiring, index: int, idempotency_key: str) -> Iterator[dict[str, Any]]:
    """Place the same order as everybody else."""
    context = wiring.request_context("operator", f"race-{index}")
    wanted = Order(
        product="cloud_pos", tier=None, seats=3, months=12, count=50, reseller="north", note="n"
    )
    issued = issue_keys(wiring.services, context, wanted, idempotency_key=idempotency_key)
    yield {"batch": issued.batch, "codes": [key.code for key in issued.keys]}


def guess(wiring: Wiring, index: int, argument: str) -> Iterator[dict[str, Any]]:
    """Try codes on one account in one session: wrong ones, and in between one that is right."""
    right = argument.split()[index]
    for number in range(10):
        code = right if number == index % 5 + 2 else f"POS-AAAA-BBBB-{index + 2}AA{number % 8 + 2}"
        context = wiring.request_context("operator", f"race-{index}-{number}")
        try:
            redeem_key(wiring.services, context, Try("acme", "kiosk", code))
            yield {"redeemed": True}
        except Refusal as refusal:
            yield {"refused": refusal.code}


def renew(wiring: Wiring, index: int, argument: str) -> Iterator[dict[str, Any]]:
    """Redeem two codes of our own on one account, each to follow what there is."""
    for number, code in enumerate(argument.split()[index * 2 : index * 2 + 2]):
        context = wiring.request_context("operator", f"race-{index}-{number}")
        wanted = Try("acme", f"s-{index}", code, start="when_current_ends")
        yield {"subscription": redeem_key(wiring.services, context, wanted).subscription}


def transfer(wiring: Wiring, index: int, subscription: str) -> Iterator[dict[str, Any]]:
    """Move a subscription to and fro, or want seats on the accounts that it is moved between."""
    for number in range(HOLDERS_EACH):
        there, other = ("acme", "beta") if (index + number) % 2 else ("beta", "acme")
        context = wiring.request_context("operator", f"race-{index}-{number}")
        try:
            if index < TRANSFERRING:
                transfer_subscription(
                    wiring.services, context, there, subscription, "to and fro", to=other
                )
            else:
                holder = f"till-{index}-{number}"
                occupy_seat(wiring.services, context, Sitting(there, "cloud_pos", None, holder))
            yield {"done": number}
        except Refusal as refusal:
            yield {"refused": refusal.code}


def spend(wiring: Wiring, index: int, argument: str) -> Iterator[dict[str, Any]]:
    """Order out of one allowance; revoke or redeem some of what that gave.

    What is done in each step depends on its number alone, so that who was killed does the rest as
    it would have. What an earlier order gave it learns by placing it again, with the same key.
    """
    asked = json.loads(argument)

    def place(step: int) -> list[IssuedKey]:
        random = Random(f"{asked['seed']}-{index}-{step}")
        seats, count = random.randint(1, 5), random.randint(1, 3)
        context = wiring.request_context(f"kft_race{index}", f"race-{index}-{step}")
        wanted = Order("cloud_pos", None, seats, 12, count, asked["reseller"])
        issued = order_keys(
            wiring.services, context, wanted, wanted.reseller, idempotency_key=f"{index}-{step}"
        )
        assert isinstance(issued, Issued)
        return issued.keys

    def use(key: IssuedKey, step: int, *, revokes: bool) -> dict[str, Any]:
        # A code that was used is not shown again: it was done, and nobody heard of it.
        if key.code != key.masked:
            context = wiring.request_context("operator", f"race-{index}-{step}-{key.id}")
            if revokes:
                revoke_key(wiring.services, context, key.id, "Not needed")
            else:
                wanted = Try(f"account-{index}", f"s-{index}-{step}", key.code)
                redeem_key(wiring.services, context, wanted)
        return {"revoked" if revokes else "redeemed": key.id}

    for step in range(asked["begin_at"], asked["steps"]):
        done: dict[str, Any] = {"step": step}
        try:
            keys = place(step)
            done["keys"] = [key.id for key in keys]
            if step % 3:
                done |= use(keys[0], step, revokes=step % 3 == 1)
        except Refusal as refusal:
            done["refused"] = refusal.code
        yield done


SCENARIOS = {
    "spend": spend,
    "renew": renew,
    "transfer": transfer,
    "guess": guess,
    "redeem": redeem,
    "occupy": occupy,
    "order": order,
}


def main() -> None:
    scenario, index = sys.argv[1], int(sys.argv[2])
    wiring = wire(read_settings())
    wiring.services.book.head()
    print("ready", flush=True)
    argument = sys.stdin.readline().strip()
    for answer in SCENARIOS[scenario](wiring, index, argument):
        print(json.dumps(answer), flush=True)
    print("done", flush=True)


if __name__ == "__main__":
    main()
