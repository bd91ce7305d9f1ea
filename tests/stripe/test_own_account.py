"""Events that name a Stripe account: our own are taken, others are none of ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stripe.payloads import changed, deliver, subscription
from tests.stripe.shop import Shop, shop
from tests.stripe_server.routes import OWN_ACCOUNT
from tests.web.api import Api


@pytest.fixture
def it() -> Iterator[Shop]:
    with shop() as opened:
        yield opened


@pytest.mark.parametrize("field", ["account", "context"])
def test_an_event_that_names_our_own_account_is_taken(it: Shop, field: str) -> None:
    for number in (1, 2):
        sent = {**changed(subscription(f"sub_{number}")), field: OWN_ACCOUNT}
        assert deliver(it.api, sent).body["outcome"] == "reported"
    assert it.seats() == 4
    assert len(it.asked("GET", "/v1/account")) == 1


def test_a_context_may_be_a_path_that_ends_in_our_account(it: Shop) -> None:
    sent = changed(subscription(), context=f"org_1/{OWN_ACCOUNT}")
    assert deliver(it.api, sent).body["outcome"] == "reported"


@pytest.mark.parametrize("field", ["account", "context"])
def test_an_event_of_another_account_is_answered_and_not_recorded(it: Shop, field: str) -> None:
    head = it.api.head
    got = deliver(it.api, {**changed(subscription()), field: "acct_1Theirs"})
    assert (got.status, got.body) == (200, {"received": True, "outcome": "ignored", "new": False})
    assert (it.api.head, it.seats()) == (head, 0)


def test_while_stripe_does_not_say_who_we_are_it_is_to_deliver_again(it: Shop) -> None:
    sent = changed(subscription(), account=OWN_ACCOUNT)
    it.stripe.fail("down")
    got = deliver(it.api, sent)
    assert (got.status, got.code) == (503, "stripe_unavailable")
    it.stripe.mend()
    assert deliver(it.api, sent).body["outcome"] == "reported"


def test_without_a_key_nobody_can_tell(api: Api) -> None:
    got = deliver(api, changed(subscription(), account=OWN_ACCOUNT))
    assert (got.status, got.code) == (400, "webhook_refused")
    assert "STRIPE_API_KEY" in got.body["detail"]
