"""What holds for the project as a whole: its files, its locks, its imports, its entry."""

from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parent.parent
PACKAGES = ("ledger", "projections", "commands", "examples", "web")
# A program of its own, which is not installed with Keyfold.
TO_BE_COPIED = CHECKOUT / "examples" / "portal"
LINES_MAX = 500
LOCKS = ("runtime", "otel", "test", "setup", "bench", "chart")

# In pieces, so that this file passes its own test.
REGISTRY_HOSTS = [
    "pypi" + ".org",
    "python" + "hosted" + ".org",
    "npmjs" + ".org",
    "npmjs" + ".com",
    "yarnpkg" + ".com",
    "deb." + "debian" + ".org",
    "security.debian" + ".org",
    "archive.ubuntu" + ".com",
    "proxy.golang" + ".org",
]
MACHINE_FOLDERS = ["work" + "/", "opt/" + "pypi", "root" + "/", "home" + "/", "Users" + "/"]
NOWHERE_ELSE = re.compile(
    "|".join(map(re.escape, REGISTRY_HOSTS))
    # At the beginning of a path or of a file's URL, not inside one.
    + r"|(?:(?<![\w./~-])|(?<=//))/(?:"
    + "|".join(map(re.escape, MACHINE_FOLDERS))
    + ")"
)

EMPTY_NAMES = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}
UNREPEATABLE_METHODS = {"now", "today", "utcnow"}
IMPURE_FUNCTIONS = {"input", "open", "print"}


@functools.cache
def _settings() -> dict[str, Any]:
    return tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))


@functools.cache
def _files() -> list[Path]:
    """Return every file that is, or may come to be, part of the project.

    As git has it; where there is no git, or no repository, all but what is known to be left over.
    """
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        answer = subprocess.check_output(
            listing, cwd=CHECKOUT, text=True, stderr=subprocess.DEVNULL
        )
        names = answer.split("\0")
    except (OSError, subprocess.CalledProcessError):
        names = list(_walk())
    return sorted(file for name in names if name and (file := CHECKOUT / name).is_file())


def _walk() -> Iterator[str]:
    ignored = re.compile(
        r"\.git|\.venv.*|node_modules|\.uv_cache|.*_cache|__pycache__|\.hypothesis|build|dist|.*\.egg-info"
    )
    for folder, folders, names in os.walk(CHECKOUT):
        folders[:] = [name for name in folders if not ignored.fullmatch(name)]
        yield from (str(Path(folder, name)) for name in names)


def _named(file: Path) -> str:
    return str(file.relative_to(CHECKOUT))


def _in_packages() -> list[Path]:
    return [
        file
        for file in _files()
        if file.relative_to(CHECKOUT).parts[0] in PACKAGES and not file.is_relative_to(TO_BE_COPIED)
    ]


def test_no_file_names_a_registry_or_a_folder_of_somebodys_machine() -> None:
    found = [
        f"{_named(file)}:{number}: {match[0]}"
        for file in _files()
        for number, line in enumerate(file.read_text("utf-8", errors="replace").splitlines(), 1)
        if (match := NOWHERE_ELSE.search(line))
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "--index-url https://" + "pypi" + ".org/simple",
        "cd /" + "work/main",
        "'/" + "home/someone/keyfold'",
        "file:///" + "opt/pypi/simple",
    ],
)
def test_a_registry_or_a_machine_is_seen_when_named(text: str) -> None:
    assert NOWHERE_ELSE.search(text)


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert [_named(file) for file in _files() if file.stem.lower() in EMPTY_NAMES] == []


# Longer than they should be, and each to be split; none is to be added.
TO_BE_SPLIT = {
    "projections/views/billing.py",
}


def test_no_module_is_too_long_to_be_about_one_thing() -> None:
    long = {
        _named(file)
        for file in _in_packages()
        if file.suffix == ".py" and len(file.read_text("utf-8").splitlines()) > LINES_MAX
    }
    assert long <= TO_BE_SPLIT


def test_the_licence_is_mit_everywhere() -> None:
    licence = (CHECKOUT / "LICENSE").read_text("utf-8")
    assert licence.startswith("MIT License\n\nCopyright (c) 2026 The Keyfold authors\n")
    assert _settings()["project"]["license"] == "MIT"


