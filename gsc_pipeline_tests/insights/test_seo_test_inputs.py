"""Both sets of pages of an SEO test, summed from a lake, and the result after a refresh."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gsc_pipeline.days import Window
from gsc_pipeline.insights.inputs import Inputs
from gsc_pipeline.insights.refresh import refresh_insights
from gsc_pipeline.insights.seo_tests import TEST_DAYS_INPUT
from gsc_pipeline.lake.annotations.record import Annotation, Kind
from gsc_pipeline.lake.annotations.stored import bring_up_to_date
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SEO_TESTS, SYNC_LEDGER
from gsc_pipeline.lake.targets import WorkspaceRows
from gsc_pipeline.simulator import Facts, SyntheticProperty
from gsc_pipeline.workspaces.content_groups import ContentGroup
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline.workspaces.seo_tests import PageSet, SeoTest
from gsc_pipeline_tests.insights.filling import fill
from gsc_pipeline_tests.truth import url_truth

NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
SITE = "sc-domain:acme.com"
WINDOW = Window(date(2026, 10, 20), date(2026, 11, 4))
MISSING = date(2026, 10, 24)
EMPTY = date(2026, 10, 26)
PROPERTY = SyntheticProperty(SITE, rows_a_day=60, days_without_data=[EMPTY])

GROUPS = SeoTest(
    "groups", SITE, "WEB", date(2026, 10, 28), PageSet(group="/blog/"), PageSet(group="/guides/")
)
PAGES = replace(
    GROUPS,
    name="pages",
    variant=PageSet(pages=("https://www.acme.com/guides/best-bike-helmet", "https://www.acme.com/it's")),
    control=PageSet(regex=r"/guides/|/help/"),
)
HOME = replace(GROUPS, name="home", variant=PageSet(group="/"), control=PageSet(regex="acme"))
OTHER = replace(GROUPS, name="other", site_url="sc-domain:other.com")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(str(tmp_path_factory.mktemp("tests") / "lake"))
    fill(lake, "acme", PROPERTY, WINDOW, provisional=2, without=[MISSING])
    return lake


def days_of(lake: Lake, acme: Workspace, *tests: SeoTest) -> pd.DataFrame:
    with Inputs(lake, acme) as inputs:
        return inputs.test_days(tests)


def truth(day: date, pattern: str, but_not: str = "^$") -> tuple[int, int]:
    """Clicks and impressions of the pages that match."""
    facts = PROPERTY.facts("web", day)
    if facts is None:
        return 0, 0
    rows = url_truth(facts).to_pandas()
    rows = rows[rows["url"].str.contains(pattern) & ~rows["url"].str.contains(but_not)]
    return int(rows["clicks"].sum()), int(rows["impressions"].sum())


def test_both_sets_are_summed_on_each_final_day(lake: Lake, acme: Workspace) -> None:
    days = days_of(lake, acme, GROUPS, PAGES, HOME)
    final = [day for day in WINDOW if day != MISSING][:-2]
    for test, variant, control, but_not in (
        ("groups", "/blog/", "/guides/", "^$"),
        ("pages", "best-bike-helmet$", "/guides/|/help/", "guides/best-bike-helmet$"),
        ("home", "^https://www.acme.com/$", "acme", "^https://www.acme.com/$"),
    ):
        rows = days[days["test"] == test].sort_values("data_date")
        assert [day.date() for day in rows["data_date"]] == final
        for row, day in zip(rows.to_dict("records"), final, strict=True):
            assert (row["variant_clicks"], row["variant_impressions"]) == truth(day, variant), (test, day)
            assert (row["control_clicks"], row["control_impressions"]) == truth(day, control, but_not)
    shared = days.groupby("test")["shared_impressions"].sum()
    assert shared["groups"] == 0
    assert shared["pages"] == sum(truth(day, "guides/best-bike-helmet$")[1] for day in final)


def test_a_group_is_the_one_of_the_workspaces_rules(lake: Lake, acme: Workspace) -> None:
    rules = (ContentGroup("Blog", path="/blog/"), ContentGroup("Helmets", regex="helmet"))
    named = replace(GROUPS, variant=PageSet(group="Helmets"), control=PageSet(group="other"))
    with Inputs(lake, replace(acme, content_groups=rules)) as inputs:
        days = inputs.test_days([named]).set_index("data_date")
    day = date(2026, 10, 22)
    row = days.loc[pd.Timestamp(day)]
    assert (row["variant_clicks"], row["variant_impressions"]) == truth(day, "helmet", "/blog/")
    assert (row["control_clicks"], row["control_impressions"]) == truth(day, "", "/blog/|helmet")


def test_an_empty_day_is_zero_and_a_provisional_or_missing_one_is_none(lake: Lake, acme: Workspace) -> None:
    days = days_of(lake, acme, GROUPS).set_index("data_date")
    assert days.loc[pd.Timestamp(EMPTY), "variant_clicks"] == 0
    assert pd.Timestamp(MISSING) not in days.index
    assert days.index.max() == pd.Timestamp(WINDOW.end - timedelta(days=3))


def test_a_day_of_which_no_page_is_known_is_none(tmp_path: Path, acme: Workspace) -> None:
    lake = Lake(str(tmp_path / "lake"))
    fill(lake, "acme", PROPERTY, WINDOW, provisional=2)
    ledger = lake.read(SYNC_LEDGER).to_pylist()
    day = date(2026, 10, 22)
    for row in ledger:
        row["url_rows"] = 0 if row["data_date"] == day else row["url_rows"]
    lake.replace(SYNC_LEDGER, WorkspaceRows("acme"), pa.Table.from_pylist(ledger, schema=SYNC_LEDGER.schema))
    days = days_of(lake, acme, GROUPS)["data_date"]
    assert pd.Timestamp(day) not in set(days)
    assert pd.Timestamp(day) + pd.Timedelta(days=1) in set(days)


def test_many_tests_are_summed_as_one_alone(lake: Lake, acme: Workspace) -> None:
    many = [replace(GROUPS, name=f"test-{number}") for number in range(45)]
    days = days_of(lake, acme, *many)
    assert list(days["test"].unique()) == [one.name for one in many]
    alone = days_of(lake, acme, GROUPS).drop(columns="test")
    for name in ("test-0", "test-19", "test-20", "test-44"):
        of_test = days[days["test"] == name].drop(columns="test").reset_index(drop=True)
        pd.testing.assert_frame_equal(of_test, alone, check_dtype=False)


def test_without_tests_nothing_is_read(lake: Lake, acme: Workspace) -> None:
    days = days_of(lake, acme)
    assert (list(days), len(days)) == (list(TEST_DAYS_INPUT), 0)


def test_a_test_of_a_property_without_data_has_no_days(lake: Lake, acme: Workspace) -> None:
    assert set(days_of(lake, acme, GROUPS, OTHER)["test"]) == {"groups"}
    refresh_insights(lake, replace(acme, seo_tests=(OTHER,)), now=NOW)
    (row, _) = lake.read(SEO_TESTS).to_pylist()
    assert (row["verdict"], row["as_of"]) == ("unusable", date(2026, 11, 1))


def test_changed_tests_cause_a_refresh_and_removed_ones_leave_no_rows(lake: Lake, acme: Workspace) -> None:
    tested = replace(acme, seo_tests=(GROUPS, PAGES))
    assert refresh_insights(lake, tested, now=NOW).rows[SEO_TESTS.name] == 4
    assert not refresh_insights(lake, tested, now=NOW).changed
    later = replace(GROUPS, start=date(2026, 10, 29))
    assert refresh_insights(lake, replace(acme, seo_tests=(later,)), now=NOW).changed
    rows = lake.read(SEO_TESTS).to_pylist()
    assert {(row["test"], row["start_day"], row["verdict"]) for row in rows} == {
        ("groups", date(2026, 10, 29), "too_early")
    }
    assert refresh_insights(lake, acme, now=NOW).rows[SEO_TESTS.name] == 0


@dataclass(frozen=True)
class Changed:
    """A property whose pages that match have `factor` times the clicks and impressions from a day on."""

    of: SyntheticProperty
    pattern: str
    start: date
    factor: int

    @property
    def site_url(self) -> str:
        return self.of.site_url

    def facts(self, search_type: str, day: date) -> Facts | None:
        facts = self.of.facts(search_type, day)
        if facts is None or day < self.start:
            return facts
        is_changed = np.array([bool(re.search(self.pattern, url)) for url in facts.labels.page])[facts.page]
        factor = np.where(is_changed, self.factor, 1)
        counts = (
            "clicks",
            "impressions",
            "sum_position",
            "top_clicks",
            "top_impressions",
            "sum_top_position",
        )
        return replace(facts, **{name: getattr(facts, name) * factor for name in counts})


@pytest.mark.soak
def test_a_refresh_finds_the_effect_of_a_change(tmp_path: Path, acme: Workspace) -> None:
    start = date(2026, 10, 12)
    prop = Changed(SyntheticProperty(SITE, rows_a_day=1_000, plants=False), "/blog/", start, 2)
    lake = Lake(str(tmp_path / "lake"))
    fill(lake, "acme", prop, Window(date(2026, 1, 5), date(2026, 11, 12)), provisional=2)  # type: ignore[arg-type]
    changed = replace(GROUPS, start=start)
    control = replace(changed, name="unchanged", variant=PageSet(group="/products/"))
    refresh_insights(lake, replace(acme, seo_tests=(changed, control)), now=NOW)
    rows = {(row["test"], row["metric"]): row for row in lake.read(SEO_TESTS).to_pylist()}
    for metric in ("clicks", "impressions"):
        row = rows["groups", metric]
        assert (row["verdict"], row["start_day"]) == ("effect", start), row
        assert row["low"] < 1 < row["high"]
        assert rows["unchanged", metric]["verdict"] == "no_effect", rows["unchanged", metric]
    days = {row["metric"]: row["days"] for row in rows.values()}
    fault = Annotation(Kind.DATA_FAULT, "Wrong", date(2026, 10, 13), date(2026, 10, 14), site_url=SITE)
    bring_up_to_date(lake, yours=[fault])
    refresh_insights(lake, replace(acme, seo_tests=(changed,)), now=NOW)
    for row in lake.read(SEO_TESTS).to_pylist():
        assert row["days"] == days[row["metric"]] - 2
        assert row["statement"].endswith("Days of a known data fault are left out.")
