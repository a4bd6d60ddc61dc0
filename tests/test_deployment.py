"""The files in ``deploy/``, by the linters and schemas of those who read them, and by what they promise."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mien import Settings
from mien.server import ServerSettings

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))


def ran(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=120)


def tool(name: str) -> Path:
    """A command of a package of the extra ``dev``."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"needs {name}: pip install '.[dev]'")
    return Path(found)


def needs_systemd() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("needs systemd-analyze: tools/install-debian-packages installs it")
    return found


def resources() -> list[dict[str, Any]]:
    return [document for file in MANIFESTS for document in yaml.safe_load_all(file.read_text()) if document]


def resource(kind: str) -> dict[str, Any]:
    (found,) = (document for document in resources() if document["kind"] == kind)
    return found


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions and what they are given."""
    text = re.sub(r"\\\n\s*", "", (DEPLOY / "Dockerfile").read_text())
    lines = (line.partition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return [(name, given) for name, _, given in lines]


def final_stage() -> list[tuple[str, str]]:
    all_of_them = instructions()
    last = max(place for place, (name, _) in enumerate(all_of_them) if name == "FROM")
    return all_of_them[last:]


def test_the_dockerfile_is_what_its_linter_wants() -> None:
    found = ran(tool("hadolint"), "--failure-threshold", "info", DEPLOY / "Dockerfile")
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


def test_the_image_has_no_rights_and_no_compiler() -> None:
    stages = [given for name, given in instructions() if name == "FROM"]
    assert len(stages) == 2
    assert stages[1].endswith("-slim-bookworm")
    last = dict(final_stage())
    user = int(last["USER"].partition(":")[0])
    assert user > 0
    assert "/livez" in last["HEALTHCHECK"]
    assert last["VOLUME"] == "/data"
    assert not [given for name, given in final_stage() if name == "RUN" and re.search(r"\b(pip|apt-get|curl)\b", given)]


def test_the_image_has_the_default_models() -> None:
    (models,) = (given for name, given in instructions() if name == "ARG" and given.startswith("MODELS"))
    assert set(json.loads(models.partition("=")[2]).split()) == {Settings().detector, Settings().embedder}


def test_what_the_build_copies_is_let_into_it() -> None:
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [given.split() for name, given in instructions() if name == "COPY" and "--from" not in given]
    sources = {part for parts in copied for part in parts[:-1] if not part.startswith("--")}
    assert sources == let_in
    assert all((ROOT / source).exists() for source in sources)


def test_the_variables_are_those_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is known, and all together are accepted: a server that needs keys."""
    image = dict(re.findall(r"(\w+)=(\S+)", dict(final_stage())["ENV"]))
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["mien"]["environment"]
    pod = resource("Deployment")["spec"]["template"]["spec"]["containers"][0]["env"]
    unit = dict(line.split("=", 2)[1:] for line in unit_lines("Environment"))
    for variables in (compose, {each["name"]: each["value"] for each in pod}):
        with monkeypatch.context() as patch:
            for name, value in {**image, **variables}.items():
                if name.startswith("MIEN_SERVER_"):
                    patch.setenv(name, value)
            settings = ServerSettings()
            assert settings.keys_needed
            assert settings.gallery.startswith("postgresql://")
            assert "password" not in settings.gallery
            assert settings.trusted_hosts
    with monkeypatch.context() as patch:
        for name, value in unit.items():
            if name.startswith("MIEN_SERVER_"):
                patch.setenv(name, value)
        assert ServerSettings().keys_needed


def test_compose_fits_the_specification() -> None:
    found = ran(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")
    assert found.returncode == 0, found.stdout


def test_compose_lets_nobody_in_but_this_machine() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = compose["services"]
    assert services["mien"]["ports"] == ["127.0.0.1:8080:8080"]
    assert "ports" not in services["database"]
    assert compose["networks"]["inside"] == {"internal": True}
    assert services["database"]["networks"] == ["inside"]
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
    text = (DEPLOY / "compose.yaml").read_text()
    assert all(set(secret) == {"file"} for secret in compose["secrets"].values())
    assert not re.search(r"PASSWORD: ", text)
    assert "HEALTHCHECK" in dict(final_stage())
    assert services["database"]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda file: file.stem)
