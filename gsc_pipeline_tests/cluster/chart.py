"""What Dagster's Helm chart documents and makes of the keys that deploy/kubernetes/values.yaml uses.

The tests cannot install the chart, so both are written down here by hand: the keys as its values.yaml and its
JSON schema have them, and the instance as its template `configmap-instance.yaml` renders it. The chart copies
`runMonitoring` and `runRetries` key by key and drops others without a word: a key belongs here only if a
template reads it. With another version of the chart, read its `values.schema.json` and `templates/` again,
then change `VERSION`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kubernetes import client as k8s

VERSION = "1.13.27"
"""The chart's version, which is Dagster's: both are released together."""

_IMAGE = {"repository": str, "tag": str, "pullPolicy": str}
_POD: dict[str, Any] = {
    "image": _IMAGE,
    "podSecurityContext": k8s.V1PodSecurityContext,
    "securityContext": k8s.V1SecurityContext,
    "resources": k8s.V1ResourceRequirements,
    "volumes": [k8s.V1Volume],
    "volumeMounts": [k8s.V1VolumeMount],
    "envConfigMaps": [k8s.V1ConfigMapEnvSource],
    "envSecrets": [k8s.V1SecretEnvSource],
}

KEYS: dict[str, Any] = {
    "global": {"postgresqlSecretName": str, "dagsterHome": str},
    "generatePostgresqlPasswordSecret": bool,
    "postgresql": {
        "enabled": bool,
        "postgresqlHost": str,
        "postgresqlUsername": str,
        "postgresqlDatabase": str,
        "postgresqlParams": dict,
        "service": {"port": int},
    },
    "dagsterWebserver": {
        **_POD,
        "service": {"type": str, "port": int},
        "readinessProbe": k8s.V1Probe,
    },
    "dagster-user-deployments": {
        "enabled": bool,
        "enableSubchart": bool,
        "deployments": [
            {
                **_POD,
                "name": str,
                "dagsterApiGrpcArgs": list,
                "port": int,
                "includeConfigInLaunchedRuns": {"enabled": bool},
            }
        ],
    },
    "runLauncher": {
        "type": str,
        "config": {
            "k8sRunLauncher": {
                "loadInclusterConfig": bool,
                "imagePullPolicy": str,
                "envConfigMaps": [k8s.V1ConfigMapEnvSource],
                "envSecrets": [k8s.V1SecretEnvSource],
                "volumes": [k8s.V1Volume],
                "volumeMounts": [k8s.V1VolumeMount],
                "securityContext": k8s.V1SecurityContext,
                "resources": k8s.V1ResourceRequirements,
                # Each is one field of the job's objects, which Dagster checks when it makes the job.
                "runK8sConfig": {
                    "podSpecConfig": dict,
                    "podTemplateSpecMetadata": dict,
                    "jobSpecConfig": dict,
                },
            }
        },
    },
    "dagsterDaemon": {
        **_POD,
        "enabled": bool,
        "runCoordinator": {
            "enabled": bool,
            "type": str,
            "config": {"queuedRunCoordinator": {"maxConcurrentRuns": int, "tagConcurrencyLimits": list}},
        },
        "runMonitoring": {
            "enabled": bool,
            "startTimeoutSeconds": int,
            "maxRuntimeSeconds": int,
            "freeSlotsAfterRunEndSeconds": int,
            "maxResumeRunAttempts": int,
        },
        "runRetries": {"enabled": bool, "maxRetries": int, "retryOnAssetOrOpFailure": bool},
    },
    "retention": {
        "enabled": bool,
        "schedule": {"purgeAfterDays": int},
        "sensor": {"purgeAfterDays": {"skipped": int, "failure": int, "success": int}},
    },
    "telemetry": {"enabled": bool},
    "computeLogManager": {"type": str},
    "additionalInstanceConfig": dict,
}
"""The keys in use: a type, a class of Kubernetes' own client, a list of one of these, or keys below."""


def parts_of_kubernetes(values: Any, keys: Any = KEYS, path: str = "") -> Iterator[tuple[str, type, Any]]:
    """The values that the chart copies into Kubernetes' objects, each with its place and its class there.

    Raises AssertionError for a key that the chart does not document, or a value of another type.
    """
    if isinstance(keys, dict):
        assert isinstance(values, dict), f"{path}: a mapping is expected"
        for name, value in values.items():
            here = f"{path}.{name}" if path else name
            assert name in keys, f"{here}: not a key of the chart {VERSION} that a test knows"
            yield from parts_of_kubernetes(value, keys[name], here)
    elif isinstance(keys, list):
        assert isinstance(values, list), f"{path}: a list is expected"
        for number, value in enumerate(values):
            yield from parts_of_kubernetes(value, keys[0], f"{path}[{number}]")
    elif hasattr(keys, "openapi_types"):
        yield path, keys, values
    else:
        assert type(values) is keys, f"{path}: {keys.__name__} is expected"


