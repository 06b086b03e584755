"""deploy/kubernetes: the chart's values, the instance that comes of them, the manifests beside them."""

from __future__ import annotations

import copy
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import dagster as dg
import pytest
import yaml
from dagster._config import validate_config
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager
from dagster_k8s import K8sRunLauncher
from dagster_k8s.models import k8s_model_from_dict, k8s_snake_case_dict
from kubernetes import client as k8s

from gsc_pipeline.settings import Settings, load_settings
from gsc_pipeline_tests.cluster import chart
from gsc_pipeline_tests.docs import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
VALUES: dict[str, Any] = yaml.safe_load((FOLDER / "values.yaml").read_text(encoding="utf-8"))
README = (FOLDER / "README.md").read_text(encoding="utf-8")
RELEASE = NAMESPACE = "gsc"
KINDS = {"ConfigMap": k8s.V1ConfigMap, "Deployment": k8s.V1Deployment, "Service": k8s.V1Service}


def manifests(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")))


def instance_config(values: dict[str, Any] = VALUES) -> dict[str, Any]:
    return chart.instance_config(values, release=RELEASE, namespace=NAMESPACE)


def at(url: str) -> dict[str, Any]:
    """The values with the address of a test's database, which listens on a Unix socket."""
    parts = urlsplit(url)
    values = copy.deepcopy(VALUES)
    values["postgresql"] |= {
        "postgresqlHost": "",
        "postgresqlUsername": parts.username,
        "postgresqlDatabase": parts.path.strip("/"),
        "postgresqlParams": {"host": unquote(re.findall(r"host=([^&]+)", parts.query)[0])},
    }
    return values


def settings_of(instance: dg.DagsterInstance) -> dict[str, Any]:
    """What decides over queue, monitoring, retries and retention, as Dagster understood it."""
    queue = instance.get_concurrency_config().run_queue_config
    assert queue
    return {
        "runs": queue.max_concurrent_runs,
        "limits": queue.tag_concurrency_limits,
        "monitoring": instance.run_monitoring_enabled,
        "start": instance.run_monitoring_start_timeout_seconds,
        "cancel": instance.run_monitoring_cancel_timeout_seconds,
        "runtime": instance.run_monitoring_max_runtime_seconds,
        "poll": instance.run_monitoring_poll_interval_seconds,
        "resumes": instance.run_monitoring_max_resume_run_attempts,
        "slots": instance.run_monitoring_settings["free_slots_after_run_end_seconds"],
        "retries": instance.run_retries_max_retries if instance.run_retries_enabled else None,
        "op_failures": instance.run_retries_retry_on_asset_or_op_failure,
        "schedules": instance.get_tick_retention_settings(InstigatorType.SCHEDULE),
        "sensors": instance.get_tick_retention_settings(InstigatorType.SENSOR),
        "telemetry": instance.telemetry_enabled,
        "nux": instance.nux_enabled,
    }


def secrets_named(value: Any) -> set[str]:
    """The names of all secrets that a manifest or the values refer to."""
    if isinstance(value, list):
        return {name for one in value for name in secrets_named(one)}
    if not isinstance(value, dict):
        return set()
    names = {value[key] for key in ("secretName", "postgresqlSecretName") if key in value}
    for key in ("secretRef", "secretKeyRef"):
        names |= {value[key]["name"]} if key in value else set()
    names |= {one["name"] for one in value.get("envSecrets", ())}
    return names | {name for one in value.values() for name in secrets_named(one)}


def config_maps_named(value: Any) -> set[str]:
    if isinstance(value, list):
        return {name for one in value for name in config_maps_named(one)}
    if not isinstance(value, dict):
        return set()
    names = {value[key]["name"] for key in ("configMap", "configMapRef") if key in value}
    names |= {one["name"] for one in value.get("envConfigMaps", ())}
    return names | {name for one in value.values() for name in config_maps_named(one)}


def test_every_value_is_a_documented_key_of_the_chart_and_valid_in_kubernetes() -> None:
    parts = list(chart.parts_of_kubernetes(VALUES))
    assert len(parts) > 20
    for path, model, value in parts:
        assert k8s_model_from_dict(model, k8s_snake_case_dict(model, value)), path


def test_a_key_that_the_chart_would_drop_is_found() -> None:
    values = copy.deepcopy(VALUES)
    values["dagsterDaemon"]["runMonitoring"]["maxRuntimeMinutes"] = 5
    with pytest.raises(AssertionError, match=r"dagsterDaemon\.runMonitoring\.maxRuntimeMinutes"):
        list(chart.parts_of_kubernetes(values))


def test_the_chart_has_the_version_of_the_locked_dagster() -> None:
    assert f"\ndagster=={chart.VERSION}\n" in (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert f"version {chart.VERSION}" in (FOLDER / "values.yaml").read_text(encoding="utf-8")
    assert f"--version {chart.VERSION}" in README


def test_dagster_accepts_the_launchers_configuration() -> None:
    launcher = instance_config()["run_launcher"]["config"]
    checked = validate_config(K8sRunLauncher.config_type(), launcher)
    assert checked.success, checked.errors


def test_the_charts_instance_has_the_settings_of_dagster_yaml(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_PG_PASSWORD", "")
    cluster, plain = tmp_path / "cluster", tmp_path / "plain"
    for home, text in (
        (cluster, yaml.safe_dump(instance_config(at(postgres_url)))),
        (plain, (ROOT / "dagster.yaml").read_text(encoding="utf-8")),
    ):
        home.mkdir()
        (home / "dagster.yaml").write_text(text, encoding="utf-8")
    with (
        dg.DagsterInstance.from_config(str(cluster)) as in_cluster,
        dg.DagsterInstance.from_config(str(plain)) as on_one_machine,
    ):
        assert settings_of(in_cluster) == settings_of(on_one_machine)
        assert isinstance(in_cluster.compute_log_manager, NoOpComputeLogManager)


@pytest.mark.parametrize("name", ["config.yaml", "serve.yaml"])
def test_the_manifests_are_valid_in_kubernetes(name: str) -> None:
    for manifest in manifests(name):
        model = KINDS[manifest["kind"]]
        k8s_model_from_dict(model, k8s_snake_case_dict(model, manifest))


def test_the_settings_in_the_config_map_are_the_projects_own(monkeypatch: pytest.MonkeyPatch) -> None:
    (config,) = manifests("config.yaml")
    known = {str(field.validation_alias) for field in Settings.model_fields.values()}
    assert {name for name in config["data"] if name.startswith("GSC_")} <= known
    assert all(isinstance(value, str) for value in config["data"].values())
    for name, value in config["data"].items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.lake.startswith("s3://")
    # A file in a container ends with it.
    assert settings.audit_log is None or str(settings.audit_log) == "off"


def test_everything_that_is_referred_to_is_made_by_the_readme_or_the_chart() -> None:
    everything = [VALUES, *manifests("serve.yaml")]
    made = set(re.findall(r"create secret generic (\S+)", README))
    assert secrets_named(everything) == made == {"gsc-postgresql", "gsc-secrets", "gsc-keys"}
    applied = {manifests("config.yaml")[0]["metadata"]["name"]}
    made = applied | set(re.findall(r"create configmap (\S+)", README))
    by_the_chart = {instance_config()["run_launcher"]["config"]["instance_config_map"]}
    assert config_maps_named(everything) == made | by_the_chart


def test_no_file_holds_a_secret() -> None:
    for path in FOLDER.iterdir():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"PRIVATE KEY|postgresqlPassword:|AKIA|password: *\w{4}", text), path.name


def test_every_container_runs_as_the_images_user_and_writes_only_to_a_volume() -> None:
    (user,) = re.findall(r"^USER (\d+):(\d+)$", (FOLDER / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    launcher = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
    serve = manifests("serve.yaml")[0]["spec"]["template"]["spec"]
    pods = [
        (pod["podSecurityContext"], pod["securityContext"], pod["volumeMounts"])
        for pod in (
            VALUES["dagsterWebserver"],
            VALUES["dagsterDaemon"],
            VALUES["dagster-user-deployments"]["deployments"][0],
        )
    ]
    run = launcher["runK8sConfig"]["podSpecConfig"]["securityContext"]
    pods.append((run, launcher["securityContext"], launcher["volumeMounts"]))
    (container,) = serve["containers"]
    pods.append((serve["securityContext"], container["securityContext"], container["volumeMounts"]))
    for of_pod, of_container, mounts in pods:
        assert (str(of_pod["runAsUser"]), str(of_pod["runAsGroup"])) == user
        assert of_pod["runAsNonRoot"] is True
        assert of_pod["fsGroup"] == int(user[1])
        assert of_container == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        writable = [mount["mountPath"] for mount in mounts if not mount.get("readOnly")]
        assert [path for path in writable if not path.endswith("/dagster.yaml")] == ["/tmp"]


def test_one_image_serves_everything() -> None:
    (container,) = manifests("serve.yaml")[0]["spec"]["template"]["spec"]["containers"]
    images = [VALUES[name]["image"] for name in ("dagsterWebserver", "dagsterDaemon")]
    images += [one["image"] for one in VALUES["dagster-user-deployments"]["deployments"]]
    # Runs take the code server's image.
    assert "image" not in VALUES["runLauncher"]["config"]["k8sRunLauncher"]
    names = {f"{image['repository']}:{image['tag']}" for image in images} | {container["image"]}
    assert len(names) == 1
    assert f"-t {names.pop()} ." in README


def test_what_the_readme_names_is_there() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", README):
        assert (FOLDER / target).exists(), target
    for path in re.findall(r"deploy/kubernetes/[\w.-]+", README):
        # The last two are the operator's own.
        assert (ROOT / path).exists() or path.rpartition("/")[2] in (".env", "config"), path
    compose = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
    assert set(re.findall(r"docker compose exec (\w+)", README)) <= compose["services"].keys()
    (deployment,) = VALUES["dagster-user-deployments"]["deployments"]
    assert f"-l deployment={deployment['name']} " in README
    forwarded = set(re.findall(r"(\d+):\1$", README, re.MULTILINE))
    service = manifests("serve.yaml")[1]
    assert forwarded == {
        str(VALUES["dagsterWebserver"]["service"]["port"]),
        str(service["spec"]["ports"][0]["port"]),
    }
    assert f"helm upgrade --install {RELEASE} dagster/dagster" in README


def test_the_probes_and_arguments_of_gsc_serve_fit_together() -> None:
    deployment, service = manifests("serve.yaml")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    (port,) = container["ports"]
    assert container["args"][-2:] == ["--port", str(port["containerPort"])]
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        assert container[probe]["httpGet"] == {"path": "/health/live", "port": port["name"]}
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels == deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    web = VALUES["dagsterWebserver"]
    assert web["readinessProbe"]["httpGet"]["port"] == web["service"]["port"]


def test_the_readmes_secrets_and_config_maps_can_be_made(tmp_path: Path) -> None:
    kubectl = shutil.which("kubectl")
    if not kubectl:
        pytest.skip("kubectl is not installed")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "acme.json").write_text("{}", encoding="utf-8")
    (tmp_path / "workspaces.yaml").write_text("workspaces: []", encoding="utf-8")
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    lines = "\n".join(line.strip() for block in blocks for line in block.splitlines())
    (heredoc,) = re.findall(r"^\$ (cat > gsc\.env .*?^END)$", lines, re.DOTALL | re.MULTILINE)
    creates = re.findall(r"^\$ (kubectl -n gsc create (?:secret|configmap) .*)$", lines, re.MULTILINE)
    assert len(creates) == 4
    made = {}
    for create in creates:
        command = f"{heredoc}\n{create} --dry-run=client --output yaml"
        env = {**os.environ, "PASSWORD": "made-up", "HOME": str(tmp_path)}
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, env=env, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        manifest = yaml.safe_load(done.stdout)
        made[manifest["metadata"]["name"]] = set(manifest["data"])
    assert made == {
        "gsc-postgresql": {"postgresql-password"},
        "gsc-secrets": {"GSC_STATE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"},
        "gsc-keys": {"acme.json"},
        "gsc-workspaces": {"workspaces.yaml"},
    }


@pytest.mark.soak
def test_helm_itself_renders_the_same_instance() -> None:
    folder = os.environ.get("GSC_DAGSTER_CHART")
    helm = shutil.which("helm")
    if not helm or not folder:
        pytest.skip("needs helm, and GSC_DAGSTER_CHART with the path of Dagster's chart (helm pull)")
    command = [helm, "template", RELEASE, folder, "--namespace", NAMESPACE]
    done = subprocess.run(
        [*command, "--values", str(FOLDER / "values.yaml")], check=True, capture_output=True, text=True
    )
    rendered = {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(done.stdout) if one}
    ours = instance_config()
    text = rendered["ConfigMap", ours["run_launcher"]["config"]["instance_config_map"]]["data"][
        "dagster.yaml"
    ]
    theirs = yaml.safe_load(text)
    # Defaults of the chart that are Dagster's own too.
    theirs["run_monitoring"].pop("cancel_timeout_seconds", None)
    theirs["retention"]["sensor"]["purge_after_days"].pop("started", None)
    theirs["retention"].pop("auto_materialize", None)
    assert {name: theirs[name] for name in ours} == ours
