"""Waiting for a position: not for what cannot come, and only few at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.cli.program import wait_until
from tests.web.api import Api, api_over, memory_api
from web.api import notices
from web.api.operations import AHEAD_MAX
from web.app import waiting
from web.app.clock import system_clock
from web.app.context import EXTENSION
from web.app.thread_shares import WAITING_MAX

PATH = "/v1/accounts/acme/subscriptions?min_position="
# Longer than the test may take: who waits for this long has failed it.
FOR_EVER_S = 3_600.0


@pytest.fixture
def api() -> Api:
    return memory_api(position_wait_s=FOR_EVER_S)


@pytest.fixture
def one_place() -> Iterator[None]:
    waiting.allow(1)
    yield
    waiting.allow(WAITING_MAX)


@pytest.mark.parametrize("ahead", [AHEAD_MAX + 1, 10**9, 2**63 - 1_000])
def test_a_position_further_ahead_than_could_be_is_refused_at_once(api: Api, ahead: int) -> None:
    got = api.get("admin", f"{PATH}{api.head + ahead}")
    assert (got.status, got.code) == (503, "position_not_reached")
    assert got.headers["Retry-After"] == "1"


def test_who_finds_all_places_taken_is_refused_at_once(api: Api, one_place: None) -> None:
    target = api.head + 2  # an order of one key is two events
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(api.get, "admin", f"{PATH}{target}")
        wait_until(lambda: waiting._slots._value == 0)  # noqa: SLF001
        for path in (f"{PATH}{target}", f"{PATH}{api.head + AHEAD_MAX}"):
            got = api.get("admin", path)
            assert (got.status, got.code) == (503, "position_not_reached")
        # A long poll of the feed is answered with what there is.
        assert api.get("admin", f"/v1/events?after={api.head}&wait=25").body["items"] == []
        assert api.get("admin", f"{PATH}{api.head}").status == 200
        assert not first.done()
        api.issue()
        assert first.result().status == 200


def test_who_finds_all_places_taken_is_told_of_notices_at_once(
    api: Api, one_place: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "SETTLING_S", FOR_EVER_S)
    wiring = api.app.extensions[EXTENSION].wiring._replace(clock=system_clock)
    served = api_over(wiring, api)
    end = system_clock()
    with waiting.slot():
        got = served.get("admin", f"/v1/notices?to={end.isoformat()[:-6]}Z")
    assert got.status == 200
    assert got.body["complete_until"] < end.isoformat()
