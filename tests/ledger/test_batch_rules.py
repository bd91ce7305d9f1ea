"""The rules of one batch of keys."""

from __future__ import annotations

from msgspec.structs import replace

from ledger.events import Sealed
from ledger.refusals import BatchNotFound, CodesNotDerivable, IdempotencyKeyReused
from ledger.streams import batch
from ledger.streams.batch import BATCH, Batch, CodesRevealed, KeysImported, KeysIssued
from tests.worlds import DAY, NOON, Rule, folded, rows

ORDER = KeysIssued(
    batch="bat_one",
    prefix="POS",
    product="cloud_pos",
    tier=None,
    seats=5,
    months=12,
    count=10,
    reseller="Northwind",
    redeem_by=None,
    note=None,
    fingerprint="abc",
)
IMPORTED = KeysImported(batch="bat_two", first_index=0, count=1_000)
MORE = KeysImported(batch="bat_two", first_index=1_000, count=7)
REASON = Sealed(owner="reseller-Northwind", box="d2h5")

RULES: list[Rule[Batch | None]] = [
    Rule("an order is carried out", [], lambda b: batch.issue(b, ORDER), [ORDER]),
    Rule(
        "the same order again is known",
        [(NOON, ORDER)],
        lambda b: b is not None and batch.is_order(b, ORDER.fingerprint),
        True,
    ),
    Rule(
        "another order with the same key is refused",
        [(NOON, ORDER)],
        lambda b: batch.issue(b, replace(ORDER, fingerprint="xyz")),
        IdempotencyKeyReused(),
    ),
    Rule(
        "an order never falls together with an import",
        [(NOON, IMPORTED)],
        lambda b: batch.issue(b, ORDER),
        IdempotencyKeyReused(),
    ),
    Rule("an import begins at zero", [], lambda b: batch.take_in(b, "bat_two", 1_000), IMPORTED),
    Rule(
        "and goes on where it stopped",
        [(NOON, IMPORTED)],
        lambda b: batch.take_in(b, "bat_two", 7),
        MORE,
    ),
    Rule(
        "the vendor sees the codes again",
        [(NOON, ORDER)],
        lambda b: batch.reveal(b, None, REASON),
        [CodesRevealed(reason=REASON)],
    ),
    Rule(
        "their reseller sees the codes again, each time on record",
        [(NOON, ORDER), (NOON, CodesRevealed(reason=REASON))],
        lambda b: batch.reveal(b, "Northwind", REASON),
        [CodesRevealed(reason=REASON)],
    ),
    Rule(
        "one key's code is shown again",
        [(NOON, IMPORTED)],
        lambda _: batch.reveal_one("key_one", REASON),
        [CodesRevealed(reason=REASON, key="key_one")],
    ),
    Rule(
        "an unknown batch is not found",
        [],
        lambda b: batch.reveal(b, None, REASON),
        BatchNotFound(),
    ),
    Rule(
        "another reseller's batch does not exist",
        [(NOON, ORDER)],
        lambda b: batch.reveal(b, "Southwind", REASON),
        BatchNotFound(),
    ),
    Rule(
        "imported codes cannot be shown",
        [(NOON, IMPORTED)],
        lambda b: batch.reveal(b, None, REASON),
        CodesNotDerivable(),
    ),
    Rule(
        "order: for a reseller an imported batch does not exist",
        [(NOON, IMPORTED)],
        lambda b: batch.reveal(b, "Northwind", REASON),
        BatchNotFound(),
    ),
]


@rows(RULES)
def test_the_rules_of_a_batch(case: Rule[Batch | None]) -> None:
    case.check(BATCH)


def test_a_batch_knows_its_order_and_size() -> None:
    assert folded(BATCH, (NOON, ORDER), (NOON + DAY, CodesRevealed())) == Batch(
        id="bat_one", issued=ORDER, recorded_at=NOON, size=10
    )
    assert folded(BATCH, (NOON, IMPORTED), (NOON + DAY, MORE)) == Batch(
        id="bat_two", issued=None, recorded_at=NOON, size=1_007
    )


def test_a_batchs_stream_is_named_after_its_id() -> None:
    assert BATCH.name(batch.stream_id("bat_abc")) == "batch-abc"
