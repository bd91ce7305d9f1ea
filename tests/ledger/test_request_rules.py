"""The rules of a request that may be repeated."""

from __future__ import annotations

from ledger.refusals import IdempotencyKeyReused
from ledger.streams import request
from ledger.streams.request import (
    REQUEST,
    Kept,
    KeptKey,
    KeysChosen,
    KeysReissueAnswered,
    KeysRevokeAnswered,
    ManyKeys,
    RedemptionAnswered,
)
from tests.worlds import NOON, Rule, rows

ANSWERED = RedemptionAnswered(
    fingerprint="abc",
    account="acme",
    subscription="kfsub_one",
    account_version=1,
    refusal=None,
)

RULES: list[Rule[Kept | None]] = [
    Rule("a new request has no answer yet", [], lambda a: request.repeated(a, "abc"), None),
    Rule(
        "a repeated one has",
        [(NOON, ANSWERED)],
        lambda a: request.repeated(a, "abc"),
        ANSWERED,
    ),
    Rule(
        "another request with the same key is refused",
        [(NOON, ANSWERED)],
        lambda a: request.repeated(a, "xyz"),
        IdempotencyKeyReused(),
    ),
    Rule(
        "a reissue has the keys of all its commits",
        [
            (NOON, KeysReissueAnswered(fingerprint="abc", keys=("key_a", "key_b"))),
            (NOON, KeysReissueAnswered(fingerprint="abc", keys=("key_c",), finished=True)),
        ],
        lambda a: request.repeated_work(a, "abc"),
        ManyKeys("abc", keys=("key_a", "key_b", "key_c"), finished=True),
    ),
    Rule(
        "a revocation knows which keys it is about, what was revoked, and what was kept",
        [
            (NOON, KeysChosen(fingerprint="abc", keys=("key_a", "key_b"))),
            (NOON, KeysChosen(fingerprint="abc", kept=(KeptKey("key_c", "redeemed"),))),
            (NOON, KeysRevokeAnswered(fingerprint="abc", keys=("key_a",))),
            (NOON, KeysRevokeAnswered(fingerprint="abc", kept=(KeptKey("key_b", "revoked"),))),
        ],
        lambda a: request.repeated_work(a, "abc"),
        ManyKeys(
            "abc",
            chosen=("key_a", "key_b"),
            keys=("key_a",),
            kept=(KeptKey("key_c", "redeemed"), KeptKey("key_b", "revoked")),
        ),
    ),
]


@rows(RULES)
def test_the_rules_of_a_repeated_request(case: Rule[Kept | None]) -> None:
    case.check(REQUEST)