def test_an_installed_keyfold_has_every_file_of_its_packages() -> None:
    shipped = {
        file
        for owner, patterns in _settings()["tool"]["setuptools"]["package-data"].items()
        for package in (PACKAGES if owner == "*" else [owner.rpartition(".")[2]])
        for pattern in patterns
        for file in (CHECKOUT / package).glob(pattern)
    }
    assert [_named(f) for f in _in_packages() if f.suffix != ".py" and f not in shipped] == []


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {file.parent for file in _in_packages() if file.suffix == ".py"}
    assert [_named(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


# --- the locks ------------------------------------------------------------------------------------


class Pin(NamedTuple):
    """One requirement of a lock, and how many files it may be installed from."""

    requirement: Requirement
    hashes: int


def _lock(name: str) -> list[Pin]:
    text = (CHECKOUT / "requirements" / f"{name}.txt").read_text("utf-8")
    text = re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    entries = [line.split(" --hash=sha256:") for line in text.splitlines()]
    return [Pin(Requirement(entry[0].strip()), len(entry) - 1) for entry in entries]


def _versions(name: str) -> dict[str, str]:
    return {
        canonicalize_name(pin.requirement.name): str(pin.requirement.specifier).removeprefix("==")
        for pin in _lock(name)
    }


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_pins_every_requirement_with_a_hash(name: str) -> None:
    pins = _lock(name)
    assert pins
    assert [
        str(pin.requirement)
        for pin in pins
        if pin.hashes == 0 or not re.fullmatch(r"==[^*,]+", str(pin.requirement.specifier))
    ] == []


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_says_nothing_of_where_to_get_it(name: str) -> None:
    text = (CHECKOUT / "requirements" / f"{name}.txt").read_text("utf-8")
    assert re.findall(r"^ *--(?!hash=).*|.*://.*|.* @ .*", text, flags=re.MULTILINE) == []


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_what_the_project_asks_for(name: str) -> None:
    settings = _settings()
    asked = [] if name in ("setup", "bench", "chart") else settings["project"]["dependencies"]
    asked = [*asked, *settings["dependency-groups"].get(name, [])]
    if name in ("otel", "test"):
        asked += settings["project"]["optional-dependencies"]["otel"]
    versions = _versions(name)
    missed = [
        wanted
        for wanted in map(Requirement, asked)
        if not wanted.specifier.contains(versions.get(canonicalize_name(wanted.name), "0"))
    ]
    assert missed == [], "run ./dev lock"


def test_the_tests_lock_contains_the_runtime_lock() -> None:
    assert _versions("runtime").items() <= _versions("test").items()


# --- the imports ----------------------------------------------------------------------------------


def test_the_import_contracts_hold() -> None:
    # In a process of its own: in ours it would silence the loggers that other tests read.
    lint = (
        "from importlinter.cli import lint_imports as lint; raise SystemExit(lint(no_cache=True))"
    )
    found = subprocess.run(
        [sys.executable, "-c", lint], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr


def _rules() -> list[Path]:
    """Return the files of the modules that the contracts call pure."""
    contracts = _settings()["tool"]["importlinter"]["contracts"]
    (pure,) = (contract for contract in contracts if "pure" in contract["name"])
    modules = tuple(module.replace(".", "/") for module in pure["source_modules"])
    files = {module: _of_module(module) for module in modules}
    assert [module for module, found in files.items() if not found] == []
    return [file for found in files.values() for file in found]


def _of_module(module: str) -> list[Path]:
    named = [file for file in _in_packages() if file.suffix == ".py"]
    return [
        file
        for file in named
        if _named(file) == f"{module}.py" or _named(file).startswith(f"{module}/")
    ]


def _called(call: ast.Call) -> str | None:
    """Return what a call asks of the world outside, if it does."""
    match call.func:
        case ast.Attribute(attr=name) if name in UNREPEATABLE_METHODS:
            return name
        case ast.Name(id=name) if name in IMPURE_FUNCTIONS:
            return name
    return None


def test_the_rules_ask_nobody_what_time_it_is() -> None:
    asked = [
        f"{_named(file)}:{node.lineno}: {name}()"
        for file in _rules()
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call) and (name := _called(node))
    ]
    assert asked == []


# --- the entry ------------------------------------------------------------------------------------


def _dev(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(CHECKOUT / "dev"), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def _subcommands() -> list[str]:
    cases = (CHECKOUT / "dev").read_text("utf-8").split("case $subcommand in\n")[1]
    labels = re.findall(r"^([a-z_][a-z_ |-]*)\)$", cases, flags=re.MULTILINE)
    names = [name for label in labels for name in label.split(" | ")]
    return [name for name in names if not name.startswith(("_", "-"))]


def test_every_subcommand_of_dev_is_in_its_help() -> None:
    listed = re.findall(r"^  ([a-z]+) ", _dev("help").stdout, flags=re.MULTILINE)
    assert len(listed) >= 9
    assert sorted(listed) == sorted(_subcommands())


def test_an_unknown_subcommand_of_dev_is_a_usage_error() -> None:
    answer = _dev("no-such-thing")
    assert answer.returncode == 2
    assert answer.stderr.endswith("dev: there is no subcommand 'no-such-thing'\n")


@pytest.mark.parametrize("script", ["dev", ".ci/run"])
def test_the_scripts_can_be_run(script: str) -> None:
    assert os.access(CHECKOUT / script, os.X_OK)


def test_dev_says_in_one_line_that_there_is_no_python(tmp_path: Path) -> None:
    (tmp_path / "dev").write_text((CHECKOUT / "dev").read_text("utf-8"), "utf-8")
    answer = subprocess.run(
        ["/bin/sh", str(tmp_path / "dev"), "run"],
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": str(tmp_path)},
    )
    assert answer.returncode == 1
    assert re.fullmatch(r"dev: Python 3\.11 or newer is needed, .*\n", answer.stderr)


# --- the documents --------------------------------------------------------------------------------

_FOLDERS = "|".join((*PACKAGES, "tests", "bench", "docs"))
_FILE_NAMED = re.compile(rf"`((?:{_FOLDERS})/[\w./-]*\w\.(?:py|md|toml|sql|html))`")


def test_the_files_that_the_documents_name_are_there() -> None:
    documents = [file for file in _files() if file.suffix == ".md" and file.name != "CHANGELOG.md"]
    named = [
        (_named(document), name)
        for document in documents
        for name in _FILE_NAMED.findall(document.read_text("utf-8"))
    ]
    assert len(named) > 20
    assert [(document, name) for document, name in named if not (CHECKOUT / name).is_file()] == []
