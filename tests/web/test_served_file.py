"""A ledger's file while it is served, after a stop, and when another is put in its place."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.program import Program, Server
from tests.web.api import stored_api
from web.api import health

ORDER = {"product": "cloud_pos", "seats": 1, "months": 1, "reseller": "Northwind"}


@pytest.fixture
def keyfold(tmp_path: Path) -> Program:
    keyfold = Program(tmp_path)
    keyfold.done("db", "upgrade")
    return keyfold


@pytest.fixture
def token(keyfold: Program) -> str:
    return str(keyfold.json("tokens", "create", "--role", "admin")["token"])


def ledger_of(keyfold: Program) -> Path:
    (file,) = keyfold.folder.glob("*.db")
    return file


def issued(server: Server, token: str) -> str | None:
    """Issue a key; return its id, or None if that was not acknowledged."""
    status, body = server.post("/v1/keys", ORDER, token)
    return str(json.loads(body)["keys"][0]["id"]) if status == 201 else None


def events_in(file: Path, elsewhere: Path) -> list[str]:
    """Return the streams of the events in a file that is copied without its log."""
    alone = shutil.copyfile(file, elsewhere / "alone.db")
    with closing(sqlite3.connect(alone)) as connection:
        return [
            stream for (stream,) in connection.execute("SELECT originator_id FROM keyfold_events")
        ]


def has_keys(file: Path, elsewhere: Path, keys: list[str]) -> bool:
    streams = set(events_in(file, elsewhere))
    return all("key-" + key.removeprefix("key_") in streams for key in keys)


def test_a_clean_stop_of_several_workers_leaves_one_whole_file(
    keyfold: Program, token: str, tmp_path: Path
) -> None:
    with keyfold.served("--workers", "2") as server:
        keys = [issued(server, token) for _ in range(12)]
        assert server.stop() == 0
    assert None not in keys
    file = ledger_of(keyfold)
    assert has_keys(file, tmp_path, [key for key in keys if key])
    log = file.with_name(file.name + "-wal")
    assert not log.exists() or log.stat().st_size == 0


def test_a_command_leaves_one_whole_file(keyfold: Program, tmp_path: Path) -> None:
    keyfold.done("tokens", "create", "--role", "admin")
    file = ledger_of(keyfold)
    assert [stream.partition("-")[0] for stream in events_in(file, tmp_path)] == ["token"]
    assert not file.with_name(file.name + "-wal").exists()


def test_what_is_acknowledged_after_an_older_file_was_renamed_into_place_is_in_it(
    keyfold: Program, token: str, tmp_path: Path
) -> None:
    file = ledger_of(keyfold)
    older = tmp_path / "older.copy"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("VACUUM INTO ?", (str(older),))
    with keyfold.served("--workers", "2") as server:
        lost = [issued(server, token) for _ in range(8)]
        older.rename(file)
        kept = [key for key in (issued(server, token) for _ in range(20)) if key]
        assert len(kept) >= 15
        for key in lost:
            assert server.get(f"/v1/keys/{key}", token)[0] == 404
        for _ in range(10):
            (notice,) = json.loads(server.get("/readyz")[1])["notices"]
            assert "went back" in notice or "another file" in notice
        assert server.stop() == 0
    assert has_keys(file, tmp_path, kept)
    assert len(set(events_in(file, tmp_path))) == len(events_in(file, tmp_path))


def test_a_ledger_that_is_ahead_of_the_clock_is_said_to_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with stored_api(f"sqlite:///{tmp_path / 'keyfold.db'}") as api:
        now = api.clock.now
        assert api.get(None, "/readyz").body["notices"] == []
        api.clock.forward(days=800)
        key = api.issue()
        api.clock.now = now
        (notice,) = api.get(None, "/readyz").body["notices"]
        assert "ahead of the clock" in notice
        taken_back = api.post("admin", f"/v1/keys/{key['id']}/revoke", {"reason": "a test"})
        assert taken_back.status in (200, 201)
    assert any("ahead of the clock" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("days", [-800, 800])
def test_a_machine_whose_clock_is_not_the_databases_is_not_ready(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    with stored_api(postgres_url) as api:
        assert api.get(None, "/readyz").status == 200
        # The clock of these tests stands for the machine's.
        monkeypatch.setattr(health, "system_clock", api.clock)
        api.clock.forward(days=days)
        got = api.get(None, "/readyz")
        assert (got.status, got.code) == (503, "ledger_unavailable")
        assert "clock" in got.raw.decode()
