"""Going through a page with the keys alone."""

from __future__ import annotations

from playwright.sync_api import Page


def press_until(page: Page, name: str, key: str = "Tab", most: int = 40) -> None:
    """Press a key until the focus is on what has this name, as a screen reader would say it."""
    for _ in range(most):
        page.keyboard.press(key)
        text = page.evaluate(
            """() => {
                const on = document.activeElement;
                const labels = [...(on.labels || [])].map((label) => label.textContent.trim());
                return on.getAttribute("aria-label") || labels[0] || on.textContent.trim();
            }"""
        )
        if text == name:
            return
    raise AssertionError(f"{name} cannot be reached")


def outlined(page: Page) -> bool:
    """Tell whether a person sees where the focus is."""
    return bool(
        page.evaluate(
            """() => {
                const on = getComputedStyle(document.activeElement);
                return on.outlineStyle !== "none" || on.boxShadow !== "none";
            }"""
        )
    )
