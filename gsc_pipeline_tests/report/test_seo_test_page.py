"""The page of an SEO test: its result in words, both sets as a chart, and no way for a text to run."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gsc_pipeline.days import Window
from gsc_pipeline.insights.inputs import Inputs
from gsc_pipeline.insights.seo_tests import METRICS, chart_days, seo_tests
from gsc_pipeline.insights.tables import as_table
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SEO_TESTS
from gsc_pipeline.lake.targets import WorkspaceRows
from gsc_pipeline.report.seo_test_chart import weeks
from gsc_pipeline.report.seo_test_page import NO_LATER_DAYS, VERDICTS, TestPage, seo_test_page
from gsc_pipeline.report.write import Reports, write_report, write_test_pages
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline.workspaces.seo_tests import PageSet, SeoTest
from gsc_pipeline_tests.insights.filling import fill
from gsc_pipeline_tests.insights.pairs import LASTING, START, days_of, pair
from gsc_pipeline_tests.report.test_report import HOSTILE, Seen

NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
WINDOW = Window(date(2026, 11, 1), date(2026, 11, 12))


def page_of(days: pd.DataFrame, test: SeoTest = LASTING, name: str = "Acme") -> str:
    rows = seo_tests([test], days, START)
    charts = {metric: chart_days(test, days, (), metric) for metric in METRICS}
    return seo_test_page(TestPage("acme", name, test, rows, charts, NOW))


def made(after: int = 28, **more: Any) -> pd.DataFrame:
    return days_of(*pair(np.random.default_rng(1), 400, after, 400, **more), 400)


def test_the_page_shows_statement_verdict_figures_and_what_to_do() -> None:
    days = made(effect=0.3)
    text = Seen(page_of(days)).text
    row = seo_tests([LASTING], days, START).iloc[0]
    assert row["statement"] in text
    assert "A test on sc-domain:acme.com · Web search · since 7 September 2026" in text
    assert "changed: the group /blog/" in text
    assert "unchanged: the group /guides/, scaled to the same level before the start" in text
    word, meaning, advice = VERDICTS["effect"]
    for part in (word, meaning, advice, f"{row['variant_after']:,.0f}", f"{row['placebos']:,}"):
        assert part in text
    assert f"+{100 * row['effect']:.0f}%" in text
    assert " %" not in text.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("after", "end", "can_wait"),
    [(28, None, True), (56, None, False), (28, START + timedelta(days=20), False)],
)
def test_only_a_test_that_later_days_change_says_to_wait(
    after: int, end: date | None, can_wait: bool
) -> None:
    test = replace(LASTING, end=end)
    days = days_of(*pair(np.random.default_rng(4), 400, after, 400), 400)
    (verdict,) = set(seo_tests([test], days, START)["verdict"])
    assert verdict == "no_effect"
    text = Seen(page_of(days, test)).text
    assert "Clicks no clear effect" in text
    assert (VERDICTS["no_effect"][2] in text, NO_LATER_DAYS in text) == (can_wait, not can_wait)


def test_the_page_links_back_and_loads_nothing() -> None:
    html = page_of(made())
    assert Seen(html).links == ["acme.html"]
    assert 'content="default-src &#39;none&#39;; script-src &#39;sha256-' in html


def test_the_chart_marks_the_start_and_has_the_values_of_each_week() -> None:
    days = made(effect=0.3)
    html = page_of(days)
    assert html.count('class="start"') == 4
    shown = weeks(chart_days(LASTING, days), START)
    assert START in {week.first for week in shown}
    assert {week.first.weekday() for week in shown} == {START.weekday()}
    assert len(shown) == 16 + 4
    since = [week.difference for week in shown if week.first >= START]
    assert all(difference is not None and difference > 0.15 for difference in since)
    seen = Seen(html)
    assert all(text in seen.words for text in shown[-1].texts[:3])
    # Both sizes of the chart of clicks have both lines over all weeks.
    lines = re.findall(r'<path class="(control|variant)" d="(.*?)"', html)
    assert [name for name, _ in lines] == ["control", "variant"] * 4
    assert all(path.count("L") == 19 for _, path in lines)


def test_a_week_without_days_is_a_gap() -> None:
    days = chart_days(LASTING, made())
    is_gone = days["data_date"].between("2026-08-31", "2026-09-06")
    days.loc[is_gone, ["variant", "control", "ratio"]] = math.nan
    gap = next(week for week in weeks(days, START) if week.first == START - timedelta(days=7))
    assert (gap.is_known, gap.difference) == (False, None)
    assert str(gap) == "Week from Mon 31 Aug 2026: no data"


@pytest.mark.parametrize("after", [0, 1, 9])
def test_a_test_that_has_just_begun_has_a_page(after: int) -> None:
    text = Seen(page_of(made(after=after))).text
    assert "Too early: " in text
    assert VERDICTS["too_early"][1] in text


def test_a_test_without_a_day_has_a_page_without_a_chart() -> None:
    html = page_of(made(), replace(LASTING, name="other"))
    assert "<svg" not in html
    assert "No result: the lake has no final day of sc-domain:acme.com." in Seen(html).text


@pytest.fixture(scope="module")
def usual() -> Seen:
    return Seen(page_of(made()))


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_a_test_can_run_or_break_the_page(text: str, usual: Seen) -> None:
    test = replace(LASTING, variant=PageSet(regex=text), control=PageSet(group=text))
    html = page_of(made(), test, name=text)
    assert Seen(html).tags == usual.tags
    assert len(html) < 200_000


EARLY = replace(LASTING, start=date(2026, 11, 5))


@pytest.fixture
def filled(lake: Lake) -> Lake:
    fill(lake, "acme", SyntheticProperty("sc-domain:acme.com", rows_a_day=60), WINDOW, provisional=2)
    return lake


def test_each_test_with_results_has_a_page(tmp_path: Path, filled: Lake, acme: Workspace) -> None:
    tested = replace(acme, seo_tests=(EARLY, replace(EARLY, name="faq")))
    with Inputs(filled, acme) as inputs:
        days = inputs.test_days([EARLY])
    rows = as_table(SEO_TESTS, seo_tests([EARLY], days, date(2026, 11, 9)), "acme")
    filled.replace(SEO_TESTS, WorkspaceRows("acme"), rows)
    how = Reports(str(tmp_path / "out"))
    (file,) = write_test_pages(filled, tested, how, now=NOW)
    assert Path(file.address).name == "acme.test-titles.html"
    html = Path(file.address).read_text("utf-8")
    assert "Too early: 5 final days since 2026-11-05" in html
    assert "Week from Thu 5 Nov 2026" in html
    assert write_test_pages(filled, acme, how, now=NOW) == []


@pytest.mark.soak
def test_a_report_has_a_page_beside_it_for_each_test(tmp_path: Path, filled: Lake, acme: Workspace) -> None:
    tested = replace(acme, seo_tests=(EARLY, replace(EARLY, name="faq", search_type="IMAGE")))
    how = Reports(str(tmp_path / "out"))
    files = [Path(file.address).name for file in write_report(filled, tested, how, now=NOW)]
    assert files == ["acme.html", "acme.test-titles.html", "acme.test-faq.html"]
    assert "the lake has no final day of" in (tmp_path / "out" / files[2]).read_text("utf-8")
