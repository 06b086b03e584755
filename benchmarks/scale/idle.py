"""A tick without changes, by `sync_all` in one process: its cost by workspace."""

from __future__ import annotations

from pathlib import Path

from benchmarks.measure import Server
from benchmarks.scale.common import Part, Sizes, Timing, ms, small_server, timed, today, workspaces
from benchmarks.scale.filling import SITES, lake_of
from gsc_pipeline.bootstrap import Services
from gsc_pipeline.days import Window
from gsc_pipeline.lake.arrow_process import prepare_arrow
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.settings import load_settings
from gsc_pipeline.sync.report import SyncSummary
from gsc_pipeline.sync.sync_all import sync_all


def measure(folder: Path, sizes: Sizes) -> Part:
    """Lakes with more and more workspaces, then with more months. The process has done one sync before."""
    prepare_arrow()
    shapes = [(count, 1) for count in sizes.idle]
    middle = sizes.idle[-2]
    shapes += [(middle, sizes.months), (sizes.workspaces, sizes.months)]
    rows, costs = [], []
    with small_server(folder) as server:
        for count, months in shapes:
            lake = lake_of(folder.parent, count, months, today())
            done, calls = _tick(lake, server, folder, count, sizes.sample)
            costs.append(done.cpu)
            rows.append((f"{count:,}", str(months), ms(done.cpu), ms(done.wall), f"{calls:.1f}"))
    by_workspaces, short, long = costs[: len(sizes.idle)], costs[len(sizes.idle) - 2], costs[-2]
    return Part(
        "An idle tick, for each workspace",
        ("workspaces in the lake", "months", "CPU a workspace", "wall a workspace", "calls a workspace"),
        tuple(rows),
        f"Up to {sizes.sample} workspaces of three properties each, with the rate limiter (factor 100), in "
        "one process after its first sync. CPU by workspace, highest divided by lowest: "
        f"{max(by_workspaces) / min(by_workspaces):.2f} from {sizes.idle[0]} to {sizes.idle[-1]:,} "
        f"workspaces; {long / short:.2f} from 1 to {sizes.months} months of {middle} workspaces. A process "
        "keeps the tables open, so it reads a table's list of files once, not once for each workspace. Only "
        "a commit grows with the files, since Delta rebuilds the list after it; a tick commits once, to "
        f"`sync_runs`. Hence {costs[-1] / min(by_workspaces):.2f} times the lowest CPU in the largest lake.",
    )


def _tick(lake: Lake, server: Server, folder: Path, count: int, sample: int) -> tuple[Timing, float]:
    """Seconds and calls by workspace."""
    settings = load_settings(
        lake=lake.uri, api_url=server.url, api_limit_factor=100, state=str(folder / "state.db")
    )
    window = Window.last_complete(14, today())
    everyone = workspaces(min(count, sample), server.key)
    times = max(1, min(10, sample // len(everyone)))
    services = Services(settings)
    opener, options = services.open_console, services.sync_options()

    def tick() -> SyncSummary:
        return sync_all(everyone, window, opener, lake, options=options)

    sync_all(everyone[:1], window, opener, lake, options=options)
    server.take_served()
    done = timed(lambda: [tick() for _ in range(times)])
    reports = [report for summary in done.result for report in summary.successes]
    assert len(reports) == times * len(everyone)
    assert not any(report.rows or report.problems for report in reports), reports[0]
    assert all(report.usage.calls == len(SITES) for report in reports)
    calls = server.take_served()["calls"] / len(reports)
    return Timing(done.wall / len(reports), done.cpu / len(reports), done.peak_mib), calls
