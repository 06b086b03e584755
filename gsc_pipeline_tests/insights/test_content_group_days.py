"""content_group_days equals the rows by page, and a refresh computes only what has changed."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from gsc_pipeline.days import Window
from gsc_pipeline.insights.content_group_days import GroupDays, replace_group_days
from gsc_pipeline.insights.inputs import Inputs
from gsc_pipeline.insights.refresh import refresh_insights
from gsc_pipeline.lake.errors import DamagedError
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import (
    ANOMALIES,
    CONTENT_DECAY,
    CONTENT_GROUP_DAYS,
    INSIGHT_REFRESHES,
    STRIKING_DISTANCE,
    SYNC_LEDGER,
    URL_IMPRESSION,
    WINNERS_AND_LOSERS,
)
from gsc_pipeline.lake.targets import Target, WorkspaceRows
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline.sync.repair import repair
from gsc_pipeline.sync.verify import verify
from gsc_pipeline.workspaces.content_groups import ContentGroup
from gsc_pipeline.workspaces.registry import Folder, Workspace
from gsc_pipeline.workspaces.thresholds import Thresholds
from gsc_pipeline_tests.insights.filling import READ_AT, fill
from gsc_pipeline_tests.insights.test_content_groups import oracle

NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
SITE = "sc-domain:acme.com"
PROPERTY = SyntheticProperty(SITE, rows_a_day=30, search_types=("web", "discover"))
OTHER = SyntheticProperty("https://shop.acme.com/", rows_a_day=20)
WINDOW = Window(date(2026, 10, 24), date(2026, 11, 21))
OCTOBER = Window(date(2026, 10, 26), date(2026, 10, 28))
RULES = (ContentGroup("Guides", path="/guides"), ContentGroup("Numbers", regex="[0-9]"))
KEYS = ["site_url", "search_type", "data_date", "content_group"]
LATER = READ_AT + timedelta(hours=6)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(str(tmp_path_factory.mktemp("original") / "lake"))
    fill(lake, "acme", PROPERTY, WINDOW, provisional=2)
    return lake


@pytest.fixture
def filled(original: Lake, lake: Lake) -> Lake:
    shutil.copytree(original.uri, lake.uri)
    return lake


def update(lake: Lake, workspace: Workspace) -> GroupDays:
    """What a refresh does with the table."""
    with Inputs(lake, workspace) as inputs:
        days = inputs.group_days()
        replace_group_days(lake, workspace.id, days)
    return days


def truth(lake: Lake, rules: Sequence[ContentGroup] = (), without: Sequence[str] = ()) -> pd.DataFrame:
    """The sums by day and group of the final days in the ledger."""
    ledger = lake.read(SYNC_LEDGER).to_pandas()
    final = ledger[(ledger["status"] == "final") & ~ledger["site_url"].isin(without)]
    rows = lake.read(URL_IMPRESSION).to_pandas().merge(final[KEYS[:3]], on=KEYS[:3])
    rows["content_group"] = [oracle(url, rules) for url in rows["url"]]
    sums = ["clicks", "impressions", "sum_position"]
    return rows.groupby(KEYS, as_index=False)[sums].sum(min_count=1)


def stored(lake: Lake) -> pd.DataFrame:
    return lake.read(CONTENT_GROUP_DAYS).to_pandas().sort_values(KEYS, ignore_index=True)


def assert_true(lake: Lake, rules: Sequence[ContentGroup] = (), without: Sequence[str] = ()) -> None:
    found, expected = stored(lake), truth(lake, rules, without)
    columns = list(expected.columns)
    pd.testing.assert_frame_equal(found[columns], expected, check_dtype=False)
    position = found["sum_position"] / found["impressions"] + 1
    pd.testing.assert_series_equal(found["position"], position, check_names=False, rtol=1e-12)
    assert list(found["month"]) == [f"{day:%Y-%m}" for day in found["data_date"]]


def files(lake: Lake) -> dict[str, set[str]]:
    """The data files of each month."""
    found: dict[str, set[str]] = {}
    for uri in lake.open(CONTENT_GROUP_DAYS).file_uris():
        found.setdefault(uri.partition("month=")[2][:7], set()).add(uri)
    return found


def with_other_numbers(lake: Lake, window: Window, factor: int = 3) -> None:
    """Multiplies the clicks of the days by page, without a new read of them in the ledger."""
    rows = lake.read(URL_IMPRESSION)
    is_in = pc.and_(
        pc.greater_equal(rows["data_date"], pa.scalar(window.start)), pc.less(rows["data_date"], window.end)
    )
    clicks = pc.if_else(is_in, pc.multiply(rows["clicks"], factor), rows["clicks"])
    other = rows.set_column(rows.schema.get_field_index("clicks"), rows.schema.field("clicks"), clicks)
    lake.replace(URL_IMPRESSION, WorkspaceRows("acme"), other)


def forget(lake: Lake) -> None:
    """As if the last refresh had been interrupted before its record."""
    lake.replace(INSIGHT_REFRESHES, WorkspaceRows("acme"), INSIGHT_REFRESHES.schema.empty_table())


def test_days_are_the_sums_of_their_pages_with_and_without_rules(filled: Lake, acme: Workspace) -> None:
    fill(filled, "acme", PROPERTY, OCTOBER, search_types=("discover",))
    days = update(filled, acme)
    assert_true(filled)
    assert days.count == len(stored(filled))
    feed = stored(filled).loc[lambda rows: rows["search_type"] == "DISCOVER"]
    assert len(feed)
    assert feed[["sum_position", "position"]].isna().all(axis=None)
    update(filled, replace(acme, content_groups=RULES))
    assert_true(filled, RULES)
    assert set(stored(filled)["content_group"]) == {"Guides", "Numbers", "other"}
    update(filled, acme)
    assert_true(filled)


def test_a_new_day_replaces_its_month_and_reads_no_other(filled: Lake, acme: Workspace) -> None:
    update(filled, acme)
    before, rows = files(filled), stored(filled)
    with_other_numbers(filled, OCTOBER)
    fill(filled, "acme", PROPERTY, Window(date(2026, 11, 19), date(2026, 11, 21)), provisional=1)
    update(filled, acme)
    after = files(filled)
    assert {month for month in after if after[month] != before[month]} == {"2026-11"}
    new = stored(filled).loc[lambda one: one["data_date"] == date(2026, 11, 19)]
    assert len(new)
    pd.testing.assert_frame_equal(
        stored(filled).loc[lambda one: one["data_date"] < date(2026, 11, 19)].reset_index(drop=True), rows
    )


def test_a_day_that_is_read_again_is_computed_again(filled: Lake, acme: Workspace) -> None:
    update(filled, acme)
    before = files(filled)
    fill(filled, "acme", SyntheticProperty(SITE, rows_a_day=50), OCTOBER, read_at=LATER)
    update(filled, acme)
    assert_true(filled)
    after = files(filled)
    assert {month for month in after if after[month] != before[month]} == {"2026-10"}
    assert set(stored(filled).loc[lambda one: one["data_date"] == OCTOBER.start, "read_at"]) == {
        pd.Timestamp(LATER)
    }


def test_days_that_are_no_longer_final_go_and_come_back(filled: Lake, acme: Workspace) -> None:
    update(filled, acme)
    fill(filled, "acme", PROPERTY, OCTOBER, failed=OCTOBER)
    update(filled, acme)
    assert_true(filled)
    assert OCTOBER.start not in set(stored(filled)["data_date"])
    fill(filled, "acme", PROPERTY, OCTOBER)
    update(filled, acme)
    assert_true(filled)
    assert OCTOBER.start in set(stored(filled)["data_date"])


def test_a_property_that_is_removed_and_added_again(filled: Lake, acme: Workspace) -> None:
    fill(filled, "acme", OTHER, WINDOW)
    update(filled, acme)
    days = tuple(WINDOW)
    target = Target("acme", OTHER.site_url, "WEB", days)
    for table in (SYNC_LEDGER, URL_IMPRESSION):
        filled.replace(table, target, table.schema.empty_table())
    update(filled, acme)
    assert set(stored(filled)["site_url"]) == {SITE}
    other = SyntheticProperty(OTHER.site_url, rows_a_day=40)
    fill(filled, "acme", other, WINDOW, read_at=LATER)
    update(filled, acme)
    assert_true(filled)
    assert set(stored(filled)["site_url"]) == {SITE, OTHER.site_url}


def test_an_interrupted_refresh_is_repeated_without_computing_its_days_again(
    filled: Lake, acme: Workspace
) -> None:
    refresh_insights(filled, acme, now=NOW)
    version = filled.version_of(CONTENT_GROUP_DAYS)
    forget(filled)
    assert refresh_insights(filled, acme, now=NOW).changed
    assert filled.version_of(CONTENT_GROUP_DAYS) == version


def test_rows_that_are_lost_are_computed_again(filled: Lake, acme: Workspace) -> None:
    ledger = filled.read(SYNC_LEDGER)
    sums = (
        filled.read(URL_IMPRESSION).group_by(KEYS[:3]).aggregate([("clicks", "sum"), ("impressions", "sum")])
    )
    known = sums.rename_columns([*KEYS[:3], "url_clicks", "url_impressions"])
    joined = ledger.drop_columns(["url_clicks", "url_impressions"]).join(known, KEYS[:3])
    filled.replace(
        SYNC_LEDGER, WorkspaceRows("acme"), joined.select(SYNC_LEDGER.schema.names).cast(SYNC_LEDGER.schema)
    )
    update(filled, acme)
    rows = filled.read(CONTENT_GROUP_DAYS)
    filled.replace(CONTENT_GROUP_DAYS, WorkspaceRows("acme"), rows.slice(0, len(rows) - 3))
    update(filled, acme)
    assert_true(filled)


def test_a_damaged_file_is_repaired_and_its_days_are_computed_again(lake: Lake, acme: Workspace) -> None:
    fill(lake, "acme", PROPERTY, Window(date(2026, 10, 25), date(2026, 11, 5)))
    refresh_insights(lake, acme, now=NOW)
    (uri,) = files(lake)["2026-10"]
    path = Path(url2pathname(urlsplit(uri).path))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DamagedError, match="gsc verify acme --repair"):
        update(lake, acme)
    done = repair(lake, verify(lake), lambda ids: None, now=NOW, run_id="repair")
    assert done.left.is_good
    assert refresh_insights(lake, acme, now=NOW).changed
    assert_true(lake)


def test_a_lake_that_is_streamed_has_the_same_days(tmp_path: Path, acme: Workspace) -> None:
    # DuckDB does not open files of such a path itself, just as those of a bucket.
    lake = Lake(str(tmp_path / "a=b"))
    fill(lake, "acme", PROPERTY, OCTOBER)
    assert not lake.local_files(URL_IMPRESSION).paths
    update(lake, acme)
    assert_true(lake)
    fill(lake, "acme", PROPERTY, Window(OCTOBER.end, date(2026, 10, 30)))
    assert update(lake, acme).months == ("2026-10",)
    assert_true(lake)


def test_folders_are_left_out(filled: Lake, acme: Workspace) -> None:
    folder = "https://shop.acme.com/"
    fill(filled, "acme", OTHER, WINDOW)
    update(filled, acme)
    with_folder = replace(acme, properties=(SITE, folder), folders=(Folder(folder, SITE),))
    update(filled, with_folder)
    assert_true(filled, without=[folder])


def test_other_workspaces_keep_their_rows(filled: Lake, acme: Workspace) -> None:
    fill(filled, "globex", SyntheticProperty("sc-domain:globex.com", rows_a_day=20), WINDOW)
    update(filled, replace(acme, id="globex", content_groups=RULES))
    theirs = stored(filled)
    update(filled, acme)
    both = stored(filled)
    pd.testing.assert_frame_equal(both[both["workspace"] == "globex"].reset_index(drop=True), theirs)
    assert set(both["workspace"]) == {"acme", "globex"}


def test_two_refreshes_at_once_leave_each_row_once(filled: Lake, acme: Workspace) -> None:
    def refresh() -> None:
        update(Lake(filled.uri), acme)

    threads = [threading.Thread(target=refresh) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_true(filled)


def test_a_day_of_a_site_with_a_thousand_segments_has_the_largest_and_the_rest(
    lake: Lake, acme: Workspace
) -> None:
    fill(lake, "acme", PROPERTY, OCTOBER)
    day = lake.read(URL_IMPRESSION)
    segments = 1000
    rows = pa.concat_tables([day.slice(0, 1)] * segments)
    values = {
        "url": pa.array([f"https://acme.com/page-{n}" for n in range(segments)]),
        "clicks": pa.array(range(segments), pa.int64()),
        "impressions": pa.array([n + 1 for n in range(segments)], pa.int64()),
        "sum_position": pa.array([3 * (n + 1) for n in range(segments)], pa.int64()),
    }
    for name, column in values.items():
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), column)
    lake.replace(URL_IMPRESSION, WorkspaceRows("acme"), rows)
    update(lake, acme)
    found = stored(lake)
    assert len(found) == 201
    assert found["clicks"].sum() == sum(range(segments))
    assert found["impressions"].sum() == sum(range(segments)) + segments
    assert set(found["position"]) == {4.0}
    rest = found.loc[found["content_group"] == "other", "clicks"].item()
    assert rest == sum(range(800))
    assert "/page-999/" in set(found["content_group"])


def test_insights_have_rows_of_the_largest_groups_and_name_the_group_of_a_page(
    lake: Lake, acme: Workspace
) -> None:
    prop = SyntheticProperty(SITE, rows_a_day=120, dips=[date(2026, 11, 10)])
    fill(lake, "acme", prop, Window(date(2026, 8, 16), date(2026, 11, 21)), provisional=2)
    few = Thresholds(most_groups=2, decay_share=0, decay_clicks=1, significance=0, change_share=0)
    refresh_insights(lake, replace(acme, thresholds=few), now=NOW)
    days = stored(lake)
    clicks = days.groupby("content_group")["clicks"].sum().sort_values(ascending=False)
    largest = set(clicks.index[:2])
    unusual = lake.read(ANOMALIES).to_pandas()
    assert set(unusual["content_group"]) == {"all", *largest}
    movers = lake.read(WINNERS_AND_LOSERS).to_pandas()
    groups = movers[movers["dimension"] == "content_group"]
    assert len(groups)
    assert set(groups["item"]) <= largest
    assert list(groups["content_group"]) == list(groups["item"])
    pages = movers[movers["dimension"] == "page"]
    assert len(pages)
    assert list(pages["content_group"]) == [oracle(url, ()) for url in pages["item"]]
    assert movers.loc[movers["dimension"].str.endswith("query"), "content_group"].isna().all()
    decayed = lake.read(CONTENT_DECAY).to_pandas()
    of_groups = decayed["dimension"] == "content_group"
    assert set(decayed.loc[of_groups, "url"]) <= largest
    assert list(decayed.loc[~of_groups, "content_group"]) == [
        oracle(url, ()) for url in decayed.loc[~of_groups, "url"]
    ]
    assert list(decayed.loc[of_groups, "content_group"]) == list(decayed.loc[of_groups, "url"])
    striking = lake.read(STRIKING_DISTANCE).to_pandas()
    assert len(striking)
    assert list(striking["content_group"]) == [oracle(url, ()) for url in striking["url"]]
    none = refresh_insights(lake, replace(acme, thresholds=replace(few, most_groups=0)), now=NOW)
    assert none.rows[CONTENT_GROUP_DAYS.name] == len(days)
    assert set(lake.read(ANOMALIES)["content_group"].to_pylist()) == {"all"}
