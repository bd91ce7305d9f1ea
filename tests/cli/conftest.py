"""What the tests of the command line stand on.

A ledger is made once for all tests of a process, and each test that wants one gets a copy.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.program import Program


@pytest.fixture
def bare(tmp_path: Path) -> Program:
    """Return the program in an empty folder: there is no ledger yet."""
    return Program(tmp_path)


@pytest.fixture
def keyfold(bare: Program, _empty_ledger: Path) -> Program:
    """Return the program with an empty ledger on SQLite."""
    shutil.copytree(_empty_ledger, bare.folder, dirs_exist_ok=True)
    return bare


@pytest.fixture
def filled(bare: Program, _filled_ledger: Path) -> Program:
    """Return the program with the demonstration's ledger on SQLite."""
    shutil.copytree(_filled_ledger, bare.folder, dirs_exist_ok=True)
    return bare


@pytest.fixture(scope="session")
def _empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty")
    Program(folder).done("db", "upgrade")
    return folder


@pytest.fixture(scope="session")
def _filled_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled")
    Program(folder).done("demo")
    return folder
