"""Run the stand-in to play with by hand."""

from __future__ import annotations

import argparse
import threading
import time

from tests.stripe_server.server import StripeServer


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="A stand-in for Stripe, for tests.")
    parser.add_argument("--port", type=int, default=12111)
    parser.add_argument("--api-key", default="sk_test_stand_in")
    given = parser.parse_args()
    with StripeServer(given.api_key, now=int(time.time()), port=given.port) as stripe:
        print(f"Stripe's stand-in at {stripe.url}, key {stripe.api_key}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
