"""The rules of one session on the hosted pages, from its link to its end."""

from __future__ import annotations

import pytest

from ledger.streams import portal_session
from ledger.streams.portal_session import (
    PORTAL_SESSION,
    LinkExpired,
    LinkInvalid,
    LinkUsed,
    PortalLinkMade,
    PortalSession,
    PortalSessionEnded,
    PortalSessionOpened,
)
from tests.worlds import DAY, MINUTE, NOON, folded

LINK, COOKIE = "aa" * 32, "bb" * 32
MADE = PortalLinkMade(
    session="kfp_one",
    account="acme",
    permissions=("manage_users",),
    granted_by="kft_portal",
    minutes=30,
    expires_at=NOON + 30 * MINUTE,
    link_digest=LINK,
)
OPENED = PortalSessionOpened(
    session="kfp_one",
    account="acme",
    permissions=("manage_users",),
    granted_by="kft_portal",
    expires_at=NOON + 240 * MINUTE,
    cookie_digest=COOKIE,
)


def test_a_link_opens_a_session_of_what_it_grants_for_eight_times_its_minutes() -> None:
    made = folded(PORTAL_SESSION, (NOON, MADE))
    assert portal_session.open_session(made, LINK, COOKIE, NOON) == [OPENED]


def test_a_link_opens_once() -> None:
    state = folded(PORTAL_SESSION, (NOON, MADE), (NOON, OPENED))
    with pytest.raises(LinkUsed):
        portal_session.open_session(state, LINK, COOKIE, NOON)


def test_a_link_that_the_ledger_did_not_make_opens_nothing() -> None:
    made = folded(PORTAL_SESSION, (NOON, MADE))
    old = folded(PORTAL_SESSION, (NOON, OPENED))
    for state, digest in ((None, LINK), (made, COOKIE), (made, ""), (old, ""), (old, LINK)):
        with pytest.raises(LinkInvalid):
            portal_session.open_session(state, digest, COOKIE, NOON)


def test_a_link_opens_in_time() -> None:
    made = folded(PORTAL_SESSION, (NOON, MADE))
    with pytest.raises(LinkExpired):
        portal_session.open_session(made, LINK, COOKIE, NOON + 30 * MINUTE)


def test_a_session_stands_for_its_own_browser_until_it_ends() -> None:
    state = folded(PORTAL_SESSION, (NOON, MADE), (NOON, OPENED))
    assert state
    assert portal_session.stands(state, COOKIE, NOON + 239 * MINUTE)
    assert not portal_session.stands(state, COOKIE, NOON + 240 * MINUTE)
    assert not portal_session.stands(state, LINK, NOON)
    assert not portal_session.stands(state, "", NOON)
    ended = PortalSessionEnded(session="kfp_one", account="acme")
    assert portal_session.end(state) == [ended]
    left = folded(PORTAL_SESSION, (NOON, MADE), (NOON, OPENED), (NOON, ended))
    assert left
    assert not portal_session.stands(left, COOKIE, NOON)
    assert portal_session.end(left) == []
    assert portal_session.end(None) == []


def test_a_session_of_an_earlier_release_stands_for_nobody() -> None:
    old = PortalSessionOpened(
        session="kfp_one",
        account="acme",
        permissions=(),
        granted_by="kft_portal",
        expires_at=NOON + DAY,
        cookie_digest="",
    )
    state = folded(PORTAL_SESSION, (NOON, old))
    assert isinstance(state, PortalSession)
    assert not portal_session.stands(state, "", NOON)
