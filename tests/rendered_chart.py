"""The Helm chart, rendered by Helm's own engine: a program of its own, for it needs .venv-chart.

    .venv-chart/bin/python tests/rendered_chart.py < VALUES.json

Values go in and, as JSON, what Helm makes of them comes out: `objects`, or `refused`; what its
linter says (`lint`); and what Kubernetes' schemas of several versions say (`problems`).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import helm_python
import kubernetes_validate
import yaml  # type: ignore[import-untyped]

CHART: Final = Path(__file__).parents[1] / "deploy/helm/keyfold"
# The oldest that the chart names, and the newest that the schemas are here of.
KUBERNETES: Final = ("1.27.0", "1.31.0", "1.37.0")


def rendered(values: dict[str, Any]) -> dict[str, Any]:
    """Return what becomes of the chart with some values."""
    with helm_python.Chart.load(str(CHART)) as chart:
        try:
            files = chart.render(values, name="keyfold", namespace="licences")
        except helm_python.HelmError as error:
            return {"refused": str(error)}
    notes = files.pop("keyfold/templates/NOTES.txt", "")
    objects = [one for text in files.values() for one in yaml.safe_load_all(text) if one]
    lint = helm_python.lint(str(CHART), values)
    return {"objects": objects, "notes": notes, "lint": lint, "problems": _problems(objects)}


def _problems(objects: list[dict[str, Any]]) -> list[str]:
    problems = []
    for version in KUBERNETES:
        for one in objects:
            try:
                kubernetes_validate.validate(one, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                problems.append(f"{version}: {one['kind']}: {error.message}")
    return problems


if __name__ == "__main__":
    print(json.dumps(rendered(json.load(sys.stdin))))
