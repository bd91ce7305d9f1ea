"""The rules of one access token."""

from __future__ import annotations

import pytest

from ledger.refusals import FieldError, InvalidRequest, TokenNotFound
from ledger.streams import token
from ledger.streams.token import ROLES, TOKEN, Role, Token, TokenCreated, TokenRevoked
from tests.worlds import DAY, NOON, SECOND, Rule, folded, rows

PORTAL = TokenCreated(token="kft_one", role="portal", reseller=None, expires_at=NOON + DAY)
RESELLER = TokenCreated(token="kft_one", role="reseller", reseller="Northwind")

RULES: list[Rule[Token | None]] = [
    Rule(
        "access is given until a date",
        [],
        lambda t: token.create(t, "kft_one", "portal", None, NOON + DAY),
        [PORTAL],
    ),
    Rule(
        "a reseller's token is bound to its name",
        [],
        lambda t: token.create(t, "kft_one", "reseller", "Northwind", None),
        [RESELLER],
    ),
    Rule(
        "a reseller's token needs a name",
        [],
        lambda t: token.create(t, "kft_one", "reseller", None, None),
        InvalidRequest(FieldError("/reseller", "a token of role reseller needs one")),
    ),
    Rule(
        "a token is taken back",
        [(NOON, PORTAL)],
        token.revoke,
        [TokenRevoked()],
    ),
    Rule(
        "one that was taken back stays as it is",
        [(NOON, PORTAL), (NOON, TokenRevoked())],
        token.revoke,
        [],
    ),
    Rule("an unknown token is not found", [], token.revoke, TokenNotFound()),
]


@rows(RULES)
def test_the_rules_of_a_token(case: Rule[Token | None]) -> None:
    case.check(TOKEN)


@pytest.mark.parametrize("role", [role for role in ROLES if role != "reseller"])
def test_no_other_role_is_bound_to_a_reseller(role: Role) -> None:
    with pytest.raises(InvalidRequest) as caught:
        token.create(None, "kft_one", role, "Northwind", None)
    assert caught.value.errors == (FieldError("/reseller", f"a token of role {role} has none"),)


def test_the_same_token_asked_for_again_is_not_recorded_again() -> None:
    known = folded(TOKEN, (NOON, PORTAL))
    assert token.create(known, "kft_one", "portal", None, None) == []
    with pytest.raises(InvalidRequest) as caught:
        token.create(known, "kft_one", "admin", None, None)
    assert [error.pointer for error in caught.value.errors] == ["/role"]


def test_a_token_lets_nobody_in_once_it_is_over() -> None:
    limited = folded(TOKEN, (NOON, PORTAL))
    assert limited == Token("kft_one", "portal", None, NOON, NOON + DAY)
    assert limited.valid(NOON + DAY - SECOND)
    assert not limited.valid(NOON + DAY)
    lasting = folded(TOKEN, (NOON, RESELLER))
    assert lasting == Token("kft_one", "reseller", "Northwind", NOON, None)
    assert lasting.valid(NOON + 36_500 * DAY)
    revoked = folded(TOKEN, (NOON, RESELLER), (NOON + SECOND, TokenRevoked()))
    assert revoked is not None
    assert revoked.revoked_at == NOON + SECOND
    assert not revoked.valid(NOON + SECOND)


def test_the_ledger_knows_a_token_by_a_keyed_digest() -> None:
    id = token.token_id(b"k" * 32, "kf_secret")
    assert id == token.token_id(b"k" * 32, "kf_secret")
    assert id != token.token_id(b"x" * 32, "kf_secret")
    assert id != token.token_id(b"k" * 32, "kf_secreu")
    assert id.startswith("kft_")
    assert TOKEN.name(token.stream_id(id)) == "token-" + id.removeprefix("kft_")
    assert "secret" not in id
