"""Every asset, materialized from a lake in a bucket, as from a lake in a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from gsc_pipeline.days import Window
from gsc_pipeline.defs.build import build_defs
from gsc_pipeline.defs.keys import CLIENT_REPORT
from gsc_pipeline.defs.partitions import WORKSPACES
from gsc_pipeline.defs.resources import ReportsFolder
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import INSIGHTS, TABLES, TableSpec
from gsc_pipeline.settings import load_settings
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline_tests.cluster.bucket import BucketServer, serving_bucket
from gsc_pipeline_tests.defs.conftest import Orchestra, range_tags
from gsc_pipeline_tests.insights.filling import fill
from gsc_pipeline_tests.world import World, contents, sorted_rows

pytestmark = [pytest.mark.slow, pytest.mark.soak]

PROPERTY = SyntheticProperty("sc-domain:acme.com", rows_a_day=20)
FILLED = Window(date(2026, 10, 20), date(2026, 11, 18))


@pytest.fixture(scope="module")
def bucket() -> Iterator[BucketServer]:
    with serving_bucket() as server:
        yield server


VOLATILE = {"seconds", "files_removed", "bytes_freed", "path", "run_id", "duration_ms"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World.serving(tmp_path, [PROPERTY]) as world:
        yield world


@pytest.fixture
def place(bucket: BucketServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The test's own URI in the bucket, within reach of this process."""
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    return f"{bucket.uri}/{tmp_path.name}"


def run(orchestra: Orchestra, reports: str, job: str, key: str | None = "acme") -> bool:
    """One run of a job, with reports written to `reports`."""
    resources = orchestra.resources
    resources["reports"] = ReportsFolder.of(load_settings(reports=reports))
    defs = build_defs(load_settings(reports=reports), resources=resources)
    return (
        defs.resolve_job_def(job)
        .execute_in_process(instance=orchestra.instance, partition_key=key, raise_on_error=False)
        .success
    )


@contextmanager
def orchestrated(world: World, lake: Lake) -> Iterator[Orchestra]:
    """A new instance over the lake."""
    world.lake = lake
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(WORKSPACES, ["acme"])
        yield Orchestra(world, instance, [world.workspace()])


def recorded(orchestra: Orchestra, tables: Sequence[TableSpec]) -> dict[str, Any]:
    """The newest metadata of every partition of the tables' assets, without times."""
    found = {table.name: orchestra.materialized(table.name) for table in tables}
    return {
        name: {
            key: {label: repr(value) for label, value in numbers.items() if label not in VOLATILE}
            for key, numbers in partitions.items()
        }
        for name, partitions in found.items()
        if partitions
    }


def test_the_insights_and_the_report_are_made_from_and_in_the_bucket(
    world: World, bucket: BucketServer, place: str
) -> None:
    fill(world.lake, "acme", PROPERTY, FILLED)
    lakes = (world.lake, Lake(bucket.upload(Path(world.lake.uri), place.removeprefix("s3://lake/"))))
    events, pages = [], []
    for lake, reports in zip(lakes, (str(world.folder / "out"), f"{place}-reports"), strict=True):
        with orchestrated(world, lake) as orchestra:
            assert run(orchestra, reports, "gsc_insights")
            assert run(orchestra, reports, "gsc_portal", None)
            events.append(recorded(orchestra, INSIGHTS))
            made = orchestra.materialized(CLIENT_REPORT)["acme"]
            assert made["path"] == f"{reports}/acme.html"
            pages.append(made["kilobytes"])
    assert events[0] == events[1]
    assert set(events[0]) == {table.name for table in INSIGHTS}
    page = bucket.read(f"{place.removeprefix('s3://lake/')}-reports/acme.html")
    assert page == (world.folder / "out" / "acme.html").read_bytes()
    portal = bucket.read(f"{place.removeprefix('s3://lake/')}-reports/index.html")
    assert portal == (world.folder / "out" / "index.html").read_bytes()
    assert b'href="acme.html"' in portal
    assert pages == [round(len(page) / 1000, 1)] * 2


def test_every_job_does_the_same_in_a_bucket_as_in_a_folder(world: World, place: str) -> None:
    events, rows = [], []
    for lake in (Lake(str(world.folder / "lake")), Lake(place)):
        with orchestrated(world, lake) as orchestra:
            for _ in range(2):
                assert orchestra.materialize(tags=range_tags("acme", world.last(4))).success
            for job in ("gsc_more", "gsc_insights"):
                assert run(orchestra, f"{lake.uri}-reports", job)
            for job in ("gsc_checks", "gsc_housekeeping"):
                assert run(orchestra, f"{lake.uri}-reports", job, None)
            events.append(recorded(orchestra, TABLES))
            rows.append(contents(lake) | {table.name: sorted_rows(lake.read(table)) for table in INSIGHTS})
    assert events[0] == events[1]
    assert rows[0] == rows[1]
    assert {"sitemaps", "searchdata_hourly", "anomalies"} <= set(events[0])
