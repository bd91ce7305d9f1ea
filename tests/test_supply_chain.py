"""What Keyfold is made of, and what is said when some of it is vulnerable, or nobody knows."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from requirements import supply_chain

CHECKOUT = Path(__file__).resolve().parent.parent


def test_the_bill_of_materials_has_all_that_is_installed_and_loaded(tmp_path: Path) -> None:
    file = tmp_path / "sbom.json"
    subprocess.run([CHECKOUT / "dev", "sbom", file], check=True, cwd=tmp_path)
    text = file.read_text("utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found = json.loads(text)
    components = {one["name"]: one for one in found["components"]}
    lock = (CHECKOUT / "requirements" / "runtime.txt").read_text("utf-8")
    pinned = {line.partition("==")[0] for line in lock.splitlines() if "==" in line[:80]}
    assert set(components) == {*pinned, "htmx.org", "@picocss/pico", "uplot"}
    assert components["uplot"]["components"][0]["hashes"]
    for name in pinned:
        assert components[name]["externalReferences"][0]["hashes"]
    assert found["metadata"]["component"]["name"] == "keyfold"


SOUND = {"name": "flask", "version": "3.1.3", "vulns": []}
BAD = {
    "name": "waitress",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.0"], "aliases": [], "description": ""}],
}
UNKNOWN = {"name": "immutables", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "code", "says"),
    [
        ([SOUND], 0, "1 of 1 looked up, 0 vulnerable"),
        ([SOUND, BAD, UNKNOWN], 1, "waitress 1.0: PYSEC-1; fixed in: 2.0"),
        ([SOUND, UNKNOWN], 3, "not audited, since nothing is known of them: immutables"),
    ],
)
def test_an_audit_tells_the_vulnerable_from_the_unknown(
    packages: list[dict[str, Any]], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert supply_chain.told(packages) == code
    assert says in capsys.readouterr().out
