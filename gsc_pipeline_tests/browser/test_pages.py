"""The portal and a report in a real browser: by pointer and keyboard, on a telephone, in print.

Every text that a client or a searcher can choose is hostile.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gsc_pipeline.insights.refresh import refresh_insights
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import (
    CHANGE_POINTS,
    CONTENT_GROUP_DAYS,
    FORECASTS,
    SEO_TESTS,
    STRIKING_DISTANCE,
)
from gsc_pipeline.report.data import report_data
from gsc_pipeline.report.numbers import count, signed
from gsc_pipeline.report.portal import Expected
from gsc_pipeline.report.write import Reports, write_page, write_portal
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline_tests.browser.chromium import NEEDS_BROWSER, SCREENSHOTS, Patient, launched
from gsc_pipeline_tests.insights.filling import fill
from gsc_pipeline_tests.report.insight_rows import (
    AS_OF,
    change,
    every,
    forecast,
    group_days,
    seo_test,
    write,
)
from gsc_pipeline_tests.report.rows import level_change, portal, portal_row, with_change, without_figures
from gsc_pipeline_tests.report.test_report import ACME, HOSTILE, NOW, WINDOW

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [pytest.mark.soak, NEEDS_BROWSER]

TEXTS = (*HOSTILE, "W" * 2_000, "long words " * 200, "\u202egnitirw fo noitcerid", "</script><script>x()")
TELEPHONE = {"width": 360, "height": 740}
A4 = {"width": 703, "height": 1032}
"""The printed area of a page in CSS pixels: A4 without the margins of 12 mm."""
PAGES = ("index.html", "acme.html")


@dataclass(frozen=True)
class Opened:
    """A page, with what it asked for, what it got, and what it complained of."""

    page: Any
    asked: list[str]
    answered: list[str]
    errors: list[str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report that links back, and a portal of it and of workspaces with hostile names and problems."""
    folder = tmp_path_factory.mktemp("pages")
    lake = Lake(str(folder / "lake"))
    fill(lake, "acme", SyntheticProperty("sc-domain:acme.com", rows_a_day=60), WINDOW, provisional=2)
    fill(lake, "acme", SyntheticProperty("https://shop.acme.com/", rows_a_day=20), WINDOW, provisional=2)
    refresh_insights(lake, ACME, now=NOW)
    _write_insights(lake)
    data = report_data(lake, ACME, now=NOW)
    found = data.findings[STRIKING_DISTANCE]
    rows = pd.concat([found.head(1)] * len(TEXTS), ignore_index=True)
    rows["query"] = list(TEXTS)
    rows["url"] = [f"https://acme.com/{text}" for text in TEXTS]
    hostile = replace(data, findings={**data.findings, STRIKING_DISTANCE: rows})
    write_page(hostile, Reports(str(folder), link_back=True))
    names = [portal_row(f"w{n}", text, clicks=1000 + n, attention=(text,)) for n, text in enumerate(TEXTS)]
    names = [
        with_change(row, level_change(900, 400 + n, content_group=row.workspace.name))
        for n, row in enumerate(names)
    ]
    few = [portal_row("acme", "Acme", clicks=500), portal_row("soehne", "Söhne & Partner", clicks=40)]
    few[0] = with_change(few[0], level_change(410, 280))
    write_portal(portal(*few, *names, without_figures(portal_row("new"))), str(folder))
    return folder


def _write_insights(lake: Lake) -> None:
    """Changes, forecasts, groups and a test with a page beside the report; names of groups are hostile."""
    day = date(2026, 10, 20)
    groups = [change(day - timedelta(n), 90 + n, 30, group=text) for n, text in enumerate(TEXTS)]
    position = change(date(2026, 11, 2), 7.1, 9.4, metric="position")
    write(lake, CHANGE_POINTS, [change(day, 150, 110, updates_and_notes=TEXTS[-1]), position, *groups])
    past = forecast("clicks", 120, made_on=AS_OF - timedelta(28), actual=118)
    write(lake, FORECASTS, every(forecast("clicks", 130), forecast("impressions", 900), past))
    days = group_days({text: 90.0 - n for n, text in enumerate(TEXTS)} | {"/blog/": 40})
    write(lake, CONTENT_GROUP_DAYS, days)
    tests = [seo_test("titles", "effect", TEXTS[-2]), seo_test(TEXTS[2], "too_early", TEXTS[0])]
    write(lake, SEO_TESTS, tests)


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Patient]:
    with launched() as browser:
        yield browser


@contextmanager
def opened(browser: Patient, file: Path, **options: Any) -> Iterator[Opened]:
    page, asked, answered, errors = browser.new_page(**options), list[str](), list[str](), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.on("requestfinished", lambda request: answered.append(request.url))
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(file.as_uri())
    yield Opened(page, asked, answered, errors)
    page.close()


