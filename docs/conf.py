"""How the site is built: `./dev docs FOLDER`, out of pages of the whole checkout as they are."""

from __future__ import annotations

import tomllib
from pathlib import Path

with (Path(__file__).parents[1] / "pyproject.toml").open("rb") as file:
    version = release = str(tomllib.load(file)["project"]["version"])

project = "Keyfold"
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = [
    "docs/**.md",
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "clients/README.md",
    "bench/results/*.md",
]
myst_heading_anchors = 4
smartquotes = False  # `--option` stays as it is
html_theme = "furo"
html_title = "Keyfold"
html_copy_source = False
html_show_sphinx = False
man_pages = [("docs/reference/commands", "keyfold", "a ledger of licences", [], 1)]
