"""The TypeScript client, compiled, and used over a network that loses answers."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import Built
from tests.clients.losing_proxy import BROKEN, BUSY, LATER, LOST, LosingProxy

CHECK = Path(__file__).with_name("check.mjs")

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or shutil.which("npm") is None, reason="there is no Node.js here"
)


@pytest.fixture(scope="module")
def package(built: Built) -> Path:
    folder = built.folder / "typescript"
    npm = ["npm", "--silent"]
    installed = subprocess.run(
        [*npm, "ci"], cwd=folder, capture_output=True, text=True, check=False
    )
    if installed.returncode:
        pytest.skip(f"its packages cannot be had here: npm ci exited with {installed.returncode}")
    built_ = subprocess.run(
        [*npm, "run", "build"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert built_.returncode == 0, built_.stdout + built_.stderr
    shutil.copy(CHECK, folder)
    return folder


def test_it_is_built_and_does_the_main_job(package: Path, built: Built, proxy: LosingProxy) -> None:
    proxy.mishaps = {
        "POST /v1/keys": [LOST],
        "POST /v1/keys/redeem": [BUSY],
        "GET /v1/batches": [BUSY, BUSY, LATER, BROKEN],
        "/reveal": [LOST],
        "PUT /v1/accounts/node/seats/cloud_pos/till%3A1": [LOST],
    }
    program = ["node", CHECK.name, proxy.url, built.token]
    ran = subprocess.run(program, cwd=package, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {
        "seats": 2,
        "seat": ["till:1", True],
        "listed": 5,
        "problem": [True, 422, "invalid_request", ["/seats"]],
        "elsewhere": ["Problem", "invalid_request"],
        "lost": True,
        "busy": [True, 503],
        "later": ["quota_exceeded", 3600, ""],
        "broken": [True, 400],
        "message": {"a": 1},
        "forged": "WebhookVerificationError",
    }
    of = proxy.passed_on
    assert of["POST /v1/keys"] == 3, "lost, tried again, and the one that is refused"
    assert sum(count for asked, count in of.items() if asked.endswith("/reveal")) == 1
    assert of["GET /v1/batches"] == 0
