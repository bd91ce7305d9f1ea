"""The pictures in the README: taken of the demonstration's world, at a moment that stands still.

SCREENSHOTS=docs/images ./dev test tests/portal/test_screenshots.py
"""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.cli.program import Program
from tests.portal.conftest import NewPage
from tests.portal.vendor import Vendor

FOLDER = "SCREENSHOTS"
MOMENT = "2026-06-15T09:00:00Z"
SIZE = {"width": 1280, "height": 800}
PICTURE_BYTES_MIN = 10_000


def take(page: Page, folder: Path, name: str) -> None:
    # The banner says that the clock is a test's; a reader of the README is to see the page.
    page.evaluate("document.querySelectorAll('.banner').forEach((one) => one.remove())")
    file = folder / f"{name}.png"
    page.screenshot(path=file)
    assert file.stat().st_size > PICTURE_BYTES_MIN


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.long)])
def test_pictures_are_taken(tmp_path: Path, new_page: NewPage, scheme: str) -> None:
    folder = Path(os.environ.get(FOLDER, tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    (tmp_path / "clock").write_text(MOMENT + "\n")
    secret = base64.b64encode(bytes(range(32))).decode()
    program = Program(tmp_path, {"KEYFOLD_TEST_CLOCK": "clock", "KEYFOLD_SECRET": secret})
    program.done("db", "upgrade")
    program.done("demo")
    page = new_page(color_scheme=scheme, viewport=SIZE, timezone_id="UTC")
    with program.served() as server:
        vendor = Vendor(program, server)
        customer = vendor.customer(page, "harbour-hotel", display_name="Harbour Hotel")
        take(page, folder, f"subscriptions-{scheme}")
        customer.go("POS Manager")
        take(page, folder, f"pos-manager-{scheme}")
        dialog = customer.enter(vendor.issue(seats=5))
        expect(dialog.get_by_text("Review the package")).to_be_visible()
        take(page, folder, f"upgrade-plan-{scheme}")
        page.goto(f"{vendor.url}/console/sign-in")
        page.get_by_label("Access token").fill(
            program.json("tokens", "create", "--role", "admin")["token"]
        )
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        page.goto(f"{vendor.url}/console/accounts/harbour-hotel")
        take(page, folder, f"console-{scheme}")
