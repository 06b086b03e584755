"""Real numbers: a large site's export, replayed over the wire, must come out of the lake as it went in.

The export lies outside of the repository, beside it; where it is absent, these tests say so and are skipped.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import pytest

from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.sql import connect
from gsc_pipeline.simulator import ReplayedProperty
from gsc_pipeline_tests.world import World

EXPORT = Path(__file__).parents[3] / "shared" / "data" / "search-console-export"

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(
        not EXPORT.is_dir(),
        reason="the real export (shared/data/search-console-export) is not beside the repository",
    ),
]


@dataclass(frozen=True)
class Exported:
    """One line of a file of the export."""

    label: str
    clicks: int
    impressions: int
    position: float


def exported(name: str, most: int | None = None) -> list[Exported]:
    with (EXPORT / name).open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.reader(file))[1:]
    return [Exported(line[0], int(line[1]), int(line[2]), float(line[4])) for line in lines[:most]]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """The lake after one `gsc sync` of all days of the export."""
    folder = tmp_path_factory.mktemp("real")
    days = sorted(date.fromisoformat(line.label) for line in exported("Dates.csv"))
    prop = ReplayedProperty.from_export(EXPORT)
    with World.serving(folder, [prop]) as world:
        env = {**os.environ, **world.environment({"id": "real", "properties": [prop.site_url]})}
        env.pop("DAGSTER_HOME", None)
        gsc = str(Path(sys.executable).with_name("gsc"))
        command = [gsc, "sync", "--start", str(days[0]), "--end", str(days[-1])]
        done = subprocess.run(command, env=env, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    with connect(Lake(env["GSC_LAKE"])) as connection:
        yield connection


def sums(
    lake: duckdb.DuckDBPyConnection, by: str, table: str = "searchdata_site_impression"
) -> dict[str, tuple[int, int]]:
    rows = lake.execute(f"SELECT {by}, sum(clicks), sum(impressions) FROM {table} GROUP BY 1").fetchall()
    return {str(label): (int(clicks), int(impressions)) for label, clicks, impressions in rows}


def assert_within(share: float, found: tuple[int, int], expected: Exported) -> None:
    for one, other in zip(found, (expected.clicks, expected.impressions), strict=True):
        assert abs(one - other) <= share * other, expected


def test_clicks_and_impressions_of_each_day_are_exactly_those_of_the_export(
    lake: duckdb.DuckDBPyConnection,
) -> None:
    found = sums(lake, "data_date")
    assert found == {line.label: (line.clicks, line.impressions) for line in exported("Dates.csv")}


def test_the_average_position_of_each_day_agrees_to_two_decimals(lake: duckdb.DuckDBPyConnection) -> None:
    average = "sum(sum_top_position) / sum(impressions) + 1"
    rows = lake.execute(f"SELECT data_date, {average} FROM searchdata_site_impression GROUP BY 1").fetchall()
    found = {str(day): position for day, position in rows}
    for line in exported("Dates.csv"):
        assert abs(found[line.label] - line.position) <= 0.005 + 1e-9, line


def test_devices_are_exact(lake: duckdb.DuckDBPyConnection) -> None:
    found = sums(lake, "device")
    assert found == {line.label.upper(): (line.clicks, line.impressions) for line in exported("Devices.csv")}


def test_countries_are_exact(lake: duckdb.DuckDBPyConnection) -> None:
    found = sorted(sums(lake, "country").values(), reverse=True)
    assert found == sorted(
        ((line.clicks, line.impressions) for line in exported("Countries.csv")), reverse=True
    )
    (america,) = [line for line in exported("Countries.csv") if line.label == "United States"]
    assert sums(lake, "country")["usa"] == (america.clicks, america.impressions)


def test_the_hundred_largest_queries_are_within_one_percent(lake: duckdb.DuckDBPyConnection) -> None:
    found = sums(lake, "query")
    for line in exported("Queries.csv", 100):
        assert_within(0.01, found[line.label], line)


def test_the_hundred_largest_pages_are_within_one_percent(lake: duckdb.DuckDBPyConnection) -> None:
    found = sums(lake, "url", "searchdata_url_impression")
    for line in exported("Pages.csv", 100):
        assert_within(0.01, found[line.label], line)


def test_every_day_reconciles_with_its_ledger(lake: duckdb.DuckDBPyConnection) -> None:
    differing = lake.execute(
        """
        SELECT data_date FROM sync_ledger JOIN (
            SELECT data_date, sum(clicks) AS c, sum(impressions) AS i
            FROM searchdata_site_impression GROUP BY data_date
        ) USING (data_date)
        WHERE (c, i) <> (clicks, impressions) OR status <> 'final' OR truncated
        """
    ).fetchall()
    assert differing == []
