"""The demonstration: a filled ledger, and lines to paste that work as they are printed."""

from __future__ import annotations

import base64
import http.client
import json
import re
import shlex
import shutil
import stat
import subprocess
from typing import Any
from urllib.parse import urlsplit

from tests.cli.program import Program, Server

LINES = 10


def tour(server: Server) -> tuple[str, list[str]]:
    """Return the token and the lines for curl that a server prints after its address."""
    said = [server.line() for _ in range(LINES)]
    assert said[0].startswith("token kf_")
    return said[0].removeprefix("token "), [line for line in said if line.startswith("curl ")]


def paste(line: str) -> Any:
    """Run a line in a shell, or do as curl would on a machine that has none."""
    if shutil.which("curl"):
        done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=True)
        return json.loads(done.stdout)
    words = shlex.split(line)
    url = urlsplit(words[-1])
    headers = dict(words[i + 1].split(": ", 1) for i, word in enumerate(words) if word == "-H")
    body = words[words.index("-d") + 1] if "-d" in words else None
    connection = http.client.HTTPConnection(url.hostname or "", url.port)
    connection.request("POST" if body else "GET", url.path, body, headers)
    try:
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def test_the_printed_lines_work_and_a_second_start_carries_on(bare: Program) -> None:
    with bare.served("--serve", command="demo") as server:
        token, (look, redeem, seat) = tour(server)
        assert paste(look)["products"][0]["over"] == 4
        assert paste(seat)["licensed"] is False
        assert paste(redeem)["subscription"]["seats"] == 5
        assert paste(seat)["licensed"] is True
        assert paste(look)["products"][0]["over"] == 0
        assert server.stop() == 0

    with bare.served("--serve", command="demo") as server:
        again, (look, another, seat) = tour(server)
        assert again == token
        assert paste(look)["products"][0]["seats"] == 7
        assert paste(seat)["licensed"] is True
        assert another != redeem
        assert paste(another)["subscription"]["seats"] == 5


def test_its_files_are_the_owners_alone(bare: Program) -> None:
    with bare.served("--serve", command="demo"):
        pass
    for name in ("keyfold.demo-token", "keyfold.secret"):
        assert stat.S_IMODE((bare.folder / name).stat().st_mode) == 0o600


def test_a_token_that_works_no_more_is_replaced(bare: Program) -> None:
    with bare.served("--serve", command="demo") as server:
        token, _ = tour(server)
    made = bare.json("tokens", "list")["items"]
    assert len(made) == 1
    bare.done("tokens", "revoke", made[0]["id"])
    with bare.served("--serve", command="demo") as server:
        other, (look, *_) = tour(server)
        assert other != token
        assert paste(look)["account"] == "corner-bakery"


def test_the_world_has_keys_in_every_state_and_seats_free_full_and_over(filled: Program) -> None:
    keys = filled.json("keys", "list")["items"]
    assert {key["status"] for key in keys} == {"issued", "redeemed", "revoked", "lapsed"}
    reissued = [key["status"] for key in keys if key["replaces"]]
    assert sorted(reissued) == ["issued", "redeemed"]

    def pool(account: str, product: int) -> tuple[int, int, int]:
        view = filled.json("subscriptions", account)["products"][product]
        return view["seats"], view["used"], view["over"]

    assert pool("harbour-hotel", 0) == (3, 2, 0)
    assert pool("harbour-hotel", 1) == (2, 2, 0)
    assert pool("corner-bakery", 0) == (2, 6, 4)
    assert pool("garden-centre", 1) == (4, 3, 0)
    assert pool("book-barge", 0) == (0, 1, 1)
    tiers = {key["tier"] for key in keys if key["redeemed_by"]}
    assert tiers == {None, "starter", "growth", "scale"}


def test_a_row_is_about_to_expire_and_a_session_is_locked_out(bare: Program) -> None:
    clock = bare.folder / "clock"
    clock.write_text("2024-02-29T00:01:00Z\n")
    bare.settings["KEYFOLD_TEST_CLOCK"] = "clock"
    with bare.served("--serve", command="demo") as server:
        token, _ = tour(server)
        body = {"account": "tea-house", "session": "kiosk", "code": "POS-AAAA-BBBB-CCCC"}
        assert json.loads(server.post("/v1/keys/validate", body, token)[1])["code"] == (
            "too_many_attempts"
        )
    row = bare.json("subscriptions", "museum-shop")["products"][0]["rows"][0]
    assert "2024-02-29" < row["expires_at"] < "2024-03-10"
    clock.write_text("2024-03-10T00:00:00Z\n")
    assert bare.json("subscriptions", "museum-shop")["products"][0]["rows"] == []


def test_told_twice_at_one_moment_it_is_the_same_world(bare: Program) -> None:
    (bare.folder / "clock").write_text("2026-03-31T12:00:00Z\n")
    bare.settings |= {
        "KEYFOLD_TEST_CLOCK": "clock",
        "KEYFOLD_SECRET": base64.b64encode(b"s" * 32).decode(),
    }
    worlds = []
    for database in ("one.db", "two.db"):
        bare.settings["KEYFOLD_DATABASE_URL"] = f"sqlite:///{database}"
        bare.done("demo")
        worlds.append((bare.json("keys", "list"), bare.json("seats", "list", "corner-bakery")))
    assert worlds[0] == worlds[1]


def test_a_ledger_that_holds_events_is_left_alone(filled: Program) -> None:
    again = filled.run("demo")
    assert (again.code, again.out, again.err.count("\n")) == (1, "", 1)
    assert again.err.startswith("ledger_not_empty: ")


def test_a_ledger_of_somebodys_own_is_not_served_as_the_demonstration(keyfold: Program) -> None:
    keyfold.done("tokens", "create", "--role", "portal")
    for arguments in (("demo",), ("demo", "--serve", "--port", "0")):
        ran = keyfold.run(*arguments)
        assert (ran.code, ran.err.count("\n")) == (1, 1)
        assert re.match(r"ledger_not_empty: |not_the_demo: ", ran.err)
    assert len(keyfold.json("tokens", "list")["items"]) == 1


def test_another_catalog_is_told_to_be_in_the_way(bare: Program) -> None:
    (bare.folder / "other.toml").write_text(
        '[[products]]\nid = "till"\nname = "Till"\nprefix = "TIL"\nseat = "till"\n'
    )
    ran = bare.run("demo", KEYFOLD_CATALOG="other.toml")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "KEYFOLD_CATALOG" in ran.err


def test_on_postgres_the_tables_are_asked_for_first(bare: Program, postgres_url: str) -> None:
    bare.settings |= {"KEYFOLD_DATABASE_URL": postgres_url, "KEYFOLD_SECRET": "c2VjcmV0" * 6}
    without = bare.run("demo")
    assert (without.code, without.err.count("\n")) == (2, 1)
    assert "keyfold db upgrade" in without.err
    bare.done("db", "upgrade")
    with bare.served("--serve", command="demo") as server:
        _, (look, redeem, _) = tour(server)
        assert paste(redeem)["subscription"]["seats"] == 5
        assert paste(look)["products"][0]["seats"] == 7
    assert not (bare.folder / "keyfold.demo-token").exists()
