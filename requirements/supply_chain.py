"""What Keyfold is made of, and whether any of it is known to be vulnerable.

    ./dev sbom [FILE]     a CycloneDX bill of materials: what the runtime lock pins, what pages load
    ./dev audit           ask PyPI's database of vulnerabilities about all that the locks pin

An audit exits with 1 when something is vulnerable, and with 3 when that could not be looked up.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

CHECKOUT: Final = Path(__file__).resolve().parents[1]
LOCKS: Final = CHECKOUT / "requirements"
VENDORED: Final = CHECKOUT / "web" / "static" / "vendor"
VULNERABLE: Final = 1
NOT_LOOKED_UP: Final = 3
TIMEOUT_S: Final = 15


def bill_of_materials() -> dict[str, Any]:
    """Return it, as CycloneDX has it in JSON; the same locks make the same bytes."""
    made = subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-m", "cyclonedx_py", "requirements"),
            *("--pyproject", str(CHECKOUT / "pyproject.toml"), "--mc-type", "application"),
            *("--output-reproducible", "--short-PURLs", "--sv", "1.6", "--of", "JSON"),
            str(LOCKS / "runtime.txt"),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(made.stdout)
    components = found["components"]
    for component in components:
        # It repeats the line of the lock; the hashes are among the references.
        component.pop("description", None)
    components += _vendored()
    root = found["metadata"]["component"]
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
    root["version"] = project["version"]
    found["dependencies"] = [
        {"ref": root["bom-ref"], "dependsOn": sorted(one["bom-ref"] for one in components)},
        *({"ref": one["bom-ref"]} for one in components),
    ]
    return found


def _vendored() -> Iterator[dict[str, Any]]:
    """Yield a component for each library that is in the checkout as it was released."""
    for file in sorted(VENDORED.glob("*/VERSION")):
        name, version = file.read_text("utf-8").split(",")[0].split()
        yield {
            "bom-ref": f"vendored-{name}",
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:npm/{name.replace('@', '%40')}@{version}",
            "components": [
                {
                    "bom-ref": f"vendored-{name}-{one.name}",
                    "type": "file",
                    "name": str(one.relative_to(CHECKOUT)),
                    "hashes": [
                        {"alg": "SHA-256", "content": hashlib.sha256(one.read_bytes()).hexdigest()}
                    ],
                }
                for one in sorted(file.parent.iterdir())
                if one.suffix in (".js", ".css")
            ],
        }


def audit() -> int:
    """Look every pinned package up, print what was found, and return the exit code."""
    packages: dict[tuple[str, str | None], dict[str, Any]] = {}
    for lock in sorted(LOCKS.glob("*.txt")):
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes"),
                *("--progress-spinner", "off", "--timeout", str(TIMEOUT_S), "--format", "json"),
                *("-r", str(lock)),
            ],
            check=False,
            capture_output=True,
            text=True,
        )
        try:
            found = json.loads(ran.stdout)["dependencies"]
        except (ValueError, KeyError):
            said = ran.stderr.strip().splitlines()
            print(f"not audited: {said[-1][:300] if said else 'pip-audit said nothing'}")
            return NOT_LOOKED_UP
        packages |= {(one["name"], one.get("version")): one for one in found}
    return told(list(packages.values()))


def told(packages: Sequence[dict[str, Any]]) -> int:
    """Print what pip-audit found of some packages, and return the exit code."""
    vulnerable = [one for one in packages if one.get("vulns")]
    unknown = [one["name"] for one in packages if "skip_reason" in one]
    for one in vulnerable:
        for vulnerability in one["vulns"]:
            fixed = ", ".join(vulnerability["fix_versions"]) or "none yet"
            print(f"{one['name']} {one['version']}: {vulnerability['id']}; fixed in: {fixed}")
    if unknown:
        print(f"not audited, since nothing is known of them: {', '.join(sorted(set(unknown)))}")
    print(
        f"{len(packages) - len(unknown)} of {len(packages)} looked up, {len(vulnerable)} vulnerable"
    )
    if vulnerable:
        return VULNERABLE
    return NOT_LOOKED_UP if unknown else 0


def main(arguments: Sequence[str]) -> int:
    match arguments:
        case ["audit"]:
            return audit()
        case ["sbom", *files] if len(files) <= 1:
            text = json.dumps(bill_of_materials(), indent=2, ensure_ascii=False) + "\n"
            if files:
                Path(files[0]).write_text(text, "utf-8")
            else:
                print(text, end="")
            return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
