"""Each insight against numbers computed by hand: definitions, ties, zeros, feeds and unusual texts."""

from __future__ import annotations

from typing import Any

import duckdb
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gsc_pipeline.insights.anomalies import anomalies
from gsc_pipeline.insights.cannibalisation import cannibalisation
from gsc_pipeline.insights.content_decay import content_decay
from gsc_pipeline.insights.ctr_curve import ctr_curve
from gsc_pipeline.insights.ctr_gap import ctr_gap
from gsc_pipeline.insights.daily_performance import daily_performance
from gsc_pipeline.insights.index_coverage import index_coverage
from gsc_pipeline.insights.sql import is_brand_sql
from gsc_pipeline.insights.striking_distance import striking_distance
from gsc_pipeline.insights.winners_and_losers import winners_and_losers
from gsc_pipeline.workspaces.thresholds import Thresholds

SITE = {"site_url": "sc-domain:acme.com", "search_type": "WEB"}
AS_OF = pd.Timestamp("2026-11-17")
OF = {**SITE, "as_of": AS_OF, "days": 28}
DEFAULT = Thresholds()


def frame(*rows: dict[str, Any], **shared: Any) -> pd.DataFrame:
    return pd.DataFrame([{**shared, **row} for row in rows])


def query(text: str, clicks: int, impressions: int, average: float, **more: Any) -> dict[str, Any]:
    row = {"query": text, "clicks": clicks, "impressions": impressions, "device": "MOBILE", "is_brand": False}
    named = {"dimension": "query", "canonical_query": f"form of {text}", "spellings": 2}
    return {**OF, **named, **row, "sum_position": round((average - 1) * impressions), **more}


def curve(**rates: float) -> pd.DataFrame:
    """`p3=0.1`: a tenth at position 3 on telephones."""
    rows = [{"position": int(name[1:]), "expected_ctr": rate} for name, rate in rates.items()]
    columns = [*SITE, "device", "position", "expected_ctr"]
    return pd.DataFrame([{**SITE, "device": "MOBILE", **row} for row in rows], columns=columns)


# striking distance


@pytest.mark.parametrize(
    ("impressions", "position", "listed"),
    [(100, 4.0, True), (99, 4.0, False), (100, 3.99, False), (100, 20.0, True), (100, 20.01, False)],
)
def test_striking_distance_is_from_4_to_20_with_100_impressions(
    impressions: int, position: float, listed: bool
) -> None:
    found = striking_distance(frame(query("tent", 1, impressions, position)), curve(p3=0.1), DEFAULT)
    assert len(found) == listed


def test_potential_is_the_extra_clicks_at_position_three() -> None:
    found = striking_distance(frame(query("tent", 5, 200, 8.0)), curve(p3=0.1), DEFAULT)
    row = found.iloc[0]
    assert (row["potential_clicks"], row["ctr"], row["position"], row["expected_ctr"]) == (15, 0.025, 8, 0.1)


def test_devices_use_their_own_curve_and_are_weighted_by_impressions() -> None:
    rates = pd.concat([curve(p3=0.1), curve(p3=0.2).assign(device="DESKTOP")])
    rows = frame(query("tent", 1, 100, 6.0), query("tent", 2, 300, 10.0, device="DESKTOP"))
    found = striking_distance(rows, rates, DEFAULT)
    assert len(found) == 1
    assert found.loc[0, "position"] == 9.0
    assert found.loc[0, "potential_clicks"] == pytest.approx(100 * 0.1 + 300 * 0.2 - 3)


def test_potential_is_missing_without_a_curve_and_never_negative() -> None:
    assert (
        striking_distance(frame(query("a", 0, 100, 5.0)), curve(), DEFAULT)["potential_clicks"].isna().all()
    )
    found = striking_distance(frame(query("a", 50, 100, 5.0)), curve(p3=0.1), DEFAULT)
    assert list(found["potential_clicks"]) == [0]


def test_the_largest_potential_comes_first_and_ties_are_alphabetical() -> None:
    rows = frame(*(query(text, 0, n, 5.0) for text, n in (("b", 100), ("c", 300), ("a", 100))))
    assert list(striking_distance(rows, curve(p3=0.1), DEFAULT)["query"]) == ["c", "a", "b"]


