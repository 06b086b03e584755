"""`gsc import-export`: what it prints, its exit codes and its options."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gsc_pipeline.days import ONE_DAY
from gsc_pipeline.lake.schemas import SYNC_LEDGER
from gsc_pipeline_tests.bulk_exports import write_export
from gsc_pipeline_tests.cli.conftest import Gsc
from gsc_pipeline_tests.world import World


@pytest.fixture
def folder(live: World) -> Path:
    """An export of two days of the world's first property."""
    days = [live.today - 7 * ONE_DAY, live.today - 6 * ONE_DAY]
    return write_export(live.folder / "export", live.simulator.properties[:1], days)


def test_an_import_prints_a_row_for_each_property_and_search_type(
    live: World, gsc: Gsc, folder: Path
) -> None:
    done = gsc("import-export", str(folder), "--workspace", "acme", env=live.environment())
    assert (done.code, done.err) == (0, "")
    header, row = done.out.splitlines()
    assert header.split()[:1] == ["property"]
    assert row.split()[:2] == ["sc-domain:acme.com", "WEB"]
    assert live.lake.read(SYNC_LEDGER)["source"].to_pylist() == ["bulk_export"] * 2


def test_json_is_one_object_also_of_a_dry_run_that_writes_nothing(
    live: World, gsc: Gsc, folder: Path
) -> None:
    words = ("import-export", str(folder), "--workspace", "acme", "--dry-run", "--json")
    done = gsc(*words, env=live.environment())
    found = json.loads(done.out)
    (series,) = found.pop("properties")
    assert found == {"workspace": "acme", "dry_run": True, "left_out": [], "problems": []}
    assert (series["imported"], series["kept"], series["search_type"]) == (2, 0, "WEB")
    assert series["first_day"] == str(live.today - 7 * ONE_DAY)
    assert live.lake.version_of(SYNC_LEDGER) is None


def test_only_the_days_of_the_options_are_imported(live: World, gsc: Gsc, folder: Path) -> None:
    day = live.today - 6 * ONE_DAY
    words = ("import-export", str(folder), "--workspace", "acme", "--start", str(day), "--end", str(day))
    assert gsc(*words, env=live.environment()).code == 0
    assert live.lake.read(SYNC_LEDGER)["data_date"].to_pylist() == [day]


def test_what_cannot_be_imported_is_a_line_for_each_cause_and_an_exit_code(
    live: World, gsc: Gsc, folder: Path
) -> None:
    (file,) = folder.glob("searchdata_site_impression-*0.parquet")
    pq.write_table(pq.read_table(file).drop_columns("country"), file)
    done = gsc("import-export", str(folder), "--workspace", "acme", env=live.environment())
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines() == [
        f"gsc: {file}: searchdata_site_impression without the column country",
        "gsc: nothing was imported",
    ]


def test_the_workspace_is_needed_and_has_to_be_known(live: World, gsc: Gsc, folder: Path) -> None:
    assert gsc("import-export", str(folder), env=live.environment()).code == 2
    unknown = gsc("import-export", str(folder), "--workspace", "globex", env=live.environment())
    assert (unknown.code, "globex: unknown workspace (known: acme)" in unknown.err) == (2, True)
