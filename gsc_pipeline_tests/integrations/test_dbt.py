"""The dbt package: its README's commands, and its models beside the insights of the same name."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pandas as pd
import pytest
import yaml

from gsc_pipeline.days import Window
from gsc_pipeline.insights.refresh import refresh_insights
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline.workspaces.thresholds import Thresholds
from gsc_pipeline_tests.docs import ROOT
from gsc_pipeline_tests.insights.filling import fill
from gsc_pipeline_tests.waiting import HANG_SECONDS
from gsc_pipeline_tests.world import World

PACKAGE = ROOT / "integrations" / "dbt"
SERIES = ["workspace", "site_url", "search_type"]
OVERLAPS = {
    "daily_performance": (
        ["data_date"],
        ["clicks", "impressions", "ctr", "position", "anonymised_clicks", "anonymised_impressions"],
    ),
    "striking_distance": (["as_of", "days", "query"], ["clicks", "impressions", "ctr", "position"]),
    "cannibalisation": (
        ["as_of", "days", "query", "url"],
        ["clicks", "impressions", "position", "click_share", "impression_share", "hhi", "pages"],
    ),
    "winners_and_losers": (
        ["as_of", "days", "dimension", "item"],
        ["kind", "clicks_before", "clicks", "change", "change_share", "impressions_before", "impressions",
         "position_before", "position"],
    ),
}  # fmt: skip
"""The models that are also insights: the columns of their keys after the series, and those compared."""
_OF_INSIGHTS = {
    "lake.daily_performance": "WHERE is_final",
    "lake.striking_distance": "WHERE dimension = 'query'",
    "lake.cannibalisation": "WHERE dimension = 'query'",
    "lake.winners_and_losers": "WHERE dimension IN ('query', 'page')",
}
"""The rows of insights that the models have."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package in which the README's commands were run over a lake with insights."""
    folder = tmp_path_factory.mktemp("dbt")
    package = folder / "dbt"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns(".venv", "target", "logs", "*.duckdb"))
    with World.serving(folder) as world:
        lake, acme = Lake(str(folder / "lake")), world.workspace()
        days = Window(date(2026, 9, 20), date(2026, 11, 21))
        fill(lake, acme.id, SyntheticProperty("sc-domain:acme.com"), days, provisional=2)
        # Ends a week before the other: its window is its own.
        shop = Window(days.start, date(2026, 11, 14))
        fill(lake, acme.id, SyntheticProperty("https://shop.acme.com/", rows_a_day=300), shop)
        refresh_insights(lake, acme, now=datetime(2026, 11, 21, 20, tzinfo=UTC))
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "GSC_LAKE": str(folder / "lake"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    for command in commands():
        done = subprocess.run(
            command,
            shell=True,
            cwd=package,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=2 * HANG_SECONDS,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    assert "ERROR=0" in done.stdout
    return package


def commands() -> list[str]:
    """The commands of the README, as it shows them."""
    text = (PACKAGE / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    return [line.removeprefix("$ ") for line in block.splitlines()]


def rows(
    connection: duckdb.DuckDBPyConnection, table: str, key: Sequence[str], columns: Sequence[str]
) -> pd.DataFrame:
    names = [*SERIES, *key]
    where = _OF_INSIGHTS.get(table, "")
    found = connection.sql(f"SELECT {', '.join([*names, *columns])} FROM {table} {where}").df()
    return found.sort_values(names, ignore_index=True)


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.parametrize("name", OVERLAPS)
def test_models_equal_the_insights_of_the_same_name(built: Path, name: str) -> None:
    with duckdb.connect(built / "gsc_dbt.duckdb", read_only=True) as connection:
        connection.execute(f"ATTACH '{built / 'lake.duckdb'}' AS lake (READ_ONLY)")
        key, columns = OVERLAPS[name]
        insight, model = (rows(connection, table, key, columns) for table in (f"lake.{name}", name))
    assert len(insight) > 0
    pd.testing.assert_frame_equal(insight, model, check_dtype=False, rtol=1e-9)


def test_the_thresholds_are_those_of_the_workspaces_file() -> None:
    project = yaml.safe_load((PACKAGE / "dbt_project.yml").read_text(encoding="utf-8"))
    given = {name: value for name, value in project["vars"].items() if not name.startswith("gsc_")}
    assert Thresholds.of(given) == Thresholds()


def test_every_model_is_described_in_its_file_and_in_the_readme() -> None:
    readme = (PACKAGE / "README.md").read_text(encoding="utf-8")
    for folder in ("staging", "marts"):
        models = PACKAGE / "models" / folder
        described = yaml.safe_load((models / f"{folder}.yml").read_text(encoding="utf-8"))["models"]
        names = {path.stem for path in models.glob("*.sql")}
        assert {one["name"] for one in described if one.get("description")} == names
        if folder == "marts":
            assert all(f"`{name}`" in readme for name in names)
