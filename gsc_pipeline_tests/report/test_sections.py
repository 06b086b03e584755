"""What the report says of changes, forecasts, content groups and tests, and the reports of other scopes."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gsc_pipeline.assistants.answers import ReportAnswer, Table
from gsc_pipeline.assistants.messages import Limits
from gsc_pipeline.assistants.reported import report_answer
from gsc_pipeline.assistants.states import ServedStates
from gsc_pipeline.days import Window
from gsc_pipeline.insights.refresh import refresh_insights
from gsc_pipeline.insights.scope import Scope
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import (
    CHANGE_POINTS,
    CONTENT_GROUP_DAYS,
    FORECASTS,
    SEO_TESTS,
    STRIKING_DISTANCE,
)
from gsc_pipeline.report.content_groups import GroupRow, group_rows, of_group
from gsc_pipeline.report.data import ReportData, ReportError, report_data
from gsc_pipeline.report.page import page
from gsc_pipeline.report.seo_test_page import VERDICTS
from gsc_pipeline.report.write import Reports, write_page, write_report
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline_tests.insights.filling import fill
from gsc_pipeline_tests.report.insight_rows import (
    AS_OF,
    change,
    every,
    forecast,
    group_days,
    refused,
    seo_test,
    write,
)
from gsc_pipeline_tests.report.test_report import ACME, HOSTILE, NOW, WINDOW, Seen

DAYS = Window(date(2026, 9, 20), WINDOW.end)
FELL = date(2026, 10, 20)
BLOG = Scope("/blog/")
EMPTY = pd.DataFrame({name: [] for name in ("expected", "low", "high", "actual")}, dtype="float64")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Nine weeks of a property, with rows of each table."""
    lake = Lake(str(tmp_path_factory.mktemp("sections") / "lake"))
    fill(
        lake,
        "acme",
        SyntheticProperty("sc-domain:acme.com", rows_a_day=10, plants=False),
        DAYS,
        provisional=2,
    )
    refresh_insights(lake, ACME, now=NOW)
    write(
        lake,
        CHANGE_POINTS,
        [
            change(FELL, updates_and_notes="Begins within the roll-out of the September 2026 spam update"),
            change(FELL, 300, 210, group="/blog/"),
            change(date(2026, 9, 28), 40, 90, group="/guide/", confidence=0.91),
            change(date(2025, 3, 1), 900, 400),
        ],
    )
    write(lake, FORECASTS, every(forecast(), forecast("impressions"), forecast("clicks", 90, group="/blog/")))
    write(lake, CONTENT_GROUP_DAYS, group_days({"/blog/": 30, "/guide/": 50, "other": 0.0}, days=57))
    write(lake, SEO_TESTS, [seo_test("titles", "effect", "Clicks rose by 12% (5% to 19%).", effect=0.12)])
    return lake


@pytest.fixture(scope="module")
def data(lake: Lake) -> ReportData:
    return report_data(lake, ACME, now=NOW)


@pytest.fixture(scope="module")
def seen(data: ReportData) -> Seen:
    return Seen(page(data))


def test_the_page_leads_with_what_changed(seen: Seen) -> None:
    headings = [word for word in seen.words if word in ("What changed", "What to expect", "Content groups")]
    assert headings == ["What changed", "What to expect", "Content groups"]
    assert seen.words.index("What changed") < seen.words.index("Clicks and impressions over time")
    assert (
        "A Clicks fell by 32% (from 410 to 280 a day). It began on 20 October 2026, between 18 and 22 "
        "October; chance alone does this in 3 of 100 series. Begins within the roll-out of the September "
        "2026 spam update. "
        "At the same time: /blog/ (−30%) . B Clicks of /guide/ rose by 125%" in seen.text
    )
    assert "from 900 to 400" not in seen.text


def assistants_report(lake: Lake, data: ReportData) -> ReportAnswer:
    """The report as an assistant gets it."""
    return report_answer(data, ServedStates(lake, [ACME], lambda: NOW).freshness(), Limits())


def rows_of(table: Table) -> list[dict[str, Any]]:
    names = [column.name for column in table.columns]
    return [dict(zip(names, row, strict=True)) for row in table.rows]


