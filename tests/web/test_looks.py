"""How often a request asks the ledger what is new: once, and never answers from before that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from commands.occupy_seat import Sitting, occupy_seat
from ledger.book import Book
from ledger.events import RequestContext
from ledger.store import Recorder
from tests.web.api import Api, stored_api

SUBSCRIPTIONS = "/v1/accounts/acme/subscriptions"
SEATS = "/v1/accounts/acme/seats/cloud_pos"


class Looks:
    """Which readings were made of a ledger since it was last asked."""

    def __init__(self, store: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
        self._made: list[str] = []
        for name in ("read_stream", "read_streams", "read_from", "read_positions"):
            monkeypatch.setattr(store, name, self._noting(name, getattr(store, name)))

    def __call__(self) -> list[str]:
        made, self._made[:] = list(self._made), []
        return made

    def _noting(self, name: str, method: Callable[..., object]) -> Callable[..., object]:
        def noting(*given: object, **named: object) -> object:
            self._made.append(name)
            return method(*given, **named)

        return noting


class Elsewhere:
    """Another process on the same ledger."""

    def __init__(self, api: Api) -> None:
        self._ports = api.services._replace(
            book=Book(api.services.book.env["KEYFOLD_DATABASE_URL"])
        )
        self._api = api

    def sit(self, holder: str) -> None:
        context = RequestContext(self._api.clock(), "operator", "req_elsewhere")
        occupy_seat(self._ports, context, Sitting("acme", "cloud_pos", None, holder))

    def close(self) -> None:
        self._ports.book.close()


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    """Return an account of two seats, one of them taken, that has been asked about."""
    with stored_api(database_url) as stored:
        stored.redeem(seats=2)
        stored.sit("till-1")
        stored.get("admin", SUBSCRIPTIONS)
        yield stored


@pytest.fixture
def elsewhere(api: Api) -> Iterator[Elsewhere]:
    other = Elsewhere(api)
    yield other
    other.close()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", SUBSCRIPTIONS),
        ("GET", f"{SEATS}/till-1"),
        ("PUT", f"{SEATS}/till-1"),
        ("PUT", f"{SEATS}/till-2"),
        ("DELETE", f"{SEATS}/till-1"),
    ],
)
@pytest.mark.parametrize("others_write", [False, True])
def test_a_request_about_an_account_takes_one_look(
    api: Api, method: str, path: str, others_write: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if others_write:
        api.redeem("umbrella")
    looks = Looks(api.services.book.store, monkeypatch)

    assert api.ask("admin", method, path, {} if method == "PUT" else None).status < 300
    assert looks() == ["read_streams"]


def test_what_another_process_wrote_before_a_request_is_in_its_answer(
    api: Api, elsewhere: Elsewhere
) -> None:
    elsewhere.sit("till-2")

    assert api.get("admin", f"{SEATS}/till-2").status == 200
    assert api.sit("till-3").code == "no_seat_available"


def test_who_is_overtaken_looks_again_and_decides_on_what_is_there_then(
    api: Api, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = api.services.book.store
    insert, overtaken = store.insert_events, iter(["till-2"])

    def insert_events(*events: Any, **options: Any) -> Any:
        for holder in overtaken:
            elsewhere.sit(holder)
        return insert(*events, **options)

    monkeypatch.setattr(store, "insert_events", insert_events)

    assert api.sit("till-3").code == "no_seat_available"
    seats = api.get("admin", "/v1/accounts/acme/seats").body["items"]
    assert [seat["holder"] for seat in seats] == ["till-1", "till-2"]
