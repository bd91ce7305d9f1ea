"""Stripe's own command line triggers events at the stand-in: a load that none of us wrote."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.stripe_server import StripeServer

pytestmark = pytest.mark.long

EVENTS = [
    "charge.dispute.created",
    "charge.refunded",
    "checkout.session.completed",
    "checkout.session.expired",
    "customer.deleted",
    "customer.subscription.created",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.trial_will_end",
    "customer.subscription.updated",
    "invoice.finalized",
    "invoice.paid",
    "invoice.payment_failed",
    "invoice.payment_succeeded",
    "payment_intent.succeeded",
]


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Find Stripe's command line: $TEST_STRIPE_CLI, on the PATH, or fetched with npm."""
    found = os.environ.get("TEST_STRIPE_CLI") or shutil.which("stripe")
    if found:
        return found
    folder = tmp_path_factory.mktemp("cli")
    subprocess.run(
        ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "@stripe/cli@1.52.0"],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=180,
    )
    programs = sorted(folder.glob("node_modules/@stripe/cli-*/bin/stripe*"))
    assert programs, "npm brought no program of Stripe's"
    return str(programs[0])


@pytest.mark.parametrize("event", EVENTS)
def test_stripes_command_line_triggers(command: str, event: str, tmp_path: Path) -> None:
    with StripeServer("sk_test_commandline") as stripe:
        done = subprocess.run(
            [command, "trigger", event, "--api-key", stripe.api_key, "--api-base", stripe.url],
            env={
                "HOME": str(tmp_path),
                "PATH": os.environ["PATH"],
                "STRIPE_CLI_TELEMETRY_OPTOUT": "1",
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert event in {one["type"] for one in stripe.events}
        assert stripe.requests
