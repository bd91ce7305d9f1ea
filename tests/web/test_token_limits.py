"""A token may ask so many times a minute, by its role; what is left is told in every response."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cli.program import Program
from tests.console.desk import signed_in
from tests.web.api import Api
from web.app.context import EXTENSION
from web.app.settings import SettingError, read_settings
from web.app.token_limits import LIMITS_DEFAULT, TokenLimits


class Limited:
    """An API whose resellers may ask three times a minute, and the clock they are counted by."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.now = 1000.0
        limits = TokenLimits({"reseller": 3}, lambda: self.now)
        state = api.app.extensions[EXTENSION]
        api.app.extensions[EXTENSION] = state._replace(token_limits=limits)

    def told(self, role: str = "reseller", path: str = "/v1/keys") -> tuple[int, str | None]:
        got = self.api.get(role, path)
        return got.status, got.headers.get("RateLimit")


def test_a_token_is_told_what_is_left_and_refused_until_the_minute_is_over(api: Api) -> None:
    limited = Limited(api)
    assert limited.told() == (200, '"reseller";r=2;t=60')
    limited.now += 20.5
    assert limited.told() == (200, '"reseller";r=1;t=40')
    # What it may not do counts as well.
    assert limited.told(path="/v1/overview") == (403, '"reseller";r=0;t=40')
    refused = api.get("reseller", "/v1/keys")
    assert (refused.status, refused.code) == (429, "quota_exceeded")
    assert refused.headers["Retry-After"] == "40"
    assert refused.headers["RateLimit-Policy"] == '"reseller";q=3;w=60'
    assert refused.headers["RateLimit"] == '"reseller";r=0;t=40'
    # Nobody else is, and a repeated refusal puts nothing off.
    assert limited.told("other") == (200, '"reseller";r=2;t=60')
    assert limited.told("portal", "/v1/accounts/acme/subscriptions") == (200, None)
    limited.now += 39.5
    assert limited.told() == (200, '"reseller";r=2;t=60')


def test_a_clock_that_went_back_locks_nobody_out(api: Api) -> None:
    limited = Limited(api)
    assert [limited.told()[0] for _ in range(4)] == [200, 200, 200, 429]
    limited.now -= 500
    assert limited.told() == (200, '"reseller";r=2;t=60')


def test_a_session_at_the_console_counts_with_its_token(api: Api) -> None:
    limited = Limited(api)
    desk = signed_in(api, "reseller")
    assert desk.get("").status == 200
    while limited.told()[0] == 200:
        pass
    refused = desk.get("")
    assert (refused.status, refused.headers["Retry-After"]) == (429, "60")
    assert "This token asks too often" in refused.text


def test_all_workers_count_together(tmp_path: Path) -> None:
    program = Program(tmp_path, {"KEYFOLD_TOKEN_LIMITS": "reseller=20"})
    program.done("db", "upgrade")
    token = program.json("tokens", "create", "--role", "reseller", "--reseller", "North")["token"]
    with program.served("--workers", "2") as server, ThreadPoolExecutor(8) as pool:
        asked = pool.map(lambda _: server.get("/v1/keys", token)[0], range(60))
        statuses = sorted(asked)
    assert statuses == [200] * 20 + [429] * 40


@pytest.mark.parametrize("text", ["reseller", "reseller=0", "reseller=-1", "owner=5", "admin=1e3"])
def test_a_limit_that_is_none_stops_the_start(text: str) -> None:
    with pytest.raises(SettingError, match=r"^KEYFOLD_TOKEN_LIMITS must hold limits like"):
        read_settings({"KEYFOLD_TOKEN_LIMITS": text})


def test_limits_are_set_by_role() -> None:
    assert read_settings({}).token_limits == LIMITS_DEFAULT
    assert read_settings({"KEYFOLD_TOKEN_LIMITS": ""}).token_limits == {}
    given = read_settings({"KEYFOLD_TOKEN_LIMITS": "portal=60000, reseller=5"})
    assert given.token_limits == {"portal": 60000, "reseller": 5}
