"""Draw how long calls take in ledgers of different sizes: docs/images/growth.svg.

    python -m bench.others.plot bench/results/2026-03-01.json docs/images/growth.svg

Both axes are logarithmic: a call whose time does not depend on the ledger's size is a level line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

# The same points make the same file.
mpl.use("svg")
mpl.rcParams |= {
    "svg.hashsalt": "keyfold",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
}


def draw(points: list[dict[str, Any]], file: Path) -> None:
    """Draw a panel for each database, and in it a line for each call."""
    databases = list(dict.fromkeys(point["database"] for point in points))
    calls = list(dict.fromkeys(point["call"] for point in points))
    figure, panels = plt.subplots(
        1, len(databases), sharey=True, figsize=(11, 5), squeeze=False, layout="constrained"
    )
    for database, panel in zip(databases, panels[0], strict=True):
        for call in calls:
            its = [p for p in points if (p["database"], p["call"]) == (database, call)]
            panel.plot([p["events"] for p in its], [p["ms"] for p in its], marker="o", label=call)
        panel.set(title=database, xlabel="events in the ledger", xscale="log", yscale="log")
        panel.grid(visible=True, which="major", alpha=0.3)
    panels[0][0].set_ylabel("milliseconds, median")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.savefig(file, metadata={"Date": None, "Title": "Time of a call by size of the ledger"})


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    draw(json.loads(source.read_text(encoding="utf-8")), target)
