"""`keyfold doctor` finds what is wrong, says how to mend it, and prints no secret."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from commands.gateways.stripe_checks import EVENTS
from ledger.store import schema
from tests.cli.program import ROOT, Program
from tests.console.planted_provider import planted_provider
from tests.pairs import Pair
from tests.postgres_server import OwnServer
from tests.stripe_server import StripeServer
from web.app.setting_names import VARIABLES

KEY = "rk_test_of_the_doctors_test"
SIGNING = "whsec_of_the_doctors_test"
SECRET = "ZG9jdG9ycyBzZWNyZXQsIGRvIG5vdCBwcmludCBpdCE="
PUBLIC = "https://licences.example"
ENDPOINT = f"{PUBLIC}/webhooks/stripe"


def examined(program: Program, *arguments: str, code: int = 0) -> dict[str, tuple[str, str, str]]:
    """Return the worst of what is said of each check: status, detail, mend."""
    ran = program.run("doctor", "--json", *arguments)
    assert ran.code == code, ran
    assert ran.err == ""
    for secret in (KEY, SIGNING, SECRET, "pass-word"):
        assert secret not in ran.out
    assert ran.json["ok"] is (code == 0)
    found: dict[str, tuple[str, str, str]] = {}
    order = ("skipped", "ok", "warn", "fail")
    for one in ran.json["items"]:
        if order.index(one["status"]) >= order.index(found.get(one["name"], ("skipped",))[0]):
            found[one["name"]] = one["status"], one["detail"], one["mend"]
    for status, _, mend in found.values():
        assert (mend is not None) == (status in ("warn", "fail"))
    return found


def status(found: dict[str, tuple[str, str, str]]) -> dict[str, str]:
    return {name: one[0] for name, one in found.items()}


def test_a_ledger_in_good_health(filled: Program) -> None:
    found = examined(filled, "--offline")
    assert set(status(found).values()) == {"ok", "skipped"}
    assert found["tables"][0] == found["secret"][0] == found["durability"][0] == "ok"
    lines = filled.done("doctor", "--offline").out.splitlines()
    assert lines[0].startswith("ok      settings: ")
    assert lines[-1].endswith("checks: 0 failed, 0 to look at")


def test_what_is_there_before_the_tables_are(bare: Program) -> None:
    found = examined(bare, "--offline", code=1)
    assert found["tables"][2] == "run: keyfold db upgrade"
    assert status(found)["ledger"] == "skipped"
    assert list(bare.folder.iterdir()) == []
    bare.done("db", "upgrade")
    assert status(examined(bare, "--offline"))["secret"] == "ok"
    assert not (bare.folder / "keyfold.secret").exists()


def test_settings_that_are_wrong_are_all_told_of_and_the_rest_is_looked_at(filled: Program) -> None:
    filled.settings |= {
        "KEYFOLD_MEMO_STREAMS": "many",
        "KEYFOLD_PUBLIC_URL": "licences",
        "KEYFOLD_PUBLIC_ULR": PUBLIC,
        "STRIPE_API_KEY": "pk_test_1",
    }
    ran = filled.run("doctor")
    assert ran.code == 1
    told = [line for line in ran.out.splitlines() if " settings: " in line]
    assert len(told) == 4
    assert "did you mean KEYFOLD_PUBLIC_URL?" in ran.out
    assert "ok      tables: " in ran.out
    assert "skipped stripe: " in ran.out


def test_settings_that_cannot_be_read_are_another_exit_code(filled: Program) -> None:
    filled.settings["KEYFOLD_ENV_FILE"] = "nowhere.env"
    assert status(examined(filled, code=2))["settings"] == "fail"


def test_files_secret_and_clock(filled: Program) -> None:
    (filled.folder / "keyfold.db").chmod(0o644)
    assert examined(filled, "--offline")["files"][2] == "run: keyfold db upgrade"
    filled.settings["KEYFOLD_SECRET"] = SECRET
    assert "not the one" in examined(filled, "--offline", code=1)["secret"][1]
    del filled.settings["KEYFOLD_SECRET"]
    (filled.folder / "keyfold.secret").unlink()
    assert "keyfold.secret back" in examined(filled, "--offline", code=1)["secret"][2]
    assert not (filled.folder / "keyfold.secret").exists()


def test_an_unfinished_restore(bare: Program) -> None:
    bare.done("db", "upgrade")
    schema.begin_restore(f"sqlite:///{bare.folder}/keyfold.db")
    assert examined(bare, "--offline", code=1)["tables"][2] == "run: keyfold restore FILE"


def test_a_loss_that_was_accepted(
    filled: Program, tmp_path_factory: pytest.TempPathFactory
) -> None:
    filled.done("backup", "early.kfb")
    filled.done("tokens", "create", "--role", "auditor")
    filled.done("audit", "checkpoint", "--output", "later.txt")
    assert status(examined(filled, "--offline"))["history"] == "ok"
    folder = tmp_path_factory.mktemp("restored")
    (folder / "keyfold.secret").write_bytes((filled.folder / "keyfold.secret").read_bytes())
    (folder / "keyfold.secret").chmod(0o600)
    restored = Program(folder, filled.settings)
    files = [str(filled.folder / name) for name in ("early.kfb", "later.txt")]
    restored.done("restore", files[0], "--checkpoint", files[1], "--accept-loss")
    told = examined(restored, "--offline", code=1)["history"]
    assert told[0] == "fail"
    assert "nothing is signed" in told[1]


def test_a_damaged_file(filled: Program) -> None:
    file = filled.folder / "keyfold.db"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2] + b"\xff" * (len(content) // 2))
    found = examined(filled, "--offline", code=1)
    assert "fail" in (found["pages"][0] if "pages" in found else found["database"][0])


# PostgreSQL


def test_postgres_that_syncs_and_one_that_does_not(
    bare: Program, durable_postgres_server: OwnServer
) -> None:
    server = durable_postgres_server
    bare.settings |= {"KEYFOLD_DATABASE_URL": server.admin_url, "KEYFOLD_SECRET": SECRET}
    bare.done("db", "upgrade")
    found = examined(bare, "--offline")
    assert (found["durability"][0], found["clock"][0]) == ("ok", "ok")
    assert found["database"][1].endswith("primary")
    assert server.admin_url.split(":")[2].partition("@")[0] not in str(found)
    server.stop()
    found = examined(bare, "--offline", code=1)
    assert (found["database"][0], found["tables"][0]) == ("fail", "skipped")
    with (server.data / "postgresql.conf").open("a") as conf:
        conf.write("\nfsync = off\nfull_page_writes = off\n")
    server.start()
    assert examined(bare, "--offline", code=1)["durability"][2] == (
        "set fsync = on, full_page_writes = on in postgresql.conf"
    )


def test_nothing_at_the_address(bare: Program) -> None:
    bare.settings |= {
        "KEYFOLD_DATABASE_URL": "postgresql://keyfold:pass-word@127.0.0.1:1/keyfold",
        "KEYFOLD_SECRET": SECRET,
    }
    found = examined(bare, "--offline", code=1)
    assert "does not answer" in found["database"][1]
    assert status(found)["secret"] == "skipped"


def test_a_standby(bare: Program, pair: Pair) -> None:
    bare.settings |= {"KEYFOLD_DATABASE_URL": pair.url, "KEYFOLD_SECRET": SECRET}
    bare.done("tokens", "create", "--role", "admin")
    pair.wait_for_standby(1)
    bare.settings["KEYFOLD_DATABASE_URL"] = pair.standby_url
    found = examined(bare, "--offline")
    assert (found["role"][0], found["secret"][0], found["tables"][0]) == ("warn", "ok", "ok")


# Stripe


@pytest.fixture
def stripe() -> Iterator[StripeServer]:
    with StripeServer(KEY, now=int(time.time())) as server:
        yield server


@pytest.fixture
def sells(filled: Program, stripe: StripeServer) -> Program:
    filled.settings |= {
        "STRIPE_API_KEY": KEY,
        "STRIPE_API_BASE": stripe.url,
        "STRIPE_WEBHOOK_SECRET": SIGNING,
        "KEYFOLD_PUBLIC_URL": PUBLIC,
    }
    return filled


def test_what_stripe_delivers(sells: Program, stripe: StripeServer) -> None:
    assert "no endpoint" in examined(sells)["stripe webhook"][1]
    made = stripe.post(
        "/v1/webhook_endpoints", {"url": ENDPOINT, "enabled_events": list(EVENTS[1:])}
    )
    place = f"/v1/webhook_endpoints/{made['id']}"
    assert EVENTS[0] in examined(sells, code=1)["stripe webhook"][1]
    stripe.post(place, {"enabled_events": [*EVENTS, "customer.updated"]})
    assert "customer.updated" in examined(sells)["stripe webhook"][1]
    stripe.post(place, {"enabled_events": list(EVENTS)})
    found = examined(sells)
    assert (found["stripe"][0], found["stripe webhook"][0]) == ("ok", "ok")
    stripe.post(place, {"disabled": True})
    assert examined(sells, code=1)["stripe webhook"][2] == "enable it there"


def test_the_events_are_those_that_the_page_on_stripe_names() -> None:
    page = (ROOT / "docs" / "stripe.md").read_text("utf-8")
    named = page[page.index("with these events") : page.index("Leave out")]
    last, found = "", set()
    for one in re.findall(r"`([a-z_.]+)`", named):
        name = last + one if one.startswith(".") else one
        if "." in name:
            found.add(name)
            last = name.rpartition(".")[0]
    assert found == set(EVENTS)


def test_every_setting_on_the_page_is_known() -> None:
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE)) == set(VARIABLES)


def test_what_the_key_may_and_whether_stripe_answers(sells: Program, stripe: StripeServer) -> None:
    sells.settings["STRIPE_API_KEY"] = "sk_live_of_another_account"
    assert "refuses the key" in examined(sells, code=1)["stripe"][1]
    sells.settings["STRIPE_API_KEY"] = KEY
    stripe.fail("not_allowed", path="/v1/invoices")
    assert "may not read invoices" in examined(sells, code=1)["stripe"][1]
    stripe.mend()
    stripe.fail("not_allowed", path="/v1/webhook_endpoints")
    assert examined(sells)["stripe webhook"][0] in ("warn", "skipped")
    stripe.mend()
    sells.settings["STRIPE_API_BASE"] = "http://127.0.0.1:1"
    found = examined(sells, code=1)
    assert found["stripe"][0] == "fail"
    assert "stripe webhook" not in found


# The public address


@contextmanager
def answering(status_of: dict[str, int]) -> Iterator[str]:
    """Answer at an address that is not the machine's own by its name."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status_of.get(self.path, 404))
            self.end_headers()
            self.wfile.write(b'{"status":"ok"}')

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.2", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.2:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_provider_that_people_sign_in_with(filled: Program) -> None:
    assert examined(filled)["sign-in"][0] == "skipped"
    with planted_provider() as provider:
        filled.settings |= {
            "KEYFOLD_OIDC_ISSUER": provider.url,
            "KEYFOLD_OIDC_CLIENT_ID": "keyfold",
            "KEYFOLD_OIDC_CLIENT_SECRET": "pass-word",
        }
        assert examined(filled)["sign-in"][0] == "ok"
        provider.description = {"code_challenge_methods_supported": ["plain"]}
        assert examined(filled)["sign-in"][0] == "warn"
        provider.description = {"issuer": f"{provider.url}/"}
        _, _, mend = examined(filled, code=1)["sign-in"]
        assert mend.startswith("set KEYFOLD_OIDC_ISSUER to exactly what")
    assert "does not answer" in examined(filled, code=1)["sign-in"][1]
    del filled.settings["KEYFOLD_OIDC_CLIENT_ID"]
    found = examined(filled, code=1)
    assert found["settings"][1].endswith("beside it")
    assert found["sign-in"][0] == "skipped"


def test_a_proxy_that_opens_the_figures_to_everybody(filled: Program) -> None:
    with answering({"/healthz": 200, "/readyz": 200, "/metrics": 200}) as url:
        filled.settings["KEYFOLD_PUBLIC_URL"] = url
        found = examined(filled, code=1)
        assert found["public url"][0] == "fail"
        assert "X-Forwarded-For" in found["proxy"][2]


def test_a_served_ledger_answers_at_its_address(filled: Program) -> None:
    with filled.served() as server:
        filled.settings["KEYFOLD_PUBLIC_URL"] = f"http://127.0.0.1:{server.port}"
        found = examined(filled)
    assert (found["served"][0], found["ready"][0], found["proxy"][0]) == ("ok", "ok", "skipped")