def test_a_canonical_query_has_a_row_besides_those_of_its_queries() -> None:
    both = {"canonical_query": "shoe", "spellings": 2}
    rows = frame(
        query("tents", 0, 100, 5.0, canonical_query="tent", spellings=1),
        query("shoes", 0, 90, 5.0, **both),
        query("shoe", 0, 80, 5.0, **both),
        query("shoes", 0, 170, 5.0, **both, dimension="canonical_query"),
    )
    found = striking_distance(rows, curve(p3=0.1), DEFAULT)
    columns = ["dimension", "query", "canonical_query", "queries", "impressions"]
    assert found[columns].to_numpy().tolist() == [
        # Neither of its queries has a hundred impressions.
        ["canonical_query", "shoes", "shoe", 2, 170],
        ["canonical_query", "tents", "tent", 1, 100],
        ["query", "tents", "tent", 1, 100],
    ]


@pytest.mark.parametrize("text", ["NaN", "null", "None", "", " ", "1e5", "=1+1", "two\nlines", "東京"])
def test_queries_stay_text_whatever_they_look_like(text: str) -> None:
    rows = frame(query(text, 0, 100, 5.0))
    assert list(striking_distance(rows, curve(p3=0.1), DEFAULT)["query"]) == [text]


# the curve, and gaps


def positions(*rows: tuple[int, int, int], device: str = "MOBILE") -> pd.DataFrame:
    named = [dict(zip(("position", "clicks", "impressions"), row, strict=True)) for row in rows]
    return frame(*named, **{**OF, "days": 90}, device=device)


def test_a_position_with_few_impressions_is_interpolated() -> None:
    found = ctr_curve(positions((1, 300, 1000), (2, 50, 60), (3, 100, 1000), (5, 40, 1000)), DEFAULT)
    rates = found.set_index("position")["expected_ctr"]
    assert list(rates[:6]) == pytest.approx([0.3, 0.2, 0.1, 0.07, 0.04, 0.04])
    assert len(found) == DEFAULT.curve_positions
    assert found.set_index("position").loc[2, "ctr"] == pytest.approx(50 / 60)


def test_a_device_with_few_impressions_has_no_curve() -> None:
    both = pd.concat([positions((1, 30, 1000)), positions((1, 9, 10), device="TABLET")])
    assert set(ctr_curve(both, DEFAULT)["device"]) == {"MOBILE"}
    assert ctr_curve(positions((1, 9, 10)), DEFAULT).empty


def test_the_gap_is_the_expected_clicks_of_its_positions_minus_the_actual() -> None:
    rows = frame(query("a", 10, 1000, 1.0, position=1), query("a", 5, 1000, 2.0, position=2))
    found = ctr_gap(rows, curve(p1=0.3, p2=0.1), DEFAULT)
    row = found.iloc[0]
    assert (row["clicks"], row["impressions"], row["position"]) == (15, 2000, 1.5)
    assert row["expected_ctr"] == pytest.approx(0.2)
    assert row["gap_clicks"] == pytest.approx(400 - 15)


@pytest.mark.parametrize(
    ("clicks", "impressions", "listed"),
    # A fifth is expected. Of 20 clicks four deviations are 17.9.
    [(100, 1000, True), (101, 1000, False), (2, 100, True), (3, 100, False), (0, 99, False)],
)
def test_a_gap_is_half_of_the_expected_clicks_and_more_than_chance(
    clicks: int, impressions: int, listed: bool
) -> None:
    rows = frame(query("a", clicks, impressions, 1.0, position=1))
    assert len(ctr_gap(rows, curve(p1=0.2), DEFAULT)) == listed


def test_a_workspace_can_set_how_large_a_gap_must_be() -> None:
    rows = frame(query("a", 120, 1000, 1.0, position=1))
    milder, stricter = Thresholds(ctr_gap_share=0.6), Thresholds(ctr_gap_share=0.6, ctr_gap_significance=6)
    assert len(ctr_gap(rows, curve(p1=0.2), milder)) == 1
    assert ctr_gap(rows, curve(p1=0.2), DEFAULT).empty
    assert ctr_gap(rows, curve(p1=0.2), stricter).empty


# cannibalisation


def shared(text: str, url: str, clicks: int, impressions: int) -> dict[str, Any]:
    return {**query(text, clicks, impressions, 2.0), "url": url}


