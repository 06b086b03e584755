"""The portal: its figures are those of the reports, and it names what needs a person."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
from typing_extensions import override

from gsc_pipeline.days import Window
from gsc_pipeline.insights.refresh import refresh_insights
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import CHANGE_POINTS, FORECASTS, SYNC_LEDGER, TableSpec
from gsc_pipeline.monitoring.freshness import FreshnessState
from gsc_pipeline.report.data import NothingToReportError, ReportError, report_data
from gsc_pipeline.report.portal import PortalData, PortalRow, portal_data
from gsc_pipeline.report.portal_page import portal_page
from gsc_pipeline.report.write import PORTAL, Reports, WrittenFile, write_all, write_portal
from gsc_pipeline.search_console.search_types import FeedType
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline.sync.context import SyncOptions
from gsc_pipeline.sync.failures import record_standing
from gsc_pipeline.sync.problems import Problem
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline.workspaces.thresholds import Thresholds
from gsc_pipeline_tests.insights.filling import fill
from gsc_pipeline_tests.replies import UNAVAILABLE
from gsc_pipeline_tests.report.insight_rows import change, every, forecast, refused, write
from gsc_pipeline_tests.report.rows import level_change, portal, portal_row, with_change, without_figures
from gsc_pipeline_tests.report.test_report import ACME, HOSTILE, NOW, WINDOW, Seen, scripts_and_hashes
from gsc_pipeline_tests.world import World

STALE_AFTER = timedelta(hours=12)
FEED = replace(ACME, id="feed", name="Feed", search_types=(FeedType.DISCOVER,), brand_terms=())
LATE = replace(ACME, id="late", name="Late", thresholds=Thresholds(window_days=14))
YOUNG = replace(ACME, id="young", name="Young")
LATE_UNREAD = replace(LATE, properties=("sc-domain:new.com",))
EVERY = (ACME, FEED, LATE, YOUNG)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Overlapping properties, a feed, a workspace that ended weeks ago, and one without a final day."""
    lake = Lake(str(tmp_path_factory.mktemp("portal") / "lake"))
    domain, shop = SyntheticProperty("sc-domain:acme.com", rows_a_day=30), "https://shop.acme.com/"
    fill(lake, "acme", domain, WINDOW, provisional=2, without=[date(2026, 10, 1)])
    fill(lake, "acme", SyntheticProperty(shop, rows_a_day=10), WINDOW, failed=[date(2026, 11, 12)])
    news = SyntheticProperty("sc-domain:news.com", rows_a_day=10, search_types=("web", "discover"))
    fill(lake, "feed", news, WINDOW, search_types=("web", "discover"))
    early = Window(WINDOW.start, date(2026, 10, 25))
    fill(lake, "late", SyntheticProperty("sc-domain:late.com", rows_a_day=10), early)
    fill(lake, "young", domain, Window.last_complete(2, WINDOW.end), provisional=2)
    for workspace in EVERY:
        refresh_insights(lake, workspace, now=NOW)
    return lake


@pytest.fixture(scope="module")
def data(lake: Lake) -> PortalData:
    inactive = replace(ACME, id="inactive", active=False)
    return portal_data(lake, [*EVERY, inactive], stale_after=STALE_AFTER, now=NOW)


@pytest.mark.parametrize("workspace", EVERY[:3], ids=lambda one: one.id)
def test_the_figures_of_a_workspace_are_those_of_its_report(
    lake: Lake, data: PortalData, workspace: Workspace
) -> None:
    (row,) = [row for row in data.rows if row.workspace == workspace]
    report = report_data(lake, workspace, now=NOW)
    assert row.figures is not None
    assert (row.figures.headline, row.figures.search_type) == (report.figures, report.search_type)
    last = report.daily[report.daily["data_date"] > str(report.figures.last - timedelta(7))]
    assert row.figures.weeks[-1] == last.loc[last["is_final"], "clicks"].sum()


def test_a_week_with_an_unknown_day_is_unknown(data: PortalData) -> None:
    acme = data.rows[0].figures
    assert acme is not None
    assert [week for week, clicks in enumerate(acme.weeks) if clicks is None] == [6]


def test_only_active_workspaces_are_listed_also_without_a_final_day(data: PortalData) -> None:
    assert [row.workspace.id for row in data.rows] == ["acme", "feed", "late", "young"]
    assert data.rows[3].figures is None


