"""A stand-in for Stripe: an HTTP server that the real stripe-python talks to.

    with StripeServer() as stripe:
        client = stripe.client()
        price = stripe.post("/v1/prices", {…})        # in process, or client.v1.prices.create(…)
        stripe.advance(days=31)                        # renewals, retries, ends
        stripe.fail_payments("cus_…")                  # a card that is refused
        stripe.fail("applied_then_cut", times=1)       # a call that was done, and then cut off
        stripe.deliver(url, "whsec_…", shuffle=True, duplicate=1.0, drop=0.1, seed=7)

Everything it sends and takes is checked against the installed SDK's own annotations, which are made
from Stripe's specification (`annotations`, `shapes`, `requests`); a deviation raises, and is raised
once more when the server is left. A parameter that Stripe has and the stand-in does nothing with is
refused.

By hand: `python -m tests.stripe_server --port 12111`; `POST /_test/advance` with `{"days": 31}`.
"""

from tests.stripe_server.delivery import Delivery, in_disorder
from tests.stripe_server.errors import ApiError
from tests.stripe_server.server import Received, StripeServer
from tests.stripe_server.shapes import ShapeDeviation
from tests.stripe_server.world import Settings

__all__ = [
    "ApiError",
    "Delivery",
    "Received",
    "Settings",
    "ShapeDeviation",
    "StripeServer",
    "in_disorder",
]
