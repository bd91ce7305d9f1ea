"""The Helm chart, as Helm renders it: valid, without rights, and its pods' commands really run.

Helm's engine and Kubernetes' schemas are large, so they are in an environment of their own:
`./dev chart` installs them and runs these. Nothing here was installed into a cluster.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.cli.program import Program
from web.app.setting_names import VARIABLES
from web.server.process_limits import STOP_S

ROOT = Path(__file__).parents[1]
CHART = ROOT / "deploy/helm/keyfold"
PYTHON = ROOT / ".venv-chart/bin/python"
HAS_HELM = (ROOT / ".venv-chart/chart.txt").exists()
helm = pytest.mark.skipif(not HAS_HELM, reason="Helm is not here: ./dev chart installs it")

LEAST: dict[str, Any] = {
    "image": {"repository": "registry.example/keyfold"},
    "secret": "keyfold",
    "publicUrl": "https://keys.example",
}
ALL: dict[str, Any] = {
    **LEAST,
    "databaseUrl": "postgresql://keyfold@database/keyfold",
    "settings": {"KEYFOLD_MEMO_STREAMS": "5000000", "OTEL_SERVICE_NAME": "licences"},
    "catalog": (ROOT / "ledger/catalog.toml").read_text(),
    "pullSecrets": ["registry"],
    "ingress": {"enabled": True, "className": "nginx", "tlsSecret": "certificate"},
    "podAnnotations": {"sidecar.istio.io/inject": "false"},
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "licences", "operator": "Exists"}],
}
# What must not stand in values, where it would be kept in the clear.
SECRETS = {
    "KEYFOLD_SECRET", "KEYFOLD_CHECKPOINT_SECRETS", "STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRET",
    "KEYFOLD_OIDC_CLIENT_SECRET",
}  # fmt: skip
# Those that have a value of their own, need a disk, or are for tests.
ELSEWHERE = {
    "KEYFOLD_DATABASE_URL", "KEYFOLD_PUBLIC_URL", "KEYFOLD_CATALOG", "KEYFOLD_CHECKPOINT_LOG",
    "KEYFOLD_TEST_CLOCK", "KEYFOLD_ENV_FILE",
}  # fmt: skip


def render(values: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [PYTHON, ROOT / "tests/rendered_chart.py"],
        input=json.dumps(values), capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def everything() -> dict[str, Any]:
    return render(ALL)


def by_kind(rendered: dict[str, Any]) -> dict[str, Any]:
    return {one["kind"]: one for one in rendered["objects"]}


def pod(rendered: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = by_kind(rendered)["Deployment"]["spec"]["template"]["spec"]
    return found


@helm
@pytest.mark.parametrize(
    "values", [LEAST, ALL, {**LEAST, "replicas": 1}], ids=["least", "all", "1"]
)
def test_it_is_what_helm_and_kubernetes_take(values: dict[str, Any]) -> None:
    rendered = render(values)
    assert rendered["problems"] == []
    assert rendered["lint"]["errors"] == []
    said = [one["error"] for one in rendered["lint"]["messages"]]
    assert said == ["icon is recommended"]


@helm
def test_there_is_what_was_asked_for_and_no_secret(everything: dict[str, Any]) -> None:
    kinds = {"Deployment", "Service", "PodDisruptionBudget", "ConfigMap", "Ingress"}
    assert set(by_kind(everything)) == kinds
    assert set(by_kind(render(LEAST))) == kinds - {"ConfigMap", "Ingress"}
    assert set(by_kind(render({**LEAST, "replicas": 1}))) == {"Deployment", "Service"}
    (rule,) = by_kind(everything)["Ingress"]["spec"]["rules"]
    assert rule["host"] == "keys.example"
    assert by_kind(everything)["ConfigMap"]["data"]["catalog.toml"] == ALL["catalog"]


@helm
def test_its_pods_have_no_rights_and_write_to_no_disk(everything: dict[str, Any]) -> None:
    spec = pod(everything)
    (user,) = re.findall(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    context = spec["securityContext"]
    assert (str(context["runAsUser"]), str(context["runAsGroup"])) == user
    assert context["runAsNonRoot"] is True
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    for container in (*spec["initContainers"], *spec["containers"]):
        assert container["securityContext"] == {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
        writable = [one["mountPath"] for one in container["volumeMounts"] if "readOnly" not in one]
        assert writable == ["/tmp"]


@helm
def test_its_pods_are_probed_and_may_finish(
    everything: dict[str, Any],
) -> None:
    spec = pod(everything)
    (container,) = spec["containers"]
    probes = {
        name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("liveness", "startup")
    }
    assert probes == {"liveness": "/healthz", "startup": "/healthz"}
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    pause_s = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert spec["terminationGracePeriodSeconds"] > STOP_S + pause_s


@helm
def test_what_its_pods_are_told_keyfold_knows(everything: dict[str, Any]) -> None:
    spec = pod(everything)
    # Else a Service called keyfold sets KEYFOLD_PORT, which is warned of at each start.
    assert spec["enableServiceLinks"] is False
    (container,) = spec["containers"]
    given = {one["name"]: one["value"] for one in container["env"]}
    assert set(given) - set(VARIABLES) == {"OTEL_SERVICE_NAME"}
    assert given["KEYFOLD_MEMO_STREAMS"] == "5000000"
    assert container["envFrom"] == [{"secretRef": {"name": "keyfold"}}]
    assert container["env"] == spec["initContainers"][0]["env"]


@helm
def test_the_commands_of_its_pods_run(
    everything: dict[str, Any], tmp_path: Path, postgres_url: str
) -> None:
    (upgrade,), (serve,) = pod(everything)["initContainers"], pod(everything)["containers"]
    (tmp_path / "catalog.toml").write_text(ALL["catalog"])
    settings = {one["name"]: one["value"] for one in serve["env"]} | {
        "KEYFOLD_CATALOG": "catalog.toml",
        "KEYFOLD_DATABASE_URL": postgres_url,
        "KEYFOLD_SECRET": "c2VjcmV0IG9mIHRoaXMgdGVzdCwgMzIgYnl0ZXMgbG9uZw==",
    }
    program = Program(tmp_path, settings)
    program.done(*upgrade["args"])
    program.done(*upgrade["args"])  # each pod does so
    command, *arguments = serve["args"]
    assert arguments[2:4] == ["--port", "8000"]
    assert serve["ports"] == [{"name": "http", "containerPort": 8000}]
    with program.served(*arguments[4:], command=command) as server:
        for probe in ("livenessProbe", "readinessProbe"):
            assert server.get(serve[probe]["httpGet"]["path"])[0] == 200


@helm
@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({**LEAST, "image": {}}, "image.repository names where the image is"),
        ({**LEAST, "secret": ""}, "secret names a Secret that is there already"),
        ({**LEAST, "publicUrl": ""}, "publicUrl is where people reach it"),
        ({**LEAST, "publicUrl": "https://example.com/keys"}, "/publicUrl"),
        ({**LEAST, "databaseUrl": "postgresql://keyfold:hunter2@database/x"}, "/databaseUrl"),
        ({**LEAST, "settings": {"KEYFOLD_MEMO_STREAMS": 5000000}}, "/settings/KEYFOLD_MEMO"),
        ({**LEAST, "settings": {"KEYFOLD_SECRET": "c2VjcmV0"}}, "KEYFOLD_SECRET"),
        ({**LEAST, "settings": {"PGPASSWORD": "hunter2"}}, "PGPASSWORD"),
        ({**LEAST, "settings": {"OTEL_EXPORTER_OTLP_HEADERS": "key=1"}}, "HEADERS"),
        ({**LEAST, "replica": 3}, "replica"),
    ],
)  # fmt: skip
def test_what_will_not_do_is_refused_by_name(values: dict[str, Any], says: str) -> None:
    assert says in render(values)["refused"]


def test_every_setting_can_be_made_and_no_secret_is_one() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
    named, _ = schema["settings"]["propertyNames"]["anyOf"]
    assert set(named["enum"]) == set(VARIABLES) - SECRETS - ELSEWHERE
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(schema) - {"global"} == set(values)


def test_it_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = (ROOT / "pyproject.toml").read_text()
    assert f'\nversion = "{chart["appVersion"]}"\n' in project