def test_two_pages_with_a_tenth_of_the_clicks_each_share_a_query() -> None:
    rows = frame(shared("a", "/1", 90, 600), shared("a", "/2", 10, 300), shared("a", "/3", 0, 100))
    found = cannibalisation(rows, DEFAULT)
    assert list(found["url"]) == ["/1", "/2"]
    assert list(found["click_share"]) == [0.9, 0.1]
    assert set(found["pages"]) == {2}
    assert found["hhi"].tolist() == pytest.approx([0.36 + 0.09 + 0.01] * 2)
    assert set(found["query_impressions"]) == {1000}


@pytest.mark.parametrize(
    "rows",
    [
        [("a", "/1", 91, 600), ("a", "/2", 9, 300)],
        [("a", "/1", 0, 600), ("a", "/2", 0, 300)],
        [("a", "/1", 5, 600), ("a", "/2", 4, 300)],
        [("a", "/1", 50, 600), ("b", "/2", 50, 300)],
        [("", "/1", 50, 600), ("", "/2", 50, 300)],
    ],
    ids=["less than a tenth", "no clicks", "hardly any clicks", "two queries", "anonymised"],
)
def test_pages_that_do_not_share_a_query_are_not_listed(rows: list[tuple[str, str, int, int]]) -> None:
    assert cannibalisation(frame(*(shared(*row) for row in rows)), DEFAULT).empty


# comparisons


def change(item: str, before: tuple[int, int], after: tuple[int, int], **more: Any) -> dict[str, Any]:
    """An item with (clicks, impressions) in each window, at position 2 then 3."""
    return {
        **OF,
        "url": item,
        "item": item,
        "dimension": "page",
        "spellings": None,
        "compared_with": "previous",
        "clicks_before": before[0],
        "clicks": after[0],
        "impressions_before": before[1],
        "impressions": after[1],
        "sum_position_before": before[1] * 1,
        "sum_position": after[1] * 2,
        **more,
    }


@pytest.mark.parametrize(
    ("before", "after", "listed"),
    [(50, 40, True), (50, 41, False), (49, 0, False), (50, 0, True), (100, 150, False)],
)
def test_decay_is_a_loss_of_a_fifth_of_at_least_fifty_clicks(before: int, after: int, listed: bool) -> None:
    found = content_decay(frame(change("/", (before, 900), (after, 900))), DEFAULT)
    assert len(found) == listed


def test_a_change_has_its_share_and_both_positions() -> None:
    row = content_decay(frame(change("/", (100, 900), (20, 500))), DEFAULT).iloc[0]
    assert (row["change"], row["change_share"], row["position_before"], row["position"]) == (-80, -0.8, 2, 3)


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ((100, 900), (200, 900), "winner"),
        ((200, 900), (100, 900), "loser"),
        ((0, 0), (5, 50), "new"),
        ((5, 50), (0, 0), "lost"),
        ((0, 0), (5, 49), None),
        ((1000, 9000), (1150, 9000), None),
        ((5, 900), (7, 900), None),
        ((100, 49), (20, 900), None),
        ((0, 900), (0, 900), None),
        ((0, 900), (40, 900), "winner"),
    ],
)
def test_kinds_of_movers(before: tuple[int, int], after: tuple[int, int], kind: str | None) -> None:
    found = winners_and_losers(frame(change("/", before, after), change("", before, after)), DEFAULT)
    assert list(found["kind"]) == ([kind] if kind else [])


def test_change_share_is_missing_without_clicks_before_and_feeds_have_no_position() -> None:
    row = change("/", (0, 900), (40, 900), sum_position_before=None, sum_position=None)
    found = winners_and_losers(frame(row), DEFAULT)
    assert found[["change_share", "position_before", "position"]].isna().all(axis=None)
    assert list(found["change"]) == [40]


# anomalies


def days(values: list[int], metric: str = "clicks") -> pd.DataFrame:
    """One row a day, the last on AS_OF."""
    dates = pd.date_range(end=AS_OF, periods=len(values))
    usual = pd.DataFrame(
        {
            **SITE,
            "content_group": "all",
            "data_date": dates,
            "as_of": AS_OF,
            "clicks": 100,
            "impressions": 1000,
        }
    )
    return usual.assign(position=5.0, **{metric: values})


