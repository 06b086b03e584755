"""Runs as Kubernetes jobs: the daemon, Dagster's launcher and the chart's instance, on an API on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from gsc_pipeline.days import utc_now
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SYNC_RUNS
from gsc_pipeline_tests.cluster.bucket import serving_bucket
from gsc_pipeline_tests.cluster.kubernetes import Cluster, serving_kubernetes
from gsc_pipeline_tests.cluster.test_image import ImageFile
from gsc_pipeline_tests.cluster.test_kubernetes import at, instance_config, manifests
from gsc_pipeline_tests.defs.test_processes import daemon, daemon_log, environment, finished_runs
from gsc_pipeline_tests.faults.test_daemon_killed import switch_on_ten_minutes_ago
from gsc_pipeline_tests.waiting import wait_until
from gsc_pipeline_tests.world import World

pytestmark = [pytest.mark.slow, pytest.mark.soak]

IMAGE = "registry.example.com/gsc_pipeline:test"
SUCCESS = dg.DagsterRunStatus.SUCCESS


@pytest.fixture
def live(tmp_path: Path) -> Iterator[World]:
    with World.serving(tmp_path, now=utc_now()) as world:
        yield world


@dataclass(frozen=True)
class Running:
    """A daemon at work whose runs are jobs of a cluster, with the lake in a bucket."""

    cluster: Cluster
    environment: dict[str, str]
    lake: Lake

    def runs(self) -> list[dg.DagsterRun]:
        """The syncs that have ended."""
        return finished_runs(self.environment)

    def synced(self) -> set[str]:
        """The workspaces, one a run, whose sync succeeded."""
        return {run.tags["gsc/workspace"] for run in self.runs() if run.status is SUCCESS}

    def log(self) -> str:
        """What daemon and pods printed."""
        return "\n".join([daemon_log(self.environment)(), *(pod.log for pod in self.cluster.pods.values())])


@contextmanager
def ticking(
    live: World, postgres_url: str, monkeypatch: pytest.MonkeyPatch, **monitoring: int
) -> Iterator[Running]:
    """Run a tick of two workspaces that was due two minutes ago.

    `monitoring` replaces values of the instance's `run_monitoring`.
    """
    due = utc_now() - timedelta(minutes=2)
    home = live.folder / "home"
    home.mkdir()
    # Its content comes later; without a file there, a link to the project's own would be made.
    (home / "dagster.yaml").touch()
    schedule = {
        "GSC_AUTO_SYNC_ENABLED": "true",
        "GSC_AUTO_SYNC_CRON": f"{due.minute} {due.hour} * * *",
        "GSC_AUTO_SYNC_DAYS": "2",
        "GSC_WORKSPACES_PER_RUN": "1",
    }
    with serving_bucket() as bucket:
        for name, value in {**bucket.environment, "DAGSTER_PG_PASSWORD": "none"}.items():
            monkeypatch.setenv(name, value)
        # The code server reads the files where they are, the jobs read what the cluster gives them.
        code = environment(
            live,
            **schedule,
            GSC_LAKE=bucket.uri,
            GSC_STATE=postgres_url,
            GSC_AUDIT_LOG="off",
            DAGSTER_CURRENT_IMAGE=IMAGE,
        )
        instance = instance_config(at(postgres_url))
        cluster = Cluster(
            live.folder / "cluster",
            config_maps={
                "gsc-config": manifests("config.yaml")[0]["data"]
                | schedule
                | {"GSC_LAKE": bucket.uri, **bucket.environment}
                | {name: code[name] for name in code if name.startswith("GSC_API_")},
                "gsc-workspaces": {"workspaces.yaml": with_keys_of_the_cluster(live)},
                "gsc-dagster-instance": {"dagster.yaml": yaml.safe_dump(instance)},
            },
            secrets={
                "gsc-postgresql": {"postgresql-password": "none"},
                "gsc-secrets": {"GSC_STATE": postgres_url},
                "gsc-keys": {key.name: key.read_text("utf-8") for key in live.folder.glob("*-key.json")},
            },
            image=ImageFile.read().variables,
        )
        cluster.folder.mkdir()
        with serving_kubernetes(cluster) as kubeconfig:
            # Outside a cluster the daemon has no service account.
            launcher: dict[str, Any] = instance["run_launcher"]["config"]
            launcher |= {"load_incluster_config": False, "kubeconfig_file": str(kubeconfig)}
            instance["run_monitoring"] |= monitoring
            (home / "dagster.yaml").write_text(yaml.safe_dump(instance), encoding="utf-8")
            switch_on_ten_minutes_ago(code)
            with daemon(code):
                yield Running(cluster, code, Lake(bucket.uri))


def with_keys_of_the_cluster(live: World) -> str:
    """The workspaces file with the keys where the secret's volume has them."""
    entries = yaml.safe_load((live.folder / "workspaces.yaml").read_text(encoding="utf-8"))
    for one in entries["workspaces"]:
        one["credentials"]["service_account_file"] = f"/etc/gsc-keys/{one['id']}-key.json"
    return yaml.safe_dump(entries)


def test_a_tick_starts_a_job_for_each_run_with_settings_keys_and_lake_from_the_cluster(
    live: World, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ticking(live, postgres_url, monkeypatch) as running:
        wait_until(lambda: len(running.runs()) >= 2, "two runs", every=1, log=running.log)
        runs = running.runs()
        assert {run.status for run in runs} == {SUCCESS}, running.log()[-4000:]
        written = set(running.lake.read(SYNC_RUNS)["run_id"].to_pylist())
    assert {run.run_id for run in runs} <= written
    for run in runs:
        pod = running.cluster.pods[f"dagster-run-{run.run_id}"]
        spec = pod.manifest["spec"]
        assert (spec["backoffLimit"], spec["ttlSecondsAfterFinished"]) == (0, 86400)
        template = spec["template"]["spec"]
        (container,) = template["containers"]
        assert container["image"] == IMAGE
        assert container["resources"]["limits"] == {"memory": "2Gi"}
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert template["securityContext"]["runAsUser"] == 10001
        names = [volume["name"] for volume in template["volumes"]]
        assert len(names) == len(set(names))
        files = {path.name for path in (pod.root / "opt").rglob("*") if path.is_file()}
        assert files <= {"dagster.yaml"}, "only /tmp may be written to"


def test_a_run_whose_pod_is_lost_is_started_again(
    live: World, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[str] = []
    clusters: list[Cluster] = []

    def lose_a_pod_at_the_first_query(call: Any) -> None:
        if call.kind == "query" and not lost:
            alive = [name for name, pod in clusters[0].pods.items() if pod.process.poll() is None]
            lost.extend(alive[:1])
            clusters[0].pods[lost[0]].kill()

    with ticking(live, postgres_url, monkeypatch, poll_interval_seconds=1) as running:
        clusters.append(running.cluster)
        live.faults.append(lose_a_pod_at_the_first_query)
        wait_until(lambda: running.synced() == {"acme", "globex"}, "both", every=1, log=running.log)
        runs = {f"dagster-run-{run.run_id}": run for run in running.runs()}
    assert len(lost) == 1
    assert runs[lost[0]].status is dg.DagsterRunStatus.FAILURE
    again = [run for run in runs.values() if run.parent_run_id == runs[lost[0]].run_id]
    assert [run.status for run in again] == [SUCCESS]
