"""The report: what a reader sees, that it holds together by itself, and that hostile texts stay texts."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from gsc_pipeline.days import Window
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import INDEX_COVERAGE, INSIGHTS, STRIKING_DISTANCE
from gsc_pipeline.report.data import ReportData, ReportError, report_data
from gsc_pipeline.report.page import page
from gsc_pipeline.report.spreadsheets import write_csv
from gsc_pipeline.report.write import write_report
from gsc_pipeline.search_console.auth import ServiceAccountFile
from gsc_pipeline.search_console.search_types import QueryType
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline.workspaces import Workspace
from gsc_pipeline_tests.insights.filling import fill
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


class Seen(HTMLParser):
    """The elements and the visible text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self._silent = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._silent = tag == "style"
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "srcset")]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        self._silent = False

    def handle_data(self, data: str) -> None:
        if not self._silent and data.strip():
            self.words.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        return " ".join(self.words)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Two properties, one inside the other, 14 weeks, two days of them provisional, one failed."""
    lake = Lake(str(tmp_path_factory.mktemp("lake")))
    fill(lake, "acme", SyntheticProperty("sc-domain:acme.com", rows_a_day=300), WINDOW, provisional=2)
    shop = SyntheticProperty("https://shop.acme.com/", rows_a_day=60)
    fill(lake, "acme", shop, WINDOW, provisional=2, failed=[date(2026, 11, 12)])
    return lake


@pytest.fixture(scope="module")
def written(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_report(lake, ACME, tmp_path_factory.mktemp("out"), now=NOW, as_csv=True)


@pytest.fixture(scope="module")
def seen(written: list[Path]) -> Seen:
    return Seen(written[0].read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def data(lake: Lake, written: list[Path]) -> ReportData:
    return report_data(lake, ACME, now=NOW)


def test_the_figures_are_those_of_the_outer_property_over_final_days(seen: Seen, data: ReportData) -> None:
    ledger = data.daily[data.daily["data_date"].between("2026-10-22", "2026-11-18")]
    assert (data.figures.first, data.figures.last) == (date(2026, 10, 22), date(2026, 11, 18))
    assert set(ledger["site_url"]) == {"sc-domain:acme.com"}
    assert f"{ledger['clicks'].sum():,}" in seen.words
    assert f"{ledger['impressions'].sum():,}" in seen.words
    assert "vs previous 28 days" in seen.words
    assert "year before: not known" in seen.words


def test_every_part_is_there(seen: Seen) -> None:
    for heading in (
        "Clicks and impressions over time",
        "Brand and non-brand",
        "Devices",
        "Countries",
        "Properties",
        "Within striking distance",
        "Seen, but not clicked",
        "Pages that compete with each other",
        "Pages that lose ground",
        "Winners",
        "Losers",
        "New and lost",
        "Unusual days",
        "In Google's index, or not",
        "About these numbers",
    ):
        assert heading in seen.words
    assert "United States" in seen.words
    assert "Mobile" in seen.words


def test_findings_name_queries_and_say_what_to_do(seen: Seen, data: ReportData) -> None:
    queries = data.findings[STRIKING_DISTANCE]["query"]
    assert len(queries)
    assert set(queries) <= set(seen.words)
    assert "What to do:" in seen.words


def test_notes_tell_what_to_know_of_the_numbers(seen: Seen) -> None:
    assert "https://shop.acme.com/ (WEB) cannot be read now: 1 days since 2026-11-12" in seen.text
    assert "2025-05-13 to 2026-04-27" not in seen.text  # the lake begins after it
    assert "Days from 2026-11-19 on may still change" in seen.text
    assert "may still change" in seen.words
    assert "Google does not name the queries behind" in seen.text
    assert "The totals do not add https://shop.acme.com/" in seen.text


def test_the_page_refers_to_nothing_outside_and_runs_nothing(seen: Seen) -> None:
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(seen.tags)
    outside = [link for link in seen.links if not link.startswith("#")]
    assert outside
    assert all(
        link.startswith(("https://acme.com/", "https://www.acme.com/", "https://shop.acme.com/"))
        for link in outside
    )


def test_charts_have_the_pages_colours_a_text_for_those_who_cannot_see_and_ids_of_their_own(
    written: list[Path],
) -> None:
    text = written[0].read_text(encoding="utf-8")
    drawings = text.split("<svg")[1:]
    assert len(drawings) == 2
    assert "var(--clicks)" in drawings[0]
    assert "#0a0b" not in text
    assert 'role="img" aria-label="The last 91 days, 2026-08-22 to 2026-11-20' in text
    ids = [part.split('"')[0] for part in text.split(' id="')[1:]]
    assert len(ids) == len(set(ids))


def test_hostile_texts_are_texts(data: ReportData) -> None:
    found = data.findings[STRIKING_DISTANCE]
    rows = pd.concat([found.head(1)] * len(HOSTILE), ignore_index=True)
    rows["query"] = list(HOSTILE)
    rows["url"] = [
        "javascript:alert(1)",
        "data:text/html,x",
        *(f"https://acme.com/{text}" for text in HOSTILE[2:]),
    ]
    seen = Seen(page(replace(data, findings={**data.findings, STRIKING_DISTANCE: rows})))
    assert not {"script", "img"} & set(seen.tags)
    assert "<script>alert(1)</script>" in seen.words
    assert "{{ 7 * 7 }}" in seen.words
    assert "مرحبا بالعالم" in seen.words
    assert not [link for link in seen.links if link.startswith(("javascript:", "data:"))]
    assert "x" * 159 + "…" in seen.words
    assert "Acme <b>& Söhne</b>" in seen.words


def test_what_was_not_found_is_said(data: ReportData) -> None:
    empty = {table: rows.head(0) for table, rows in data.findings.items()}
    seen = Seen(page(replace(data, findings=empty)))
    assert seen.words.count("Nothing found.") == 9


def test_what_a_row_has_not_is_a_dash_that_keeps_its_heading(data: ReportData) -> None:
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


def test_rows_of_a_csv_are_in_the_order_of_their_insight(written: list[Path]) -> None:
    def read(table: str, *columns: str) -> list[tuple[str, ...]]:
        file = next(file for file in written if file.name == f"acme-{table}.csv")
        with file.open(encoding="utf-8-sig", newline="") as text:
            return [tuple(row[name] for name in columns) for row in csv.DictReader(text)]

    series = ("site_url", "search_type")
    for rows in (read("daily_performance", *series, "data_date"), read("ctr_curve", *series, "device")):
        assert rows == sorted(rows)
    gaps = [(site, kind, -float(value)) for site, kind, value in read("ctr_gap", *series, "gap_clicks")]
    assert gaps == sorted(gaps)


def test_each_insight_has_a_csv_with_all_its_rows(written: list[Path], lake: Lake) -> None:
    assert [file.name for file in written[1:]] == [f"acme-{table.name}.csv" for table in INSIGHTS]
    for file, table in zip(written[1:], INSIGHTS, strict=True):
        with file.open(encoding="utf-8-sig", newline="") as text:
            rows = list(csv.DictReader(text))
        assert len(rows) == lake.read(table).num_rows
        assert not rows or list(rows[0]) == [c for c in table.schema.names if c not in ("workspace", "month")]


def test_a_cell_that_a_spreadsheet_would_run_is_disarmed(tmp_path: Path) -> None:
    texts = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "plain", "a=b", "NaN", "null", 'say "hi"', "two\nlines"]
    frame = pd.DataFrame({"query": texts, "change": -5.0, "day": pd.Timestamp("2026-11-17"), "none": None})
    write_csv(tmp_path / "x.csv", frame)
    with (tmp_path / "x.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["query"] for row in rows] == [f"'{text}" for text in texts[:6]] + texts[6:]
    assert {(row["change"], row["day"], row["none"]) for row in rows} == {("-5.0", "2026-11-17", "")}


def test_a_feed_alone_has_a_report_without_positions_and_brand(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    prop = SyntheticProperty("sc-domain:news.com", rows_a_day=60, search_types=("discover",))
    fill(lake, "acme", prop, WINDOW, search_types=("discover",))
    (file,) = write_report(lake, replace(ACME, brand_terms=()), tmp_path / "out", now=NOW)
    seen = Seen(file.read_text(encoding="utf-8"))
    assert "· Discover" in seen.text
    assert "Brand and non-brand" not in seen.words
    assert "Devices" not in seen.words
    assert "No brand terms are set" in seen.text


def test_a_long_history_is_drawn_by_weeks_and_googles_faults_are_told(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    prop = SyntheticProperty("sc-domain:old.com", rows_a_day=30, plants=False)
    fill(lake, "acme", prop, Window(date(2025, 10, 1), date(2026, 11, 21)), provisional=2)
    (file,) = write_report(lake, ACME, tmp_path / "out", now=NOW)
    seen = Seen(file.read_text(encoding="utf-8"))
    assert "All 59 weeks" in seen.words
    assert "2025-05-13 to 2026-04-27" in seen.text
    assert "vs year before" in seen.words


def test_a_workspace_without_a_final_day_has_no_report(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    with pytest.raises(ReportError, match=r"acme: nothing to report on.*run gsc sync"):
        write_report(lake, ACME, tmp_path, now=NOW)
    fill(
        lake,
        "acme",
        SyntheticProperty("sc-domain:acme.com", rows_a_day=30),
        Window.last_complete(2, WINDOW.end),
        provisional=2,
    )
    with pytest.raises(ReportError, match="no day of it is final"):
        write_report(lake, ACME, tmp_path, now=NOW)


def test_a_folder_that_cannot_be_one_is_an_error_in_one_line(lake: Lake, written: list[Path]) -> None:
    with pytest.raises(ReportError, match="cannot be written"):
        write_report(lake, ACME, written[0] / "below", now=NOW)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    real_now = datetime.now(UTC)
    with World.serving(tmp_path_factory.mktemp("world"), now=real_now) as world:
        yield {**os.environ, **world.environment(), "HERE": str(world.folder)}


def gsc(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("gsc")), *arguments]
    folder = environment["HERE"]
    return subprocess.run(command, env=environment, cwd=folder, check=False, capture_output=True, text=True)


def test_the_command_writes_the_report_and_says_where(environment: dict[str, str]) -> None:
    done = gsc(environment, "report", "acme")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("gsc: acme: nothing to report on")
    start = datetime.now(UTC) - timedelta(days=12)
    assert gsc(environment, "sync", "--start", f"{start:%Y-%m-%d}").returncode == 0
    done = gsc(environment, "report", "acme", "--output", "out", "--csv")
    assert done.returncode == 0, done.stderr
    files = [Path(environment["HERE"]) / line for line in done.stdout.splitlines()]
    assert len(files) == 1 + len(INSIGHTS)
    assert all(file.is_file() for file in files)
    done = gsc({**environment, "GSC_REPORTS": "kept"}, "report", "acme")
    assert done.stdout == f"{Path('kept', 'acme.html')}\n"


def test_the_command_refuses_a_workspace_that_is_not_listed(environment: dict[str, str]) -> None:
    done = gsc(environment, "report", "nobody")
    assert done.returncode == 2
    assert done.stderr == "gsc: workspaces: nobody: unknown workspace (known: acme)\n"
