"""The dependencies that an asset declares are the tables that making it opens."""

# Annotations are not deferred here: Dagster reads them when it makes a resource's class.

from collections.abc import Iterator, Mapping
from dataclasses import replace

import dagster as dg
import pytest
from deltalake import DeltaTable
from typing_extensions import override

from gsc_pipeline.days import Window
from gsc_pipeline.definitions import build_defs
from gsc_pipeline.defs.checks import no_partial_failures_spec
from gsc_pipeline.defs.events import ASSETS
from gsc_pipeline.defs.keys import CLIENT_REPORT, PORTAL
from gsc_pipeline.defs.partitions import WORKSPACES, partition_key
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import (
    INSIGHT_REFRESHES,
    INSIGHTS,
    MORE_LEDGER,
    PROPERTIES,
    REVISIONS,
    STANDING_FAILURES,
    SYNC_LEDGER,
    SYNC_RUNS,
    TableSpec,
)
from gsc_pipeline.settings import load_settings
from gsc_pipeline.sync.tables.more import MORE_TABLES
from gsc_pipeline.workspaces.seo_tests import PageSet, SeoTest
from gsc_pipeline_tests.defs.conftest import Orchestra
from gsc_pipeline_tests.defs.resources import GivenLake
from gsc_pipeline_tests.instances import instance_on_files
from gsc_pipeline_tests.world import World

STEPS = [
    ("searchdata", list(ASSETS)),
    *((one.table.name, [one.table.name]) for one in MORE_TABLES),
    ("insights", [table.name for table in INSIGHTS]),
    ("report", [CLIENT_REPORT]),
    ("portal", [PORTAL]),
]
"""Each step's assets, in the order in which one needs what the others have made."""

WRITTEN_BESIDE = {
    "searchdata": {
        table.name for table in (SYNC_LEDGER, SYNC_RUNS, STANDING_FAILURES, REVISIONS, PROPERTIES)
    },
    "searchdata_hourly": {MORE_LEDGER.name},
    "search_appearance": {MORE_LEDGER.name},
    "insights": {INSIGHT_REFRESHES.name},
}
"""The tables that a step keeps of its own work, and reads again at the next time."""


class WatchedLake(Lake):
    """Records the tables that are opened, except for the numbers of rows in their logs."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.opened: set[str] = set()

    @override
    def open(self, table: TableSpec) -> DeltaTable:
        self.opened.add(table.name)
        return super().open(table)

    @override
    def row_counts(self, table: TableSpec) -> Mapping[str, Mapping[str, int]]:
        opened = {*self.opened}
        counts = super().row_counts(table)
        self.opened = opened
        return counts


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, WatchedLake]]:
    """The lake that each step has used, by the name of the step. Every step has something to do."""
    folder = tmp_path_factory.mktemp("reads")
    with World.serving(folder) as world, instance_on_files(folder / "dagster") as instance:
        instance.add_dynamic_partitions(WORKSPACES, ["acme"])
        # The pages of its test are read for the report.
        pages = PageSet(regex="/a"), PageSet(regex="/b")
        test = SeoTest("titles", "sc-domain:acme.com", "WEB", world.last(1).start, *pages)
        workspace = replace(world.workspace(properties=None), seo_tests=(test,))
        orchestra = Orchestra(world, instance, [workspace])
        world.sync(orchestra.workspaces[0], Window(world.last(9).start, world.last(1).start))
        yield {step: _made(orchestra, step, assets) for step, assets in STEPS}


def _made(orchestra: Orchestra, step: str, assets: list[str]) -> WatchedLake:
    lake, settings = WatchedLake(orchestra.world.lake.uri), load_settings()
    tables = GivenLake.of(settings, given=lambda: lake)
    selection = dg.AssetSelection.assets(*assets).without_checks()
    if step == "searchdata":
        selection |= dg.AssetSelection.checks(no_partial_failures_spec().key)
    job = dg.define_asset_job("step", selection)
    defs = build_defs(settings, {**orchestra.resources, "lake": tables})
    day = orchestra.world.last(1).last
    dg.Definitions.merge(defs, dg.Definitions(jobs=[job])).resolve_job_def("step").execute_in_process(
        instance=orchestra.instance,
        partition_key={"searchdata": partition_key(day, "acme"), "portal": None}.get(step, "acme"),
    )
    return lake


@pytest.mark.parametrize(("step", "assets"), STEPS, ids=[step for step, _ in STEPS])
@pytest.mark.soak
def test_a_step_opens_the_tables_that_its_assets_depend_on_beside_its_own(
    watched: dict[str, WatchedLake], step: str, assets: list[str]
) -> None:
    graph = build_defs(load_settings()).resolve_asset_graph()
    parents = {key.to_user_string() for name in assets for key in graph.get(dg.AssetKey(name)).parent_keys}
    own = {*assets, *WRITTEN_BESIDE.get(step, ())}
    # A report is a file.
    assert watched[step].opened - own == parents - own - {CLIENT_REPORT}


def test_what_a_sync_writes_beside_its_two_tables_follows_from_them() -> None:
    graph = build_defs(load_settings()).resolve_asset_graph()
    for name in WRITTEN_BESIDE["searchdata"] - {PROPERTIES.name}:
        assert graph.get_ancestor_asset_keys(dg.AssetKey(name)) >= {*map(dg.AssetKey, ASSETS)}