def test_a_day_is_compared_with_the_median_of_its_weekday() -> None:
    weeks = [100, 102, 98, 104, 96, 100, 101, 99]
    values = [week if day == 0 else 500 for week in weeks for day in range(7)] + [300]
    found = anomalies(days(values), DEFAULT)
    row = found.iloc[0]
    assert len(found) == 1
    assert (row["data_date"], row["metric"], row["value"], row["expected"], row["weeks"]) == (
        AS_OF, "clicks", 300, 100, 8,
    )  # fmt: skip
    assert row["spread"] == pytest.approx(10)  # chance of 100 clicks, more than 1.4826 × MAD of 1.5
    assert row["robust_z"] == pytest.approx(20)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(min_value=90, max_value=110), min_size=1, max_size=120))
def test_days_within_chance_are_no_anomalies(values: list[int]) -> None:
    assert anomalies(days(values), DEFAULT).empty


@settings(deadline=None, max_examples=25)
@given(st.integers(min_value=0, max_value=10_000))
def test_a_constant_level_is_no_anomaly(level: int) -> None:
    assert anomalies(days([level] * 70), DEFAULT).empty


def test_each_content_group_is_compared_with_itself() -> None:
    usual, few = [100] * 70, [1] * 69
    groups = {"all": [*few, 12], "/a/": [*few, 6], "/b/": [*few, 12], "/c/": usual}
    frames = [days(values).assign(content_group=group) for group, values in groups.items()]
    assert list(anomalies(pd.concat(frames), DEFAULT)["content_group"]) == ["/b/", "all"]


@pytest.mark.parametrize(("usual", "value"), [(0, 4), (0, 5), (1, 6), (2, 8)])
def test_a_handful_of_clicks_on_a_small_site_is_no_anomaly(usual: int, value: int) -> None:
    assert anomalies(days([usual] * 69 + [value]), DEFAULT).empty


@pytest.mark.parametrize("group", ["all", "/a/"])
def test_the_position_of_a_day_needs_impressions(group: str) -> None:
    positions = days([100] * 70).assign(content_group=group, position=[5.0] * 69 + [9.0])
    assert list(anomalies(positions, DEFAULT)["metric"]) == ["position"]
    assert anomalies(positions.assign(impressions=49), DEFAULT).empty


def test_days_with_few_earlier_weeks_and_old_days_are_no_anomalies() -> None:
    assert anomalies(days([100] * 28 + [900]), DEFAULT).shape[0] == 1
    assert anomalies(days([100] * 27 + [900]), DEFAULT).empty
    assert anomalies(days([100] * 60 + [900] + [100] * 28), DEFAULT).empty


def test_the_first_days_of_a_site_are_no_anomalies() -> None:
    values = [0] * 56 + [100] * 20
    found = days(values).assign(impressions=values, position=5.0)
    assert anomalies(found, DEFAULT).empty


# daily performance, coverage


def test_anonymised_and_cut_are_the_total_minus_named_queries_and_feeds_have_no_split() -> None:
    ledger = frame(
        {"data_date": pd.Timestamp("2026-11-16"), "status": "empty", "clicks": 0, "impressions": 0},
        {
            "data_date": pd.Timestamp("2026-11-17"),
            "status": "final",
            "clicks": 100,
            "impressions": 1000,
            "cut_clicks": 5,
            "cut_impressions": 400,
        },
        {"data_date": pd.Timestamp("2026-11-18"), "status": "provisional", "clicks": 9, "impressions": 90},
        {"data_date": pd.Timestamp("2026-11-19"), "status": "failed", "clicks": None, "impressions": None},
        position=3.0,
        truncated=False,
        **SITE,
    )
    feed = ledger.assign(search_type="DISCOVER", position=None)
    named = frame(
        {"brand_clicks": 30, "brand_impressions": 200, "non_brand_clicks": 50, "non_brand_impressions": 500},
        data_date=pd.Timestamp("2026-11-17"),
        **SITE,
    )
    found = daily_performance(pd.concat([ledger, feed]), named)
    web = found[found["search_type"] == "WEB"].set_index("data_date")
    assert list(web.index.day) == [16, 17, 18]
    assert list(web["is_final"]) == [True, True, False]
    assert list(web["cut_clicks"]) == [0, 5, 0]
    assert list(web["anonymised_clicks"]) == [0, 15, 9]
    # Rows of a failed day may be newer than its record, so no more than the rest is cut.
    assert list(web["cut_impressions"]) == [0, 300, 0]
    assert list(web["anonymised_impressions"]) == [0, 0, 90]
    assert list(web["ctr"].fillna(-1)) == [-1, 0.1, 0.1]
    discover = found[found["search_type"] == "DISCOVER"]
    parts = [column for column in found if column.startswith(("brand", "non_brand", "anonymised", "cut"))]
    assert discover[[*parts, "position"]].isna().all(axis=None)
    assert list(discover["clicks"]) == [0, 100, 9]
    assert daily_performance(ledger[ledger["status"] == "empty"], named).empty