def instance_config(values: Mapping[str, Any], *, release: str, namespace: str) -> dict[str, Any]:
    """The dagster.yaml that the chart writes for a release, from these values and its own defaults."""
    daemon, retention = values["dagsterDaemon"], values["retention"]
    monitoring, retries = daemon["runMonitoring"], daemon["runRetries"]
    queue = daemon["runCoordinator"]["config"]["queuedRunCoordinator"]
    return {
        "scheduler": {"module": "dagster.core.scheduler", "class": "DagsterDaemonScheduler"},
        "schedule_storage": _storage("schedule_storage", "PostgresScheduleStorage", values),
        "run_storage": _storage("run_storage", "PostgresRunStorage", values),
        "event_log_storage": _storage("event_log", "PostgresEventLogStorage", values),
        "run_launcher": {
            "module": "dagster_k8s",
            "class": "K8sRunLauncher",
            "config": _launcher(values, release=release, namespace=namespace),
        },
        "run_coordinator": {
            "module": "dagster.core.run_coordinator",
            "class": "QueuedRunCoordinator",
            "config": {
                "max_concurrent_runs": queue["maxConcurrentRuns"],
                "tag_concurrency_limits": queue["tagConcurrencyLimits"],
            },
        },
        "compute_logs": {
            "module": "dagster.core.storage.noop_compute_log_manager",
            "class": values["computeLogManager"]["type"],
        },
        "run_monitoring": {
            "enabled": monitoring["enabled"],
            "start_timeout_seconds": monitoring["startTimeoutSeconds"],
            "max_runtime_seconds": monitoring["maxRuntimeSeconds"],
            "max_resume_run_attempts": monitoring["maxResumeRunAttempts"],
            "poll_interval_seconds": 120,
            "free_slots_after_run_end_seconds": monitoring["freeSlotsAfterRunEndSeconds"],
        },
        "run_retries": {
            "enabled": retries["enabled"],
            "max_retries": retries["maxRetries"],
            "retry_on_asset_or_op_failure": retries["retryOnAssetOrOpFailure"],
        },
        "telemetry": dict(values["telemetry"]),
        "retention": {
            "schedule": {"purge_after_days": retention["schedule"]["purgeAfterDays"]},
            "sensor": {"purge_after_days": retention["sensor"]["purgeAfterDays"]},
        },
        **values["additionalInstanceConfig"],
    }


def _storage(module: str, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    database = values["postgresql"]
    return {
        "module": f"dagster_postgres.{module}",
        "class": name,
        "config": {
            "postgres_db": {
                "username": database["postgresqlUsername"],
                "password": {"env": "DAGSTER_PG_PASSWORD"},
                "hostname": database["postgresqlHost"],
                "db_name": database["postgresqlDatabase"],
                "port": database["service"]["port"],
                "params": database["postgresqlParams"],
            }
        },
    }


def _launcher(values: Mapping[str, Any], *, release: str, namespace: str) -> dict[str, Any]:
    given = values["runLauncher"]["config"]["k8sRunLauncher"]
    run = given["runK8sConfig"]
    return {
        "load_incluster_config": given["loadInclusterConfig"],
        "job_namespace": namespace,
        "image_pull_policy": given["imagePullPolicy"],
        "service_account_name": f"{release}-dagster",
        "dagster_home": values["global"]["dagsterHome"],
        "instance_config_map": f"{release}-dagster-instance",
        "postgres_password_secret": values["global"]["postgresqlSecretName"],
        "env_config_maps": [one["name"] for one in given["envConfigMaps"]],
        "env_secrets": [one["name"] for one in given["envSecrets"]],
        "volume_mounts": given["volumeMounts"],
        "volumes": given["volumes"],
        "resources": given["resources"],
        "security_context": given["securityContext"],
        "run_k8s_config": {
            "pod_spec_config": run["podSpecConfig"],
            "pod_template_spec_metadata": run["podTemplateSpecMetadata"],
            "job_spec_config": run["jobSpecConfig"],
        },
    }
