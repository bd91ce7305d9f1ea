"""Every page that there is, in a Chromium: none scrolls sideways, and all are for everybody.

The pages are those of the application's own map of addresses, so a new one is looked at by itself.

    SCREENSHOTS=/tmp/pictures ./dev test tests/test_every_page.py      keeps a picture of each
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple

import pytest
from playwright.sync_api import FloatRect, Page, ViewportSize, expect

from tests.portal.conftest import NewPage, new_page, other_site, seller
from tests.portal.selling import Seller
from tests.portal.test_accessibility import axe_on
from tests.portal.vendor import INT, POS
from tests.web.api import memory_api

__all__ = ["new_page", "other_site", "seller"]

WIDTHS: Final = (320, 360, 768, 1024, 1280)
HEIGHT: Final = 800
SCREENSHOTS: Final = "SCREENSHOTS"
PICTURE_WIDTHS: Final = (360, 1280)
PICTURE_HEIGHT: Final = 2400
# Pages that have nothing to look at: forms of others, files, and what leads elsewhere.
NO_PAGES: Final = frozenset(
    {
        "/console/cause", "/console/keys/<key>/receipt", "/console/audit/checkpoint",
        "/portal/", "/portal/open", "/console/sign-in",
    }
)  # fmt: skip
_PARAMETER: Final = re.compile(r"<(?:\w+:)?(\w+)>")
_NO_WORD: Final = re.compile(r"\W+")
_accounts = itertools.count(1)


# What components.html has a macro for.
_PARTS: Final = re.compile(
    r'<(?:dl|table)\b|class="(?:panel|said|chip|empty|title|pager|step|notice|field|bar)\b'
)


def test_the_parts_of_pages_are_written_once() -> None:
    folder = Path(__file__).parents[1] / "web" / "templates"
    found = [
        f"{file.relative_to(folder)}: {part}"
        for file in folder.glob("*/*.html")
        if file.name != "components.html"
        for part in _PARTS.findall(file.read_text())
    ]
    assert found == []


class World(NamedTuple):
    """An account with so much of everything, and what stands in the addresses of its pages."""

    account: str
    places: dict[str, list[str]]


def paths(wing: Literal["console", "portal"], places: dict[str, list[str]]) -> Iterator[str]:
    """Return the address of every page of a wing, once for each thing that it may be about."""
    for rule in memory_api().app.url_map.iter_rules():
        if rule.endpoint.startswith(f"{wing}.") and "GET" in (rule.methods or ()):
            if rule.rule in NO_PAGES:
                continue
            names = _PARAMETER.findall(rule.rule)
            assert set(names) <= set(places), f"say what {rule.rule} is shown for"
            for values in itertools.product(*(places[name] for name in names)):
                path = rule.rule
                for value in values:
                    path = _PARAMETER.sub(value, path, count=1)
                yield path


def world(seller: Seller, size: int) -> World:
    """Return an account with so many holders, keys, and what comes of them."""
    account = f"customer-{size}-{next(_accounts)}-with-an-id-of-some-length"
    places = {
        "account": [account],
        "product": ["cloud_pos", "integrations"],
        "position": ["1"],
        "key": [],
        "batch": [],
        "token": [],
        "reseller": [],
    }
    if size:
        reseller = f"Reseller with a long name {size}"
        order = {**POS, "seats": size, "count": size, "note": "W" * 60, "reseller": reseller}
        issued = seller.ask("POST", "/v1/keys", order)
        places |= {"key": [issued["keys"][0]["id"]], "batch": [issued["batch"]]}
        places["reseller"] = [reseller]
        body = {"code": issued["keys"][0]["code"], "account": account, "session": "a"}
        seller.ask("POST", "/v1/keys/redeem", body)
        seller.redeem(account, INT)
        seller.subscribe(account)
        seller.program.done("people", "lock-out", f"kfu_{'w' * 26}", "--reason", "Has left")
        for number in range(size):
            seller.sit(account, f"till-{number}", label=f"{'W' * 40} {number}")
        seller.sit(account, "con-1", "integrations", tier="growth", label="W" * 80)
    return World(account, places)


def too_wide(page: Page, path: str, size: int) -> list[str]:
    """Return in which widths an open page scrolls; keep a picture of it if that is wanted."""
    found = []
    folder = os.environ.get(SCREENSHOTS)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": HEIGHT})
        wider = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        if wider > 0:
            found.append(f"{path} is {wider} px wider than {width}")
        if folder and width in PICTURE_WIDTHS:
            name = f"{_NO_WORD.sub('-', path).strip('-')}-of-{size}"
            clip: FloatRect = {"x": 0, "y": 0, "width": width, "height": PICTURE_HEIGHT}
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                file = Path(folder) / f"{name}-{page.evaluate('document.documentElement.lang')}"
                page.screenshot(path=f"{file}-{width}-{scheme}.png", full_page=True, clip=clip)
    return found


@pytest.mark.parametrize(
    ("size", "locale"),
    [
        (0, "de-DE"),
        (1, "en-GB"),
        (30, "de-DE"),
        (300, "en-GB"),
        pytest.param(0, "en-GB", marks=pytest.mark.long),
        pytest.param(1, "de-DE", marks=pytest.mark.long),
        pytest.param(30, "en-GB", marks=pytest.mark.long),
        pytest.param(300, "de-DE", marks=pytest.mark.long),
    ],
)
def test_no_page_of_a_customer_scrolls_sideways(
    new_page: NewPage, seller: Seller, size: int, locale: str
) -> None:
    made = world(seller, size)
    page = new_page(locale=locale)
    page.goto(seller.link(made.account, permissions=["manage_users"]))
    found = too_wide(page, "/portal/open", size)
    seller.customer(page, made.account, permissions=["manage_users"])
    for path in paths("portal", made.places):
        answer = page.goto(seller.url + path)
        assert answer is not None
        assert answer.status < 500, path
        found += too_wide(page, path, size)
    page.get_by_role("button", name=re.compile("Leave|Verlassen|Abmelden")).click()
    expect(page.get_by_text(re.compile("You have left|Sie haben"))).to_be_visible()
    found += too_wide(page, "/portal/left", size)
    assert "\n".join(found) == ""


@pytest.mark.parametrize(
    ("size", "locale"), [(0, "en-GB"), (1, "de-DE"), (30, "en-GB"), (300, "de-DE")]
)
def test_no_page_of_the_console_scrolls_sideways(
    new_page: NewPage, seller: Seller, size: int, locale: str
) -> None:
    made = world(seller, size)
    page = new_page(locale=locale)
    page.goto(f"{seller.url}/console/sign-in")
    found = too_wide(page, "/console/sign-in", size)
    page.get_by_label(re.compile("Access token|Zugangstoken")).fill(
        seller.program.json("tokens", "create", "--role", "admin")["token"]
    )
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name=re.compile("Sign out|Abmelden"))).to_be_visible()
    for path in paths("console", made.places):
        answer = page.goto(seller.url + path)
        assert answer is not None
        assert answer.status < 500, path
        found += too_wide(page, path, size)
    for typed in ("customer", "nothing at all like anything"):
        page.get_by_role("searchbox").fill(typed)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        found += too_wide(page, f"/console/search/{typed}", size)
    assert "\n".join(found) == ""


# What WCAG 2.2 asks of every page: what has the focus is seen; nothing moves where it must not.
ZOOMED: Final[ViewportSize] = {"width": 320, "height": 256}  # 1280 × 1024 at 400 %
_FOCUSED: Final = """() => {
    const one = document.activeElement;
    if (!one || one === document.body) return null;
    const box = one.getBoundingClientRect();
    const [x, y] = [box.left + box.width / 2, box.top + Math.min(box.height / 2, 8)];
    const at = document.elementFromPoint(x, y);
    const seen = box.bottom > 0 && box.top < innerHeight && box.width > 0;
    const style = getComputedStyle(one);
    const ring = style.outlineStyle !== "none" || style.boxShadow !== "none" || one.id === "main";
    const free = !at || one.contains(at) || at.contains(one) || !!at.closest("label");
    const name = (one.getAttribute("aria-label") || one.textContent || one.name || "").trim();
    return [`${one.tagName} ${name.slice(0, 40)}`, seen && free, ring];
}"""


# What is dragged is chosen without dragging, too (2.5.7): a slider has a list beside it.
_DRAGGED: Final = """() => [...document.querySelectorAll("[draggable=true], [type=range]")]
    .filter(one => {
        const list = one.dataset.slider && document.getElementById(one.dataset.slider);
        return !list || !list.checkVisibility() || list.options.length <= Number(one.max);
    }).map(one => one.outerHTML.slice(0, 80))"""


def unseen_focus(page: Page, path: str, limit: int = 40) -> list[str]:
    """Return what has the focus and is not seen, or has no ring, when a page is gone through."""
    found = []
    page.set_viewport_size(ZOOMED)
    for _ in range(limit):
        page.keyboard.press("Tab")
        focused = page.evaluate(_FOCUSED)
        if focused is None:
            break
        name, seen, ring = focused
        if not seen or not ring:
            found.append(f"{path}: {name} {'has no ring' if seen else 'is covered or outside'}")
    return found


def not_for_everybody(page: Page, path: str) -> list[str]:
    """Return what on a page not everybody can see, reach or read."""
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    found = unseen_focus(page, path)
    page.emulate_media(forced_colors="active")
    lost = page.evaluate(
        "[...document.querySelectorAll('.chip, .said, .bar rect, button')].filter(one => {"
        " const style = getComputedStyle(one);"
        " return one.getClientRects().length && one.tagName !== 'rect'"
        "   && style.borderTopStyle === 'none' }).map(one => one.className)"
    )
    found += [f"{path}: {one} has no edge with forced colours" for one in set(lost)]
    page.emulate_media(forced_colors="none", reduced_motion="reduce")
    moving = page.evaluate("document.getAnimations().length")
    found += [f"{path}: {moving} things move"] if moving else []
    page.set_viewport_size({"width": 1280, "height": HEIGHT})
    found += [f"{path}: {one} can only be dragged" for one in page.evaluate(_DRAGGED)]
    axe = axe_on(page)
    found += [f"{path}: {one['id']}: {one['nodes'][0]['html'][:200]}" for one in axe]
    return found


def test_every_page_of_a_customer_is_for_everybody(new_page: NewPage, seller: Seller) -> None:
    made = world(seller, 1)
    page = new_page(locale="de-DE")
    seller.customer(page, made.account, permissions=["manage_users"])
    found = []
    for path in paths("portal", made.places):
        page.goto(seller.url + path)
        found += not_for_everybody(page, path)
    assert "\n".join(found) == ""


# Every third page in each, so that none takes long.
@pytest.mark.parametrize("third", [0, 1, 2])
def test_every_page_of_the_console_is_for_everybody(
    new_page: NewPage, seller: Seller, third: int
) -> None:
    made = world(seller, 1)
    page = new_page(locale="de-DE")
    page.goto(f"{seller.url}/console/sign-in")
    found = not_for_everybody(page, "/console/sign-in")
    page.get_by_label("Zugangstoken").fill(
        seller.program.json("tokens", "create", "--role", "admin")["token"]
    )
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Abmelden")).to_be_visible()
    for path in list(paths("console", made.places))[third::3]:
        page.goto(seller.url + path)
        found += not_for_everybody(page, path)
    assert "\n".join(found) == ""


@pytest.mark.parametrize(
    ("style", "says"),
    [
        ("footer { position: fixed; inset: 0; background: red }", "is covered or outside"),
        (":focus-visible { outline: none !important; box-shadow: none !important }", "no ring"),
        (".quiet-text { color: #ddd !important }", "color-contrast"),
        ("button, .chip { border: 0 !important }", "no edge with forced colours"),
        (
            "nav.side a { padding: 0 !important; margin: 0 !important; font-size: 9px }",
            "target-size",
        ),
    ],
)
def test_what_is_not_for_everybody_is_found(
    new_page: NewPage, seller: Seller, style: str, says: str
) -> None:
    made = world(seller, 1)
    page = new_page(bypass_csp=True)
    seller.customer(page, made.account)
    page.add_style_tag(content=style)
    assert any(says in one for one in not_for_everybody(page, "subscriptions"))


def test_what_can_only_be_dragged_is_found(new_page: NewPage, seller: Seller) -> None:
    page = new_page()
    page.set_content('<input type="range" max="9" data-slider="none"><p draggable="true">A row</p>')
    assert len(page.evaluate(_DRAGGED)) == 2


def test_a_token_is_pasted_or_filled_in_and_nothing_has_to_be_remembered(
    new_page: NewPage, seller: Seller
) -> None:
    page = new_page(permissions=["clipboard-read", "clipboard-write"])
    page.goto(f"{seller.url}/console/sign-in")
    field = page.get_by_label("Access token")
    # A password manager knows it by these.
    expect(field).to_have_attribute("type", "password")
    expect(field).to_have_attribute("autocomplete", "current-password")
    assert page.locator("form").get_by_role("textbox").count() <= 1
    token = seller.program.json("tokens", "create", "--role", "admin")["token"]
    page.evaluate("token => navigator.clipboard.writeText(token)", token)
    field.focus()
    page.keyboard.press("Control+V")
    expect(field).to_have_value(token)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def test_menu_and_dialog_are_opened_left_and_closed_by_keyboard(
    new_page: NewPage, seller: Seller
) -> None:
    page = new_page(viewport={"width": 320, "height": 568})
    page.goto(f"{seller.url}/console/design")
    page.get_by_label("Access token").fill(
        seller.program.json("tokens", "create", "--role", "admin")["token"]
    )
    page.keyboard.press("Enter")
    menu = page.get_by_role("button", name="Menu", exact=True)
    menu.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#menu")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.locator("#menu a").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#menu")).to_be_hidden()
    expect(menu).to_be_focused()
    opener = page.get_by_role("button", name="Open the dialog")
    opener.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    for _ in range(6):
        page.keyboard.press("Tab")
        # Past its last field the browser's own window has the focus, and no part of the page.
        inside = "document.activeElement.matches('body, dialog *')"
        assert page.evaluate(inside)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()