def test_a_page_in_a_sitemap_that_google_does_not_index_is_a_problem() -> None:
    pages = frame(
        {"url": "/a", "verdict": "PASS", "coverage_state": "Submitted and indexed", "is_in_sitemap": True},
        {"url": "/b", "verdict": "NEUTRAL", "coverage_state": "Excluded", "is_in_sitemap": True},
        {"url": "/c", "verdict": "NEUTRAL", "coverage_state": "Excluded", "is_in_sitemap": False},
        {"url": "/d", "verdict": None, "coverage_state": None, "is_in_sitemap": False},
        {"url": "/e", "verdict": "FAIL", "coverage_state": "Server error", "is_in_sitemap": False},
        site_url="sc-domain:acme.com",
        inspected_on=AS_OF,
        page_fetch_state=None,
        content_group="other",
    )
    columns = ["site_url", "path", "observed_on", "errors", "warnings", "submitted"]
    sitemaps = pd.DataFrame([["sc-domain:acme.com", "/s.xml", AS_OF, 2, 1, 90]], columns=columns)
    by_group = index_coverage(pages, sitemaps, DEFAULT)
    found = by_group[by_group["content_group"] == "all"]
    problems = found[found["is_problem"]]
    assert list(problems["item"]) == ["/s.xml", "Excluded", "Server error"]
    assert list(problems["example_url"].fillna("")) == ["", "/b", "/e"]
    assert found.loc[found["source"] == "inspections", "share"].sum() == pytest.approx(1)
    assert found.loc[found["item"] == "unknown", "verdict"].tolist() == ["VERDICT_UNSPECIFIED"]
    assert index_coverage(pages.head(0), sitemaps.head(0), DEFAULT).empty


def test_index_states_are_counted_for_the_groups_with_the_most_inspected_pages() -> None:
    pages = frame(
        *(
            {"url": f"/{group}{n}", "content_group": group}
            for group, n in zip("aaabbc", range(6), strict=True)
        ),
        site_url="sc-domain:acme.com",
        inspected_on=AS_OF,
        verdict="PASS",
        coverage_state="Indexed",
        page_fetch_state=None,
        is_in_sitemap=False,
    )
    columns = ["site_url", "path", "observed_on", "errors", "warnings", "submitted"]
    found = index_coverage(pages, pd.DataFrame(columns=columns), Thresholds(most_groups=2))
    assert dict(zip(found["content_group"], found["pages"], strict=True)) == {"all": 6, "a": 3, "b": 2}
    assert set(found["share"]) == {1.0}


@pytest.mark.parametrize(
    ("term", "text", "is_brand"),
    [
        ("Acmé", "best acme tents", True),
        ("acme", "ACMÉ", True),
        # Greek has a letter of its own for a last sigma, which capitals do not have.
        ("ΓΕΡΜΑΝΟΣ", "γερμανός κινητά", True),
        ("γερμανός", "ΓΕΡΜΑΝΟΣ", True),
        ("ГАЗПРОМ", "газпром адрес", True),
        ("東京", "東京タワー", True),
        ("القهوة", "القَهوة العربية", True),
        ("acme", "ac me", False),
    ],
)
def test_a_query_is_brand_if_it_contains_a_term_whatever_its_case_and_accents(
    term: str, text: str, is_brand: bool
) -> None:
    found = duckdb.sql(f"SELECT {is_brand_sql([term])} FROM (SELECT $text AS query)", params={"text": text})
    assert found.fetchall() == [(is_brand,)]


def test_a_missing_input_column_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="device"):
        ctr_curve(positions((1, 3, 100)).drop(columns="device"), DEFAULT)


@pytest.mark.parametrize("wrong", [{"window_days": 0}, {"decay_share": -0.1}, {"curve_positions": 0}])
def test_invalid_thresholds_are_rejected(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Thresholds(**wrong)
