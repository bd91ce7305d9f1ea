"""A vendor whose portal sends customers to the hosted pages, and the customers' browsers.

    customer = vendor.customer(page, "acme")
    customer.go("POS Manager")

Every test has accounts of its own, so that one served program is enough for all.
"""

from __future__ import annotations

import http.client
import itertools
import json
import re
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.cli.program import Program, Server

POS = {"product": "cloud_pos", "seats": 2, "months": 12, "reseller": "Northwind"}
INT = {**POS, "product": "integrations", "tier": "growth"}
# As the built-in catalog's prefixes are: a code of nobody's.
NEVER_ISSUED = "POS-ABCD-EFGH-7K2M"

_numbers = itertools.count(1)


@dataclass
class Vendor:
    """One served program, asked with a token of each role it takes to prepare a test."""

    program: Program
    server: Server
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://{self.server.address}"

    def account(self) -> str:
        """Return an account that nobody else uses."""
        return f"acct-{next(_numbers)}"

    def ask(self, method: str, path: str, body: Any = None, role: str = "admin") -> Any:
        """Ask the API, which must do it."""
        if role not in self.tokens:
            made = self.program.json("tokens", "create", "--role", role)
            self.tokens[role] = made["token"]
        text = None if body is None else json.dumps(body)
        status, answer = self.server.request(method, path, self.tokens[role], text)
        assert status < 300, (status, answer)
        return json.loads(answer) if answer else None

    def issue(self, order: dict[str, Any] = POS, **changes: Any) -> str:
        """Return the code of a new key."""
        return str(self.ask("POST", "/v1/keys", {**order, **changes})["keys"][0]["code"])

    def redeem(self, account: str, order: dict[str, Any] = POS, **changes: Any) -> str:
        """Give an account a subscription, and answer its code."""
        code = self.issue(order, **changes)
        body = {"code": code, "account": account, "session": "vendor"}
        self.ask("POST", "/v1/keys/redeem", body)
        return code

    def sit(self, account: str, holder: str, product: str = "cloud_pos", **body: Any) -> None:
        self.ask("PUT", f"/v1/accounts/{account}/seats/{product}/{holder}", body)

    def view(self, account: str) -> dict[str, dict[str, Any]]:
        """Return the Subscriptions view by product."""
        view = self.ask("GET", f"/v1/accounts/{account}/subscriptions")
        return {one["product"]: one for one in view["products"]}

    def seats(self, account: str) -> list[dict[str, Any]]:
        seats: list[dict[str, Any]] = self.ask("GET", f"/v1/accounts/{account}/seats")["items"]
        return seats

    def head(self) -> int:
        """Return how many events the ledger has."""
        return int(json.loads(self.server.get("/readyz")[1])["position"])

    def link(self, account: str, **granted: Any) -> str:
        """Return a link to the hosted pages of this server."""
        made = self.ask("POST", f"/v1/accounts/{account}/portal-session", granted, "portal")
        return re.sub(r"^https?://[^/]+", self.url, str(made["url"]))

    def send(self, path: str, body: bytes, headers: dict[str, str]) -> int:
        """Send something as somebody else's program does, and answer the status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port)
        try:
            connection.request("POST", path, body, headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def customer(self, page: Page, account: str | None = None, **granted: Any) -> Customer:
        """Let somebody in by a link, in a browser."""
        account = account or self.account()
        page.goto(self.link(account, **granted))
        page.get_by_role("button", name=re.compile("Continue|Weiter")).click()
        page.wait_for_url("**/portal/subscriptions")
        return Customer(self, page, account)


@dataclass
class Customer:
    """Somebody on the pages."""

    vendor: Vendor
    page: Page
    account: str

    def go(self, entry: str, section: str | None = None) -> None:
        """Choose a page from the sidebar."""
        menu: Locator | Page = self.page.get_by_role("navigation")
        if section:
            menu = menu.locator("section", has=self.page.get_by_role("heading", name=section))
        menu.get_by_role("link", name=entry, exact=True).click()
        expect(self.page.get_by_role("heading", level=1)).to_have_text(entry)

    def open(self, path: str) -> None:
        self.page.goto(f"{self.vendor.url}/portal/{path}")

    def panel(self, name: str) -> Locator:
        return self.page.get_by_role("article", name=name, exact=True)

    def row(self, panel: str, number: int = 1) -> dict[str, str]:
        """Return a row of a panel's table by its columns."""
        table = self.panel(panel).get_by_role("table")
        names = table.get_by_role("columnheader").all_inner_texts()
        cells = table.get_by_role("row").nth(number).get_by_role("cell").all_inner_texts()
        return {name: " ".join(cell.split()) for name, cell in zip(names, cells, strict=True)}

    # Upgrade Plan

    def upgrade(self, manager: str = "POS Manager") -> Locator:
        """Open the dialog anew, and answer it."""
        if self.page.get_by_role("dialog").is_visible():
            self.page.keyboard.press("Escape")
        self.go(manager, "Integrations" if manager == "Integrations" else None)
        self.page.get_by_role("button", name="Upgrade Plan").click()
        return self.page.get_by_role("dialog")

    def enter(self, code: str, manager: str = "POS Manager") -> Locator:
        """Enter a key up to its validation, and answer the dialog."""
        dialog = self.upgrade(manager)
        dialog.get_by_role("button", name="Activate Key").click()
        dialog.get_by_label("Activation key").fill(code)
        dialog.get_by_role("button", name="Validate", exact=True).click()
        return dialog

    def activate(self, code: str, manager: str = "POS Manager") -> None:
        dialog = self.enter(code, manager)
        dialog.get_by_role("button", name="Activate").click()
        expect(self.page.get_by_role("status")).to_contain_text("Your subscription has started")

    # Seats

    def upload(self, data: bytes, name: str = "till.pem") -> None:
        """Add a certificate on POS Manager, which must be shown."""
        self.page.get_by_label("Certificate file").set_input_files(
            {"name": name, "mimeType": "application/x-x509-ca-cert", "buffer": data}
        )
        self.page.get_by_role("button", name="Add certificate").click()

    def remove(self, name: str, what: str = "certificate") -> None:
        """Remove who is called so, and say so again when asked."""
        self.page.get_by_role("button", name=f"Remove {what}: {name}").click()
        self.page.get_by_role("button", name=f"Remove {name}").click()

    def connect(self, name: str, tier: str) -> None:
        """Add a connection on Integrations, which must be shown."""
        self.page.get_by_label("Tier", exact=True).select_option(tier)
        self.page.get_by_label("Name", exact=True).fill(name)
        self.page.get_by_role("button", name="Add connection").click()
