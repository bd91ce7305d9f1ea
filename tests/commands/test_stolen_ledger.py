"""A stolen ledger: no code can be found in its bytes, whatever was done with it."""

from __future__ import annotations

import base64
import contextlib
import logging
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from commands.change_subscription import terminate_subscription
from commands.import_keys import import_keys
from commands.issue_keys import issue_keys
from commands.occupy_seat import Sitting, occupy_seat
from commands.redeem_key import Try, redeem_key, validate_key
from commands.reissue_key import reissue_key
from commands.reveal_codes import reveal_codes
from commands.revoke_key import revoke_key
from commands.services import Services
from ledger.refusals import Refusal
from tests.worlds import INT_ORDER, POS_ORDER, context, issue, services

IMPORTED = "POS-2345-ABCD-WXYZ"
REFUSED_LINE = "POS-6789-EFGH-JKLM"
UNKNOWN = "INT-2345-NEVR-SOLD"
MISTYPED = "POS-0123-TYPO-CODE"


def live_through(world: Services) -> list[str]:
    """Do everything that there is to do with codes; answer all codes that were ever seen."""
    order = replace(INT_ORDER, count=4, note="for the spring fair")
    issued = issue_keys(world, context(), order, idempotency_key="order-1")
    issue_keys(world, context(), order, idempotency_key="order-1")
    redeemed, revoked, replaced, kept = issued.keys
    for attempt in (redeemed.code, f"  {kept.code.lower()} "):
        validate_key(world, context(), Try("acme", "s-1", attempt))
    for _ in range(2):
        redeem_key(world, context(), Try("acme", "s-1", redeemed.code), idempotency_key="r-1")
    revoke_key(world, context(), revoked.id, "lost")
    reissued = [
        reissue_key(world, context(), key.id, "seen by others") for key in (redeemed, replaced)
    ]
    tries = [redeemed.code, revoked.code, replaced.code.lower(), UNKNOWN, MISTYPED, f" {UNKNOWN}\t"]
    for n, code in enumerate(tries):
        for product in ("integrations", "cloud_pos"):
            with contextlib.suppress(Refusal):
                validate_key(world, context(), Try("acme", f"s-{n}", code, product))
            with contextlib.suppress(Refusal):
                redeem_key(world, context(), Try("acme", f"s-{n}", code), idempotency_key=f"t-{n}")
    reveal_codes(world, context(), issued.batch, "audit")
    import_keys(
        world,
        context(),
        [
            "code,product,tier,seats,months,reseller,redeem_by",
            f"{IMPORTED},cloud_pos,,5,12,Northwind,",
            f"{IMPORTED.lower()},cloud_pos,,5,12,Northwind,",
            f"{REFUSED_LINE},cloud_pos,,none,12,Northwind,",
            f"{kept.code},integrations,growth,5,12,Northwind,",
            f"{MISTYPED},cloud_pos,,5,12,Northwind,",
            f"{REFUSED_LINE},cloud_pos,,5,12,{REFUSED_LINE},",
            f"cloud_pos,{REFUSED_LINE},,5,12,Northwind,",
        ],
    )
    given = redeem_key(world, context(), Try("beta", "s-1", IMPORTED))
    reissued.append(reissue_key(world, context(), world.codes.key_id(IMPORTED), "seen by others"))
    occupy_seat(world, context(), Sitting("acme", "integrations", "growth", "shop", "front"))
    terminate_subscription(world, context(), "beta", given.subscription, "never paid")
    return [
        *(key.code for key in issued.keys),
        *(key.code for key in reissued),
        IMPORTED,
        REFUSED_LINE,
        UNKNOWN,
        MISTYPED,
    ]


def everything_stored(world: Services) -> bytes:
    """All bytes of the ledger and of the table beside it."""
    rows = world.book.store.read_from(0, 10_000)
    owners = ["account-acme", "account-beta", "reseller-Northwind", "ledger"]
    keys = [world.book.store.text_keys.get(owner) or b"" for owner in owners]
    return b"\n".join(
        [*(b"|".join((r.stream.encode(), r.name.encode(), r.state)) for r in rows), *keys]
    )


def forms(code: str) -> Iterator[bytes]:
    """In what forms a code could be found."""
    letters = code.partition("-")[2]
    compact = letters.replace("-", "")
    for text in (code, letters, letters.replace("-", " "), compact, compact[:8], compact[2:10]):
        for form in (text, text.lower(), text[::-1]):
            yield form.encode()
            yield base64.b64encode(form.encode()).rstrip(b"=")
            yield form.encode().hex().encode()


@pytest.fixture
def world(caplog: pytest.LogCaptureFixture) -> Services:
    caplog.set_level(logging.DEBUG)
    return services()


def test_no_code_is_in_any_byte_that_is_stored_or_logged(
    world: Services, caplog: pytest.LogCaptureFixture
) -> None:
    codes = live_through(world)
    stolen = everything_stored(world) + caplog.text.encode()
    assert len(codes) == 11
    assert stolen.count(b"key.issued@1") == 8  # or else there is nothing to find
    for code in codes:
        found = [form for form in forms(code) if form in stolen]
        assert found == []


def test_only_the_last_group_is_there_and_free_text_is_not(world: Services) -> None:
    codes = live_through(world)
    stolen = everything_stored(world)
    assert b"-" + codes[0][-4:].encode() in stolen
    for text in (b"spring fair", b"seen by others", b"never paid", b"front", b"audit"):
        assert text not in stolen


def test_what_this_looks_for_would_be_found(world: Services) -> None:
    code = issue(world, POS_ORDER).code
    for leak in (code, code.lower(), code[4:].replace("-", ""), code.encode().hex()):
        assert any(form in leak.encode() for form in forms(code))


def test_a_code_and_the_bytes_do_not_come_together_without_the_secret(world: Services) -> None:
    code = issue(world).code
    stranger = world.codes._replace(derivation=b"x" * 32, lookup=b"x" * 32)
    stored = everything_stored(world)
    assert world.codes.key_id(code).removeprefix("key_").encode() in stored
    assert stranger.key_id(code).removeprefix("key_").encode() not in stored
