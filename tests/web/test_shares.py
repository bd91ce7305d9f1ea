"""What may wait for somebody has a share of the threads that is told before it is begun."""

from __future__ import annotations

import pytest

from web.app.thread_shares import Share, half_of, share_of

SEAT = "/v1/accounts/acme/seats/cloud_pos/till"


@pytest.mark.parametrize(
    ("method", "path", "query", "share"),
    [
        ("GET", "/healthz", "", "health"),
        ("GET", "/metrics", "", "metrics"),
        ("GET", "/readyz", "", "read"),
        ("GET", SEAT, "", "seat"),
        ("HEAD", SEAT, "at=2026-01-01T00:00:00Z", "seat"),
        ("GET", SEAT, "min_position=7", "wait"),
        ("GET", SEAT, "at=x&min%5Fposition=7", "wait"),
        ("PUT", SEAT, "", "change"),
        ("DELETE", SEAT, "", "change"),
        ("BREW", SEAT, "", "change"),
        ("GET", "/v1/accounts/acme/seats", "", "read"),
        ("GET", "/v1/accounts/acme/entitlements", "", "read"),
        ("GET", "/v1/accounts/billing/seats/billing/billing", "", "seat"),
        ("GET", "/v1/accounts/acme/billing", "", "page"),
        ("GET", "/v1/accounts/acme/billing", "min_position=7", "page"),
        ("GET", "/portal", "wait=1", "page"),
        ("GET", "/readyz", "wait=1", "read"),
        ("GET", "/v1/events", "after=3", "read"),
        ("GET", "/v1/events", "after=3&wait=25", "wait"),
        ("GET", "/v1/events", "%77ait=25", "wait"),
        ("GET", "/v1/notices", "from=2026-01-01T00:00:00Z", "read"),
        ("GET", "/v1/notices", "from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z", "wait"),
        ("GET", "/v1/notices", "%74o=2026-02-01T00:00:00Z", "wait"),
        ("GET", "/v1/notices/links", "to=1", "read"),
        ("GET", "/portal", "", "page"),
        ("GET", "/console/accounts/acme", "", "page"),
        ("POST", "/v1/accounts/acme/checkout", "", "change"),
        ("POST", "/webhooks/stripe", "", "webhook"),
    ],
)
def test_a_request_has_the_threads_of_its_kind(
    method: str, path: str, query: str, share: Share
) -> None:
    assert share_of(method, path, query) == share


@pytest.mark.parametrize(("threads", "half"), [(1, 1), (2, 1), (4, 2), (8, 4), (256, 4)])
def test_few_wait_for_one_thing(threads: int, half: int) -> None:
    assert half_of(threads) == half
