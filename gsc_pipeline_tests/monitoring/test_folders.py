"""What `gsc status` says of folders: what they brought, and which are worth adding. Nothing counts twice."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow.compute as pc
import pytest

from gsc_pipeline.cli.display import print_status
from gsc_pipeline.days import ONE_DAY, Window
from gsc_pipeline.insights.refresh import refresh_insights
from gsc_pipeline.lake.schemas import FOLDER_DAYS, INSIGHTS, SYNC_LEDGER, URL_IMPRESSION
from gsc_pipeline.monitoring.status import (
    StateReader,
    WorkspaceState,
    with_folders_worth_adding,
    workspace_state,
    workspace_states,
)
from gsc_pipeline.report.data import report_data
from gsc_pipeline.simulator import FolderProperty, SyntheticProperty
from gsc_pipeline.sync.context import SyncOptions
from gsc_pipeline.sync.cut_days import PastCapOptions
from gsc_pipeline.workspaces.registry import Folder, Workspace
from gsc_pipeline_tests.world import World

CAP = 300
OPTIONS = SyncOptions(past_cap=PastCapOptions(calls=0, cut_rows=CAP))
DOMAIN, PRODUCTS = "sc-domain:acme.com", "https://www.acme.com/products/"
PARENT = SyntheticProperty(DOMAIN, rows_a_day=600, filters_see="cut_rows")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:  # type: ignore[misc]
    """A world in which a property past the cap was synced with one of its folders."""
    folder = tmp_path_factory.mktemp("folders")
    with World.serving(folder, [PARENT, FolderProperty(PARENT, PRODUCTS)], most_rows_a_day=CAP) as world:
        window = Window(world.today - 14 * ONE_DAY, world.today - 5 * ONE_DAY)
        assert not world.sync(with_folder(world), window, OPTIONS).problems
        yield world


def alone(world: World) -> Workspace:
    return world.workspace(properties=(DOMAIN, PRODUCTS))


def with_folder(world: World) -> Workspace:
    return replace(alone(world), folders=(Folder(PRODUCTS, DOMAIN),))


def advised(world: World, workspace: Workspace) -> WorkspaceState:
    states = workspace_states([workspace], world.lake)
    (state,) = with_folders_worth_adding(states, [workspace], world.lake)
    return state


def cut_by_segment(world: World) -> Counter[str]:
    """The impressions of cut rows of the domain in the last seven days, by origin and first segment."""
    rows = world.lake.read(URL_IMPRESSION, where=pc.field("is_truncated") & (pc.field("site_url") == DOMAIN))
    newest = sorted(set(rows["data_date"].to_pylist()))[-7:]
    found: Counter[str] = Counter()
    for row in rows.to_pylist():
        parts = urlsplit(row["url"])
        if row["data_date"] in newest and parts.path.count("/") > 1:
            found[f"{parts.scheme}://{parts.netloc}/{parts.path.split('/')[1]}/"] += row["impressions"]
    return found


def test_folders_with_the_most_cut_impressions_are_named_with_figures(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    state = advised(world, with_folder(world))
    expected = cut_by_segment(world)
    del expected[PRODUCTS]
    assert {one.folder: one.impressions for one in state.worth_adding} == dict(expected.most_common(5))
    assert [one.impressions for one in state.worth_adding] == sorted(expected.values(), reverse=True)[:5]
    assert all(one.days == 7 and one.pages > 0 and 0 < one.share < 1 for one in state.worth_adding)
    print_status([state])
    printed = capsys.readouterr().out
    assert all(one.folder in printed for one in state.worth_adding)
    assert (
        json.loads(json.dumps(state.as_json()))["worth_adding"][0]["folder"] == state.worth_adding[0].folder
    )


def test_a_folder_that_is_listed_but_completes_nothing_yet_is_worth_adding(world: World) -> None:
    assert PRODUCTS in {one.folder for one in advised(world, alone(world)).worth_adding}


def test_what_folders_brought_is_shown(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    state = workspace_state(with_folder(world), world.lake)
    (one,) = state.folders
    rows = world.lake.read(FOLDER_DAYS)
    assert (one.site_url, one.folder, one.days, one.differences) == (DOMAIN, PRODUCTS, rows.num_rows, 0)
    assert one.rows == pc.sum(rows["rows"]).as_py() > 0
    print_status([state])
    assert "rows that their own properties added" in capsys.readouterr().out
    assert not workspace_state(alone(world), world.lake).folders


def test_the_totals_of_a_workspace_count_the_pages_of_a_folder_once(world: World) -> None:
    state = StateReader(world.lake).read([with_folder(world)])[0]
    ledger = world.lake.read(SYNC_LEDGER, where=pc.field("site_url") == DOMAIN)
    for name in ("clicks", "impressions", "cut_clicks", "cut_impressions"):
        assert getattr(state, name) == pc.sum(ledger[name]).as_py()
    assert state.final == 2 * ledger.num_rows
    assert workspace_state(alone(world), world.lake).impressions > state.impressions


def test_insights_and_reports_leave_the_properties_of_folders_out(world: World) -> None:
    refresh_insights(world.lake, alone(world), now=world.now)
    assert refresh_insights(world.lake, with_folder(world), now=world.now).changed
    for table in INSIGHTS:
        if "site_url" in table.schema.names:
            assert PRODUCTS not in world.lake.read(table)["site_url"].to_pylist()
    data = report_data(world.lake, with_folder(world), now=world.now)
    assert [one.site_url for one in data.properties] == [DOMAIN]
    ledger = world.lake.read(SYNC_LEDGER, where=pc.field("site_url") == DOMAIN)
    assert data.daily["clicks"].sum() == pc.sum(ledger["clicks"]).as_py()


def test_other_tables_are_not_synced_for_folders(world: World) -> None:
    before = len(world.simulator.calls)
    world.sync_more(with_folder(world))
    assert PRODUCTS not in {call.site_url for call in world.simulator.calls[before:]}
    assert DOMAIN in {call.site_url for call in world.simulator.calls[before:]}


def test_below_a_prefix_the_next_segment_is_named(tmp_path: Path) -> None:
    prop = SyntheticProperty("https://www.acme.com/", rows_a_day=600, filters_see="cut_rows")
    with World.serving(tmp_path, [prop], most_rows_a_day=CAP) as world:
        workspace = world.workspace(properties=(prop.site_url,))
        world.sync(workspace, Window(world.today - 6 * ONE_DAY, world.today - 5 * ONE_DAY), OPTIONS)
        found = {one.folder for one in advised(world, workspace).worth_adding}
        assert found
        assert all(one.startswith(prop.site_url) and one.count("/") == 4 for one in found)