def test_assistants_get_the_changes_of_the_page_in_its_order(lake: Lake, data: ReportData) -> None:
    answer = assistants_report(lake, data)
    whole, guide = rows_of(answer.changes)
    assert (whole["first_day"], whole["content_group"], whole["metric"]) == ("2026-10-20", "all", "clicks")
    assert (whole["level_before"], whole["level_after"], whole["confidence"]) == (410, 280, 0.974)
    assert [one["content_group"] for one in whole["also"]] == ["/blog/"]
    assert guide["content_group"] == "/guide/"
    assert "chance" in answer.changes_meaning.lower()
    none = assistants_report(lake, replace(data, changes=()))
    assert (none.changes.rows, none.changes_meaning) == (
        [],
        "No change of level was found in the last 90 days.",
    )


def test_assistants_get_the_forecasts_of_the_page(lake: Lake, data: ReportData) -> None:
    assert data.outlook is not None
    clicks = data.outlook.coming["clicks"]
    came_true = replace(clicks, days=clicks.days.assign(actual=clicks.days["expected"]))
    outlook = replace(data.outlook, past={"clicks": came_true})
    forecasts = assistants_report(lake, replace(data, outlook=outlook)).forecasts
    assert [(one.metric, one.known_days, one.days_in_range) for one in forecasts] == [
        ("clicks", 0, 0),
        ("impressions", 0, 0),
        ("clicks", 28, 28),
    ]
    assert forecasts[0].expected == clicks.expected
    first = rows_of(forecasts[0])[0]
    assert first["data_date"] == str(forecasts[0].made_on + timedelta(days=1))
    assert first["low"] < first["expected"] < first["high"]
    assert first["actual"] is None
    outlook = replace(data.outlook, coming={"clicks": replace(clicks, days=EMPTY)})
    (refused_one, *_) = assistants_report(lake, replace(data, outlook=outlook)).forecasts
    assert (refused_one.rows, refused_one.expected) == ([], 0)
    assert assistants_report(lake, replace(data, outlook=None)).forecasts == []


def test_without_a_change_the_page_says_so(data: ReportData) -> None:
    text = Seen(page(replace(data, changes=()))).text
    assert "No change of level was found in the last 90 days." in text
    assert "weekdays and chance" not in text


def test_without_eight_weeks_or_the_table_the_page_does_not_say_that_nothing_changed(
    data: ReportData,
) -> None:
    final = data.daily[data.daily["is_final"]]
    young = replace(data, changes=(), daily=final.tail(55))
    assert "Changes of level are not looked for before eight weeks are final." in Seen(page(young)).text
    assert "No change of level was found" in Seen(page(replace(young, daily=final.tail(56)))).text
    unsought = replace(data, changes=(), are_changes_sought=False)
    assert "Changes of level have not been looked for yet." in Seen(page(unsought)).text


def test_the_page_says_what_is_listed_and_what_chance_means(seen: Seen) -> None:
    assert "and properties and groups that still have no impressions, ordered by the clicks" in seen.text
    assert "about half of the changes that chance alone makes in 1 to 5 of 100 series were real" in seen.text


def test_more_changes_than_letters_are_counted(data: ReportData) -> None:
    many = tuple(replace(data.changes[0], content_group=f"/{number}/") for number in range(11))
    text = Seen(page(replace(data, changes=many))).text
    assert "3 smaller changes are not listed." in text
    assert "Clicks of /7/ fell" in text
    assert "Clicks of /8/ fell" not in text


def test_the_chart_marks_the_changes_of_the_page_by_their_letters(data: ReportData) -> None:
    drawings = page(data).split("<svg")[1:3]
    for drawing in drawings:
        # Levels are of the property alone; both changes of clicks have a band.
        assert (drawing.count('class="level"'), drawing.count('class="shift"')) == (2, 2)
        assert drawing.count('class="letter"') == 2
    assert "a change began (by its letter)" in page(data)


def test_the_forecast_has_sums_a_chart_and_the_values_of_each_day(seen: Seen, data: ReportData) -> None:
    assert "From 19 November to 16 December 2026 we expect 11,264 clicks." in seen.words
    assert "we expect 11,264 impressions." in seen.text
    assert "the ranges of days cannot be added" in seen.text
    assert "Wed 16 Dec 2026 440 396 to 484 – 440 396 to 484 –" in seen.text
    html = page(data)
    assert html.count('class="fan"') == 2  # wide and narrow
    assert "Wed 16 Dec 2026: 440 expected (396 to 484)" in html


