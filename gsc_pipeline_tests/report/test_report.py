"""The report: its contents and CSV files, without external resources and with every text escaped."""

from __future__ import annotations

import base64
import csv
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from gsc_pipeline.days import Window
from gsc_pipeline.insights.refresh import refresh_insights
from gsc_pipeline.insights.scope import WHOLE
from gsc_pipeline.insights.tables import read_ranked
from gsc_pipeline.lake.annotations.record import Annotation, Kind, Source
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.quality import DarkProperty
from gsc_pipeline.lake.schemas import (
    CTR_GAP,
    DAILY_PERFORMANCE,
    INDEX_COVERAGE,
    INSIGHTS,
    SITE_IMPRESSION,
    STRIKING_DISTANCE,
    WINNERS_AND_LOSERS,
    TableSpec,
)
from gsc_pipeline.report.data import ReportData, ReportError, report_data
from gsc_pipeline.report.findings import FINDINGS, preview_columns
from gsc_pipeline.report.page import breakable, page
from gsc_pipeline.report.preview import preview_rows
from gsc_pipeline.report.spreadsheets import csv_file
from gsc_pipeline.report.write import Reports, write_report
from gsc_pipeline.search_console.auth import ServiceAccountFile
from gsc_pipeline.search_console.search_types import FeedType, QueryType
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline.sync.failures import record_standing
from gsc_pipeline.sync.problems import Problem
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline.workspaces.thresholds import Thresholds
from gsc_pipeline_tests.cli.conftest import Gsc, Result
from gsc_pipeline_tests.insights.filling import fill
from gsc_pipeline_tests.soak import rest_in_soak
from gsc_pipeline_tests.world import World

NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
WINDOW = Window(date(2026, 8, 16), date(2026, 11, 21))
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "</style><b>",
    "{{ 7 * 7 }}",
    "مرحبا بالعالم",
    "x" * 5_000,
)
ACME = Workspace(
    "acme",
    "Acme <b>& Söhne</b>",
    ServiceAccountFile(Path("nowhere.json")),
    None,
    (QueryType.WEB,),
    brand_terms=("acme",),
)


def written_files(
    lake: Lake, workspace: Workspace, folder: Path, *, now: datetime, as_csv: bool = False
) -> list[Path]:
    how = Reports(str(folder), as_csv)
    return [Path(file.address) for file in write_report(lake, workspace, how, now=now)]


class Seen(HTMLParser):
    """The elements and the visible text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self._silent = self._goes_on = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        # A place where a long word may be broken, not the end of one.
        self._goes_on = tag == "wbr"
        self._silent = tag in ("style", "script")
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "srcset")]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        self._silent = False

    def handle_data(self, data: str) -> None:
        if not self._silent and data.strip():
            word = " ".join(data.split())
            self.words.append(self.words.pop() + word if self._goes_on else word)
        self._goes_on = False

    @property
    def text(self) -> str:
        return " ".join(self.words)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Fourteen weeks of two overlapping properties, with two provisional days and a failed one."""
    lake = Lake(str(tmp_path_factory.mktemp("lake")))
    fill(lake, "acme", SyntheticProperty("sc-domain:acme.com", rows_a_day=300), WINDOW, provisional=2)
    shop = SyntheticProperty("https://shop.acme.com/", rows_a_day=60)
    day = date(2026, 11, 12)
    fill(lake, "acme", shop, WINDOW, provisional=2, failed=[day])
    problem = Problem("503", "https://shop.acme.com/", "WEB", (day,))
    record_standing(lake, "acme", [problem], {}, NOW)
    return lake


