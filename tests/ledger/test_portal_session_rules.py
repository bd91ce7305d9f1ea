"""The rules of one visit to the hosted pages."""

from __future__ import annotations

import pytest

from ledger.streams import portal_session
from ledger.streams.portal_session import (
    PORTAL_SESSION,
    LinkUsed,
    PortalSession,
    PortalSessionOpened,
)
from tests.worlds import DAY, NOON, folded

OPENED = PortalSessionOpened(
    session="kfp_one",
    account="acme",
    permissions=("manage_users",),
    granted_by="kft_portal",
    expires_at=NOON + DAY,
)


def test_a_link_opens() -> None:
    assert portal_session.open_session(None, OPENED) == [OPENED]


def test_a_link_opens_once() -> None:
    state = folded(PORTAL_SESSION, (NOON, OPENED))
    with pytest.raises(LinkUsed):
        portal_session.open_session(state, OPENED)


def test_a_visit_is_what_its_link_granted() -> None:
    assert folded(PORTAL_SESSION, (NOON, OPENED)) == PortalSession(
        "kfp_one", "acme", ("manage_users",), NOON, NOON + DAY
    )
