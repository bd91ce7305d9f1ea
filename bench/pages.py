"""How soon a customer's page is there: a served program, and a real browser with nothing kept."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, sync_playwright

from bench.measure import FULL, Effort, Measure
from tests.cli.program import Program
from tests.portal import chromium
from tests.portal.vendor import INT, Vendor

READY_MAX_MS: Final = 200.0
READY = """() => {
    const shown = performance.getEntriesByType("navigation")[0];
    return shown.domContentLoadedEventEnd - shown.responseEnd;
}"""


def measures(effort: Effort) -> Iterator[Measure]:
    """Measure the first Subscriptions page: ready, counted from the end of the answer."""
    with tempfile.TemporaryDirectory(prefix="keyfold-bench-") as folder:
        program = Program(Path(folder))
        program.done("db", "upgrade")
        with program.served() as server, sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=chromium.find(), args=list(chromium.ARGUMENTS)
            )
            vendor = Vendor(program, server)
            account = vendor.account()
            for _ in range(3):
                vendor.redeem(account)
                vendor.redeem(account, INT)
            loads = 20 if effort == FULL else 5
            waits = [_ready_ms(vendor, browser.new_page(), account) for _ in range(loads)]
            browser.close()
    median = statistics.median(waits)
    yield Measure(
        "first Subscriptions page ready",
        f"{READY_MAX_MS:.0f} ms after its answer",
        median / READY_MAX_MS,
        1,
        at_least=False,
        detail=f"median {median:.0f} ms, slowest {max(waits):.0f} ms",
    )


def _ready_ms(vendor: Vendor, page: Page, account: str) -> float:
    vendor.customer(page, account)
    page.context.new_cdp_session(page).send("Network.clearBrowserCache")
    page.goto(f"{vendor.url}/portal/subscriptions", wait_until="networkidle")
    ready: float = page.evaluate(READY)
    page.close()
    return ready
