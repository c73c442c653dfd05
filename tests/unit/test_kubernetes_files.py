"""What ``deploy/kubernetes`` says fits Kubernetes' own schemas, our rules for running, and the rest of the project."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml

from noteflow_hooks.settings import PREFIX, Settings
from tests.support.compose_file import read

ROOT: Final = Path(__file__).parents[2]
KUBERNETES: Final = ROOT / "deploy" / "kubernetes"
#: The oldest and the newest one that the schemas at hand know of those that are cared for.
VERSIONS: Final = ("1.33", "1.37")
SECRETS: Final = {f"{PREFIX}{each}" for each in ("DATABASE_URL", "REDIS_URL", "SECRET_KEYS", "DASHBOARD_SECRET")}


def _objects(folder: str) -> list[dict[str, Any]]:
    listed = yaml.safe_load((KUBERNETES / folder / "kustomization.yaml").read_text())["resources"]
    return [each for name in listed for each in yaml.safe_load_all((KUBERNETES / folder / name).read_text())]


BASE: Final = _objects("base")
KEDA: Final = _objects("components/keda")
PODS: Final = {
    each["metadata"]["labels"]["app.kubernetes.io/component"]: each["spec"]["template"]
    for each in BASE
    if each["kind"] in ("Deployment", "Job")
}
CONTAINERS: Final = [
    pytest.param(each, id=f"{name}-{each['name']}")
    for name, pod in PODS.items()
    for each in (*pod["spec"]["containers"], *pod["spec"].get("initContainers", ()))
]


def test_kustomize_is_told_of_each_file() -> None:
    """One that no kustomization.yaml lists would do nothing."""
    for folder in ("base", "components/keda"):
        listed = yaml.safe_load((KUBERNETES / folder / "kustomization.yaml").read_text())["resources"]
        assert {*listed, "kustomization.yaml"} == {each.name for each in (KUBERNETES / folder).glob("*.yaml")}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("each", BASE, ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_each_object_fits_kubernetes_schema(each: dict[str, Any], version: str) -> None:
    """Strictly: a field that Kubernetes does not know is refused."""
    kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl on this machine")
def test_the_example_renders(tmp_path: Path) -> None:
    """With everything of the base and of KEDA's component, in the overlay's namespace, with the overlay's image."""
    copy = shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    example = copy / "overlays" / "example"
    shutil.copy(example / "secrets.env.example", example / "secrets.env")
    # Some distributions' kubectl keeps notes in its user's home.
    environment = {**os.environ, "HOME": str(tmp_path)}
    rendered = subprocess.run(
        ["kubectl", "kustomize", example],  # noqa: S607 - whichever there is
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    made = list(yaml.safe_load_all(rendered.stdout))
    kinds = {(each["kind"], each["metadata"]["name"]) for each in made}
    assert {(each["kind"], each["metadata"]["name"]) for each in (*BASE, *KEDA)} < kinds
    assert {each["metadata"]["namespace"] for each in made} == {"noteflow"}
    images = {
        each["image"]
        for made_one in made
        if made_one["kind"] in ("Deployment", "Job")
        for each in made_one["spec"]["template"]["spec"]["containers"]
    }
    assert images == {"registry.example/noteflow-hooks:0.2.0"}


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_container_has_no_right_that_it_does_not_need(container: dict[str, Any]) -> None:
    """It writes nowhere but to its /tmp, gains no rights, and has bounds."""
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("name", PODS)
def test_a_pod_runs_as_the_images_user_and_calls_no_api_of_the_cluster(name: str) -> None:
    """By number, since Kubernetes can't tell who a name is."""
    spec = PODS[name]["spec"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert f"USER {spec['securityContext']['runAsUser']}:" in (ROOT / "Dockerfile").read_text()
    assert spec["automountServiceAccountToken"] is False


@pytest.mark.parametrize("name", sorted(PODS.keys() - {"migrate", "exporter"}))
def test_liveness_asks_for_alive_alone_and_readiness_for_ready(name: str) -> None:
    """A probe that restarted workers while PostgreSQL is away would lose answers."""
    (container,) = PODS[name]["spec"]["containers"]
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["exec"]["command"][-1] == "--alive"
    assert container["readinessProbe"]["exec"]["command"][-1] == "--ready"
    assert container["livenessProbe"]["exec"]["command"][:2] == ["noteflow-hooks", "health"]


@pytest.mark.parametrize("name", sorted(PODS.keys() - {"migrate"}))
def test_a_pod_runs_what_compose_runs(name: str) -> None:
    """With the same words: what is measured and tested is one thing."""
    (container,) = PODS[name]["spec"]["containers"]
    variables = dict.fromkeys(
        ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "NOTEFLOW_HOOKS_SECRET_KEYS", "FLOWER_USER", "FLOWER_PASSWORD"), "x"
    )
    service = read(variables).services[name]
    assert container["command"] == service.command


def test_work_has_the_time_that_a_post_takes() -> None:
    """The longest exchange takes 30 s, and the lease lasts 10 s longer."""
    worker = PODS["worker"]["spec"]
    assert worker["terminationGracePeriodSeconds"] > 30 + Settings.model_fields["lease_slack_s"].default


def test_variables_are_settings_and_passwords_come_from_the_secret() -> None:
    """None is written into a file, and the example's file of secrets names each and holds none."""
    containers: list[Any] = [each.values[0] for each in CONTAINERS]
    for container in containers:
        for variable in container.get("env", ()):
            name = variable["name"]
            known = name.removeprefix(PREFIX).lower()
            assert known in {*Settings.model_fields, "server", "tls_ca"}, name
            assert (name in SECRETS) == ("secretKeyRef" in variable.get("valueFrom", {})), name
    example = (KUBERNETES / "overlays" / "example" / "secrets.env.example").read_text()
    assert {line.partition("=")[0] for line in example.splitlines()} == SECRETS
    settings = next(each for each in BASE if each["kind"] == "ConfigMap")["data"]
    assert {name.removeprefix(PREFIX).lower() for name in settings} < Settings.model_fields.keys()


def test_no_step_is_left_out_by_the_rollout(tmp_path: Path) -> None:
    """It applies the schema, waits for it, then workers, then servers; and back the other way round."""
    for step in ("migrate", "worker", "server"):
        assert any(each["metadata"].get("labels", {}).get("noteflow-hooks/step") == step for each in BASE)
    assert _rolled_out(tmp_path, "overlay") == [
        "kustomize overlay",
        "apply !noteflow-hooks/step",
        "delete job noteflow-hooks-migrate",
        "apply noteflow-hooks/step=migrate",
        "wait job/noteflow-hooks-migrate",
        "apply noteflow-hooks/step=worker",
        "rollout noteflow-hooks/step=worker",
        "apply noteflow-hooks/step=server",
        "rollout noteflow-hooks/step=server",
    ]
    assert _rolled_out(tmp_path, "--back", "overlay")[2:] == [
        "apply noteflow-hooks/step=server",
        "rollout noteflow-hooks/step=server",
        "apply noteflow-hooks/step=worker",
        "rollout noteflow-hooks/step=worker",
    ]


def test_a_rollout_that_fails_goes_no_further(tmp_path: Path) -> None:
    """No worker is brought to a release whose schema is not there."""
    done = _rolled_out(tmp_path, "overlay", failing="wait")
    assert done[-1] == "wait job/noteflow-hooks-migrate"
    with pytest.raises(subprocess.CalledProcessError) as error:
        subprocess.run([KUBERNETES / "rollout", "nowhere"], capture_output=True, text=True, check=True)
    assert error.value.returncode == 2
    assert error.value.stderr.startswith("usage: rollout [--back] OVERLAY")


def _rolled_out(tmp_path: Path, *words: str, failing: str = "nothing") -> list[str]:
    """Return what a rollout asks of kubectl, in place of which there is a program that only notes it."""
    (tmp_path / "overlay").mkdir(exist_ok=True)
    (tmp_path / "overlay" / "kustomization.yaml").touch()
    notes = tmp_path / "notes"
    notes.write_text("")
    stub = tmp_path / "kubectl"
    stub.write_text(
        "#!/bin/sh\n"
        'case "$1" in kustomize) set -- "$1" "$2";; wait) set -- "$1" "$4";; apply) set -- "$1" "$5";;\n'
        'delete) set -- "$1" "$2" "$3";; rollout) set -- "$1" "$6";; esac\n'
        f'echo "$*" >>notes\n[ "$1" != {failing} ]\n'
    )
    stub.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run([KUBERNETES / "rollout", *words], cwd=tmp_path, env={**os.environ, "PATH": path}, check=False)
    return notes.read_text().splitlines()
