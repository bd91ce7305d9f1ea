"""Access is given with a token, and taken back."""

from __future__ import annotations

import re
from datetime import timedelta, timezone

import pytest

from commands.give_access import create_token, revoke_token
from commands.services import Services
from ledger.refusals import TokenNotFound
from ledger.streams.token import ROLES, TOKEN, TokenCreated, TokenRevoked, stream_id, token_id
from tests.worlds import DAY, NOON, another_worker, context, happened, recorded, services


@pytest.fixture
def world() -> Services:
    return services()


@pytest.mark.parametrize("role", ROLES)
def test_a_token_is_recorded_by_its_digest_alone(world: Services, role: str) -> None:
    reseller = "Northwind" if role == "reseller" else None
    expires_at = (NOON + DAY).astimezone(timezone(timedelta(hours=2)))
    asked = context(request_id="req_seven")
    given = create_token(world, asked, role, reseller=reseller, expires_at=expires_at)
    assert re.fullmatch("kf_[a-z2-7]{40}", given.secret)
    assert given.position == 1
    assert given.token.id == token_id(world.token_key, given.secret)
    assert recorded(world) == [
        happened(
            1,
            TOKEN.name(stream_id(given.token.id)),
            1,
            TokenCreated(
                token=given.token.id,
                role=given.token.role,
                reseller=reseller,
                expires_at=NOON + DAY,
            ),
            request_id="req_seven",
        )
    ]
    assert given.token.role == role
    (row,) = world.book.store.read_from(0, 9)
    assert given.secret[3:].encode() not in row.state
    assert b"2026-03-02T12:00:00Z" in row.state


def test_every_token_is_another_one(world: Services) -> None:
    given = [create_token(world, context(), "portal") for _ in range(10)]
    assert len({one.secret for one in given}) == len({one.token.id for one in given}) == 10


def test_a_token_is_taken_back_once(world: Services) -> None:
    given = create_token(world, context(), "portal")
    asked = context(NOON + DAY, actor="kft_one", request_id="req_seven")
    taken_back = revoke_token(world, asked, given.token.id)
    assert recorded(world, after=1) == [
        happened(
            2,
            TOKEN.name(stream_id(given.token.id)),
            2,
            TokenRevoked(),
            at=NOON + DAY,
            actor="kft_one",
            request_id="req_seven",
        )
    ]
    assert taken_back.loaded.state is not None
    assert taken_back.loaded.state.revoked_at == NOON + DAY
    assert taken_back.position == 2
    assert not taken_back.loaded.state.valid(NOON + DAY)
    assert (
        revoke_token(another_worker(world), context(NOON + 2 * DAY), given.token.id) == taken_back
    )
    assert world.book.head() == 2


def test_an_unknown_token_is_not_found(world: Services) -> None:
    for id in ("kft_unknown", "", create_token(world, context(), "portal").secret):
        with pytest.raises(TokenNotFound):
            revoke_token(world, context(), id)
    assert world.book.head() == 1