def test_a_refused_forecast_has_its_reason_and_no_chart(lake: Lake, data: ReportData) -> None:
    from gsc_pipeline.report.outlook import outlook
    from gsc_pipeline_tests.report.test_outlook import frame

    none = outlook(frame([refused("fewer than 8 weeks are final")]), data.site_urls[0], "WEB")
    html = page(replace(data, outlook=none))
    assert "There is no forecast of clicks: fewer than 8 weeks are final." in html
    assert 'class="fan"' not in html
    assert "What to expect" not in Seen(page(replace(data, outlook=None))).words


def test_groups_have_clicks_shares_and_their_latest_change(seen: Seen) -> None:
    assert (
        "/guide/ 1,400 1,400 0% 62.5% +125% since 28 September 2026 "
        "/blog/ 840 840 0% 37.5% −30% since 20 October 2026" in seen.text
    )


def test_a_single_group_is_no_section(data: ReportData) -> None:
    assert "Content groups" not in Seen(page(replace(data, groups=data.groups[:1]))).words


def rows_of_groups(*days: dict[str, Any], empty: Sequence[date] = ()) -> list[GroupRow]:
    rows = pd.DataFrame(days).astype({"data_date": "datetime64[ns]"})
    return group_rows(rows, pd.Series(empty, dtype="datetime64[ns]"), AS_OF, 28, 0.9, [])


def test_a_group_that_lost_all_its_clicks_is_a_row() -> None:
    of_old = group_days({"/old/": 5}, AS_OF - timedelta(28), 28)
    of_new = group_days({"/new/": 7}, AS_OF, 28)
    new, old = rows_of_groups(*of_old, *of_new)
    assert (new.content_group, new.clicks, new.before, new.change_share) == ("/new/", 196, 0, None)
    assert (old.content_group, old.clicks, old.before, old.change_share) == ("/old/", 0, 140, -1.0)
    few = [GroupRow("/few/", 0, before, 0.0, (), None).change_share for before in (1, 9, 10)]
    assert few == [None, None, -1.0]
    (alone,) = rows_of_groups(*of_new)
    assert (alone.clicks, alone.before) == (196, None)


def test_groups_of_a_site_that_has_days_without_impressions_are_compared() -> None:
    days = group_days({"/cakes/": 5}, AS_OF, 56)
    sundays = [AS_OF - timedelta(age) for age in range(56) if (AS_OF - timedelta(age)).weekday() == 6]
    (shop,) = rows_of_groups(*(day for day in days if day["data_date"] not in sundays), empty=sundays)
    assert (shop.clicks, shop.before, shop.weeks[-8:]) == (120, 120, (30,) * 8)
    (unread,) = rows_of_groups(*(day for day in days if day["data_date"] not in sundays))
    assert (unread.before, unread.weeks[-1]) == (None, None)


def test_tests_have_their_verdict_and_link_to_their_page_if_there_is_one(
    lake: Lake, data: ReportData, tmp_path: Path
) -> None:
    file = Path(write_page(data, Reports(str(tmp_path))).address)
    alone = Seen(file.read_text(encoding="utf-8"))
    assert "titles clicks: effect Clicks rose by 12% (5% to 19%)." in alone.text
    unusable = seo_test("titles", "unusable", "Too few clicks.")
    word = VERDICTS["unusable"][0]
    assert (
        f"titles clicks: {word} Too few clicks."
        in Seen(page(replace(data, tests=pd.DataFrame([unusable])))).text
    )
    assert "acme.test-titles.html" not in alone.links
    (tmp_path / "acme.test-titles.html").write_text("of the test", encoding="utf-8")
    write_page(data, Reports(str(tmp_path)))
    assert "acme.test-titles.html" in Seen(file.read_text(encoding="utf-8")).links


def test_names_of_groups_and_tests_are_escaped(data: ReportData) -> None:
    hostile = replace(
        data,
        changes=tuple(
            replace(data.changes[0], content_group=text, updates_and_notes=text) for text in HOSTILE
        ),
        groups=tuple(replace(data.groups[0], content_group=text) for text in HOSTILE),
        tests=pd.DataFrame([seo_test(text, "effect", text) for text in HOSTILE]),
        scope=Scope(HOSTILE[0]),
    )
    seen = Seen(page(hostile))
    tests = Seen(
        page(replace(hostile, scope=data.scope), beside=[f"acme.test-{text}.html" for text in HOSTILE])
    )
    for one in (seen, tests):
        assert one.tags.count("script") == 1
        assert "img" not in one.tags
        assert f"Clicks of {HOSTILE[0]} fell by 32% (from 410 to 280 a day)." in one.words