@pytest.fixture
def index(browser: Patient, folder: Path) -> Iterator[Any]:
    with opened(browser, folder / "index.html", viewport={"width": 1280, "height": 900}) as one:
        yield one.page
        assert one.errors == []


@pytest.fixture
def report(browser: Patient, folder: Path) -> Iterator[Any]:
    with opened(browser, folder / "acme.html", viewport={"width": 1280, "height": 900}) as one:
        yield one.page
        assert one.errors == []


def names(page: Any) -> list[str]:
    """The visible workspaces, in their order on the page."""
    rows = page.locator("#rows tr:visible th")
    return [text.strip()[:40] for text in rows.locator("bdi").all_inner_texts()]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_asks_for_nothing_and_complains_of_nothing(
    browser: Patient, folder: Path, name: str, scheme: str
) -> None:
    with opened(browser, folder / name, color_scheme=scheme) as one:
        one.page.screenshot(path=SCREENSHOTS / f"{Path(name).stem}_{scheme}.png", full_page=True)
    assert (one.asked, one.errors) == ([(folder / name).as_uri()], [])


@pytest.mark.parametrize("name", PAGES)
def test_the_policy_stops_other_scripts_and_every_request(browser: Patient, folder: Path, name: str) -> None:
    with opened(browser, folder / name) as one:
        ran = one.page.evaluate(
            """async () => {
                document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.ran = 1'>");
                const script = document.createElement("script");
                script.textContent = "window.ran = 2";
                document.body.append(script);
                const answer = await fetch("https://example.com/").catch(() => "refused");
                return [window.ran, answer];
            }"""
        )
    assert ran == [None, "refused"]
    assert one.answered == [(folder / name).as_uri()]
    assert len(one.errors) >= 3


def test_headings_sort_the_rows_in_both_directions_and_missing_values_come_last(index: Any) -> None:
    clicks = index.get_by_role("columnheader", name="Clicks", exact=True)
    assert clicks.get_attribute("aria-sort") == "descending"
    assert names(index)[-3:] == ["Acme", "Söhne & Partner", "New"]
    clicks.get_by_role("button").click()
    assert clicks.get_attribute("aria-sort") == "ascending"
    assert (names(index)[:2], names(index)[-1]) == (["Söhne & Partner", "Acme"], "New")
    by_name = index.get_by_role("button", name="Workspace", exact=True)
    by_name.focus()
    index.keyboard.press("Enter")
    assert clicks.get_attribute("aria-sort") is None
    places = [names(index).index(name) for name in ("Acme", "New", "Söhne & Partner")]
    assert places == sorted(places)
    index.keyboard.press("Space")
    places = [names(index).index(name) for name in ("Söhne & Partner", "New", "Acme")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("heading", "values"),
    [
        ("Latest change of the level of clicks", [0.3, -0.32, -0.5, -0.55]),
        ("Clicks expected in the next 28 days", [2000, 1000, 110, 44]),
    ],
)
def test_values_with_a_second_line_sort_by_the_first(
    browser: Patient, tmp_path: Path, heading: str, values: list[float]
) -> None:
    moves = [(40, 410, 280, 2), (1000, 100, 130, 26), (100, 100, 50, 20), (2000, 200, 90, 12)]
    rows = [
        with_change(portal_row(f"w{n}", clicks=clicks), level_change(before, after, age=age))
        for n, (clicks, before, after, age) in enumerate(moves)
    ]
    expected = [Expected(float(clicks), change) for clicks, change in ((44, 9.0), (1000, 0.0), (110, -0.9))]
    rows = [*(replace(row, expected=one) for row, one in zip(rows, expected, strict=False)), rows[-1]]
    rows[-1] = replace(rows[-1], expected=Expected(2000, 0.05))
    write_portal(portal(*rows, portal_row("none", clicks=5)), str(tmp_path))
    with opened(browser, tmp_path / "index.html", viewport={"width": 1400, "height": 900}) as one:
        column = one.page.get_by_role("columnheader", name=heading, exact=True)
        place = column.evaluate("one => one.cellIndex")
        cells = one.page.locator(f"#rows tr td:nth-child({place + 1})")

        def shown() -> list[str]:
            return [text.split("\n")[0] for text in cells.all_inner_texts()]

        texts = [signed(value) if abs(value) < 1 else count(value) for value in values]
        column.get_by_role("button").click()
        assert shown() == [*texts, "–"]
        column.get_by_role("button").click()
        assert shown() == [*texts[::-1], "–"]


