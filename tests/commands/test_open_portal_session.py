"""Links to the hosted pages: made, opened once, and worth nothing otherwise."""

from __future__ import annotations

import threading

import pytest

from commands.open_portal_session import (
    Granted,
    LinkExpired,
    LinkInvalid,
    make_link,
    open_portal_session,
    session_of,
)
from commands.ports import Ports
from ledger.refusals import FieldError, InvalidRequest
from ledger.streams.portal_session import LinkUsed, PortalSessionOpened
from tests.worlds import MINUTE, NOON, SECRET, another_worker, ports, recorded, stamp

KEY = SECRET.derive("portal links")
OTHER_KEY = SECRET.derive("something else")
BACK = "https://portal.example/back"


def made(world: Ports, granted: Granted | None = None) -> str:
    return make_link(world, KEY, stamp(actor="kft_portal"), granted or Granted("acme"))


def test_making_a_link_records_nothing() -> None:
    world = ports()
    made(world)
    assert recorded(world) == []


def test_an_opened_link_is_the_first_deed_of_its_own_visit() -> None:
    world = ports()
    link = made(world, Granted("acme", ["manage_users"], BACK, 20))
    later = NOON + 5 * MINUTE
    opened = open_portal_session(world, KEY, stamp(later), link)
    assert opened.account == "acme"
    assert opened.permissions == ("manage_users",)
    assert opened.return_url == BACK
    assert opened.expires_at == later + 20 * MINUTE
    (event,) = recorded(world)
    assert event.stream == "portal_session-" + opened.session.removeprefix("kfp_")
    assert (event.actor, event.position) == (opened.session, opened.position)
    assert event.fact == PortalSessionOpened(
        session=opened.session,
        account="acme",
        permissions=("manage_users",),
        granted_by="kft_portal",
        expires_at=later + 20 * MINUTE,
    )


def test_a_link_opens_once_whoever_opens_it() -> None:
    world = ports()
    link = made(world)
    open_portal_session(world, KEY, stamp(), link)
    for again in (world, another_worker(world)):
        with pytest.raises(LinkUsed):
            open_portal_session(again, KEY, stamp(), link)
    assert len(recorded(world)) == 1


def test_of_two_that_open_a_link_at_once_one_does() -> None:
    world = ports()
    link = made(world)
    outcomes: list[str] = []

    def open_it(worker: Ports) -> None:
        try:
            open_portal_session(worker, KEY, stamp(), link)
            outcomes.append("opened")
        except LinkUsed:
            outcomes.append("used")

    workers = [another_worker(world, seed=n) for n in range(8)]
    threads = [threading.Thread(target=open_it, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["opened"] + ["used"] * 7


def test_a_link_is_opened_in_time_or_not_at_all() -> None:
    world = ports()
    link = made(world, Granted("acme", minutes=1))
    with pytest.raises(LinkExpired):
        open_portal_session(world, KEY, stamp(NOON + MINUTE), link)
    assert recorded(world) == []
    assert open_portal_session(world, KEY, stamp(NOON + 0.99 * MINUTE), link).account == "acme"


def test_a_used_link_is_used_also_when_its_time_is_over() -> None:
    world = ports()
    link = made(world)
    open_portal_session(world, KEY, stamp(), link)
    with pytest.raises(LinkUsed):
        open_portal_session(world, KEY, stamp(NOON + 60 * MINUTE), link)


def test_a_changed_link_is_not_ours() -> None:
    world = ports()
    link = made(world)
    payload, _, signature = link.partition(".")
    other = make_link(world, OTHER_KEY, stamp(), Granted("other"))
    swapped = f"{other.partition('.')[0]}.{signature}"
    changed = [payload, f"{payload}.", f".{signature}", swapped, other, link[:-1], link + "A"]
    changed += ["", ".", "kf_token", "ä.ö", "A" * 5000]
    for one in changed:
        with pytest.raises(LinkInvalid):
            open_portal_session(world, KEY, stamp(), one)
        assert session_of(KEY, one) is None
    assert recorded(world) == []


def test_a_link_tells_which_visit_it_opens() -> None:
    world = ports()
    link = made(world)
    opened = open_portal_session(world, KEY, stamp(), link)
    assert session_of(KEY, link) == opened.session


def test_what_does_not_fit_is_told_all_at_once() -> None:
    with pytest.raises(InvalidRequest) as caught:
        made(ports(), Granted("a b", ["root"], minutes=0))
    assert [error.pointer for error in caught.value.errors] == [
        "/account",
        "/minutes",
        "/permissions",
    ]
    assert FieldError("/permissions", "must be of manage_users") in caught.value.errors
