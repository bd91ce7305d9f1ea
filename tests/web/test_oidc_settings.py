"""KEYFOLD_OIDC_…: all that is needed or none, and each as it should be."""

from __future__ import annotations

from datetime import timedelta

import pytest

from commands.gateways.oidc_addresses import is_safe_address
from web.app.settings import SettingError, read_settings

ENOUGH = {
    "KEYFOLD_OIDC_ISSUER": "https://login.example/realms/staff",
    "KEYFOLD_OIDC_CLIENT_ID": "keyfold",
    "KEYFOLD_OIDC_CLIENT_SECRET": "of-the-client",
}


def test_none_is_set_up_unless_it_is() -> None:
    assert read_settings({}).oidc is None
    assert read_settings(dict.fromkeys(ENOUGH, "")).oidc is None


def test_what_is_left_out_has_a_default() -> None:
    found = read_settings(ENOUGH).oidc
    assert found is not None
    assert (found.issuer, found.client_id, found.client_secret) == tuple(ENOUGH.values())
    assert (found.role_claim, found.reseller_claim) == ("keyfold_role", "keyfold_reseller")
    assert [role for role, value in found.roles if role == value] == [
        "admin", "support", "auditor", "reseller",
    ]  # fmt: skip
    assert found.lifetime == timedelta(hours=12)


def test_roles_are_read_in_the_order_written() -> None:
    text = "support = the desk,admin=a=b, admin=chiefs"
    found = read_settings({**ENOUGH, "KEYFOLD_OIDC_ROLES": text}).oidc
    assert found is not None
    assert found.roles == (("support", "the desk"), ("admin", "a=b"), ("admin", "chiefs"))


@pytest.mark.parametrize("left_out", ENOUGH)
def test_some_without_the_others_are_refused_by_the_name_of_one_that_is_there(
    left_out: str,
) -> None:
    given = {name: value for name, value in ENOUGH.items() if name != left_out}
    with pytest.raises(SettingError, match=f"needs {left_out} beside it") as caught:
        read_settings(given)
    assert caught.value.variable in given
    with pytest.raises(SettingError, match=r"^KEYFOLD_OIDC_ROLES needs KEYFOLD_OIDC_ISSUER"):
        read_settings({"KEYFOLD_OIDC_ROLES": "admin=x"})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ISSUER", "http://login.example", "an address like https://login.example"),
        ("ISSUER", "login.example", "an address like https://login.example"),
        ("ISSUER", "https://login.example/?tenant=1", "an address like https://login.example"),
        ("ROLES", "portal=x", "of admin, support, auditor, reseller"),
        ("ROLES", "admin", "must hold roles and what gives them"),
        ("ROLES", "admin=x,,", "must hold roles and what gives them"),
        ("SESSION_MINUTES", "0", "from 1 to 720"),
        ("SESSION_MINUTES", "721", "from 1 to 720"),
        ("SESSION_MINUTES", "½", "from 1 to 720"),
    ],
)
def test_one_that_will_not_do_is_refused_by_its_name(name: str, value: str, said: str) -> None:
    variable = f"KEYFOLD_OIDC_{name}"
    with pytest.raises(SettingError, match=f"^{variable} must ") as caught:
        read_settings({**ENOUGH, variable: value})
    assert said in str(caught.value)
    assert "of-the-client" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://login.example", True),
        ("https://login.example:8443/a?b=c", True),
        ("http://127.0.0.1:8080/a", True),
        ("http://localhost", True),
        ("http://[::1]:80", True),
        ("http://10.0.0.1", False),
        ("http://localhost.example", False),
        ("http://127.0.0.1@login.example", False),
        ("https://a@login.example", False),
        ("https://login.example/#a", False),
        ("https://login.example/\r\nx", False),
        ("https://login.example:99999", False),
        ("https://", False),
        ("javascript:alert(1)", False),
        ("//login.example", False),
        ("", False),
    ],
)
def test_what_goes_to_the_provider_is_read_by_nobody_else(url: str, safe: bool) -> None:
    assert is_safe_address(url) is safe