def test_the_state_of_a_workspace_without_figures_says_whether_days_are_to_become_final(
    tmp_path: Path,
) -> None:
    lake = Lake(str(tmp_path / "lake"))
    days = Window.last_complete(5, NOW.date())
    fill(lake, "young", SyntheticProperty("sc-domain:acme.com", rows_a_day=2), days, provisional=5)
    fill(lake, "silent", SyntheticProperty("sc-domain:acme.com", rows_a_day=0), days)
    both = [replace(ACME, id=id_) for id_ in ("young", "silent")]
    rows = portal_data(lake, both, stale_after=STALE_AFTER, now=NOW).rows
    assert [row.figures for row in rows] == [None, None]
    # As after a complete sync: otherwise the state is that both need attention.
    page = Seen(portal_page(portal(*(replace(row, attention=()) for row in rows)), ()))
    assert page.words.count("no final day yet") == 1
    assert page.words.count("no impressions") == 1
    assert "no previous window yet" in page.words
    assert "Changes are looked for once eight weeks are final." in page.text


def test_an_empty_lake_has_a_portal(tmp_path: Path) -> None:
    data = portal_data(Lake(str(tmp_path / "lake")), [ACME], stale_after=STALE_AFTER, now=NOW)
    assert data.rows[0].figures is None
    assert data.rows[0].attention == ("no complete sync: is the schedule gsc_auto_sync on?",)
    assert "1 without figures" in Seen(portal_page(data, ())).text
    assert portal_data(Lake(str(tmp_path)), [], stale_after=STALE_AFTER, now=NOW).rows == ()


@pytest.fixture
def live(tmp_path: Path) -> Iterator[World]:
    with World.serving(tmp_path, [SyntheticProperty("sc-domain:acme.com", rows_a_day=5)]) as world:
        yield world


def row_of(world: World, workspace: Workspace) -> PortalRow:
    return portal_data(world.lake, [workspace], stale_after=STALE_AFTER, now=world.now).rows[0]


def test_a_workspace_needs_a_person_for_a_refused_property_and_for_a_stopped_schedule(live: World) -> None:
    acme = live.workspace()
    live.sync(acme)
    assert (row_of(live, acme).attention, row_of(live, acme).freshness.state) == ((), "up to date")
    record_standing(live.lake, "acme", [Problem("403", "sc-domain:acme.com", next_step="add it")], {}, NOW)
    assert row_of(live, acme).attention == ("sc-domain:acme.com (): 403; add it",)
    record_standing(live.lake, "acme", [], {}, NOW)
    live.now += timedelta(days=1)
    assert row_of(live, acme).freshness.state == FreshnessState.OVERDUE
    assert row_of(live, acme).attention == ("no complete sync: is the schedule gsc_auto_sync on?",)


def test_failed_days_need_a_person_only_when_three_syncs_in_a_row_were_incomplete(live: World) -> None:
    acme = live.workspace()
    live.sync(acme, live.last(9))
    bad = str(live.last(3).start)
    live.faults.append(lambda call: UNAVAILABLE if call.kind == "query" and bad in str(call.body) else None)
    for number in range(3):
        assert row_of(live, acme).attention == (), number
        live.now += timedelta(hours=1)
        live.sync(acme, live.last(5), SyncOptions(full=True), run_id=f"run {number}")
    (found,) = row_of(live, acme).attention
    assert "503" in found


def test_a_damaged_file_affects_its_workspace_alone(tmp_path: Path) -> None:
    copy = Lake(str(tmp_path / "lake"))
    for id_ in ("a", "b"):
        fill(
            copy,
            id_,
            SyntheticProperty("sc-domain:acme.com", rows_a_day=2),
            Window.last_complete(9, NOW.date()),
        )
    for file in Path(copy.table_uri(SYNC_LEDGER)).glob("workspace=a/*.parquet"):
        file.write_bytes(b"PAR1 not any more")
    both = [replace(ACME, id=id_) for id_ in ("a", "b")]
    broken, good = portal_data(copy, both, stale_after=STALE_AFTER, now=NOW).rows
    assert broken.figures is None
    assert "sync_ledger" in broken.attention[0]
    assert good.figures is not None


