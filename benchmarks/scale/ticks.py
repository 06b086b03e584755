"""The tick of the schedule, evaluated as by the daemon, on an instance with SQLite."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from benchmarks.scale.common import Part, Sizes, Timing, s, timed, write_workspaces_file
from gsc_pipeline.defs.build import build_defs
from gsc_pipeline.defs.partitions import WORKSPACES
from gsc_pipeline.settings import load_settings
from gsc_pipeline.simulator import write_service_account_key


def measure(folder: Path, sizes: Sizes) -> Part:
    """The first tick, which registers the workspaces as partitions, and a later one."""
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
        ("workspaces a run", "runs requested", "first tick", "later ticks", "CPU of these"),
        tuple(rows),
        "The first tick registers every workspace as a partition. A later one mostly reads and validates the "
        "workspaces file. The daemon allows a tick 60 s.",
    )


def _config(home: Path) -> str:
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    return str(home)


def _tick(instance: dg.DagsterInstance, file: Path, per_run: int) -> Timing:
    state = str(file.with_name(f"state-{per_run}.db"))
    settings = load_settings(workspaces_file=file, workspaces_per_run=per_run, state=state)
    defs = build_defs(settings)
    schedule, repository = defs.resolve_schedule_def("gsc_auto_sync"), defs.get_repository_def()

    def evaluate() -> int:
        with dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=datetime(2026, 11, 21, 6, tzinfo=UTC),
            resources=defs.resources,
            repository_def=repository,
        ) as context:
            return len(schedule.evaluate_tick(context).run_requests or [])

    return timed(evaluate)
