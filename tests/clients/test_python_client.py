"""The Python client, built, installed, and used over a network that loses answers."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from tests.clients.conftest import Built, install
from tests.clients.losing_proxy import BROKEN, BUSY, LATER, LOST, LosingProxy

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


class Client:
    """The installed package."""

    def __init__(self) -> None:
        self.package: Any = importlib.import_module("keyfold_client")
        self.models: Any = importlib.import_module("keyfold_client.models")
        self.operations: Any = importlib.import_module("keyfold_client.operations")
        generated: Any = importlib.import_module("keyfold_client.generated.api.keys.issue_keys")
        self.issue_keys_detailed = generated.sync_detailed


@pytest.fixture(scope="module")
def client(built: Built) -> Iterator[Client]:
    target = install(built.folder / "python", built.folder / "installed")
    sys.path.insert(0, str(target))
    try:
        yield Client()
    finally:
        sys.path.remove(str(target))
        for name in [name for name in sys.modules if name.startswith("keyfold_client")]:
            del sys.modules[name]


@pytest.fixture
def keyfold(built: Built, proxy: LosingProxy, client: Client) -> Iterator[Any]:
    with client.package.connect(proxy.url, built.token) as connected:
        yield connected


def order(client: Client, count: int = 1, seats: int = 2) -> Any:
    return client.models.IssueKeys(
        product="cloud_pos", seats=seats, months=12, reseller="Alpine Tills", count=count
    )


def redemption(client: Client, account: str, code: str) -> Any:
    return client.models.RedeemCode(account=account, session="visit", code=code)


def test_the_main_job(client: Client, keyfold: Any) -> None:
    place = ("acme", "cloud_pos", "till:1")
    issued = client.operations.issue_keys(client=keyfold, body=order(client))
    body = redemption(client, "acme", issued.keys[0].code)
    redeemed = client.operations.redeem_key(client=keyfold, body=body)
    assert redeemed.subscription.seats == 2
    assert client.operations.occupy_seat(*place, client=keyfold).licensed
    found = client.operations.get_seat(*place, client=keyfold)
    assert (found.holder, found.licensed) == ("till:1", True)
    assert found.occupied_at < datetime.now(UTC)
    released = client.operations.release_seat(*place, client=keyfold)
    assert released.status_code == 204


def test_the_program_in_its_readme_fits_its_types(
    built: Built, client: Client, tmp_path: Path
) -> None:
    readme = (built.folder / "python" / "README.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    (tmp_path / "program.py").write_text(program)
    check = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "program.py"]
    installed = Path(client.package.__file__).parents[1]
    environ = {**os.environ, "MYPYPATH": str(installed)}
    ran = subprocess.run(
        check, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout


def test_a_list_is_read_to_its_end(client: Client, keyfold: Any) -> None:
    issued = client.operations.issue_keys(client=keyfold, body=order(client, count=5))
    listing = client.operations.list_keys
    listed = client.package.items(listing, client=keyfold, batch=issued.batch, limit=2)
    assert {key.id for key in listed} == {key.id for key in issued.keys}


@pytest.mark.parametrize("mishaps", [[LOST], [BUSY], [BUSY, LOST]], ids=" and ".join)
def test_what_takes_a_key_is_tried_again_and_done_once(
    client: Client, keyfold: Any, proxy: LosingProxy, mishaps: list[str]
) -> None:
    proxy.mishaps["POST /v1/keys"] = list(mishaps)
    issue = client.issue_keys_detailed
    issued = issue(client=keyfold, body=order(client))
    assert proxy.passed_on["POST /v1/keys"] == 1 + mishaps.count(LOST)
    assert ("Idempotency-Replayed" in issued.headers) == (LOST in mishaps)
    another = issue(client=keyfold, body=order(client))
    assert another.parsed.batch != issued.parsed.batch, "each call has a key of its own"


def test_reads_and_seats_are_tried_again(client: Client, keyfold: Any, proxy: LosingProxy) -> None:
    issued = client.operations.issue_keys(client=keyfold, body=order(client))
    body = redemption(client, "bolt", issued.keys[0].code)
    client.operations.redeem_key(client=keyfold, body=body)
    place = ("bolt", "cloud_pos", "till-1")
    path = "/v1/accounts/bolt/seats/cloud_pos/till-1"
    proxy.mishaps = {f"PUT {path}": [LOST], f"GET {path}": [LOST, BUSY]}
    client.operations.occupy_seat(*place, client=keyfold)
    assert client.operations.get_seat(*place, client=keyfold).licensed
    assert (proxy.passed_on[f"PUT {path}"], proxy.passed_on[f"GET {path}"]) == (2, 2)


def test_what_takes_no_key_is_sent_once(client: Client, keyfold: Any, proxy: LosingProxy) -> None:
    issued = client.operations.issue_keys(client=keyfold, body=order(client))
    path = f"POST /v1/keys/{issued.keys[0].id}/reveal"
    proxy.mishaps[path] = [LOST]
    reveal = client.operations.reveal_key
    with pytest.raises(httpx.RemoteProtocolError):
        reveal(issued.keys[0].id, client=keyfold, body=client.models.Reasoned(reason="Too many"))
    assert proxy.passed_on[path] == 1


def test_it_gives_up_in_the_end(client: Client, built: Built, proxy: LosingProxy) -> None:
    proxy.mishaps["GET /v1/keys"] = [BUSY] * 2
    connected = client.package.connect(proxy.url, built.token, retries=1)
    with connected as keyfold, pytest.raises(httpx.HTTPStatusError, match="503"):
        client.operations.list_keys(client=keyfold)
    assert proxy.passed_on["GET /v1/keys"] == 0


def test_what_is_to_wait_for_longer_than_anybody_waits_is_told_at_once(
    client: Client, keyfold: Any, proxy: LosingProxy
) -> None:
    proxy.mishaps["GET /v1/keys"] = [LATER]
    with pytest.raises(client.package.Problem) as later:
        client.operations.list_keys(client=keyfold)
    assert (later.value.code, later.value.retry_after_s) == ("quota_exceeded", 3600)
    # Nothing but the code has to be there.
    assert (later.value.detail, later.value.request_id) == ("", "")
    assert proxy.passed_on["GET /v1/keys"] == 0


def test_a_refusal_that_is_none_of_keyfolds_is_told_as_such(
    client: Client, keyfold: Any, proxy: LosingProxy
) -> None:
    proxy.mishaps["GET /v1/keys"] = [BROKEN]
    with pytest.raises(httpx.HTTPStatusError, match="400"):
        client.operations.list_keys(client=keyfold)


def test_a_no_is_raised_with_its_code(client: Client, keyfold: Any) -> None:
    issue, problem = client.operations.issue_keys, client.package.Problem
    with pytest.raises(problem) as wrong:
        issue(client=keyfold, body=order(client, seats=0))
    assert (wrong.value.status, wrong.value.code) == (422, "invalid_request")
    assert [one["pointer"] for one in wrong.value.errors] == ["/seats"]
    assert wrong.value.request_id.startswith("req_")
    redeem = client.operations.redeem_key
    with pytest.raises(problem) as mistyped:
        redeem(client=keyfold, body=redemption(client, "acme", "POS-0000-0000"))
    assert mistyped.value.code == "invalid_key_format"


@pytest.mark.parametrize("holder", [".", ".."])
def test_an_id_that_would_lead_elsewhere_is_not_sent(
    client: Client, keyfold: Any, proxy: LosingProxy, holder: str
) -> None:
    release = client.operations.release_seat
    with pytest.raises(client.package.Problem, match="no id is"):
        release("acme", "cloud_pos", holder, client=keyfold)
    assert not proxy.passed_on


def test_messages_are_verified(client: Client) -> None:
    body, now = '{"type": "test"}', datetime.now(UTC)
    signed = Webhook(SECRET).sign("msg_1", now, body)
    headers = {
        "Webhook-Id": "msg_1",
        "Webhook-Timestamp": str(int(now.timestamp())),
        "Webhook-Signature": signed,
    }
    verify, refused = client.package.verify, client.package.WebhookVerificationError
    assert verify(SECRET, body.encode(), headers) == {"type": "test"}
    for wrong in (
        {**headers, "Webhook-Timestamp": "1700000000"},
        {**headers, "Webhook-Id": "msg_2"},
        {},
    ):
        with pytest.raises(refused):
            verify(SECRET, body.encode(), wrong)
    with pytest.raises(refused):
        verify(SECRET, b'{"type": "other"}', headers)
