"""`./dev run`: the link that it prints opens the pages of a world to look at."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.cli.program import Program

LINES_MAX = 20


def test_the_printed_link_opens_the_pages(tmp_path: Path, page: Page) -> None:
    program = Program(tmp_path)
    with program.served("--serve", command="demo") as server:
        lines = iter(server.line, None)
        link = next(
            line for line, _ in zip(lines, range(LINES_MAX), strict=False) if "/portal/" in line
        )
        assert link.startswith(f"http://{server.address}/portal/open?link=")
        page.goto(link)
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Subscriptions")
        seats = page.get_by_role("article", name="Cloud POS")
        expect(seats).to_contain_text("2 / 3")
        expect(seats).not_to_contain_text("but you have")
