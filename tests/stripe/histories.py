"""Random lives of Stripe subscriptions, lived in the stand-in server.

A life is a list of steps; a step that Stripe refuses at that point (raising the quantity of a
subscription that has ended, say) is passed over, as it would be in life.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st

from tests.stripe_server import ApiError, StripeServer

Json = dict[str, Any]

ACCOUNT: Final = "acme"
VERSIONS: Final = ("2019-12-03", "2020-08-27", "2024-10-28.acacia", "2025-04-30.basil", None)
PRICES: Final = (
    ("cloud_pos_month", "month"),
    ("cloud_pos_year", "year"),
    ("integrations_starter_month", "month"),
    ("integrations_growth_month", "month"),
)


class Step(NamedTuple):
    """Something that happens to one of the subscriptions, and how much time passes then."""

    do: str
    which: int = 0
    number: int = 1
    days: float = 0.0


STEPS_OF_LIFE: Final = (
    "subscribe", "subscribe", "quantity", "quantity", "quantity", "tier", "add item", "trial",
    "pause collection", "resume collection", "pause", "resume", "fail", "mend",
    "cancel at period end", "keep", "cancel", "wait",
)  # fmt: skip
STEPS: Final = st.lists(
    st.builds(
        Step,
        do=st.sampled_from(STEPS_OF_LIFE),
        which=st.integers(0, 1),
        number=st.integers(1, 6),
        # Nothing at all, so that several things are of one second; a moment; days; a month.
        days=st.sampled_from([0.0, 0.0, 0.0, 0.0001, 1.0, 3.5, 8.0, 31.0]),
    ),
    min_size=1,
    max_size=9,
)


class Life:
    """One customer at Stripe, with up to two subscriptions."""

    def __init__(self, stripe: StripeServer) -> None:
        self.stripe = stripe
        self.customer = stripe.post("/v1/customers", {"email": "somebody@people.example"})["id"]
        product = stripe.post("/v1/products", {"name": "Seats"})["id"]
        self.prices = [
            stripe.post(
                "/v1/prices",
                {
                    "product": product,
                    "currency": "eur",
                    "unit_amount": 1500,
                    "recurring": {"interval": interval},
                    "lookup_key": key,
                },
            )["id"]
            for key, interval in PRICES
        ]
        self.subscriptions: list[str] = []

    def live(self, steps: list[Step]) -> None:
        for step in steps if self.subscriptions else [Step("subscribe", number=2), *steps]:
            with suppress(ApiError):
                self._take(step)
            if step.days:
                self.stripe.advance(days=step.days)

    def _take(self, step: Step) -> None:
        if step.do == "subscribe":
            self._subscribe(step)
        elif step.do in ("fail", "mend"):
            change = self.stripe.fail_payments if step.do == "fail" else self.stripe.mend_payments
            change(self.customer)
        elif step.do != "wait":
            self._change(step, f"/v1/subscriptions/{self._one(step)}")

    def _one(self, step: Step) -> str:
        return self.subscriptions[step.which % len(self.subscriptions)]

    def _subscribe(self, step: Step) -> None:
        if len(self.subscriptions) == 2:
            return
        params: Json = {
            "customer": self.customer,
            "items": [{"price": self.prices[step.which], "quantity": step.number}],
            "metadata": {"keyfold_account": ACCOUNT},
        }
        if step.number == 6:
            params["trial_period_days"] = 7
        if step.number == 5:
            params["payment_behavior"] = "default_incomplete"
        self.subscriptions.append(self.stripe.post("/v1/subscriptions", params)["id"])

    def _change(self, step: Step, path: str) -> None:
        items = self.stripe.get(path)["items"]["data"]
        item = items[step.number % len(items)]["id"]
        price = self.prices[step.number % len(self.prices)]
        match step.do:
            case "quantity":
                self.stripe.post(f"/v1/subscription_items/{item}", {"quantity": step.number})
            case "tier":
                self.stripe.post(f"/v1/subscription_items/{item}", {"price": price})
            case "add item":
                added = {"subscription": self._one(step), "price": price, "quantity": step.number}
                self.stripe.post("/v1/subscription_items", added)
            case _:
                self._carry_on(step, path)

    def _carry_on(self, step: Step, path: str) -> None:
        match step.do:
            case "trial":
                end = self.stripe.clock + step.number * 86400
                self.stripe.post(path, {"trial_end": end, "proration_behavior": "none"})
            case "pause collection":
                self.stripe.post(path, {"pause_collection": {"behavior": "void"}})
            case "resume collection":
                self.stripe.post(path, {"pause_collection": ""})
            case "pause" | "resume":
                self.stripe.post(f"{path}/{step.do}")
            case "cancel at period end":
                self.stripe.post(path, {"cancel_at_period_end": True})
            case "keep":
                self.stripe.post(path, {"cancel_at_period_end": False})
            case "cancel":
                self.stripe.delete(path)
