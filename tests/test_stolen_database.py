"""A stolen database and a stolen log: no code, no token and no label can be read in them.

Everything that can be done with codes is done over HTTP and from the command line of the real
program; then every byte that it left behind is looked through.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.cli.program import Program, Server

IMPORTED = "POS-2345-ABCD-WXYZ"
REFUSED_LINE = "POS-6789-EFGH-JKLM"
NEVER_SOLD = "POS-2345-NEVR-SQLD"
MISTYPED = "POS-0123-TYPQ-CQDE"
LABEL = "Till of Ada Example"
NOTE = "For Ada's summer fair"
REASON = "Ada lost the letter"


@pytest.fixture(params=["sqlite", "postgresql"])
def keyfold(request: pytest.FixtureRequest, tmp_path: Path) -> Program:
    settings = {}
    if request.param == "postgresql":
        settings = {
            "KEYFOLD_DATABASE_URL": request.getfixturevalue("postgres_url"),
            "KEYFOLD_SECRET": base64.b64encode(secrets.token_bytes(32)).decode(),
        }
    program = Program(tmp_path, settings)
    program.done("db", "upgrade")
    return program


def ask(server: Server, token: str, path: str, body: Any) -> Any:
    _, answer = server.post(f"/v1/{path}", body, token)
    return json.loads(answer)


def live_through(keyfold: Program) -> set[str]:
    """Do everything that there is to do with codes; answer all codes and tokens ever seen."""
    token = keyfold.json("tokens", "create", "--role", "admin")["token"]
    with keyfold.served() as server:
        order = {"product": "cloud_pos", "seats": 3, "months": 12, "count": 4, "reseller": "North"}
        batch = ask(server, token, "keys", {**order, "note": NOTE})
        used, revoked, lost, left = batch["keys"]
        for session, code in enumerate([left["code"], used["code"], NEVER_SOLD, MISTYPED]):
            wanted = {"account": "acme", "session": f"s{session}", "code": code}
            ask(server, token, "keys/validate", {**wanted, "product": "integrations"})
            ask(server, token, "keys/validate", wanted)
        wanted = {"account": "acme", "session": "s9", "code": f" {used['code'].lower()} "}
        assert "subscription" in ask(server, token, "keys/redeem", wanted)
        assert ask(server, token, "keys/redeem", wanted)["code"] == "key_already_yours"
        server.get(f"/v1/keys/{left['code']}?reseller={left['code']}", token)
        server.get(f"/{left['code']}", token)
        server.request(
            "PUT", "/v1/accounts/acme/seats/cloud_pos/till-1", token, f'{{"label":"{LABEL}"}}'
        )
        because = {"reason": REASON}
        ask(server, token, f"keys/{revoked['id']}/revoke", because)
        again = [ask(server, token, f"keys/{k['id']}/reissue", because) for k in (used, lost)]
        shown = ask(server, token, f"batches/{batch['batch']}/reveal", because)
        assert left["code"] in {key["code"] for key in shown["keys"]}
        server.stop()
    (keyfold.folder / "codes.csv").write_text(
        "code,product,tier,seats,months,reseller,redeem_by\n"
        f"{IMPORTED},cloud_pos,,5,12,South,\n"
        f"{REFUSED_LINE},cloud_pos,,none,12,South,\n"
    )
    assert keyfold.run("keys", "import", "codes.csv").code == 1
    (keyfold.folder / "codes.csv").unlink()
    assert keyfold.done("keys", "show", "-", stdin=IMPORTED).code == 0
    codes = {key["code"] for key in (*batch["keys"], *again)}
    return codes | {IMPORTED, REFUSED_LINE, NEVER_SOLD, MISTYPED, token}


def left_behind(keyfold: Program) -> Iterator[bytes]:
    """Return every byte on disk but the secret: database, write-ahead log, logs, projections."""
    for file in sorted(keyfold.folder.rglob("*")):
        if file.is_file() and file.name != "keyfold.secret":
            yield file.read_bytes()
    url = keyfold.settings.get("KEYFOLD_DATABASE_URL", "")
    if url.startswith("postgresql:"):
        with psycopg.connect(url) as connection:
            tables = connection.execute(
                "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'"
            ).fetchall()
            for (table,) in tables:
                with connection.cursor().copy(f"COPY {table} TO STDOUT (FORMAT binary)") as rows:
                    yield b"".join(bytes(row) for row in rows)


def forms_of(secret: str) -> set[bytes]:
    """Return how a code or token might be written: as it is, without dashes, base64, hex, …"""
    bare = secret.replace("-", "")
    spelled = {secret, bare, bare[3:]} | {text.lower() for text in (secret, bare, bare[3:])}
    coded = {base64.b64encode(text.encode()).rstrip(b"=") for text in spelled}
    return (
        {text.encode() for text in spelled}
        | coded
        | {text.encode().hex().encode() for text in spelled}
    )


def test_no_code_token_or_text_is_in_what_the_program_leaves_behind(keyfold: Program) -> None:
    hidden = live_through(keyfold)
    haystack = b"\0".join(left_behind(keyfold))
    # What is looked for would be found: the masked code of an issued key and the log's lines are.
    assert IMPORTED[-4:].encode() in haystack
    assert b"/v1/keys/redeem" in haystack
    found = {secret for secret in hidden for form in forms_of(secret) if form in haystack}
    assert found == set()
    for text in (LABEL, NOTE, REASON):
        assert text.encode() not in haystack
        assert base64.b64encode(text.encode()) not in haystack
