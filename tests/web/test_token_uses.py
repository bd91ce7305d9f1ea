"""When a token was last used: told to the hour, and no event of the ledger."""

from __future__ import annotations

from datetime import timedelta

from eventsourcing.persistence import OperationalError

from ledger.store.memory import MemoryTokenUses
from ledger.store.token_uses import NotedUses
from ledger.streams import token as tokens
from tests.console.desk import signed_in
from tests.web.api import Api
from tests.worlds import NOON

HOUR = timedelta(hours=1)


def test_a_use_is_told_to_the_hour_and_appends_nothing(any_api: Api) -> None:
    before = any_api.head
    store = any_api.services.book.store.token_uses
    uses = any_api.app.extensions["keyfold"].wiring.token_uses
    id = tokens.token_id(any_api.services.token_key, any_api.tokens["auditor"])
    assert id not in uses.all()
    any_api.get("auditor", "/v1/keys")
    hour = any_api.clock.now.replace(minute=0, second=0, microsecond=0)
    assert uses.all()[id] == hour
    any_api.clock.forward(minutes=59)
    any_api.get("auditor", "/v1/keys")
    assert uses.all()[id] == hour
    any_api.clock.forward(minutes=1)
    any_api.get("auditor", "/v1/keys")
    assert uses.all()[id] == hour + HOUR
    assert any_api.head == before
    # Another process, whose clock is behind, takes nothing back.
    store.put(id, hour)
    assert uses.all()[id] == hour + HOUR


def test_a_token_that_is_refused_was_not_used(any_api: Api) -> None:
    any_api.tokens["nobody"] = "kf_nobody"
    uses = any_api.app.extensions["keyfold"].wiring.token_uses
    before = uses.all()
    assert any_api.get("nobody", "/v1/keys").status == 401
    assert uses.all() == before


def test_staff_see_it_on_the_page_of_tokens(any_api: Api) -> None:
    desk = signed_in(any_api, "admin")
    assert "Last used" in desk.get("tokens").text
    assert "In the hour from then on" in desk.get("tokens").page


def test_where_nothing_can_be_written_requests_are_answered_all_the_same() -> None:
    class Standby(MemoryTokenUses):
        def put(self, *_: object) -> None:
            raise OperationalError("read only")

    uses = NotedUses(Standby())
    uses.note("kft_one", NOON)
    assert uses.all() == {}
