"""The alert rules and the dashboard ask for figures that there are, and each alert is explained."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from commands.gateways.stripe_responses import OUTCOMES
from tests.web.api import Api
from web.app.metrics import Metrics

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy/prometheus/alerts.yml"
DASHBOARD = ROOT / "deploy/grafana/keyfold.json"
# Of the webhooks there are, and of a database's own clock: the test's ledger has neither.
NOT_HERE = {
    "keyfold_clock_ahead_seconds",
    "keyfold_webhook_disabled",
    "keyfold_webhook_lag_seconds",
    "keyfold_webhook_messages_waiting",
    "keyfold_webhook_positions_behind",
}


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def asked() -> set[str]:
    """Return the names of all figures that a rule or a panel asks for."""
    exprs = [rule["expr"] for rule in rules()]
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        exprs += [target["expr"] for target in panel["targets"]]
    return {name for expr in exprs for name in re.findall(r"\bkeyfold_[a-z_]+\b", expr)} - {
        "keyfold_stripe_"  # the beginning of three names, in a pattern
    }


def test_every_figure_that_is_asked_for_is_there(api: Api) -> None:
    api.get("portal", "/v1/accounts/acme/seats/nothing/till-1")
    told = api.get(None, "/metrics").raw.decode()
    there = set(re.findall(r"(?m)^(keyfold_[a-z_]+)", told))
    declared = set(re.findall(r"(?m)^# TYPE (keyfold_[a-z_]+)", told))
    source = (ROOT / "web/app/metrics.py").read_text()
    missing = asked() - there - declared
    assert missing <= NOT_HERE
    assert [name for name in missing if f'"{name}"' not in source] == []


def test_labels_that_are_asked_for_are_told(api: Api) -> None:
    told = Metrics().render(1).decode()
    for outcome in OUTCOMES:
        assert f'keyfold_stripe_calls_total{{outcome="{outcome}"}}' in told
    assert 'to_look_at{why="unmapped"}' in api.get(None, "/metrics").raw.decode()


def test_operations_says_what_to_do_at_each_alert() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    names = [rule["alert"] for rule in rules()]
    assert names == re.findall(r"(?m)^\| `(Keyfold[A-Za-z]+)` \|", page)
    assert len(set(names)) == len(names)
    assert all(rule["annotations"]["summary"] for rule in rules())


def test_operations_names_every_figure(api: Api) -> None:
    told = api.get(None, "/metrics").raw.decode()
    page = (ROOT / "docs/operations.md").read_text()
    named = {name.replace("…", "[a-z_]*") for name in re.findall(r"`(keyfold_[a-z_…]+)", page)}
    families = set(re.findall(r"(?m)^# TYPE (keyfold_[a-z_]+)", told))
    silent = [one for one in families if not any(re.fullmatch(name, one) for name in named)]
    assert [one for one in silent if not one.endswith("_created")] == []


@pytest.mark.parametrize(
    "panel", json.loads(DASHBOARD.read_text())["panels"], ids=lambda panel: panel["title"]
)
def test_a_panel_has_a_place_and_a_question(panel: dict[str, Any]) -> None:
    assert panel["targets"]
    assert {"h", "w", "x", "y"} <= panel["gridPos"].keys()
