"""`gsc sync --more`: every other table, its days, its summary, its JSON and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gsc_pipeline.cli.display import SyncDisplay, print_status
from gsc_pipeline.days import ONE_DAY, utc_now
from gsc_pipeline.lake.schemas import MORE_LEDGER, SEARCH_APPEARANCE, SITE_IMPRESSION, SYNC_RUNS
from gsc_pipeline.monitoring.status import TruncatedDays, WorkspaceState
from gsc_pipeline.simulator import Call, Reply, SyntheticProperty
from gsc_pipeline.state.opening import open_store
from gsc_pipeline.sync.lease import Leases
from gsc_pipeline.sync.report import Progress
from gsc_pipeline.sync.tables.more import MORE_TABLES
from gsc_pipeline_tests.cli.conftest import Gsc
from gsc_pipeline_tests.replies import FORBIDDEN, UNAVAILABLE
from gsc_pipeline_tests.world import World

ACME: dict[str, Any] = {"id": "acme", "properties": ["sc-domain:acme.com"]}
LOST: dict[str, Any] = {"id": "lost", "properties": "all"}
TABLES = [one.table.name for one in MORE_TABLES]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[World]:
    """A small property of two months, at the real time."""
    prop = SyntheticProperty("sc-domain:acme.com", rows_a_day=6, plants=False, history_months=2)
    with World.serving(tmp_path, [prop], now=utc_now()) as world:
        yield world


def appearance_days(world: World) -> set[date]:
    return set(world.lake.read(SEARCH_APPEARANCE)["data_date"].to_pylist())


def test_every_table_is_synced_and_has_a_line(small: World, gsc: Gsc) -> None:
    env = {**small.environment(dict(ACME)), "GSC_APPEARANCE_BACKFILL_CALLS": "20"}
    done = gsc("sync", "--more", env=env)
    assert done.code == 0, done.err
    header, *rows, last = done.out.splitlines()
    assert header.split() == [
        "workspace", "table", "outcome", "read", "unchanged", "left", "rows", "calls", "seconds",
    ]  # fmt: skip
    assert [row.split()[:3] for row in rows] == [["acme", table, "complete"] for table in TABLES]
    assert last.startswith("1 of 1 workspaces complete, 0 partial, 0 failed in ")
    assert "acme: properties: 1 read" in done.err
    assert "left for the next syncs" in done.err
    (run,) = small.lake.read(SYNC_RUNS).to_pylist()
    assert (run["workspace"], run["outcome"], run["tables"]) == ("acme", "more", TABLES)
    status = json.loads(gsc("status", "--json", env=env).out)
    assert status["workspaces"][0]["last_sync"] is None
    # Without the search data there is nothing to inspect.
    assert [table for table in TABLES if not small.lake.read(by_name(table)).num_rows] == ["url_inspections"]
    assert not small.lake.read(SITE_IMPRESSION).num_rows
    assert min(appearance_days(small)) < small.last(14).start


def by_name(table: str) -> Any:
    return next(one.table for one in MORE_TABLES if one.table.name == table)


def test_the_days_are_those_of_the_search_appearances(small: World, gsc: Gsc) -> None:
    env = small.environment(dict(ACME))
    first, last = small.today - 30 * ONE_DAY, small.today - 29 * ONE_DAY
    assert gsc("sync", "acme", "--more", "--start", str(first), "--end", str(last), env=env).code == 0
    assert appearance_days(small) == {first, last}
    assert gsc("sync", "--more", "--days", "3", env=env).code == 0
    assert appearance_days(small) == {first, last, *small.last(3)}
    hours = [row for row in small.lake.read(MORE_LEDGER).to_pylist() if row["table_name"] == TABLES[2]]
    assert len(hours) >= 9


def test_a_table_that_another_sync_holds_is_left_to_it(small: World, gsc: Gsc) -> None:
    env = {**small.environment(dict(ACME)), "GSC_STATE": str(small.folder / "state.db")}
    with closing(open_store(env["GSC_STATE"])) as store, Leases(store).held("acme/properties", "theirs"):
        done = gsc("sync", "--more", "--days", "1", env=env)
    assert done.code == 0
    assert "warning: acme: properties: another sync holds it since " in done.err
    assert "wait until that sync has ended" in done.err
    (run,) = small.lake.read(SYNC_RUNS).to_pylist()
    assert run["tables"] == TABLES[1:]


def test_json_is_one_object_with_the_keys_of_every_sync(small: World, gsc: Gsc) -> None:
    small.faults.append(lambda call: FORBIDDEN if call.kind == "sitemaps" else None)
    small.faults.append(lambda call: UNAVAILABLE if asks_for_appearances(call) else None)
    done = gsc("sync", "--more", "--days", "1", "--json", env=small.environment(dict(ACME)))
    assert done.code == 0
    printed = json.loads(done.out)
    assert set(printed) == {"total_workspaces", "successes", "partial", "failures", "duration_ms"}
    (partial,) = printed["partial"]
    assert (printed["total_workspaces"], printed["successes"], printed["failures"]) == (1, [], [])
    tables = {one["table"]: one for one in partial["tables"]}
    assert list(tables) == TABLES
    assert tables["search_appearance"]["outcome"] == "failed"
    assert tables["sitemaps"]["outcome"] == "complete"
    assert partial["rows"] == sum(one["rows"] for one in tables.values()) > 0
    assert any("503" in problem for problem in partial["problems"])
    assert "warning: acme: sc-domain:acme.com (WEB)" in done.err


def asks_for_appearances(call: Call) -> bool:
    return call.kind == "query" and call.body["dimensions"] == ["searchAppearance"]


def test_if_every_workspace_fails_the_command_exits_with_1_and_one_json_object(
    small: World, gsc: Gsc
) -> None:
    small.faults.append(lambda call: Reply(500, b"") if call.kind != "token" else None)
    done = gsc("sync", "--more", "--json", env=small.environment(dict(ACME), dict(LOST)))
    assert done.code == 1
    printed = json.loads(done.out)
    assert [one["workspace"] for one in printed["failures"]] == ["acme", "lost"]
    assert "no workspace could be synced" in printed["error"]
    assert done.err.splitlines()[-1].startswith("gsc: no workspace could be synced: acme: ")


def test_a_sync_without_a_terminal_prints_its_progress_with_the_table(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seconds = iter([0.0, 0.0, 60.0])
    with SyncDisplay(quiet=False, seconds=lambda: next(seconds)) as display:
        for done in (0, 10):
            display.progress(Progress("acme", "sc-domain:acme.com", "WEB", done, 20, "search_appearance"))
    expected = "acme sc-domain:acme.com WEB search_appearance: 10 of 20 days, about 1 min left\n"
    assert capsys.readouterr().err == expected


def test_status_names_the_days_of_other_tables_that_were_cut_off(capsys: pytest.CaptureFixture[str]) -> None:
    day = date(2026, 11, 20)
    cut = TruncatedDays("searchdata_hourly", "sc-domain:acme.com", "WEB", 2, day, day + ONE_DAY)
    print_status([WorkspaceState("acme", True, truncated_more=(cut,))])
    lines = capsys.readouterr().out.splitlines()
    row = lines[lines.index("Days of other tables whose pages the API cut off") + 2]
    assert row.split() == [
        "acme", "searchdata_hourly", "sc-domain:acme.com", "WEB", "2", "2026-11-20", "2026-11-21",
    ]  # fmt: skip