@pytest.mark.parametrize("version", ["1.30", None])
def test_kubernetes_knows_every_field(manifest: Path, version: str | None) -> None:
    if importlib.util.find_spec("kubernetes_validate") is None:
        pytest.skip("needs kubernetes-validate: pip install '.[dev]'")
    options = ["--strict"] if version is None else ["--strict", "-k", version]
    found = ran(tool("kubernetes-validate"), *options, manifest)
    assert found.returncode == 0, found.stdout + found.stderr


def test_pods_have_no_rights() -> None:
    pod = resource("Deployment")["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["initContainers"] + pod["containers"]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert {"cpu", "memory"} <= set(container["resources"]["limits"])
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted <= {volume["name"] for volume in pod["volumes"]}


def test_pods_are_watched_and_end_gracefully() -> None:
    pod = resource("Deployment")["spec"]["template"]["spec"]
    (server,) = pod["containers"]
    paths = {probe: server[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "readiness", "liveness")}
    assert paths == {"startup": "/readyz", "readiness": "/readyz", "liveness": "/livez"}
    pause = int(server["lifecycle"]["preStop"]["exec"]["command"][1])
    longest = ServerSettings.model_fields["shutdown_s"].default
    assert pod["terminationGracePeriodSeconds"] > pause + longest
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert int(compose["services"]["mien"]["stop_grace_period"].rstrip("s")) > longest
    (limit,) = unit_lines("TimeoutStopSec")
    assert int(limit.partition("=")[2].rstrip("s")) > longest


def test_the_parts_find_each_other() -> None:
    labels = resource("Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        resource("Deployment")["spec"]["selector"]["matchLabels"],
        resource("Service")["spec"]["selector"],
        resource("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        resource("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ]
    assert all(selector == labels for selector in selectors)
    scaled = resource("HorizontalPodAutoscaler")["spec"]
    assert scaled["scaleTargetRef"]["name"] == resource("Deployment")["metadata"]["name"]
    assert scaled["minReplicas"] > resource("PodDisruptionBudget")["spec"]["minAvailable"]
    (server,) = resource("Deployment")["spec"]["template"]["spec"]["containers"]
    assert {port["targetPort"] for port in resource("Service")["spec"]["ports"]} == {server["ports"][0]["name"]}
    assert "replicas" not in resource("Deployment")["spec"]


def test_pods_come_and_go_with_the_queue_of_the_server() -> None:
    (metric,) = resource("HorizontalPodAutoscaler")["spec"]["metrics"]
    name = metric["pods"]["metric"]["name"]
    assert name == "mien_queue_depth"
    assert f'"{name}"' in (ROOT / "src" / "mien" / "server" / "metrics.py").read_text()
    assert name in (ROOT / "docs" / "deployment.md").read_text()
    assert int(metric["pods"]["target"]["averageValue"]) < ServerSettings.model_fields["queue"].default


def test_no_secret_stands_in_a_manifest() -> None:
    assert "Secret" not in {document["kind"] for document in resources()}
    pod = resource("Deployment")["spec"]["template"]["spec"]
    secrets = {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
    guide = (ROOT / "docs" / "deployment.md").read_text()
    assert secrets
    assert all(f"kubectl create secret generic {secret}" in guide for secret in secrets)


def unit_lines(key: str) -> list[str]:
    lines = (DEPLOY / "mien.service").read_text().splitlines()
    return [line for line in lines if line.startswith(f"{key}=")]


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    analyze = needs_systemd()
    text = (DEPLOY / "mien.service").read_text()
    unit = tmp_path / "mien.service"
    # It looks for the program, which is not installed there.
    unit.write_text(text.replace("/opt/mien/bin/mien", sys.executable))
    assert unit.read_text() != text
    found = ran(analyze, "verify", "--man=no", unit)
    assert (found.returncode, found.stderr) == (0, "")
    unit.write_text(unit.read_text().replace("ProtectHome=", "ProtectHoome="))
    assert "ProtectHoome" in ran(analyze, "verify", "--man=no", unit).stderr


def test_the_unit_is_hardened() -> None:
    analyze = needs_systemd()
    found = ran(analyze, "security", "--offline=yes", "--threshold=15", "--no-pager", DEPLOY / "mien.service")
    if "--offline" in found.stderr and found.returncode:
        pytest.skip("this systemd is too old to look at a unit that is not loaded")
    # The threshold is in tenths: an exposure of 1.5 of 10.
    assert found.returncode == 0, found.stdout
