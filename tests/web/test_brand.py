"""The vendor's name, logo, colour and contact on the pages, and texts of products by language."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ledger.catalog import CatalogError, parse
from tests.console.desk import signed_in
from tests.web.api import POS, Api, memory_api
from tests.web.test_portal_lifetime import Browser, visitor
from web.app.brand import CONTRAST_MIN, DARK_PAPER, WHITE, Logo, contrast, lighter
from web.app.settings import SettingError, read_settings

BRAND = """
[brand]
name = "Harbour & Co"
logo = "logo.svg"
accent = "#7a1f5c"
support_url = "https://help.example/desk"
support_email = "desk@help.example"
"""
PRODUCTS = """
[[products]]
id = "cloud_pos"
name = { en = "Cloud POS", de = "Wolkenkasse" }
prefix = "POS"
seat = "certificate"

[[products]]
id = "integrations"
name = "Integrations"
prefix = "INT"
seat = "connection"

[[products.tiers]]
id = "starter"
name = { en = "Starter", de = "Einstieg" }
limits = { invoices_per_month = 300, sync = { en = "Basic", de = "Einfach" } }
"""
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'


@pytest.fixture
def api() -> Api:
    return memory_api(catalog=parse(BRAND + PRODUCTS), logo=Logo("image/svg+xml", SVG))


def asset(page: str, start: str) -> str:
    found = re.search(rf"/assets/{start}[^\"]*", page)
    assert found
    return found[0]


def test_every_page_shows_whose_it_is_and_where_to_get_help(api: Api) -> None:
    browser = visitor(api)
    pages = [
        browser.get("subscriptions").text,
        browser.get("nowhere").text,
        Browser(api.app.test_client()).get("subscriptions").text,
        api.app.test_client().get("/console/sign-in").text,
    ]
    for page in pages:
        assert "– Harbour &amp; Co</title>" in page
        assert 'alt="Harbour &amp; Co"' in page
        assert 'href="https://help.example/desk"' in page
        assert 'href="mailto:desk@help.example"' in page
    logo = browser.client.get(asset(pages[0], "logo"))
    assert (logo.data, logo.content_type) == (SVG, "image/svg+xml")
    assert "sandbox" in logo.headers["Content-Security-Policy"]
    assert "#7a1f5c" in browser.client.get(asset(pages[0], "brand")).text
    assert "Issued by Harbour &amp; Co" in browser.get("upgrade/cloud_pos").text


def test_help_stands_at_the_same_place_on_every_page(api: Api) -> None:
    visitor(api)
    customer, staff = visitor(api), signed_in(api, "admin")
    pages = {
        path: customer.get(path).text
        for path in (
            "subscriptions", "notices", "billing", "buy/cloud_pos", "manage/cloud_pos", "nowhere",
        )
    } | {
        f"console: {path}": staff.get(path).page
        for path in ("", "overview", "accounts", "keys", "tokens", "nowhere")
    }  # fmt: skip
    pages["console: sign-in"] = api.app.test_client().get("/console/sign-in").text
    for path, page in pages.items():
        before, after = page.split('<p class="support">')
        assert before.rstrip().endswith("<footer>"), path
        assert not re.search("</?(main|header|nav)", after), path


def test_without_a_brand_the_pages_are_as_they_were() -> None:
    page = visitor(memory_api()).get("subscriptions").text
    assert "<title>Subscriptions</title>" in page
    assert not re.search('class="logo|mailto:|/assets/brand|Help:', page)


def test_products_and_tiers_are_called_in_the_readers_language(api: Api) -> None:
    api.redeem(order={**POS, "product": "integrations", "tier": "starter"})
    browser = visitor(api)

    def read(path: str, language: str) -> str:
        return browser.client.get(f"/portal/{path}", headers={"Accept-Language": language}).text

    german, english = (read("subscriptions", language) for language in ("de", "en"))
    assert "Wolkenkasse" in german
    assert "Einstieg" in german
    assert "Cloud POS" in english
    assert "Starter" in english
    assert "Einfach" in read("manage/integrations", "de")
    assert "Basic" in read("manage/integrations", "en")
    assert "Wolkenkasse" in read("buy/cloud_pos", "de")
    products = api.get("portal", "/v1/accounts/acme/subscriptions").body["products"]
    assert [one["name"] for one in products] == ["Cloud POS", "Integrations"]
    entitled = api.get("portal", "/v1/accounts/acme/entitlements").body["entitlements"]
    assert entitled[-1]["limits"]["sync"] == "Basic"


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('{ en = "Starter", de = "Einstieg" }', '{ de = "Einstieg" }', "starter.name"),
        ('{ en = "Basic", de = "Einfach" }', '{ english = "Basic" }', "starter.limits.sync"),
        ('de = "Wolkenkasse"', "de = 7", "name"),
        ('"#7a1f5c"', '"red"', "accent"),
        ('"logo.svg"', '"../logo.svg"', "logo"),
        ('"https://help.example/desk"', '"javascript:alert(1)"', "support_url"),
        ("support_email", "mail", "mail"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(old: str, new: str, place: str) -> None:
    assert old in BRAND + PRODUCTS
    with pytest.raises(CatalogError, match=place):
        parse((BRAND + PRODUCTS).replace(old, new))


def settings(folder: Path, catalog: str) -> dict[str, str]:
    (folder / "catalog.toml").write_text(catalog)
    return {"KEYFOLD_CATALOG": str(folder / "catalog.toml")}


def test_the_logo_is_read_at_the_start_from_beside_the_catalog(tmp_path: Path) -> None:
    environ = settings(tmp_path, BRAND + PRODUCTS)
    with pytest.raises(SettingError, match=r"KEYFOLD_CATALOG .*brand.logo.*no file beside"):
        read_settings(environ)
    (tmp_path / "logo.svg").write_bytes(SVG)
    assert read_settings(environ).logo == Logo("image/svg+xml", SVG)
    (tmp_path / "logo.svg").write_bytes(b" " * 300_000)
    with pytest.raises(SettingError, match=r"brand.logo.*256 KiB"):
        read_settings(environ)
    environ = settings(tmp_path, BRAND.replace("logo.svg", "logo.exe") + PRODUCTS)
    with pytest.raises(SettingError, match=r"brand.logo.*\.svg, \.png"):
        read_settings(environ)


def test_an_accent_that_cannot_be_read_on_white_is_refused(tmp_path: Path) -> None:
    catalog = f'[brand]\naccent = "#ffcc00"\n{PRODUCTS}'
    with pytest.raises(SettingError, match=r"contrast of 1.5 to 1 with white"):
        read_settings(settings(tmp_path, catalog))


@pytest.mark.parametrize("accent", ["#000000", "#7a1f5c", "#0000ff", "#767676"])
def test_an_accent_is_read_on_white_and_its_lighter_one_on_dark(accent: str) -> None:
    assert contrast(accent, WHITE) >= CONTRAST_MIN
    assert contrast(lighter(accent, DARK_PAPER), DARK_PAPER) >= CONTRAST_MIN


def test_which_reseller_to_contact_is_named() -> None:
    api = memory_api()
    browser = visitor(api)
    assert "You have keys of" not in browser.get("upgrade/cloud_pos/key").text
    api.redeem(reseller="Süd & Söhne")
    assert "Prepaid: contact your reseller, Süd &amp; Söhne" in browser.get("subscriptions").text
    assert "You have keys of: Süd &amp; Söhne" in browser.get("upgrade/cloud_pos/key").text
    # Of a key of somebody else's nothing is said.
    other = api.issue(reseller="Nord")["code"]
    api.try_code(other, account="beta")
    tried = browser.post("upgrade/cloud_pos/validate", code=other).text
    assert "This activation key is not available" in tried
    assert "Süd" in tried
    assert "Nord" not in tried
