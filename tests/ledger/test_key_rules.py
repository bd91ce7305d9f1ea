"""The rules of one activation key."""

from __future__ import annotations

from msgspec.structs import replace

from ledger.events import Sealed
from ledger.refusals import (
    KeyAlreadyRedeemed,
    KeyAlreadyRevoked,
    KeyLapsed,
    KeyNotAvailable,
    KeyNotFound,
)
from ledger.streams import key
from ledger.streams.key import KEY, Key, KeyIssued, KeyRedeemed, KeyReissued, KeyRevoked
from tests.worlds import DAY, NOON, SECOND, Rule, folded, rows

ISSUED = KeyIssued(
    key="key_one",
    masked="POS-••••-••••-7K2M",
    batch="bat_one",
    index=4,
    generation=0,
    derived=True,
    product="cloud_pos",
    tier=None,
    seats=5,
    months=12,
    reseller="Northwind",
)
LIMITED = replace(ISSUED, redeem_by=NOON + 10 * DAY)
REDEEMED = KeyRedeemed(account="acme", subscription="kfsub_one")
REASON = Sealed(owner="reseller-Northwind", box="Ym94")
REVOKED = KeyRevoked(reason=REASON)
REISSUED = KeyReissued(replaced_by="key_two", reason=REASON)
SUCCESSOR = replace(
    ISSUED, key="key_two", masked="POS-••••-••••-WXYZ", generation=1, replaces="key_one"
)

Rules = list[Rule[Key | None]]


def redeem(key_: Key | None) -> object:
    return key.redeem(key_, "acme", "kfsub_one", NOON + DAY)


REDEEMING: Rules = [
    Rule("an issued key is redeemed", [(NOON, ISSUED)], redeem, [REDEEMED]),
    Rule("an unknown key is not available", [], redeem, KeyNotAvailable()),
    Rule(
        "a redeemed key is not available, also to the account that has it",
        [(NOON, ISSUED), (NOON, REDEEMED)],
        redeem,
        KeyNotAvailable(),
    ),
    Rule(
        "a revoked key is not available",
        [(NOON, ISSUED), (NOON, REVOKED)],
        redeem,
        KeyNotAvailable(),
    ),
    Rule(
        "a key whose code was replaced is not available",
        [(NOON, ISSUED), (NOON, REISSUED)],
        redeem,
        KeyNotAvailable(),
    ),
    Rule(
        "a key can be redeemed until just before its date",
        [(NOON, LIMITED)],
        lambda k: key.redeem(k, "acme", "kfsub_one", NOON + 10 * DAY - SECOND),
        [REDEEMED],
    ),
    Rule(
        "a key has lapsed at its date",
        [(NOON, LIMITED)],
        lambda k: key.redeem(k, "acme", "kfsub_one", NOON + 10 * DAY),
        KeyNotAvailable(),
    ),
]


def revoke(key_: Key | None) -> object:
    return key.revoke(key_, None, REASON)


def revoke_as_stranger(key_: Key | None) -> object:
    return key.revoke(key_, "Southwind", REASON)


REVOKING: Rules = [
    Rule("the vendor revokes an issued key", [(NOON, ISSUED)], revoke, [REVOKED]),
    Rule(
        "its reseller revokes an issued key",
        [(NOON, ISSUED)],
        lambda k: key.revoke(k, "Northwind", REASON),
        [REVOKED],
    ),
    Rule("a revoked key stays as it is", [(NOON, ISSUED), (NOON, REVOKED)], revoke, []),
    Rule("a replaced key stays as it is", [(NOON, ISSUED), (NOON, REISSUED)], revoke, []),
    Rule(
        "a replaced key stays as it is, though it had been redeemed",
        [(NOON, ISSUED), (NOON, REDEEMED), (NOON, REISSUED)],
        revoke,
        [],
    ),
    Rule(
        "a lapsed key can be revoked for good",
        [(NOON - 20 * DAY, replace(ISSUED, redeem_by=NOON - 10 * DAY))],
        revoke,
        [REVOKED],
    ),
    Rule("an unknown key cannot be revoked", [], revoke, KeyNotFound()),
    Rule(
        "another reseller's key does not exist",
        [(NOON, ISSUED)],
        revoke_as_stranger,
        KeyNotFound(),
    ),
    Rule(
        "a redeemed key cannot be revoked",
        [(NOON, ISSUED), (NOON, REDEEMED)],
        revoke,
        KeyAlreadyRedeemed(),
    ),
    Rule(
        "order: another reseller's redeemed key does not exist",
        [(NOON, ISSUED), (NOON, REDEEMED)],
        revoke_as_stranger,
        KeyNotFound(),
    ),
]


def reissue(key_: Key | None, reseller: str | None = None) -> object:
    return key.reissue(
        key_,
        reseller,
        successor="key_two",
        masked="POS-••••-••••-WXYZ",
        reason=REASON,
        now=NOON + 10 * DAY,
    )


