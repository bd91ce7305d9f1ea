"""A wheel, installed into an empty environment, is a whole Keyfold, and lives beside anything else.

It is built as `pip install .` does, with the setuptools that is here; nothing is fetched. What
Keyfold depends on is taken from the tests' own environment.
"""

from __future__ import annotations

import json
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.cli.program import PATIENCE_S, Program

CHECKOUT = Path(__file__).parents[1]
SOURCES = (
    "keyfold", "ledger", "projections", "commands", "examples", "web", "pyproject.toml",
    "setup.py", "README.md", "LICENSE",
)  # fmt: skip
STRANGER = "raise ImportError('this is the web of another distribution')\n"


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S * 6,
        check=False,
    )
    assert done.returncode == 0, done
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel, built of a copy: building leaves folders behind."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    listed = run("git", "ls-files", "-co", "--exclude-standard", *SOURCES, cwd=CHECKOUT)
    for name in listed.splitlines():
        if (CHECKOUT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((CHECKOUT / name).read_bytes())
    run(
        sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
        "--no-index", "--disable-pip-version-check", "-w", built, source,
        cwd=built,
    )  # fmt: skip
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the programs of an environment that has Keyfold and nothing of ours.

    Another distribution has put packages of the same names there.
    """
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    run(
        sys.executable, "-m", "pip", "--python", folder, "install", "--quiet", "--no-deps",
        "--no-index", "--disable-pip-version-check", wheel,
        cwd=folder,
    )  # fmt: skip
    (packages,) = folder.glob("lib/python3*/site-packages")
    for name in ("web", "ledger", "commands"):
        (packages / name).mkdir()
        (packages / name / "__init__.py").write_text(STRANGER)
    (packages / "dependencies.pth").write_text(f"{site.getsitepackages()[0]}\n")
    return folder / "bin"


def test_a_wheel_has_one_name_of_its_own(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as found:
        names = found.namelist()
        about = found.read("keyfold-0.1.0.dist-info/METADATA").decode()
    assert {name.partition("/")[0] for name in names} == {"keyfold", "keyfold-0.1.0.dist-info"}
    assert "\nProvides-Extra: otel\n" in about
    assert "keyfold/_packages/ledger/catalog.toml" in names
    assert "keyfold/_packages/web/templates/docs.html" in names
    assert not [name for name in names if "examples/portal" in name]


@pytest.mark.parametrize("how", ["keyfold", "python -m keyfold"])
def test_it_says_which_version_it_is(installed: Path, tmp_path: Path, how: str) -> None:
    first, *rest = how.split()
    assert run(installed / first, *rest, "--version", cwd=tmp_path) == "keyfold 0.1.0\n"


def test_from_the_checkout_it_is_started_in_the_same_way(tmp_path: Path) -> None:
    program = Program(tmp_path, command=(sys.executable, "-m", "keyfold"))
    assert program.done("--version").out == "keyfold 0.1.0\n"


def test_another_wsgi_server_finds_the_application(installed: Path, tmp_path: Path) -> None:
    run(installed / "keyfold", "db", "upgrade", cwd=tmp_path)
    load = "from keyfold.wsgi import app; print(app.application.name)"
    assert run(installed / "python", "-c", load, cwd=tmp_path) == "web\n"


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_it_does_the_main_job(
    installed: Path, tmp_path: Path, store: str, request: pytest.FixtureRequest
) -> None:
    program = Program(tmp_path, {"PYTHONPATH": ""}, (str(installed / "keyfold"),))
    if store == "postgres":
        program.settings["KEYFOLD_DATABASE_URL"] = request.getfixturevalue("postgres_url")
        program.settings["KEYFOLD_SECRET"] = "b3JkaW5hcnkgbWFkZSB1cCBzZWNyZXQgb2YgMzIgYnl0ZXM="
    program.done("db", "upgrade")
    portal = program.json("tokens", "create", "--role", "portal")["token"]
    order = ("--product", "cloud_pos", "--seats", "5", "--months", "12", "--reseller", "North")
    code = program.json("keys", "issue", *order)["keys"][0]["code"]
    with program.served("--workers", "2") as server:
        body = {"account": "acme", "session": "s1", "code": code}
        status, answer = server.post("/v1/keys/redeem", body, portal)
        assert (status, json.loads(answer)["subscription"]["seats"]) == (201, 5)
        seat = "/v1/accounts/acme/seats/cloud_pos/till-1"
        assert server.request("PUT", seat, portal, "{}")[0] == 201
        assert json.loads(server.get(seat, portal)[1])["licensed"] is True
        assert server.get("/docs")[0] == 200
        assert server.get("/portal/")[0] == 403
    (product, _) = program.json("subscriptions", "acme")["products"]
    assert (product["seats"], product["used"]) == (5, 1)
