"""Digests that the ledger is searched by are the same for ever.

A request that is repeated after an upgrade must find its answer, a token its stream, a file its
batch. Never change `tests/golden/digests.json`: give what must change another name beside the old.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest

from commands.import_keys import import_keys
from commands.issue_keys import Order, issue_keys
from commands.redeem_key import Try, redeem_key
from ledger.refusals import KeyNotAvailable
from ledger.streams.batch import KeysIssued
from ledger.streams.request import RedemptionAnswered
from ledger.streams.token import token_id
from tests.worlds import DAY, NOON, context, recorded, services

GOLDEN: dict[str, str] = json.loads(
    (Path(__file__).parents[1] / "golden" / "digests.json").read_text("utf-8")
)


def digests() -> dict[str, str]:
    world = services()
    order = Order(
        "integrations", "growth", 5, 12, 1, "Northwind", redeem_by=NOON + DAY, note="for the fair"
    )
    issued = issue_keys(world, context(), order, idempotency_key="order-1", scope="kft_one")
    (batch, _) = recorded(world)
    bare = Order("cloud_pos", None, 1, 1, 1, "Northwind")
    unscoped = issue_keys(world, context(), bare, idempotency_key="order-2")
    wanted = Try("acme", "s-1", "POS-2345-ABCD-WXYZ", "cloud_pos")
    with pytest.raises(KeyNotAvailable):
        redeem_key(world, context(), wanted, idempotency_key="r-1")
    with pytest.raises(KeyNotAvailable):
        redeem_key(world, context(), wanted._replace(product=None), idempotency_key="r-2")
    answers = [event for event in recorded(world) if isinstance(event.fact, RedemptionAnswered)]
    imported = import_keys(
        world,
        context(),
        [
            "code,product,tier,seats,months,reseller,redeem_by",
            "POS-2345-ABCD-WXYZ,cloud_pos,,5,12,Northwind,",
            "INT-2345-ABCD-WXYZ,integrations,growth,5,12,Northwind,2027-12-31",
        ],
    )
    return {
        "batch of an order": issued.batch,
        "batch of an order of no caller": unscoped.batch,
        "fingerprint of an order": cast(KeysIssued, batch.fact).fingerprint,
        "fingerprint of an order without tier, date and note": cast(
            KeysIssued, recorded(world)[2].fact
        ).fingerprint,
        "stream of a redemption": answers[0].stream,
        "fingerprint of a redemption": cast(RedemptionAnswered, answers[0].fact).fingerprint,
        "fingerprint of a redemption of any product": cast(
            RedemptionAnswered, answers[1].fact
        ).fingerprint,
        "batch of an imported file": imported.batch or "",
        "id of a token": token_id(world.token_key, "kf_" + "a" * 40),
    }


def test_digests_are_what_they_always_were() -> None:
    assert digests() == GOLDEN
