"""Every "no": its code, its title, its facts."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from ledger import refusals
from ledger.refusals import (
    AllowanceExceeded,
    AllowanceSpent,
    FieldError,
    HolderInOtherTier,
    InvalidRequest,
    KeyAlreadyYours,
    NoSeatAvailable,
    OrderDecided,
    Refusal,
    SubscriptionElsewhere,
    SubscriptionNotChangeable,
    TooManyAttempts,
    TooManyNoticeLinks,
    VersionMismatch,
)

ALL = refusals.refusals()

CODES = {
    "invalid_request",
    "too_many_attempts",
    "invalid_key_format",
    "wrong_product",
    "key_already_yours",
    "key_not_available",
    "idempotency_key_reused",
    "key_not_found",
    "key_already_redeemed",
    "key_already_revoked",
    "key_lapsed",
    "batch_not_found",
    "codes_not_derivable",
    "version_mismatch",
    "holder_in_other_tier",
    "no_seat_available",
    "product_not_found",
    "seat_not_occupied",
    "subscription_not_found",
    "subscription_ended",
    "token_not_found",
}


def test_codes_are_what_outsiders_know() -> None:
    assert set(ALL) >= CODES


def test_a_code_is_its_class_in_other_letters() -> None:
    for code, refusal in ALL.items():
        assert re.sub(r"(?<!^)(?=[A-Z])", "_", refusal.__name__).lower() == code


TITLES = {
    "too_many_attempts": "Too many failed attempts",
    "invalid_key_format": "Invalid key format",
    "wrong_product": "Wrong product prefix",
    "key_not_available": "This activation key is not available",
}
EXAMPLES: dict[str, Refusal] = {
    "invalid_request": InvalidRequest(
        FieldError("/seats", "must be from 1 to 9"), FieldError("/tier", "is missing")
    ),
    "too_many_attempts": TooManyAttempts(900),
    "version_mismatch": VersionMismatch(3),
    "holder_in_other_tier": HolderInOtherTier("growth"),
    "no_seat_available": NoSeatAvailable(2, 3),
    "key_already_yours": KeyAlreadyYours("kfsub_x", datetime(2026, 3, 1, tzinfo=UTC)),
    "subscription_elsewhere": SubscriptionElsewhere("beta"),
    "allowance_exceeded": AllowanceExceeded(3),
    "allowance_spent": AllowanceSpent(4),
    "order_decided": OrderDecided("declined"),
    "subscription_not_changeable": SubscriptionNotChangeable("sub_1", "past_due"),
    "too_many_notice_links": TooManyNoticeLinks(20),
}


@pytest.mark.parametrize("code", ALL)
def test_a_title_is_one_sentence_for_a_person(code: str) -> None:
    title = (EXAMPLES.get(code) or ALL[code]()).title
    assert title == TITLES.get(code, title)
    assert title[0].isupper()
    assert not title.endswith(".")


def test_a_refusal_says_what_it_was_decided_on() -> None:
    assert {code: str(refusal) for code, refusal in EXAMPLES.items()} == {
        "invalid_request": "/seats: must be from 1 to 9; /tier: is missing",
        "too_many_attempts": "try again in 900 s",
        "version_mismatch": "the account is at version 3",
        "holder_in_other_tier": "the holder sits in tier growth",
        "no_seat_available": "3 of 2 seats are taken",
        "key_already_yours": "it gave this account kfsub_x",
        "subscription_elsewhere": "it was transferred to beta",
        "allowance_exceeded": "3 seats are left of what was granted",
        "allowance_spent": "4 seats can be taken away at most: the others are spent",
        "order_decided": "it was declined",
        "subscription_not_changeable": "sub_1 is past_due: see Stripe's own pages first",
        "too_many_notice_links": "20 may be in use: revoke one that nobody needs any more",
    }


def test_every_refusal_is_in_the_modules_list() -> None:
    listed = set(re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b", refusals.__doc__ or ""))
    ours = {refusal.__name__ for refusal in ALL.values() if refusal.__module__ == refusals.__name__}
    assert ours - listed == {"TokenNotFound", "PersonNotFound"}  # alone, so they have no order
    assert listed <= ours
