"""The schedule's tick, evaluated as the daemon evaluates it, on an instance with SQLite."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from benchmarks.scale.common import Part, Sizes, Timing, s, timed, write_workspaces_file
from gsc_pipeline.definitions import build_defs
from gsc_pipeline.partitions import WORKSPACES
from gsc_pipeline.resources import live_pipeline
from gsc_pipeline.settings import load_settings
from gsc_pipeline.simulator import write_service_account_key


def measure(folder: Path, sizes: Sizes) -> Part:
    """The first tick, which makes each workspace known to Dagster, and later ones."""
    write_service_account_key(folder / "key.json", base_url="http://127.0.0.1:9", client_email="a@b.com")
    file = write_workspaces_file(folder, sizes.workspaces)
    rows = []
    for per_run in (1, 20):
        home = folder / f"home-{per_run}"
        home.mkdir()
        with dg.DagsterInstance.from_config(_config(home)) as instance:
            first, later = (_tick(instance, file, per_run) for _ in range(2))
            assert len(instance.get_dynamic_partitions(WORKSPACES)) == sizes.workspaces
        rows.append((str(per_run), str(later.result), s(first.wall), s(later.wall), s(later.cpu)))
    return Part(
        f"The schedule's tick with {sizes.workspaces:,} active workspaces",
        ("workspaces a run", "runs asked for", "first tick", "later ticks", "CPU of these"),
        tuple(rows),
        "The first tick registers every workspace as a partition. Most of a later one is reading and "
        "validating the workspaces file, a section for each workspace. The daemon gives a tick 60 s.",
    )


def _config(home: Path) -> str:
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    return str(home)


def _tick(instance: dg.DagsterInstance, file: Path, per_run: int) -> Timing:
    state = str(file.with_name(f"state-{per_run}.db"))
    settings = load_settings(workspaces_file=file, workspaces_per_run=per_run, state=state)
    pipeline = {"pipeline": live_pipeline(settings)}
    defs = build_defs(settings, pipeline)
    schedule, repository = defs.resolve_schedule_def("gsc_auto_sync"), defs.get_repository_def()

    def evaluate() -> int:
        with dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=datetime(2026, 11, 21, 6, tzinfo=UTC),
            resources=pipeline,
            repository_def=repository,
        ) as context:
            return len(schedule.evaluate_tick(context).run_requests or [])

    return timed(evaluate)
