"""Links to the hosted pages: made, opened once, and worth nothing otherwise."""

from __future__ import annotations

import threading

import pytest

from commands.give_access import create_token, revoke_token
from commands.open_portal_session import (
    Granted,
    end_portal_sessions,
    make_link,
    open_portal_session,
    target_of,
)
from commands.services import Services
from ledger import signing
from ledger.refusals import FieldError, InvalidRequest
from ledger.streams.portal_session import (
    LinkExpired,
    LinkInvalid,
    LinkUsed,
    PortalLinkMade,
    PortalSessionOpened,
)
from tests.worlds import MINUTE, NOON, SECRET, another_worker, context, recorded, services

KEY = SECRET.derive("portal links")
OTHER_KEY = SECRET.derive("something else")
BACK = "https://portal.example/back"


def made(world: Services, granted: Granted | None = None, actor: str = "operator") -> str:
    return make_link(world, KEY, context(actor=actor), granted or Granted("acme")).text


def test_a_link_is_on_record_and_nothing_of_it_that_lets_anybody_in() -> None:
    world = services()
    link = made(world, Granted("acme", ["buy"], BACK, display_name="Acme Bakery"))
    (event,) = recorded(world)
    assert isinstance(event.fact, PortalLinkMade)
    assert event.fact.permissions == ("buy",)
    stored = repr(event)
    assert "Acme" not in stored
    assert BACK not in stored
    assert link.partition(".")[2] not in stored


def test_an_opened_link_is_the_first_deed_of_its_own_session() -> None:
    world = services()
    link = made(world, Granted("acme", ["manage_users"], BACK, 20, "Acme Bakery", "billing"))
    later = NOON + 5 * MINUTE
    opened = open_portal_session(world, KEY, context(later), link)
    assert (opened.account, opened.return_url) == ("acme", BACK)
    assert (opened.display_name, opened.page) == ("Acme Bakery", "billing")
    _, event = recorded(world)
    assert event.stream == "portal_session-" + opened.session.removeprefix("kfp_")
    assert (event.actor, event.position) == (opened.session, opened.position)
    assert event.fact == PortalSessionOpened(
        session=opened.session,
        account="acme",
        permissions=("manage_users",),
        granted_by="operator",
        expires_at=later + 8 * 20 * MINUTE,
        cookie_digest=signing.digest(opened.secret),
    )


def test_a_link_of_a_revoked_or_expired_token_opens_nothing() -> None:
    world = services()
    revoked = create_token(world, context(), "portal").token
    short = create_token(world, context(), "portal", expires_at=NOON + MINUTE).token
    links = [made(world, actor=actor) for actor in (revoked.id, short.id, "kft_nobody")]
    revoke_token(world, context(), revoked.id)
    head = world.book.head()
    for link in links:
        with pytest.raises(LinkInvalid):
            open_portal_session(world, KEY, context(NOON + 2 * MINUTE), link)
    assert world.book.head() == head


def test_ending_an_accounts_sessions_takes_its_unopened_links_back() -> None:
    world = services()
    before, others = made(world), made(world, Granted("other"))
    end_portal_sessions(world, context(), "acme", "A laptop was stolen")
    with pytest.raises(LinkInvalid):
        open_portal_session(world, KEY, context(), before)
    assert open_portal_session(world, KEY, context(), others).account == "other"
    assert open_portal_session(world, KEY, context(), made(world)).account == "acme"


def test_a_link_opens_once_whoever_opens_it() -> None:
    world = services()
    link = made(world)
    open_portal_session(world, KEY, context(), link)
    for again in (world, another_worker(world)):
        with pytest.raises(LinkUsed):
            open_portal_session(again, KEY, context(), link)
    assert len(recorded(world)) == 2


def test_of_two_that_open_a_link_at_once_one_does() -> None:
    world = services()
    link = made(world)
    outcomes: list[str] = []

    def open_it(worker: Services) -> None:
        try:
            open_portal_session(worker, KEY, context(), link)
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
    world = services()
    link = made(world, Granted("acme", minutes=1))
    with pytest.raises(LinkExpired):
        open_portal_session(world, KEY, context(NOON + MINUTE), link)
    assert len(recorded(world)) == 1
    assert open_portal_session(world, KEY, context(NOON + 0.99 * MINUTE), link).account == "acme"


def test_a_used_link_is_used_also_when_its_time_is_over() -> None:
    world = services()
    link = made(world)
    open_portal_session(world, KEY, context(), link)
    with pytest.raises(LinkUsed):
        open_portal_session(world, KEY, context(NOON + 60 * MINUTE), link)


def test_a_changed_link_is_not_ours() -> None:
    world = services()
    link = made(world)
    id, _, signed = link.partition(".")
    other = make_link(world, OTHER_KEY, context(), Granted("other")).text
    theirs = made(world)
    swapped = [f"{id}.{theirs.partition('.')[2]}", f"{theirs.partition('.')[0]}.{signed}"]
    changed = [id, f"{id}.", f".{signed}", signed, *swapped, other, link[:-1], link + "A"]
    changed += ["", ".", "kf_token", "ä.ö", "A" * 5000]
    before = world.book.head()
    for one in changed:
        with pytest.raises(LinkInvalid):
            open_portal_session(world, KEY, context(), one)
        assert target_of(world, KEY, one) is None
    assert world.book.head() == before


def test_a_link_of_another_ledger_with_the_same_secret_opens_nothing() -> None:
    link = made(another_ledger := services(seed=5))
    assert open_portal_session(another_ledger, KEY, context(), link)
    with pytest.raises(LinkInvalid):
        open_portal_session(services(), KEY, context(), link)


def test_a_link_tells_which_visit_it_opens() -> None:
    world = services()
    link = made(world)
    opened = open_portal_session(world, KEY, context(), link)
    assert target_of(world, KEY, link) == (opened.session, opened.account, None)


def test_what_does_not_fit_is_told_all_at_once() -> None:
    with pytest.raises(InvalidRequest) as caught:
        made(services(), Granted("a b", ["root"], minutes=0))
    assert [error.pointer for error in caught.value.errors] == [
        "/account",
        "/minutes",
        "/permissions",
    ]
    assert (
        FieldError("/permissions", "must be of buy, manage_billing, manage_users")
        in caught.value.errors
    )