def test_rows_are_searched_by_name_and_id_without_case_and_accents(index: Any) -> None:
    search = index.get_by_role("searchbox", name="Search workspaces")
    search.fill("SOHNE partner")
    assert names(index) == ["Söhne & Partner"]
    assert index.locator("#shown").inner_text() == f"1 of {len(TEXTS) + 3} shown"
    search.fill("soehne")
    assert names(index) == ["Söhne & Partner"]
    search.fill("<script>alert")
    assert names(index) == ["<script>alert(1)</script>"]
    search.fill("nobody")
    assert names(index) == []
    assert index.get_by_text("No workspace matches.").is_visible()
    search.press("Escape")
    assert len(names(index)) == len(TEXTS) + 3
    index.get_by_label("Only those that need attention").check()
    assert len(names(index)) == len(TEXTS)


def test_a_badge_leads_to_what_to_do_and_opens_the_folded_list(index: Any) -> None:
    index.get_by_role("link", name="needs attention").last.click()
    problem = index.locator("li:target")
    assert problem.is_visible()
    assert problem.evaluate("one => one.closest('details').open")


def test_a_report_links_back_to_the_portal_and_the_portal_to_the_report(index: Any) -> None:
    index.get_by_role("link", name="Acme", exact=True).click()
    assert index.get_by_role("heading", level=1).inner_text() == ACME.name
    index.get_by_role("link", name="All workspaces").click()
    assert index.get_by_role("heading", level=1).inner_text() == "Search performance"


def test_a_chart_shows_its_values_by_the_keyboard(report: Any) -> None:
    chart, readout = report.get_by_role("slider").first, report.locator(".readout").first
    days = report.locator(".values").first.locator("tbody tr td:first-child").all_text_contents()
    assert len(days) == 91
    chart.focus()
    assert readout.inner_text().startswith(f"{days[-1]}: ")
    assert readout.inner_text().endswith("may still change")
    for key, day in (
        ("Home", 0),
        ("ArrowRight", 1),
        ("PageUp", 8),
        ("ArrowLeft", 7),
        ("PageDown", 0),
        ("ArrowLeft", 0),
        ("End", 90),
        ("ArrowRight", 90),
    ):
        report.keyboard.press(key)
        assert readout.inner_text().startswith(f"{days[day]}: "), key
        assert chart.get_attribute("aria-valuetext") == readout.inner_text()
        assert chart.get_attribute("aria-valuenow") == str(day)
    assert report.locator(".point.on").count() == 1
    report.keyboard.press("Escape")
    assert readout.inner_text() == "Point at the chart, or use the arrow keys"


def test_a_chart_shows_its_values_at_the_pointer(report: Any) -> None:
    chart, readout = report.get_by_role("slider").first, report.locator(".readout").first
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    report.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    middle = readout.inner_text()
    assert re.match(r"\w{3} \d+ \w{3} 2026: [\d,]+ clicks, [\d,]+ impressions", middle)
    report.mouse.move(box["x"] + box["width"] / 2 + 30, box["y"] + 40)
    assert readout.inner_text() != middle
    report.screenshot(path=SCREENSHOTS / "report_at_the_pointer.png")
    report.mouse.move(1, 1)
    assert readout.inner_text().startswith("Point at the chart")


def test_the_forecast_shows_what_was_and_what_is_expected_by_the_keyboard(report: Any) -> None:
    section = report.locator(".outlook")
    chart, readout = section.get_by_role("slider").first, section.locator(".readout")
    chart.focus()
    assert readout.inner_text() == "Wed 16 Dec 2026: 130 expected (117 to 143)"
    for _ in range(5):
        report.keyboard.press("PageDown")
    assert re.match(r"Wed 11 Nov 2026: [\d,]+ clicks, 120 expected \(108 to 132\)", readout.inner_text())
    report.keyboard.press("Home")
    assert re.match(r"Thu 24 Sep 2026: [\d,]+ clicks$", readout.inner_text())


@pytest.mark.parametrize("name", PAGES)
def test_every_stop_of_the_tab_key_has_a_visible_focus(browser: Patient, folder: Path, name: str) -> None:
    with opened(browser, folder / name, viewport={"width": 1280, "height": 900}) as one:
        seen = set()
        for _ in range(25):
            one.page.keyboard.press("Tab")
            tag, outline = one.page.evaluate(
                """() => {
                    const style = getComputedStyle(document.activeElement);
                    return [document.activeElement.tagName, `${style.outlineStyle} ${style.outlineWidth}`];
                }"""
            )
            seen.add(tag.lower())
            assert tag == "BODY" or outline == "solid 3px", tag
    assert seen >= ({"a", "button", "input"} if name == "index.html" else {"a", "svg", "summary"})


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_a_telephone_whatever_the_texts(browser: Patient, folder: Path, name: str) -> None:
    with opened(browser, folder / name, viewport=TELEPHONE, has_touch=True, is_mobile=True) as one:
        assert one.page.evaluate("document.documentElement.scrollWidth") == TELEPHONE["width"]
        outside = one.page.evaluate(
            """width => [...document.querySelectorAll("main *")]
                .filter((one) => !one.closest(".unseen, details:not([open]), .wide"))
                .filter((one) => one.getBoundingClientRect().right > width + 1)
                .map((one) => one.outerHTML.slice(0, 120))""",
            TELEPHONE["width"],
        )
        one.page.screenshot(path=SCREENSHOTS / f"{Path(name).stem}_on_a_telephone.png", full_page=True)
        # The values of the charts, and the tables beside each other, scroll within their sections.
        one.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert one.page.evaluate("document.documentElement.scrollWidth") == TELEPHONE["width"]
        one.page.set_viewport_size({"width": 320, "height": 640})
        assert one.page.evaluate("document.documentElement.scrollWidth") == 320
    assert outside == []


