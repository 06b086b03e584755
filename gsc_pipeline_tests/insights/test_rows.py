"""Rows reach the insights in two ways, which tell the same; and what cannot be read is told in one line."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from gsc_pipeline.days import Window
from gsc_pipeline.insights.refresh import refresh_insights
from gsc_pipeline.lake.lake import Lake, LakeError
from gsc_pipeline.lake.schemas import INSIGHTS, SITE_IMPRESSION, SYNC_LEDGER
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline.workspaces import Workspace
from gsc_pipeline_tests.insights.filling import fill

NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
WINDOW = Window(date(2026, 9, 1), date(2026, 11, 21))
PROPERTY = SyntheticProperty("sc-domain:acme.com", rows_a_day=300, hard_texts=True)


def filled(folder: Path) -> Lake:
    lake = Lake(str(folder))
    fill(lake, "acme", PROPERTY, WINDOW, provisional=2)
    fill(lake, "globex", SyntheticProperty("sc-domain:globex.com", rows_a_day=60), WINDOW)
    return lake


@pytest.mark.parametrize("folder", ["lake*", "workspace=globex"])
def test_a_lake_whose_files_duckdb_cannot_open_itself_yields_the_same(
    tmp_path: Path, acme: Workspace, folder: str
) -> None:
    # To DuckDB an asterisk in a path is a pattern and an equals sign a partition, so such a lake is streamed
    # to it, as one on S3 is.
    opened, streamed = filled(tmp_path / "lake"), filled(tmp_path / folder)
    assert opened.local_files(SITE_IMPRESSION).paths
    assert not streamed.local_files(SITE_IMPRESSION).paths
    for lake in (opened, streamed):
        refresh_insights(lake, acme, now=NOW)
    for table in INSIGHTS:
        keys = [(name, "ascending") for name in table.keys]
        assert opened.read(table).sort_by(keys).equals(streamed.read(table).sort_by(keys)), table.name


def test_a_workspaces_files_are_named_without_those_of_others(tmp_path: Path) -> None:
    lake = filled(tmp_path)
    files = lake.local_files(SITE_IMPRESSION, workspace="acme")
    assert len(files.paths) == 3
    assert all("/workspace=acme/" in file for file in files.paths)
    assert len(lake.local_files(SITE_IMPRESSION).paths) == 6
    assert lake.local_files(SYNC_LEDGER, workspace="acme").paths
    assert lake.local_files(SITE_IMPRESSION, workspace="nobody").paths == ()


@pytest.mark.parametrize("folder", ["lake", "lake*"])
@pytest.mark.parametrize("end", ["gone", "damaged"])
def test_a_file_that_cannot_be_read_is_told_in_one_line(
    tmp_path: Path, acme: Workspace, folder: str, end: str
) -> None:
    lake = filled(tmp_path / folder)
    for file in Path(lake.table_uri(SITE_IMPRESSION)).glob("workspace=acme/**/*.parquet"):
        file.unlink() if end == "gone" else file.write_bytes(b"PAR1 not any more")
    with pytest.raises(LakeError, match="Run gsc verify acme --repair") as raised:
        refresh_insights(lake, acme, now=NOW)
    assert "\n" not in str(raised.value)