@pytest.fixture(scope="module")
def written(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return written_files(lake, ACME, tmp_path_factory.mktemp("out"), now=NOW, as_csv=True)


@pytest.fixture(scope="module")
def seen(written: list[Path]) -> Seen:
    return Seen(written[0].read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def data(lake: Lake, written: list[Path]) -> ReportData:
    return report_data(lake, ACME, now=NOW)


def test_the_headline_shows_the_outer_property_over_final_days(seen: Seen, data: ReportData) -> None:
    ledger = data.daily[data.daily["data_date"].between("2026-10-22", "2026-11-18")]
    assert (data.figures.first, data.figures.last) == (date(2026, 10, 22), date(2026, 11, 18))
    assert set(ledger["site_url"]) == {"sc-domain:acme.com"}
    assert f"{ledger['clicks'].sum():,}" in seen.words
    assert f"{ledger['impressions'].sum():,}" in seen.words
    assert "vs previous 28 days" in seen.words
    assert "year before: unknown" in seen.words


def test_the_page_has_every_section(seen: Seen) -> None:
    for heading in (
        "Clicks and impressions over time",
        "Brand and non-brand",
        "Devices",
        "Countries",
        "Properties",
        "Within striking distance",
        "Seen, but not clicked",
        "Pages that compete with each other",
        "Pages that lose clicks",
        "Winners",
        "Losers",
        "New and lost",
        "Unusual days",
        "Not looked for",
        "About these numbers",
    ):
        assert heading in seen.words
    assert "United States" in seen.words
    assert "Mobile" in seen.words


def test_findings_list_queries_and_advice(seen: Seen, data: ReportData) -> None:
    queries = data.findings[STRIKING_DISTANCE]["query"]
    assert len(queries)
    assert set(queries) <= set(seen.words)
    assert "What to do:" in seen.words


def test_explanations_name_the_thresholds_of_the_workspace(data: ReportData) -> None:
    own = Thresholds(
        striking_impressions=5000,
        decay_share=0.125,
        decay_clicks=70,
        ctr_gap_share=0.4,
        cannibalisation_share=0.15,
        change_share=0.25,
        change_impressions=60,
        anomaly_share=0.35,
        anomaly_weeks=6,
        window_days=14,
    )
    seen = Seen(page(replace(data, workspace=replace(data.workspace, thresholds=own))))
    for sentence in (
        "from 4 to 20 and at least 5,000 impressions",
        "at most 40% of the clicks that other results",
        "several pages have at least 15% each",
        "lost at least 12.5% of 70 clicks or more",
        "at least 60 impressions in this and the previous window, and at least 25% more clicks",
        "at least 60 impressions in one of these windows",
        "Days of the last 14 that differ by at least 35% from the same weekday in the 6 weeks before",
        "A window is 14 final days",
    ):
        assert sentence in seen.text


def test_notes_explain_the_limits_of_the_numbers(seen: Seen) -> None:
    missing = "https://shop.acme.com/ (Web search): the newest numbers of 1 day since 2026-11-12 are missing."
    assert missing in seen.text
    assert "2025-05-13 to 2026-04-27" not in seen.text  # the lake begins after it
    assert "Days from 2026-11-19 on may still change" in seen.text
    assert "may still change" in seen.words
    assert "Google does not name the queries behind" in seen.text
    assert "The totals leave out https://shop.acme.com/" in seen.text


def test_notes_and_charts_name_the_annotations_of_the_period(seen: Seen, data: ReportData) -> None:
    split = "Web search split into text and multimodal in Search Console"
    assert f"{split}, since 2026-09-24. Search Console's own pages" in seen.text
    assert (
        "Google's ranking updates in this period: August 2026 spam update (2026-08-18 to 2026-08-21); "
        "September 2026 spam update (2026-09-24 to 2026-10-08)." in seen.text
    )
    assert "Discover data missing" not in seen.text  # of another search type, and earlier
    # The chart begins after the August update.
    assert "August 2026 spam update ," not in seen.text
    legend = f"September 2026 spam update , 2026-09-24 to 2026-10-08 {split} , since 2026-09-24"
    assert legend in seen.text


def test_a_note_of_another_workspace_or_property_is_not_in_the_report(data: ReportData) -> None:
    day = date(2026, 11, 3)
    own = Annotation(Kind.NOTE, "Relaunch <b>", day, day, workspace="acme", source=Source.YOURS)
    assert own.is_of(data.workspace.id)
    seen = Seen(page(replace(data, annotations=(own,))))
    assert "Relaunch <b>" in seen.words
    assert "Relaunch <b>, 2026-11-03." in seen.words


def test_windows_that_are_not_counted_alike_are_named(data: ReportData) -> None:
    fault = Annotation(Kind.DATA_FAULT, "Impressions lost", date(2026, 10, 1), date(2026, 10, 2))
    both = Annotation(Kind.COUNTING_CHANGE, "All new", date(2026, 1, 1))
    young = Seen(page(replace(data, annotations=(both, fault))))
    grown = replace(data.figures, year=data.figures.previous)
    seen = Seen(page(replace(data, annotations=(both, fault), figures=grown)))
    sentence = "A fault of the data or a change of counting affects the comparison with"
    assert f"{sentence} the days before: Impressions lost." in seen.text
    assert f"{sentence} the year before: All new." in seen.text
    # Nothing is compared with a year before that is unknown.
    assert data.figures.year is None
    assert f"{sentence} the year before" not in young.text
    rows = data.findings[WINNERS_AND_LOSERS].assign(annotation="Impressions lost")
    seen = Seen(page(replace(data, findings={**data.findings, WINNERS_AND_LOSERS: rows})))
    assert seen.words.count("The two windows are not counted alike:") == 3


def scripts_and_hashes(html: str) -> tuple[list[str], list[str]]:
    """The texts of the page's scripts, and the hashes that its security policy allows."""
    return re.findall(r"<script>(.*?)</script>", html, re.DOTALL), re.findall(r"sha256-([\w+/=]+)", html)


def test_the_page_has_no_external_resources_and_its_policy_allows_its_one_script(
    seen: Seen, written: list[Path]
) -> None:
    (script,), (allowed,) = scripts_and_hashes(written[0].read_text(encoding="utf-8"))
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() == allowed
    assert seen.tags.count("script") == 1
    assert not {"link", "img", "iframe", "object", "form", "base"} & set(seen.tags)
    outside = [link for link in seen.links if not link.startswith("#")]
    assert outside
    assert all(
        link.startswith(("https://acme.com/", "https://www.acme.com/", "https://shop.acme.com/"))
        for link in outside
    )


def test_charts_use_the_colours_of_the_page_and_have_a_label(written: list[Path]) -> None:
    text = written[0].read_text(encoding="utf-8")
    assert "var(--clicks)" in text.split("<svg")[1]
    # Wide and narrow.
    assert text.count('role="img" aria-label="The last 91 days, 2026-08-22 to 2026-11-20') == 2


def test_hostile_texts_are_escaped(data: ReportData) -> None:
    found = data.findings[STRIKING_DISTANCE]
    rows = pd.concat([found.head(1)] * len(HOSTILE), ignore_index=True)
    rows["query"] = list(HOSTILE)
    rows["url"] = [
        "javascript:alert(1)",
        "data:text/html,x",
        *(f"https://acme.com/{text}" for text in HOSTILE[2:]),
    ]
    seen = Seen(page(replace(data, findings={**data.findings, STRIKING_DISTANCE: rows})))
    assert seen.tags.count("script") == 1
    assert "img" not in seen.tags
    assert "<script>alert(1)</script>" in seen.words
    assert "{{ 7 * 7 }}" in seen.words
    assert "مرحبا بالعالم" in seen.words
    assert not [link for link in seen.links if link.startswith(("javascript:", "data:"))]
    assert "x" * 159 + "…" in seen.words
    assert "Acme <b>& Söhne</b>" in seen.words


def test_a_long_address_may_be_broken_after_its_separators() -> None:
    assert breakable("sc-domain:acme.com") == "sc-domain:<wbr>acme.com"
    assert breakable("https://a/<b>?c=1&d") == "https://<wbr>a/<wbr>&lt;b&gt;?<wbr>c=<wbr>1&amp;<wbr>d"
    assert breakable("shoes for kids") == "shoes for kids"


def test_findings_without_rows_share_one_line(data: ReportData) -> None:
    empty = {table: rows.head(0) for table, rows in data.findings.items()}
    seen = Seen(page(replace(data, findings=empty)))
    assert "Nothing found Within striking distance, Seen, but not clicked, Pages" in seen.text
    assert "Not looked for Index problems: no inspection or sitemap is known." in seen.text
    assert not {"What to do:", "Query"} & set(seen.words)
    one_more = Seen(page(replace(data, findings=empty | {CTR_GAP: data.findings[CTR_GAP]})))
    assert one_more.words.count("What to do:") == 1
    dark = DarkProperty("acme", "sc-domain:acme.com", "WEB", date(2026, 11, 10), 8, 40, 400)
    seen = Seen(page(replace(data, findings=empty, dark=(dark,))))
    assert "Unusual days (except the warning at the top)" in seen.text


def test_rows_of_several_properties_or_search_types_name_theirs(data: ReportData) -> None:
    found = data.findings[STRIKING_DISTANCE]
    web = found[found["site_url"] == "sc-domain:acme.com"]
    shop, images = web.assign(site_url="https://shop.acme.com/"), web.assign(search_type="IMAGE")
    names = ('data-label="Property"><bdi>', 'data-label="Search type"><bdi>')
    both = pd.concat([web, shop, images])
    for rows, are_named in ((web, (0, 0)), (pd.concat([web, images]), (0, 1)), (both, (1, 1))):
        html = page(replace(data, findings={STRIKING_DISTANCE: rows}))
        assert tuple(int(name in html) for name in names) == are_named


def remove_a_day(lake: Lake) -> None:
    DeltaTable(lake.table_uri(SITE_IMPRESSION)).delete("data_date = DATE '2026-11-10'")


def add_a_day_again(lake: Lake) -> None:
    of_day = lake.read(SITE_IMPRESSION, where=pc.field("data_date") == date(2026, 11, 10))
    lake.append(SITE_IMPRESSION, of_day)


@pytest.mark.parametrize("harm", [remove_a_day, add_a_day_again], ids=lambda harm: harm.__name__)
def test_a_report_of_a_lake_with_fewer_or_more_rows_than_counted_says_so(
    data: ReportData, lake: Lake, harm: Callable[[Lake], None]
) -> None:
    sentence = (
        "Stored rows are not those that were counted: numbers by query, page, device and country may be "
        "wrong."
    )
    assert sentence not in Seen(page(data)).text
    version = lake.version_of(SITE_IMPRESSION)
    harm(lake)
    table = DeltaTable(lake.table_uri(SITE_IMPRESSION))
    try:
        assert sentence in Seen(page(report_data(lake, ACME, now=NOW))).text
    finally:
        table.restore(version)


def test_a_missing_value_is_a_dash_with_its_heading(data: ReportData) -> None:
    state = {
        "source": "sitemaps",
        "item": "https://acme.com/sitemap.xml",
        "is_problem": True,
        "pages": 7,
        "errors": None,
        "example_url": None,
    }
    html = page(replace(data, findings={**data.findings, INDEX_COVERAGE: pd.DataFrame([state])}))
    assert '<td class="num" data-label="Errors">–</td>' in html
    assert '<td class="word" data-label="Example">–</td>' in html


@pytest.mark.parametrize("table", INSIGHTS, ids=lambda table: table.name)
def test_csv_preview_and_page_show_rows_in_the_same_order(
    table: TableSpec, written: list[Path], lake: Lake, data: ReportData
) -> None:
    def keys(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
        names = [name for name in table.keys if name in preview_columns(table)]
        return [tuple(str(row[name]) for name in names) for row in rows]

    (file,) = [file for file in written if file.name == f"acme-{table.name}.csv"]
    with file.open(encoding="utf-8-sig", newline="") as text:
        everything = keys(list(csv.DictReader(text)))
    assert keys(preview_rows(table, WHOLE.of(table, read_ranked(lake, table, "acme")))) == everything[:10]
    for finding in FINDINGS:
        if finding.table is table:
            shown = keys(finding.of(data.findings[table]).to_dict("records"))
            assert shown == [one for one in everything if one in shown]


def test_rows_are_ranked_across_properties(lake: Lake) -> None:
    gaps = read_ranked(lake, CTR_GAP, "acme")
    assert gaps["site_url"].nunique() == 2
    assert gaps["gap_clicks"].is_monotonic_decreasing
    days = read_ranked(lake, DAILY_PERFORMANCE, "acme")
    assert days["data_date"].is_monotonic_decreasing


def test_a_preview_shows_the_columns_of_the_findings_and_the_property_last(lake: Lake) -> None:
    (first, *_) = preview_rows(CTR_GAP, read_ranked(lake, CTR_GAP, "acme"))
    telling = ["query", "device", "url", "impressions", "ctr", "expected_ctr", "gap_clicks"]
    of_scope = ("dimension", "queries", "content_group")
    assert [name for name in first if name not in of_scope] == [*telling, "site_url", "search_type"]
    (newest, *_) = preview_rows(DAILY_PERFORMANCE, read_ranked(lake, DAILY_PERFORMANCE, "acme"))
    assert list(newest)[:4] == ["data_date", "is_final", "truncated", "clicks"]
    assert newest["data_date"] == "2026-11-20"


def test_each_insight_has_a_csv_with_all_its_rows_within_the_scope(written: list[Path], lake: Lake) -> None:
    assert [file.name for file in written[1:]] == [f"acme-{table.name}.csv" for table in INSIGHTS]
    for file, table in zip(written[1:], INSIGHTS, strict=True):
        with file.open(encoding="utf-8-sig", newline="") as text:
            rows = list(csv.DictReader(text))
        assert len(rows) == len(WHOLE.of(table, lake.read(table).to_pandas()))
        assert not rows or list(rows[0]) == [c for c in table.schema.names if c not in ("workspace", "month")]


def test_cells_that_a_spreadsheet_would_run_are_escaped(tmp_path: Path) -> None:
    texts = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "plain", "a=b", "NaN", "null", 'say "hi"', "two\nlines"]
    frame = pd.DataFrame({"query": texts, "change": -5.0, "day": pd.Timestamp("2026-11-17"), "none": None})
    (tmp_path / "x.csv").write_bytes(csv_file(frame))
    with (tmp_path / "x.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["query"] for row in rows] == [f"'{text}" for text in texts[:6]] + texts[6:]
    assert {(row["change"], row["day"], row["none"]) for row in rows} == {("-5.0", "2026-11-17", "")}


def test_a_report_on_a_feed_has_no_brand_split_and_no_devices(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    prop = SyntheticProperty("sc-domain:news.com", rows_a_day=60, search_types=("discover",))
    fill(lake, "acme", prop, WINDOW, search_types=("discover",))
    feed = replace(ACME, brand_terms=(), search_types=(FeedType.DISCOVER,))
    (file,) = written_files(lake, feed, tmp_path / "out", now=NOW)
    seen = Seen(file.read_text(encoding="utf-8"))
    assert "· Discover" in seen.text
    assert "Brand and non-brand" not in seen.words
    assert "Devices" not in seen.words
    assert "Brand queries" not in seen.text


@pytest.mark.soak
def test_a_long_history_is_drawn_by_weeks_and_known_issues_are_noted(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    prop = SyntheticProperty("sc-domain:old.com", rows_a_day=30, plants=False)
    fill(lake, "acme", prop, Window(date(2025, 10, 1), date(2026, 11, 21)), provisional=2)
    (file,) = written_files(lake, ACME, tmp_path / "out", now=NOW)
    seen = Seen(file.read_text(encoding="utf-8"))
    assert "All 59 weeks" in seen.words
    assert "2025-05-13 to 2026-04-27" in seen.text
    assert "vs year before" in seen.words


def test_a_property_or_search_type_that_was_dropped_is_nowhere_in_the_report(
    lake: Lake, written: list[Path], tmp_path: Path
) -> None:
    rest = replace(ACME, properties=("https://shop.acme.com/",))
    files = written_files(lake, rest, tmp_path, now=NOW, as_csv=True)
    assert not [file for file in files if "sc-domain:acme.com" in file.read_text(encoding="utf-8")]
    with pytest.raises(ReportError, match="nothing to report"):
        written_files(lake, replace(ACME, search_types=(QueryType.IMAGE,)), tmp_path, now=NOW)


@pytest.mark.usefixtures("written")
def test_the_report_has_no_advice_for_those_who_run_the_pipeline(lake: Lake) -> None:
    cause = "403: User does not have sufficient permission"
    hint = "add the credential, see the log, run gsc sync, set GSC_API_ATTEMPTS"
    site = "https://shop.acme.com/"
    record_standing(
        lake, "acme", [Problem(cause, site, "WEB", (date(2026, 11, 12),), next_step=hint)], {}, NOW
    )
    text = Seen(page(report_data(lake, replace(ACME, brand_terms=()), now=NOW))).text
    for word in ("gsc ", "GSC_", "the log", "credential", "permission", "403", "workspace", "brand terms"):
        assert word not in text, word


def test_a_cut_day_of_two_properties_is_one_day(data: ReportData) -> None:
    daily = data.daily.assign(truncated=data.daily["data_date"] == "2026-11-10")
    two = pd.concat([daily, daily.assign(site_url="https://other.example/")])
    assert "On 1 day of the window" in Seen(page(replace(data, daily=two))).text


def test_what_google_cut_off_is_told_apart_from_what_it_anonymised(data: ReportData) -> None:
    cut = data.daily["anonymised_clicks"]
    daily = data.daily.assign(truncated=True, cut_clicks=cut, anonymised_clicks=cut * 0)
    text = Seen(page(replace(data, daily=daily))).text
    assert "limit of 50,000 rows a day cut off rare queries for " in text
    assert "does not name the queries behind 0% of the clicks" in text
    assert re.search(r" 0.0% anonymised, [1-9][\d.]*% cut off", text)


@pytest.mark.parametrize("first_empty", rest_in_soak([date(2026, 11, 19), date(2026, 10, 21)]))
def test_a_site_whose_numbers_fell_to_nothing_is_the_first_line(tmp_path: Path, first_empty: date) -> None:
    lake = Lake(str(tmp_path / "lake"))
    empty = [day for day in WINDOW if day < date(2026, 9, 20) or day >= first_empty]
    prop = SyntheticProperty("sc-domain:dark.com", rows_a_day=60, days_without_data=empty)
    fill(lake, "acme", prop, WINDOW)
    (file,) = written_files(lake, ACME, tmp_path, now=NOW)
    seen = Seen(file.read_text(encoding="utf-8"))
    last, days = first_empty - timedelta(1), (WINDOW.end - first_empty).days
    (first_section,) = seen.text.split("· Web search ")[1:]
    assert first_section.startswith(
        f"sc-domain:dark.com (Web search) has had no impressions since {last}, for {days} days. "
        "In the four weeks before, it had "
    )
    assert not re.search(r"Nothing found [^.]*Unusual days(?! \(beside)", seen.text)


def test_a_report_of_a_site_of_three_weeks_has_devices_and_countries_without_a_change(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    weeks = Window(date(2026, 10, 31), WINDOW.end)
    fill(lake, "acme", SyntheticProperty("sc-domain:new.com", rows_a_day=60), weeks)
    refresh_insights(lake, ACME, now=NOW)
    data = report_data(lake, ACME, now=NOW)
    for parts in (data.devices, data.countries):
        assert parts["clicks"].sum() == data.figures.totals.clicks > 0
        assert parts["change_share"].isna().all()
    seen = Seen(page(data))
    assert (
        "Not looked for Pages that lose clicks, Winners, Losers, New and lost: there is no earlier window to "
        "compare with. Unusual days: more than 4 weeks of final days are needed. Index problems: "
    ) in seen.text
    assert not {"Winners", "Unusual days"} & set(seen.text.partition("Nothing found ")[2].split(", "))


def test_a_report_of_old_numbers_says_so(data: ReportData) -> None:
    assert "before this report was made" not in Seen(page(data)).text
    late = replace(data, made_at=NOW + timedelta(days=14))
    expected = "The newest final day, 2026-11-18, is 17 days before this report was made."
    assert expected in Seen(page(late)).words


def test_days_before_a_site_began_are_zero_not_unknown(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    empty = [day for day in WINDOW if day < date(2026, 10, 25)]
    fill(lake, "acme", SyntheticProperty("sc-domain:new.com", rows_a_day=60, days_without_data=empty), WINDOW)
    (file,) = written_files(lake, ACME, tmp_path, now=NOW)
    seen = Seen(file.read_text(encoding="utf-8"))
    assert "previous 28 days: no impressions" in seen.text
    assert "previous 28 days: unknown" not in seen.text
    assert "gap: no data" not in seen.text


def test_a_workspace_without_a_final_day_has_no_report(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    with pytest.raises(ReportError, match=r"acme: nothing to report.*Run gsc sync"):
        written_files(lake, ACME, tmp_path, now=NOW)
    fill(
        lake,
        "acme",
        SyntheticProperty("sc-domain:acme.com", rows_a_day=30),
        Window.last_complete(2, WINDOW.end),
        provisional=2,
    )
    with pytest.raises(ReportError, match=r"no final day in .* has impressions"):
        written_files(lake, ACME, tmp_path, now=NOW)


def test_a_folder_that_cannot_be_created_is_an_error(lake: Lake, written: list[Path]) -> None:
    with pytest.raises(ReportError, match="cannot be written"):
        written_files(lake, ACME, written[0] / "below", now=NOW)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    real_now = datetime.now(UTC)
    with World.serving(tmp_path_factory.mktemp("world"), now=real_now) as world:
        world.sync(world.workspace(), world.last(9))
        yield {**world.environment(), "HERE": str(world.folder)}


@pytest.fixture
def command(gsc: Gsc, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`gsc` in the world's folder, with further variables by name."""
    monkeypatch.chdir(environment["HERE"])
    return lambda *arguments, **variables: gsc(*arguments, env={**environment, **variables})


def test_the_command_writes_the_report_and_prints_its_path(command: Callable[..., Result]) -> None:
    done = command("report", "acme", GSC_LAKE="empty")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("gsc: acme: nothing to report")
    done = command("report", "acme", "--output", "out", "--csv")
    assert done.code == 0, done.err
    files = [Path(line) for line in done.out.splitlines()]
    assert len(files) == 1 + len(INSIGHTS)
    assert all(file.is_file() for file in files)
    done = command("report", "acme", GSC_REPORTS="kept")
    assert done.out == f"{Path('kept', 'acme.html')}\n"


def test_the_command_writes_every_report_and_the_portal(command: Callable[..., Result]) -> None:
    linking = {"GSC_REPORTS": "every", "GSC_REPORTS_LINK_BACK": "true"}
    done = command("report", "--all", **linking)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [str(Path("every", name)) for name in ("acme.html", "index.html")]
    folder = Path("every")
    assert "acme.html" in Seen((folder / "index.html").read_text(encoding="utf-8")).links
    assert "index.html" in Seen((folder / "acme.html").read_text(encoding="utf-8")).links
    # For its client, the report of one workspace has no link to the portal.
    assert command("report", "acme", **linking).code == 0
    assert "index.html" not in Seen((folder / "acme.html").read_text(encoding="utf-8")).links


@pytest.mark.parametrize("arguments", [[], ["acme", "--all"]])
def test_the_command_expects_a_workspace_or_all(command: Callable[..., Result], arguments: list[str]) -> None:
    done = command("report", *arguments)
    assert (done.code, done.err) == (2, "gsc: report: expected either a workspace, or --all\n")


def test_the_command_writes_the_report_of_a_scope_beside_the_others(command: Callable[..., Result]) -> None:
    done = command("report", "acme", "--canonical-queries", "--output", "scoped")
    assert (done.code, done.out) == (0, f"{Path('scoped', 'acme.canonical.html')}\n")
    done = command("report", "acme", "--content-group", "/nowhere/")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("gsc: acme: no content group /nowhere/ (known: ")


@pytest.mark.parametrize("scope", [["--canonical-queries"], ["--content-group", "/blog/"]])
def test_a_scope_is_of_one_workspace(command: Callable[..., Result], scope: list[str]) -> None:
    done = command("report", "--all", *scope)
    expected = "gsc: report: --content-group and --canonical-queries are for one workspace\n"
    assert (done.code, done.err) == (2, expected)


def test_the_command_rejects_an_unknown_workspace(command: Callable[..., Result]) -> None:
    done = command("report", "nobody")
    assert done.code == 2
    assert done.err == "gsc: workspaces: nobody: unknown workspace (known: acme)\n"
