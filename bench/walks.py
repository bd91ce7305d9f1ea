"""`python -m bench.walks [-v]`: how many of our files a request enters, and how often.

A *move* is a call that leads from code in one of our files into another one. What libraries run
between is not counted: a call that goes through them from one of our files to another is one move.
Ours is what is compiled from a file of `ledger`, `projections`, `commands` or `web`. The same on
every machine: nothing is timed.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from tests.stripe.payloads import TAKING, changed, deliver, item, subscription
from tests.web.api import Api, Got, stored_api

CHECKOUT = Path(__file__).resolve().parent.parent
PACKAGES = ("ledger", "projections", "commands", "examples", "web")


def walk(request: Callable[[], object]) -> Counter[str]:
    """Return how often a request, answered in this thread, enters each of our files."""
    ours = tuple(f"{CHECKOUT / package}/" for package in PACKAGES)
    entered: Counter[str] = Counter()
    callers: list[str | None] = [None]  # the file of ours that each call on the stack is in

    def profile(frame: FrameType, what: str, _: Any) -> None:
        if what == "call":
            file = frame.f_code.co_filename
            if not file.startswith(ours):
                callers.append(callers[-1])
                return
            if file != callers[-1]:
                entered[str(Path(file).relative_to(CHECKOUT))] += 1
            callers.append(file)
        elif what == "return" and len(callers) > 1:
            callers.pop()

    sys.setprofile(profile)
    try:
        request()
    finally:
        sys.setprofile(None)
    return entered


def requests(api: Api) -> dict[str, Callable[[], object]]:
    """Return what is walked by name, each for one call; what comes before it is done here."""
    metadata = {"keyfold_account": "acme"}
    sold = subscription("sub_1", items=[item("cloud_pos_month", 3)], metadata=metadata)
    raised = subscription("sub_1", items=[item("cloud_pos_month", 4)], metadata=metadata)
    key, other = api.issue(), api.issue()
    view = "/v1/accounts/acme/subscriptions"

    def redeem(code: str) -> Got:
        body = {"code": code, "account": "acme", "session": "s"}
        return api.post("portal", "/v1/keys/redeem", body)

    # Once each, so that nothing is done for the first time.
    assert redeem(key["code"]).status == 201
    assert deliver(api, changed(sold)).status == 200
    assert api.get("portal", view).status == 200
    return {
        "a redemption": lambda: redeem(other["code"]),
        "a warm read of the Subscriptions view": lambda: api.get("portal", view),
        "an event of Stripe's": lambda: deliver(api, changed(raised, at=api.clock.now)),
    }


def main() -> None:
    """Print the walks; with `-v` the files, too, and how often each was entered from another."""
    with (
        tempfile.TemporaryDirectory(prefix="keyfold-walks-") as folder,
        stored_api(f"sqlite:///{folder}/ledger.db", TAKING) as api,
    ):
        for name, request in requests(api).items():
            entered = walk(request)
            print(f"{name}: {len(entered)} files, {entered.total()} moves")
            if "-v" in sys.argv:
                for file, times in entered.most_common():
                    print(f"    {times:4} {file}")


if __name__ == "__main__":
    main()