def test_the_page_lists_workspaces_by_clicks_and_links_to_the_reports_that_exist() -> None:
    rows = (
        portal_row("small", clicks=5),
        without_figures(portal_row("none")),
        portal_row("large", clicks=900),
    )
    seen = Seen(portal_page(portal(*rows), {"large"}))
    names = [word for word in seen.words if word in ("Small", "None", "Large")]
    assert names == ["Large", "Small", "None"]
    assert [link for link in seen.links if not link.startswith("#")] == ["large.html"]
    assert "+25%" in seen.words
    assert "of 1 with a previous window" in seen.words


def test_the_page_leads_with_the_most_important_changes_of_all_workspaces() -> None:
    rows = (
        with_change(portal_row("small", clicks=5), level_change(4, 9)),
        with_change(portal_row("large", clicks=9000), level_change(4000, 2000, content_group="/blog/")),
        portal_row("quiet"),
    )
    seen = Seen(portal_page(portal(*rows), {"large"}))
    assert seen.words.index("What changed across workspaces") < seen.words.index("Workspace")
    assert (
        "Large Clicks of /blog/ fell by 50% (from 4,000 to 2,000 a day). It began on 7 November 2026, "
        "between 5 and 9 November; chance alone does this in 3 of 100 series. Small Clicks rose by 125% "
        "(from 4.0 to 9.0 a day)." in seen.text
    )
    assert [link for link in seen.links if not link.startswith("#")] == ["large.html"] * 2
    assert "9,000 +25% – −50% 7 Nov 9,900 +10% 900,000" in seen.text
    assert "100 +25% – – – 10,000" in seen.text
    assert "about half of the changes that chance alone makes in 1 to 5 of 100 series were real" in seen.text
    quiet = Seen(portal_page(portal(portal_row("quiet")), ()))
    assert "No change of level that began in the last 28 days was found." in quiet.text
    assert "Search performance of 1 workspace" in quiet.words


def test_changes_and_forecasts_are_those_of_the_headline(lake: Lake) -> None:
    copies = [replace(ACME, id="acme", properties=("sc-domain:acme.com",)), FEED, LATE]
    site = "sc-domain:late.com"
    write(
        lake,
        CHANGE_POINTS,
        [
            change(date(2026, 11, 2), 300, 200),
            change(date(2026, 11, 3), 3000, 2100, metric="impressions"),
            change(date(2026, 3, 2), 100, 300),
            change(date(2026, 3, 2), 100, 300, group="/blog/"),
            change(date(2026, 11, 9), 900, 200, site_url="https://shop.acme.com/"),
        ],
    )
    write(lake, FORECASTS, [], "feed")
    # Its window ends before.
    write(lake, CHANGE_POINTS, [change(date(2026, 9, 1), 9, 4, site_url=site)], "late")
    write(lake, FORECASTS, every(forecast(level=10), forecast("impressions"), forecast(group="/blog/")))
    write(lake, FORECASTS, [refused("too short") | {"site_url": site}], "late")
    acme, feed, late = portal_data(lake, copies, stale_after=STALE_AFTER, now=NOW).rows
    assert [(one.first_day, len(one.also)) for one in acme.changes] == [(date(2026, 11, 2), 1)]
    assert acme.latest is not None
    assert (acme.latest.first_day, acme.latest.metric) == (date(2026, 11, 2), "clicks")
    assert acme.expected is not None
    assert acme.figures is not None
    assert acme.expected.clicks == pytest.approx(256)
    assert acme.expected.change == pytest.approx(256 / acme.figures.headline.totals.clicks - 1)
    assert (feed.changes, feed.latest, feed.expected) == ((), None, None)
    assert (late.changes, late.expected) == ((), None)
    assert late.latest is not None
    assert late.latest.first_day == date(2026, 9, 1)


def test_a_forecast_of_long_ago_is_not_what_is_expected_now(lake: Lake) -> None:
    acme = replace(ACME, properties=("sc-domain:acme.com",))
    for as_of, is_shown in ((date(2026, 11, 11), True), (date(2026, 11, 10), False)):
        rows = [row | {"as_of": as_of} for row in forecast(level=10, made_on=as_of)]
        write(lake, FORECASTS, rows)
        (row,) = portal_data(lake, [acme], stale_after=STALE_AFTER, now=NOW).rows
        assert row.figures is not None
        assert row.figures.headline.last == date(2026, 11, 18)
        assert (row.expected is not None) == is_shown
        assert (report_data(lake, acme, now=NOW).outlook is not None) == is_shown


