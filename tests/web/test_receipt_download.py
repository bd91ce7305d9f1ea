"""A key's receipt over HTTP: a file to keep, which proves itself without us."""

from __future__ import annotations

import pytest

from commands.sign_checkpoint import NEXT_STEP
from tests.proof.attacks import attacker
from tests.proof.auditors import Auditor
from tests.web.api import RESELLER, Api, stored_api
from tests.worlds import DAY


@pytest.fixture
def auditor(tmp_path_factory: pytest.TempPathFactory) -> Auditor:
    return Auditor(tmp_path_factory.mktemp("auditor"))


@pytest.fixture
def keys(any_api: Api) -> str:
    """Return what signatures are checked with, as an auditor was given it."""
    (vkey,) = any_api.get("auditor", "/v1/checkpoint/keys").body["keys"]
    return str(vkey)


def redeemed(api: Api) -> str:
    """Issue and redeem a key, and answer its id."""
    return api.redeem("acme").replace("kfsub_", "key_")


def test_it_is_a_file_that_verifies_offline(any_api: Api, auditor: Auditor, keys: str) -> None:
    key = redeemed(any_api)
    got = any_api.get("support", f"/v1/keys/{key}/receipt")
    assert got.status == 200
    assert got.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert got.headers["Content-Disposition"] == f'attachment; filename="{key}.tlog-proof"'
    assert got.headers["Cache-Control"] == "no-store"
    auditor.keeps("receipt", got.raw)
    said = auditor.verifies("receipt", "--key", keys)
    assert (said.code, said.wrong) == (0, [])
    assert f"key.redeemed@1 on {key.replace('key_', 'key-')}, version 2" in said.lines[2]
    assert '"account":"acme"' in said.lines[3]


def test_of_a_key_that_nobody_redeemed_it_is_of_its_issue(
    any_api: Api, auditor: Auditor, keys: str
) -> None:
    key = any_api.issue()["id"]
    auditor.keeps("receipt", any_api.get("auditor", f"/v1/keys/{key}/receipt").raw)
    said = auditor.verifies("receipt", "--key", keys)
    assert (said.code, said.wrong) == (0, [])
    assert "key.issued@1" in said.lines[2]


def test_an_earlier_receipt_stays_good(any_api: Api, auditor: Auditor, keys: str) -> None:
    key = redeemed(any_api)
    auditor.keeps("receipt", any_api.get("admin", f"/v1/keys/{key}/receipt").raw)
    any_api.clock.forward(days=DAY.days)
    redeemed(any_api)
    any_api.get("admin", f"/v1/keys/{key}/receipt")
    assert auditor.verifies("receipt", "--key", keys).code == 0


def test_a_reseller_gets_those_of_its_own_keys_alone(api: Api) -> None:
    mine = api.issue(reseller=RESELLER)["id"]
    assert api.get("reseller", f"/v1/keys/{mine}/receipt").status == 200
    got = api.get("other", f"/v1/keys/{mine}/receipt")
    assert (got.status, got.code) == (404, "key_not_found")


@pytest.mark.parametrize("key", ["key_" + "a" * 26, "key_x", "POS"])
def test_there_is_none_of_a_key_that_was_never_issued(api: Api, key: str) -> None:
    got = api.get("auditor", f"/v1/keys/{key}/receipt")
    assert (got.status, got.code) == (404, "key_not_found")


def test_none_is_written_of_an_event_that_was_changed(database_url: str) -> None:
    with stored_api(database_url) as api:
        key = redeemed(api)
        assert api.get("auditor", f"/v1/keys/{key}/receipt").status == 200
        with attacker(database_url) as evil:
            ((position,),) = evil.run(
                "SELECT position FROM keyfold_events WHERE originator_id = ? AND topic = ?",
                key.replace("key_", "key-"),
                "key.redeemed@1",
            )
            evil.run(
                "UPDATE keyfold_events SET state = ? WHERE position = ?",
                api.services.book.store.read_from(position - 1, 1)[0].state.replace(
                    b"acme", b"acmf"
                ),
                position,
            )
        got = api.get("auditor", f"/v1/keys/{key}/receipt")
        assert (got.status, got.code) == (503, "ledger_altered")
        assert got.body["detail"] == (
            f"The event at position {position} is not the one that was hashed: {NEXT_STEP}."
        )


def test_it_can_wait_for_the_redemption(api: Api) -> None:
    key = redeemed(api)
    path = f"/v1/keys/{key}/receipt?min_position="
    assert api.get("auditor", f"{path}{api.head}").status == 200
    got = api.get("auditor", f"{path}{api.head + 1}")
    assert (got.status, got.code) == (503, "position_not_reached")
