"""What `deploy/`, the Dockerfile and compose.yaml say agrees with what there is."""

from __future__ import annotations

import re
from pathlib import Path

import yaml  # type: ignore[import-untyped]

from tests.test_wheel import SOURCES
from web.app.setting_names import VARIABLES

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())


def test_the_image_is_built_of_all_that_a_wheel_is_built_of() -> None:
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    assert names == {*SOURCES, "requirements/runtime.txt", "requirements/otel.txt"}
    let_in = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert set(let_in) == names


def test_compose_sets_only_what_keyfold_and_libpq_know() -> None:
    settings = COMPOSE["x-keyfold"]["environment"]
    assert set(settings) - set(VARIABLES) == {"PGPASSWORD"}
    caddyfile = (ROOT / "deploy/caddy/Caddyfile").read_text()
    proxy = COMPOSE["services"]["proxy"]["environment"]
    assert set(re.findall(r"\{\$(\w+):", caddyfile)) == set(proxy)


def test_no_secret_has_a_default() -> None:
    wanted = re.findall(r"\$\{(\w+)([^}]*)\}", (ROOT / "compose.yaml").read_text())
    assert {name for name, _ in wanted} == {"KEYFOLD_HOST", "KEYFOLD_SECRET", "POSTGRES_PASSWORD"}
    assert all(rest.startswith(":?set ") for _, rest in wanted)


def test_keyfold_is_served_with_no_rights_once_its_tables_are_there() -> None:
    services = COMPOSE["services"]
    for name in ("upgrade", "keyfold"):
        service = services[name]
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert "ports" not in service
    assert services["keyfold"]["depends_on"] == {
        "upgrade": {"condition": "service_completed_successfully"}
    }
    assert COMPOSE["networks"]["inside"]["internal"]
    assert services["database"]["networks"] == ["inside"]
    assert "USER 10001:10001\n" in DOCKERFILE