def test_the_report_of_a_group_has_its_days_its_changes_and_its_forecast(lake: Lake) -> None:
    data = report_data(lake, ACME, BLOG, now=NOW)
    assert (data.figures.totals.clicks, data.figures.totals.impressions) == (28 * 30, 28 * 300)
    assert data.figures.totals.position == pytest.approx(5.0)
    assert data.figures.previous is not None
    assert data.figures.previous.change("clicks") == 0
    seen = Seen(page(data))
    assert "· Web search · /blog/" in seen.text
    assert "A Clicks of /blog/ fell by 30%" in seen.text
    assert "/guide/" not in seen.text
    assert "we expect 2,304 clicks" in seen.text
    assert not {"Devices", "Countries", "Brand and non-brand", "Content groups", "Tests"} & set(seen.words)
    assert {"Winners", "Losers"} <= set(seen.words)
    # Its levels are those of the chart.
    assert 'class="level"' in page(data)


def test_the_report_of_the_group_other_is_called_other_pages(lake: Lake) -> None:
    seen = Seen(page(report_data(lake, ACME, Scope("other"), now=NOW)))
    assert "· Web search · other pages" in seen.text


def test_a_canonical_query_is_beside_the_number_of_queries_that_it_stands_for(data: ReportData) -> None:
    row = {"query": "running shoes", "queries": 3, "is_brand": False, "url": "https://acme.com/", "clicks": 5}
    row |= {"impressions": 900, "position": 8.0, "potential_clicks": 40.0}
    found = {**data.findings, STRIKING_DISTANCE: pd.DataFrame([row])}
    canonical = Seen(page(replace(data, findings=found, scope=Scope(canonical=True))))
    assert "Query Queries Page Impressions" in canonical.text
    assert "running shoes 3 acme.com/" in canonical.text
    assert "Query Page Impressions" in Seen(page(replace(data, findings=found))).text


def test_days_on_which_a_group_has_no_row_are_days_without_clicks(data: ReportData) -> None:
    groups = pd.DataFrame(
        [*group_days({"/blog/": 3}, date(2026, 11, 8), 5), *group_days({"/shop/": 9}, days=15)]
    )
    groups["data_date"] = pd.to_datetime(groups["data_date"])
    days = of_group(groups, data.daily, "/blog/")
    assert list(days.columns) == list(data.daily.columns)
    assert list(days["clicks"]) == [3] * 5 + [0] * 10
    # Earlier days are unknown, and later ones have no groups yet.
    assert list(days["data_date"].dt.day) == list(range(4, 19))
    assert days["brand_clicks"].isna().all()


def test_an_unknown_group_is_an_error_that_names_the_others(lake: Lake) -> None:
    with pytest.raises(
        ReportError, match=r"acme: no content group /blog2/ \(known: /blog/, /guide/, other\)"
    ):
        report_data(lake, ACME, Scope("/blog2/"), now=NOW)


def test_the_files_of_a_scope_have_names_and_rows_of_their_own(lake: Lake, tmp_path: Path) -> None:
    # Nothing has changed since the refresh, so the rows stay as they are.
    files = write_report(lake, ACME, Reports(str(tmp_path), as_csv=True, scope=BLOG), now=NOW)
    names = [Path(file.address).name for file in files]
    assert names[0] == "acme.group-blog.html"
    assert "acme.group-blog-daily_performance.csv" not in names
    assert "acme.html" not in names
    with (tmp_path / "acme.group-blog-change_points.csv").open(encoding="utf-8-sig", newline="") as file:
        assert {row["content_group"] for row in csv.DictReader(file)} == {"/blog/"}
    (canonical, *_) = write_report(lake, ACME, Reports(str(tmp_path), scope=Scope(canonical=True)), now=NOW)
    assert Path(canonical.address).name == "acme.canonical.html"
    assert "· canonical queries" in Seen(Path(canonical.address).read_text(encoding="utf-8")).text
