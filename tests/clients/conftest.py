"""A Keyfold that is served, and the clients built out of its document."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from clients.build import build
from tests.cli.program import Program, Server
from tests.clients.losing_proxy import LosingProxy, losing_proxy


class Built(NamedTuple):
    """The clients, and what they are for."""

    folder: Path
    server: Server
    token: str


def install(project: Path, target: Path) -> Path:
    """Return a folder into which pip has installed the Python client."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--no-compile", "--no-index"]
    subprocess.run([*pip, *options, "--target", str(target), str(project)], check=True)
    return target


@pytest.fixture(scope="package")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("clients")
    program = Program(folder, {"KEYFOLD_DATABASE_URL": f"sqlite:///{folder / 'keyfold.db'}"})
    program.done("db", "upgrade")
    token = program.done("tokens", "create", "--role", "admin").out.strip()
    with program.served() as server:
        document = json.loads(server.get("/openapi.json")[1])
        build(document, folder)
        yield Built(folder, server, token)


@pytest.fixture
def proxy(built: Built) -> Iterator[LosingProxy]:
    with losing_proxy(built.server.port) as found:
        yield found
