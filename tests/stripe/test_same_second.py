"""Stripe's clock has seconds: within one, the answer that was asked for last is the state."""

from __future__ import annotations

from tests.stripe.shop import shop


def test_what_is_changed_at_stripe_in_the_second_of_a_purchase_is_seen() -> None:
    with shop() as sold:
        subscription = sold.subscribe(seats=2)["id"]
        (item,) = sold.stripe.get(f"/v1/subscriptions/{subscription}")["items"]["data"]
        # Each answer ranks after the one before, though the clock has not moved.
        for _ in range(2):
            assert sold.buy(seats=1).status == 201
        sold.deliver()
        assert sold.seats() == 4
        # The event contradicts those of the same second, so Stripe is asked.
        sold.stripe.post(f"/v1/subscription_items/{item['id']}", {"quantity": 1})
        sold.deliver()
        assert sold.seats() == 1