def reissue_as_stranger(key_: Key | None) -> object:
    return reissue(key_, "Southwind")


REISSUING: Rules = [
    Rule(
        "an issued key is replaced by one that is issued",
        [(NOON, ISSUED)],
        reissue,
        ([REISSUED], [SUCCESSOR], SUCCESSOR),
    ),
    Rule(
        "a redeemed key is replaced by one that was redeemed at the same time",
        [(NOON, ISSUED), (NOON + DAY, REDEEMED)],
        reissue,
        ([REISSUED], [SUCCESSOR, replace(REDEEMED, redeemed_at=NOON + DAY)], SUCCESSOR),
    ),
    Rule(
        "a replaced key's successor keeps the moment of the first redemption",
        [(NOON, SUCCESSOR), (NOON + 2 * DAY, replace(REDEEMED, redeemed_at=NOON + DAY))],
        lambda k: key.reissue(
            k, None, successor="key_three", masked="m", reason=None, now=NOON + 3 * DAY
        ),
        (
            [KeyReissued(replaced_by="key_three")],
            [
                replace(SUCCESSOR, key="key_three", masked="m", generation=2, replaces="key_two"),
                replace(REDEEMED, redeemed_at=NOON + DAY),
            ],
            replace(SUCCESSOR, key="key_three", masked="m", generation=2, replaces="key_two"),
        ),
    ),
    Rule(
        "an imported key's successor is derived, and can be shown again",
        [(NOON, replace(ISSUED, derived=False))],
        reissue,
        ([REISSUED], [SUCCESSOR], SUCCESSOR),
    ),
    Rule(
        "a redeemed key's date does not matter any more",
        [(NOON, LIMITED), (NOON, REDEEMED)],
        reissue,
        (
            [REISSUED],
            [
                replace(SUCCESSOR, redeem_by=NOON + 10 * DAY),
                replace(REDEEMED, redeemed_at=NOON),
            ],
            replace(SUCCESSOR, redeem_by=NOON + 10 * DAY),
        ),
    ),
    Rule("an unknown key cannot be reissued", [], reissue, KeyNotFound()),
    Rule(
        "another reseller's key does not exist",
        [(NOON, ISSUED)],
        reissue_as_stranger,
        KeyNotFound(),
    ),
    Rule(
        "a revoked key cannot be reissued",
        [(NOON, ISSUED), (NOON, REVOKED)],
        reissue,
        KeyAlreadyRevoked(),
    ),
    Rule(
        "a replaced key cannot be reissued: its successor can",
        [(NOON, ISSUED), (NOON, REISSUED)],
        reissue,
        KeyAlreadyRevoked(),
    ),
    Rule("a lapsed key cannot be reissued", [(NOON, LIMITED)], reissue, KeyLapsed()),
    Rule(
        "order: another reseller's revoked and lapsed key does not exist",
        [(NOON, LIMITED), (NOON, REVOKED)],
        reissue_as_stranger,
        KeyNotFound(),
    ),
    Rule(
        "order: a revoked key that has lapsed, too, is revoked",
        [(NOON, LIMITED), (NOON, REVOKED)],
        reissue,
        KeyAlreadyRevoked(),
    ),
]


@rows(REDEEMING + REVOKING + REISSUING)
def test_the_rules_of_a_key(case: Rule[Key | None]) -> None:
    case.check(KEY)


def test_a_key_says_what_it_is_at_a_moment() -> None:
    lapsing = folded(KEY, (NOON, LIMITED))
    assert lapsing is not None
    assert lapsing.status(NOON + 10 * DAY - SECOND) == "issued"
    assert lapsing.status(NOON + 10 * DAY) == "lapsed"
    redeemed = folded(KEY, (NOON, LIMITED), (NOON, REDEEMED))
    assert redeemed is not None
    assert redeemed.status(NOON + 20 * DAY) == "redeemed"
    replaced = folded(KEY, (NOON, LIMITED), (NOON, REDEEMED), (NOON, REISSUED))
    assert replaced is not None
    assert replaced.status(NOON + 20 * DAY) == "revoked"


def test_a_key_remembers_all_that_its_page_shows() -> None:
    assert folded(KEY, (NOON, ISSUED), (NOON + DAY, REDEEMED), (NOON + 2 * DAY, REISSUED)) == Key(
        issued=ISSUED,
        issued_at=NOON,
        redeemed_at=NOON + DAY,
        redeemed_by="acme",
        subscription="kfsub_one",
        revoked_at=NOON + 2 * DAY,
        replaced_by="key_two",
    )


def test_a_keys_stream_is_named_after_its_digest() -> None:
    assert KEY.name(key.stream_id("key_abc")) == "key-abc"