@pytest.mark.parametrize(("name", "paper"), [("index.html", "landscape"), ("acme.html", "portrait")])
def test_no_part_is_cut_in_print(browser: Patient, folder: Path, name: str, paper: str) -> None:
    area = A4 if paper == "portrait" else {"width": A4["height"], "height": A4["width"]}
    with opened(browser, folder / name, viewport=area, color_scheme="dark") as one:
        page = one.page
        pdf = page.pdf(prefer_css_page_size=True)
        page.emulate_media(media="print")
        parts = page.evaluate(
            """() => [...document.querySelectorAll("main *")]
                .filter((one) => one.checkVisibility())
                .map((one) => [one, one.getBoundingClientRect(), getComputedStyle(one)])
                .filter(([one, box]) => !one.closest(".unseen"))
                .map(([one, box, style]) => [one.tagName, style.breakInside, box.height, box.right])"""
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= area["width"]
        is_folded = page.locator("#attention ~ details:not([open])").count()
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert not page.locator(".tools, .readout, .values").filter(visible=True).count()
    whole = [(tag, height) for tag, inside, height, _ in parts if inside == "avoid"]
    assert {"TR", "DIV"} <= {tag for tag, _ in whole}
    assert [(tag, height) for tag, height in whole if height > area["height"]] == []
    assert background == "rgb(255, 255, 255)"
    assert not is_folded
    sizes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf)
    assert len(sizes) >= 2
    assert all((float(width) > float(height)) == (paper == "landscape") for width, height in sizes)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_without_scripts_shows_everything(browser: Patient, folder: Path, name: str) -> None:
    with opened(browser, folder / name, java_script_enabled=False) as one:
        page = one.page
        if name == "index.html":
            assert len(names(page)) == len(TEXTS) + 3
            assert not page.get_by_role("searchbox").count()
            return
        page.locator(".values summary").first.click()
        assert page.locator(".values").first.locator("tr").filter(visible=True).count() == 92
        point = page.locator(".wide .point").nth(40)
        point.locator("rect").hover()
        # The CSS draws the dots, and the browser shows the title.
        assert point.locator("circle").first.is_visible()
        assert "clicks" in point.locator("title").text_content()


CONTRASTS = """() => {
    const parsed = (text) => text.match(/[\\d.]+/g).map(Number);
    const light = (channel) => {
        const value = channel / 255;
        return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    };
    const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
    const behind = (element) => {
        for (let one = element; one; one = one.parentElement) {
            const colour = parsed(getComputedStyle(one).backgroundColor);
            if (colour[3] !== 0) return colour;
        }
        return [255, 255, 255];
    };
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        const isHidden = !element.checkVisibility() || element.closest(".unseen, script, title");
        if (isHidden || !walker.currentNode.data.trim()) continue;
        const style = getComputedStyle(element);
        const text = luminance(parsed(element.closest("svg") ? style.fill : style.color));
        const ground = luminance(behind(element.closest("svg")?.parentElement ?? element));
        const contrast = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
        if (contrast < 4.5) found.push(`${contrast.toFixed(2)} ${element.outerHTML.slice(0, 100)}`);
    }
    return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_every_text_has_enough_contrast(browser: Patient, folder: Path, name: str, scheme: str) -> None:
    with opened(browser, folder / name, color_scheme=scheme) as one:
        assert one.page.evaluate(CONTRASTS) == []


@pytest.mark.parametrize("name", PAGES)
def test_landmarks_headings_and_tables_have_names_and_an_order(
    browser: Patient, folder: Path, name: str
) -> None:
    with opened(browser, folder / name) as one:
        page = one.page
        for landmark in ("banner", "main", "contentinfo"):
            assert page.get_by_role(landmark).count() == 1
        levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map((one) => +one.tagName[1])")
        assert levels[0] == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))
        assert page.locator("table").count() == page.locator("table > caption").count() > 0
        assert page.locator("th:not([scope])").count() == 0
        assert page.locator("svg:not([aria-label])").count() == 0