def test_the_page_escapes_every_text_and_allows_its_one_script() -> None:
    rows = [
        with_change(portal_row(f"w{number}", text, attention=(text,)), level_change(9, 4, content_group=text))
        for number, text in enumerate(HOSTILE)
    ]
    html = portal_page(portal(*rows), {"w0", "w1"})
    seen = Seen(html)
    assert seen.tags.count("script") == 1
    assert not {"link", "img", "iframe", "object", "form", "base"} & set(seen.tags)
    assert len(scripts_and_hashes(html)[0]) == len(scripts_and_hashes(html)[1]) == 1
    assert "<script>alert(1)</script>" in seen.words
    assert "x" * 79 + "…" in seen.words
    assert "x" * 600 not in html


def test_the_page_of_a_thousand_workspaces_is_small() -> None:
    rows = [
        with_change(
            portal_row(f"client-{number:04d}", attention=("403; add it",) * (number % 50 == 0)),
            level_change(410, 280),
        )
        for number in range(1000)
    ]
    html = portal_page(portal(*rows), {row.workspace.id for row in rows})
    assert len(html.encode()) < 800_000


def test_every_report_and_the_portal_are_written_and_what_is_missing_is_reported(
    lake: Lake, tmp_path: Path
) -> None:
    files: list[WrittenFile] = []
    problems: list[ReportError] = []

    def write(*workspaces: Workspace, link_back: bool) -> set[str]:
        """Write the reports, and return the links of the feed's."""
        write_all(
            lake,
            workspaces,
            Reports(str(tmp_path), link_back=link_back),
            stale_after=STALE_AFTER,
            now=NOW,
            on_file=files.append,
            on_problem=problems.append,
        )
        return {*Seen((tmp_path / "feed.html").read_text(encoding="utf-8")).links}

    (tmp_path / "late.html").write_text("of an earlier time", encoding="utf-8")
    # A report that is given to a client names neither the portal nor another client.
    assert not {PORTAL, "late.html"} & write(FEED, LATE_UNREAD, YOUNG, link_back=False)
    assert [Path(file.address).name for file in files] == ["feed.html", PORTAL]
    assert [type(problem) for problem in problems] == [NothingToReportError, NothingToReportError]
    seen = Seen((tmp_path / PORTAL).read_text(encoding="utf-8"))
    assert {link for link in seen.links if not link.startswith("#")} == {"feed.html", "late.html"}
    assert PORTAL in write(FEED, link_back=True)


class FaultyLake(Lake):
    """Raises an unexpected error for each read of the rows of one workspace alone."""

    @override
    def dataset(
        self, table: TableSpec, *, workspace: str | Collection[str] | None = None, **how: Any
    ) -> ds.Dataset | None:
        if workspace == "faulty":
            raise ValueError("rows of an unknown form")
        return super().dataset(table, workspace=workspace, **how)


def test_an_unexpected_error_of_one_workspace_stops_no_other(lake: Lake, tmp_path: Path) -> None:
    problems: list[ReportError] = []
    write_all(
        FaultyLake(lake.uri),
        [replace(ACME, id="faulty"), FEED],
        Reports(str(tmp_path)),
        stale_after=STALE_AFTER,
        now=NOW,
        on_file=print,
        on_problem=problems.append,
    )
    assert {file.name for file in tmp_path.iterdir()} == {"feed.html", PORTAL}
    assert [str(problem) for problem in problems] == [
        "faulty: a fault of gsc_pipeline (ValueError: rows of an unknown form); please report it with the log"
    ]


def test_a_workspace_called_index_is_refused_before_anything_is_written(lake: Lake, tmp_path: Path) -> None:
    index = replace(ACME, id="index")
    with pytest.raises(ReportError, match="give the workspace another id"):
        write_all(
            lake,
            [ACME, index],
            Reports(str(tmp_path)),
            stale_after=STALE_AFTER,
            now=NOW,
            on_file=print,
            on_problem=print,
        )
    with pytest.raises(ReportError, match="give the workspace another id"):
        write_portal(portal(portal_row("index")), str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_portal_that_cannot_be_written_names_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(ReportError, match=r"^portal: it cannot be written to .*: name another folder$"):
        write_portal(portal(portal_row("acme")), str(tmp_path / "file"))
