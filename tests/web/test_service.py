"""For whatever looks after the process: health, readiness, figures."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from eventsourcing.persistence import OperationalError, ProgrammingError
from prometheus_client.parser import text_string_to_metric_families

from commands.retry import retry_on_conflict
from ledger.book import Change
from ledger.store.contract import ClockRefused, OutcomeUnknown
from ledger.streams.account.facts import SeatOccupied
from ledger.streams.account.stream import ACCOUNT
from tests.web.api import POS, Api, stored_api
from tests.web.faults import failing
from tests.worlds import context


def figures(api: Api) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = api.get(None, "/metrics").raw.decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def figure(api: Api, name: str, **labels: str) -> float:
    return figures(api).get((name, frozenset(labels.items())), 0)


def test_a_process_that_answers_is_healthy_whatever_its_database_does(api: Api) -> None:
    with failing(api, "head", OperationalError("gone")):
        assert api.get(None, "/healthz").body == {"status": "ok"}


def test_a_ledger_that_can_be_used_is_ready(any_api: Api) -> None:
    assert any_api.get(None, "/readyz").body == {
        "status": "ready",
        "position": any_api.head,
        "notices": [],
    }


@pytest.mark.parametrize("error", [OperationalError("gone"), ProgrammingError("no such table")])
def test_a_ledger_whose_database_is_away_is_not_ready(api: Api, error: Exception) -> None:
    with failing(api, "head", error):
        got = api.get(None, "/readyz")
    assert (got.status, got.code) == (503, "ledger_unavailable")


def test_a_ledger_with_other_tables_is_not_ready(tmp_path: Path) -> None:
    file = tmp_path / "keyfold.db"
    with stored_api(f"sqlite:///{file}") as api:
        assert api.get(None, "/readyz").status == 200
        file.rename(tmp_path / "elsewhere.db")
        got = api.get(None, "/readyz")
        assert (got.status, got.code) == (503, "ledger_unavailable")
        assert str(tmp_path) not in got.raw.decode()


def test_requests_are_counted_by_route_and_status(api: Api) -> None:
    for holder in ("till-1", "till-2"):
        api.get("portal", f"/v1/accounts/acme/seats/cloud_cash/{holder}")
    route = "/v1/accounts/<account>/seats/<product>/<holder>"
    assert figure(api, "keyfold_http_requests_total", method="GET", route=route, status="404") == 2
    assert figure(api, "keyfold_problems_total", code="product_not_found") == 2
    assert figure(api, "keyfold_http_request_seconds_count", method="GET", route=route) == 2
    assert "acme" not in api.get(None, "/metrics").raw.decode()


def test_what_strangers_make_up_does_not_grow_the_figures(api: Api) -> None:
    for n in range(20):
        api.ask(None, f"METHOD{n}", f"/nowhere-{n}")
    name = "keyfold_http_requests_total"
    assert figure(api, name, method="other", route="(none)", status="404") == 20


def test_the_figures_have_the_ledgers_head(api: Api) -> None:
    assert figure(api, "keyfold_ledger_position") == api.head
    api.issue()
    assert figure(api, "keyfold_ledger_position") == api.head


def test_the_figures_tell_what_the_ledger_took(database_url: str) -> None:
    counted = (
        "keyfold_ledger_append_seconds_count",
        "keyfold_ledger_appends_total",
        "keyfold_ledger_commits_total",
        "keyfold_ledger_read_seconds_count",
        "keyfold_ledger_reads_kept_total",
        "keyfold_table_read_seconds_count",
    )
    with stored_api(database_url) as api:
        before = figures(api)
        api.redeem()
        for _ in range(2):
            api.get("portal", "/v1/accounts/acme/subscriptions")
        api.get("admin", "/v1/keys")
        after = figures(api)
        grown = {name: after[name, frozenset()] - before[name, frozenset()] for name in counted}
        # Issuing, and redeeming. SQLite tells without a read that nothing is new, PostgreSQL not.
        kept = grown.pop("keyfold_ledger_reads_kept_total")
        assert (grown.pop("keyfold_ledger_read_seconds_count") > 0, kept > 0) == (
            True,
            database_url.startswith("sqlite"),
        )
        assert grown.pop("keyfold_table_read_seconds_count") > 0
        assert grown == dict.fromkeys(grown, 2)
        assert lag(api, "key_list@2") == 0
        api.redeem(account="bolt")
        assert lag(api, "key_list@2") == 4
        api.get("admin", "/v1/keys")
        assert lag(api, "key_list@2") == 0


def lag(api: Api, table: str) -> float:
    return figure(api, "keyfold_table_positions_behind", table=table)


@pytest.mark.parametrize("error", [OperationalError("gone"), ProgrammingError("no such table")])
def test_figures_are_told_while_the_database_is_away(api: Api, error: Exception) -> None:
    assert figure(api, "keyfold_ledger_up") == 1
    head = api.head
    with failing(api, "head", error):
        assert figure(api, "keyfold_ledger_up") == 0
        assert figure(api, "keyfold_ledger_position") == head
        assert figure(api, "keyfold_http_requests_total", method="GET", route="/metrics",
                      status="200") > 0  # fmt: skip
    assert figure(api, "keyfold_ledger_up") == 1


def test_whether_the_database_answers_is_told_to_whoever_asks(api: Api) -> None:
    proxied = {"X-Forwarded-For": "203.0.113.9"}
    assert api.get(None, "/metrics", headers=proxied).status == 401
    with failing(api, "read_stream", OperationalError("gone")):
        told = api.get("admin", "/metrics", headers=proxied)
    assert told.status == 200
    lines = told.raw.decode().splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["keyfold_ledger_up 0.0"]


def test_writers_that_met_are_counted(api: Api) -> None:
    before = figure(api, "keyfold_ledger_conflicts_total")
    book = api.services.book
    seen: list[int] = []

    def attempt() -> None:
        late = book.load(ACCOUNT, "acme")
        if not seen:
            api.redeem()  # another writer comes between
        seen.append(late.version)
        fact = SeatOccupied(product="cloud_pos", tier=None, holder="till-2")
        book.append(context(api.clock.now), Change(late, [fact]))

    retry_on_conflict(attempt)
    assert seen == [0, 1]
    assert figure(api, "keyfold_ledger_conflicts_total") == before + 1


def test_a_position_that_was_never_known_is_left_out(api: Api) -> None:
    with failing(api, "head", OperationalError("gone")):
        assert ("keyfold_ledger_position", frozenset()) not in figures(api)


def test_a_file_that_cannot_be_read_is_said_to_be_damaged(tmp_path: Path) -> None:
    with stored_api(f"sqlite:///{tmp_path}/keyfold.db") as api:
        api.issue(count=200)
        with closing(sqlite3.connect(tmp_path / "keyfold.db")) as connection:
            connection.execute("PRAGMA wal_checkpoint").fetchall()
        with (tmp_path / "keyfold.db").open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(4096)
            file.write(b"\xff" * (size - 4096))
        for got in (api.get("admin", "/v1/keys"), api.post("admin", "/v1/keys", POS)):
            assert (got.status, got.code) == (503, "ledger_unavailable")
            assert got.body["detail"] == "The database: it is damaged: see `keyfold doctor`."
        assert "damaged" in api.get(None, "/readyz").body["detail"]


def test_too_little_memory_is_said_to_be_and_is_no_mistake_of_ours(api: Api) -> None:
    with failing(api, "insert_events", MemoryError()):
        got = api.post("admin", "/v1/keys", POS)
    assert (got.status, got.code) == (503, "overloaded")
    assert "ask for less at once" in got.body["detail"]
    assert got.headers["Retry-After"]


def because(cause: Exception) -> OutcomeUnknown:
    unknown = OutcomeUnknown("nobody can say")
    unknown.__cause__ = cause
    return unknown


def busy() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (because(MemoryError()), "no memory"),
        (because(busy()), "holds its lock"),
        (ClockRefused("the writer's clock is 90 seconds from the database's"), "is 90 seconds"),
    ],
)
def test_why_nothing_was_recorded_is_said(api: Api, error: Exception, why: str) -> None:
    with failing(api, "insert_events", error):
        got = api.post("admin", "/v1/keys", POS)
    assert (got.status, got.code) == (503, "ledger_unavailable")
    assert why in got.body["detail"]


def test_a_file_that_is_gone_is_said_to_be_and_a_copy_in_its_place_is_used(tmp_path: Path) -> None:
    file = tmp_path / "keyfold.db"
    with stored_api(f"sqlite:///{file}") as api:
        key = api.issue()["id"]
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("VACUUM INTO ?", (str(tmp_path / "copy.db"),))
        file.unlink()
        assert api.get("admin", f"/v1/keys/{key}").status == 503
        assert "put it back" in api.get(None, "/readyz").body["detail"]
        (tmp_path / "copy.db").rename(file)
        assert api.get("admin", f"/v1/keys/{key}").status == 200
