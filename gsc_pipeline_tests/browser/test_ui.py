"""Dagster's pages about this project, and the report, in a real browser.

Screenshots are saved in `screenshots/`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gsc_pipeline_tests.browser.chromium import NEEDS_BROWSER, SCREENSHOTS, launched
from gsc_pipeline_tests.browser.prepared import REFUSED, Prepared, prepared

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
Page = playwright.Page
expect = playwright.expect

GROUPS = ("search_console", "insights", "report")
WINDOW = {"width": 1500, "height": 850}

pytestmark = [pytest.mark.soak, NEEDS_BROWSER]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    with prepared(tmp_path_factory.mktemp("browser")) as one:
        yield one


@pytest.fixture(scope="module")
def page(shown: Prepared) -> Iterator[Page]:
    """One browser, created last: its event loop tolerates no other in this thread."""
    with launched() as browser:
        yield browser.new_page(viewport=WINDOW)


def sees(page: Page, *texts: str) -> None:
    for text in texts:
        expect(page.get_by_text(text).filter(visible=True).first).to_be_visible()


def picture(page: Page, name: str) -> None:
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def test_lineage_reads_from_the_api_tables_over_the_insights_to_the_report(
    page: Page, shown: Prepared
) -> None:
    page.goto(f"{shown.url}/asset-groups")
    groups = [page.locator("svg").get_by_text(name, exact=True) for name in GROUPS]
    for group in groups:
        expect(group).to_be_visible()
    places = [group.bounding_box()["x"] for group in groups]
    assert places == sorted(places)
    picture(page, "groups")
    # Opened groups take more space, and nothing outside the window is drawn.
    page.set_viewport_size({"width": 2000, "height": 1500})
    page.goto(f"{shown.url}/assets/client_report?view=lineage&lineageScope=upstream&lineageDepth=5")
    sees(page, "search…_impression", "url_inspections", "ctr_curve", "striking_distance", "client_report")
    picture(page, "lineage_of_the_report")
    page.set_viewport_size(WINDOW)


def test_the_lineage_of_one_insight_fits_the_window(page: Page, shown: Prepared) -> None:
    page.goto(f"{shown.url}/assets/striking_distance?view=lineage")
    sees(page, "search…_impression", "ctr_curve", "striking_distance", "client_report")
    picture(page, "lineage")


def test_an_asset_shows_what_it_is_and_its_latest_materialization(page: Page, shown: Prepared) -> None:
    page.goto(f"{shown.url}/assets/searchdata_site_impression")
    sees(page, "aggregated by property", "Latest materialization", f"{shown.window.last}|acme")
    sees(page, "The search query; empty for anonymised queries")
    picture(page, "asset")


def test_partitions_show_which_days_of_which_workspace_are_there(page: Page, shown: Prepared) -> None:
    page.goto(f"{shown.url}/assets/searchdata_site_impression?view=partitions")
    sees(page, f"Materialized ({len(shown.window)})", "Failed (0)", str(shown.window.last), "acme", "globex")
    picture(page, "partitions")


def test_a_check_shows_what_fails_now_and_for_which_workspace(page: Page, shown: Prepared) -> None:
    page.goto(f"{shown.url}/assets/searchdata_site_impression?view=checks")
    page.get_by_text("no_partial_failures").first.click()
    sees(page, "Green: nothing fails now", "1 failure in acme", REFUSED)
    picture(page, "checks")


def test_every_asset_says_when_it_was_last_true_for_each_workspace(page: Page, shown: Prepared) -> None:
    page.goto(f"{shown.url}/assets/searchdata_site_impression?view=checks&checkDetail=up_to_date")
    sees(page, "1 of 2 workspaces is not up to date: globex", "final up to", "wrong now, and what to do")
    sees(page, str(shown.window.last), "gsc_auto_sync", REFUSED)
    picture(page, "up_to_date")


def test_a_run_with_one_failing_property_is_green_and_names_it_and_the_cause(
    page: Page, shown: Prepared
) -> None:
    page.goto(f"{shown.url}/runs/{shown.sync_run}")
    sees(page, "Success", "gsc_sync", "searchdata", f"acme: {REFUSED} (WEB)", "403 (PERMISSION_DENIED")
    picture(page, "run")


def test_an_insight_shows_its_top_rows_and_its_chart(page: Page, shown: Prepared) -> None:
    page.goto(f"{shown.url}/assets/daily_performance?view=partitions&partition=acme")
    sees(page, "foremost_rows", "anonymised_clicks", str(shown.window.last))
    page.get_by_text("Show markdown").click()
    drawn = page.get_by_role("img", name="Clicks and impressions by day")
    expect(drawn).to_be_visible()
    assert drawn.evaluate("image => image.naturalWidth") > 400
    picture(page, "insight")


def test_the_schedule_shows_when_it_fires_and_why_it_is_off(page: Page, shown: Prepared) -> None:
    page.goto(f"{shown.url}/locations/gsc_pipeline/schedules/gsc_auto_sync")
    sees(page, "One run per active workspace, over the last 14 days", "GSC_AUTO_SYNC_ENABLED is not true")
    sees(page, "every 6 hours", "gsc_sync")
    picture(page, "schedule")


def test_the_report_opens_from_the_disk_without_the_network(page: Page, shown: Prepared) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(shown.report.as_uri())
    sees(page, "Acme Inc.", "vs previous 28 days", "Clicks and impressions over time", "may still change")
    sees(page, "Within striking distance", "What to do", REFUSED)
    assert asked == [shown.report.as_uri()]
    picture(page, "report")


def test_the_report_fits_a_phone_and_its_printed_parts_are_not_split(page: Page, shown: Prepared) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(shown.report.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    picture(page, "report_on_a_telephone")
    page.emulate_media(media="print", color_scheme="dark")
    style = "getComputedStyle(document.querySelector('{}')).{}"
    for part in ("section.finding", ".chart", "figure", "tr"):
        assert page.evaluate(style.format(part, "breakInside")) == "avoid", part
    # Dark colours are not printed.
    assert page.evaluate(style.format("body", "backgroundColor")) == "rgb(255, 255, 255)"
