"""The documentation as a site: every page is in it, every link leads somewhere, words are found."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"


def test_every_page_is_in_it_and_its_search_finds_words(tmp_path: Path) -> None:
    # Warnings are faults: a page that nothing leads to, a link that leads nowhere.
    ran = subprocess.run(
        [f"{ROOT}/dev", "docs", tmp_path], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    html = tmp_path / "html"
    written = {page.relative_to(ROOT).with_suffix("") for page in (ROOT / "docs").rglob("*.md")}
    built = {page.relative_to(html).with_suffix("") for page in html.rglob("*.html")}
    assert len(written) > 50
    assert written - built == set()
    text = (html / "searchindex.js").read_text("utf-8")
    index = json.loads(text.removeprefix("Search.setIndex(").rstrip(";\n)"))
    stems = index["terms"].keys() | index["titleterms"].keys()
    for word in ("allowance", "checkpoint", "webhook", "key_already_yours", "keyfold_ledger_up"):
        assert any(stem.startswith(word[:7]) for stem in stems), word
    assert "keyfold restore" in (tmp_path / "man" / "keyfold.1").read_text("utf-8")


def test_the_reference_is_what_the_program_says(tmp_path: Path) -> None:
    make = [f"{ROOT}/dev", "python", "docs/reference.py", str(tmp_path)]
    subprocess.run(make, cwd=ROOT, check=True)
    made = {page.name: page.read_text("utf-8") for page in tmp_path.iterdir()}
    kept = {page.name: page.read_text("utf-8") for page in REFERENCE.iterdir()}
    assert made.keys() == kept.keys()
    for name, text in made.items():
        assert kept[name] == text, f"docs/reference/{name}: run ./dev python docs/reference.py"
