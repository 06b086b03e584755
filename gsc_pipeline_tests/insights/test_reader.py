"""Insights are the same whether DuckDB opens the files or rows are streamed to it."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from gsc_pipeline.days import Window
from gsc_pipeline.insights.reader import RowQueries
from gsc_pipeline.insights.refresh import refresh_insights
from gsc_pipeline.lake.lake import Lake, LakeError
from gsc_pipeline.lake.schemas import INSIGHTS, SITE_IMPRESSION, SYNC_LEDGER
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.insights.filling import fill
from gsc_pipeline_tests.soak import rest_in_soak

NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
WINDOW = Window(date(2026, 9, 1), date(2026, 11, 21))
PROPERTY = SyntheticProperty("sc-domain:acme.com", rows_a_day=300, hard_texts=True)


def filled(folder: Path) -> Lake:
    lake = Lake(str(folder))
    fill(lake, "acme", PROPERTY, WINDOW, provisional=2)
    fill(lake, "globex", SyntheticProperty("sc-domain:globex.com", rows_a_day=60), WINDOW)
    return lake


@pytest.mark.parametrize("folder", rest_in_soak(["lake*", "workspace=globex"]))
@pytest.mark.soak
def test_a_streamed_lake_has_the_same_insights(tmp_path: Path, acme: Workspace, folder: str) -> None:
    # In a path, DuckDB reads an asterisk as a pattern and an equals sign as a partition. So such a lake is
    # streamed to it, like a lake on S3.
    opened, streamed = filled(tmp_path / "lake"), filled(tmp_path / folder)
    assert opened.local_files(SITE_IMPRESSION).paths
    assert not streamed.local_files(SITE_IMPRESSION).paths
    for lake in (opened, streamed):
        refresh_insights(lake, acme, now=NOW)
    for table in INSIGHTS:
        keys = [(name, "ascending") for name in table.keys]
        assert opened.read(table).sort_by(keys).equals(streamed.read(table).sort_by(keys)), table.name


@pytest.mark.parametrize("folder", ["lake", "lake*"])
def test_a_reset_drops_temporary_tables_and_leaves_the_rows(tmp_path: Path, folder: str) -> None:
    lake = Lake(str(tmp_path / folder))
    fill(lake, "acme", SyntheticProperty("sc-domain:acme.com", rows_a_day=4), Window(WINDOW.last, WINDOW.end))
    with closing(RowQueries(lake, "acme", [SITE_IMPRESSION])) as rows:
        for _ in range(2):
            rows.query("CREATE TEMP TABLE found AS SELECT 1 AS one")
            rows.reset()
            rows.open_facts(SITE_IMPRESSION, ["query"])
            assert len(rows.query("FROM facts")) == lake.read(SITE_IMPRESSION).num_rows
        with pytest.raises(LakeError, match="found"):
            rows.query("FROM found")


def test_local_files_are_those_of_the_workspace(tmp_path: Path) -> None:
    lake = filled(tmp_path)
    files = lake.local_files(SITE_IMPRESSION, workspace="acme")
    assert len(files.paths) == 3
    assert all("/workspace=acme/" in file for file in files.paths)
    assert len(lake.local_files(SITE_IMPRESSION).paths) == 6
    assert lake.local_files(SYNC_LEDGER, workspace="acme").paths
    assert lake.local_files(SITE_IMPRESSION, workspace="nobody").paths == ()


def test_a_day_that_is_recorded_twice_ends_the_insights_of_its_workspace_with_the_next_step(
    lake: Lake, acme: Workspace
) -> None:
    day = WINDOW.last
    fill(lake, "acme", SyntheticProperty("sc-domain:acme.com", rows_a_day=4), Window(day, WINDOW.end))
    lake.append(SYNC_LEDGER, lake.read(SYNC_LEDGER, workspace="acme"))
    expected = (
        rf"^sync_ledger has more than one record of sc-domain:acme\.com \(WEB\) on {day}: another program "
        "wrote to the lake. Run gsc verify acme --repair$"
    )
    with pytest.raises(LakeError, match=expected):
        refresh_insights(lake, acme, now=NOW)


@pytest.mark.parametrize("folder", ["lake", "lake*"])
@pytest.mark.parametrize("end", ["gone", "damaged"])
@pytest.mark.soak
def test_an_unreadable_file_is_an_error_in_one_line(
    tmp_path: Path, acme: Workspace, folder: str, end: str
) -> None:
    lake = filled(tmp_path / folder)
    for file in Path(lake.table_uri(SITE_IMPRESSION)).glob("workspace=acme/**/*.parquet"):
        file.unlink() if end == "gone" else file.write_bytes(b"PAR1 not any more")
    with pytest.raises(LakeError, match="Run gsc verify acme --repair") as raised:
        refresh_insights(lake, acme, now=NOW)
    assert "\n" not in str(raised.value)
