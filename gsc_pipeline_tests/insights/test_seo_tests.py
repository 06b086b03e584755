"""The result of an SEO test: each verdict, and what its statement says."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gsc_pipeline.insights.measures import require
from gsc_pipeline.insights.seo_tests import TEST_DAYS_INPUT, chart_days, seo_tests
from gsc_pipeline.insights.tables import as_table
from gsc_pipeline.lake.annotations.record import Annotation, Kind
from gsc_pipeline.lake.schemas import SEO_TESTS
from gsc_pipeline.workspaces.seo_tests import SeoTest
from gsc_pipeline_tests.insights.pairs import LASTING, SITE, START, days_of, market, pair

YEAR = 400


def results(
    days: pd.DataFrame, test: SeoTest = LASTING, annotations: tuple[Annotation, ...] = ()
) -> dict[str, dict[str, Any]]:
    """The rows of the test by metric. They fit the table."""
    newest = days["data_date"].max().date() if len(days) else START
    rows = seo_tests([test], days, newest, annotations)
    as_table(SEO_TESTS, rows, "acme")
    return {row["metric"]: row for row in rows.to_dict("records")}


def clicks(days: pd.DataFrame, test: SeoTest = LASTING, *annotations: Annotation) -> dict[str, Any]:
    return results(days, test, annotations)["clicks"]


def made(
    seed: int = 1, history: int = YEAR, after: int = 28, level: float = 400, **more: Any
) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return days_of(*pair(rng, history, after, level, **more), history)


def test_an_effect_is_found_with_its_size_and_interval() -> None:
    found = results(made(effect=0.3))
    assert {row["verdict"] for row in found.values()} == {"effect"}
    row = found["clicks"]
    assert row["low"] < 0.3 < row["high"]
    assert 0 < row["low"] < row["effect"] < row["high"]
    assert (row["start_day"], row["last_day"], row["days"]) == (START, date(2026, 10, 4), 28)
    assert row["placebos"] == YEAR - 56 - 28 + 1
    assert row["parallelism"] > 0.8
    assert row["variant_after"] / row["variant_before"] > 1.1 * row["control_after"] / row["control_before"]
    effect, low, high = (round(100 * row[name]) for name in ("effect", "low", "high"))
    assert row["statement"].startswith(
        f"Clicks of the changed pages were {effect}% higher than the unchanged pages predict "
        f"(95% interval: +{low}% to +{high}%): {row['variant_after']:,.0f} a day instead of "
    )
    assert row["statement"].endswith(" in the 28 days from 2026-09-07.")


def test_a_loss_is_an_effect_too() -> None:
    row = clicks(made(effect=-0.3))
    assert (row["verdict"], row["high"] < 0) == ("effect", True)
    assert f"{round(-100 * row['effect'])}% lower than" in row["statement"]


def test_no_effect_says_which_effects_are_excluded() -> None:
    row = clicks(made(seed=3))
    assert row["verdict"] == "no_effect"
    largest = max(-row["low"], row["high"])
    assert row["statement"].startswith(
        f"No effect larger than {100 * largest:.0f}% on clicks of the changed pages: "
    )
    assert row["low"] < 0 < row["high"]


def test_a_market_that_moves_both_sets_is_no_effect() -> None:
    rng = np.random.default_rng(5)
    shared = 300 * market(rng, YEAR + 28)
    shared[YEAR:] *= 1.15
    row = clicks(days_of(rng.poisson(shared), rng.poisson(2 * shared), YEAR))
    assert abs(row["effect"]) < 0.05
    assert row["low"] < 0 < row["high"]


def test_it_is_too_early_before_fourteen_days_are_final() -> None:
    row = clicks(made(after=13))
    assert (row["verdict"], row["days"], row["last_day"]) == ("too_early", 13, date(2026, 9, 19))
    assert row["statement"] == (
        "Too early: 13 final days since 2026-09-07; 14 are needed. It can be read once 2026-09-20 is final, "
        "which takes two or three days more."
    )
    assert pd.isna(row["effect"])
    assert clicks(made(after=14))["verdict"] in ("effect", "no_effect")


def test_a_test_that_has_not_begun_says_when_it_can_be_read() -> None:
    row = clicks(made(after=0), replace(LASTING, start=START + timedelta(days=7)))
    assert (row["verdict"], row["days"], pd.isna(row["last_day"])) == ("too_early", 0, True)
    assert row["statement"].startswith(
        "Too early: the test starts on 2026-09-14, and no day since is final; 14 are needed. It can be read "
        "once 2026-09-27 is final"
    )


@pytest.mark.parametrize("days", [1, 3, 30])
def test_a_test_may_begin_any_number_of_days_after_the_last_final_day(days: int) -> None:
    row = clicks(made(after=0), replace(LASTING, start=START + timedelta(days)))
    assert (row["verdict"], row["days"]) == ("too_early", 0)
    assert row["parallelism"] > 0.8


def test_missing_days_are_no_days_of_the_test_and_no_zeros() -> None:
    variant, control = pair(np.random.default_rng(1), YEAR, 28, 400, effect=0.3)
    gaps = [100, 101, 102, YEAR - 5, YEAR + 3, YEAR + 10]
    variant[gaps] = np.nan
    whole = clicks(made(effect=0.3))
    row = clicks(days_of(variant, control, YEAR))
    assert (row["verdict"], row["days"]) == ("effect", 26)
    assert row["effect"] == pytest.approx(whole["effect"], abs=0.04)
    early = clicks(days_of(variant[: YEAR + 15], control[: YEAR + 15], YEAR))
    assert (early["verdict"], early["days"]) == ("too_early", 13)


def test_days_of_a_data_fault_are_left_out_of_the_metric_that_is_wrong() -> None:
    days = made()
    is_wrong = days["data_date"].between("2026-09-10", "2026-09-13")
    days.loc[is_wrong, ["variant_clicks"]] *= 0.1
    fault = Annotation(
        Kind.DATA_FAULT, "Clicks lost", date(2026, 9, 10), date(2026, 9, 13), metrics=("clicks",)
    )
    assert clicks(days)["effect"] < clicks(days, LASTING, fault)["effect"]
    found = results(days, LASTING, (fault,))
    assert (found["clicks"]["days"], found["impressions"]["days"]) == (24, 28)
    assert found["clicks"]["statement"].endswith(" Days of a known data fault are left out.")
    assert "fault" not in found["impressions"]["statement"]
    endless = replace(fault, last_day=None)
    assert clicks(days, LASTING, endless)["verdict"] == "too_early"


def test_control_pages_that_moved_themselves_are_named_and_the_figures_given() -> None:
    days = made()
    days.loc[days["data_date"] >= pd.Timestamp(START), "control_clicks"] *= 2
    row = clicks(days)
    assert row["verdict"] == "control_moved"
    assert row["effect"] < -0.3
    assert row["high"] < 0
    assert row["statement"].startswith(
        "Read with care: clicks of the unchanged pages themselves changed by +"
    )


def test_a_short_history_is_unusable_and_says_how_much_is_needed() -> None:
    row = clicks(made(history=100))
    assert row["verdict"] == "unusable"
    assert row["statement"] == (
        "No result: both sets have clicks for only 14 weeks before 2026-09-07, and 20 are needed to "
        "distinguish an effect from chance."
    )
    assert clicks(made(history=140))["verdict"] in ("no_effect", "effect")


@pytest.mark.parametrize(
    ("column", "since", "what"),
    [
        ("variant_clicks", "2026-01-01", "the changed pages have no clicks in the 56 days before"),
        (
            "control_clicks",
            "2026-01-01",
            "the unchanged pages have no clicks in the 56 days before",
        ),
        ("variant_clicks", "2026-09-07", "the changed pages have no clicks since"),
    ],
)
def test_a_set_without_clicks_is_unusable(column: str, since: str, what: str) -> None:
    days = made()
    days.loc[days["data_date"] >= since, column] = 0
    row = clicks(days)
    assert (row["verdict"], row["statement"]) == ("unusable", f"No result: {what} 2026-09-07.")
    assert results(days)["impressions"]["verdict"] in ("no_effect", "effect")


def test_sets_that_did_not_move_alike_are_unusable() -> None:
    rng = np.random.default_rng(2)
    drift = 400 * np.exp(np.cumsum(rng.normal(0, 0.08, YEAR + 28)))
    row = clicks(days_of(rng.poisson(drift), rng.poisson(np.full(YEAR + 28, 400)), YEAR))
    assert row["verdict"] == "unusable"
    assert row["statement"].startswith(
        "No result: both sets did not move alike before 2026-09-07, or have few clicks, so an effect of "
    )
    assert " %" not in row["statement"]


def test_a_test_after_which_a_large_effect_is_still_possible_is_unusable() -> None:
    # The interval is not wide, but its middle is far from zero.
    rng = np.random.default_rng(1)
    drift = np.exp(np.cumsum(rng.normal(0, 0.03, YEAR + 28)))
    drift /= drift[YEAR - 56 : YEAR].mean()
    drift[YEAR:] = 1.22
    control = np.full(YEAR + 28, 400)
    row = clicks(days_of(rng.poisson(400 * drift), rng.poisson(control), YEAR))
    assert row["low"] < 0 < 0.5 < row["high"]
    assert np.log((1 + row["high"]) / (1 + row["low"])) / 2 < np.log(1.5)
    assert row["verdict"] == "unusable"
    low, high = (round(100 * abs(row[name])) for name in ("low", "high"))
    assert row["statement"].endswith(
        f", so an effect of up to {high}% is still possible "
        f"(+{round(100 * row['effect'])}%, 95% interval: −{low}% to +{high}%)."
    )


def test_a_property_without_a_final_day_is_unusable() -> None:
    nothing = pd.DataFrame(columns=list(TEST_DAYS_INPUT))
    row = clicks(nothing)
    assert (row["verdict"], row["statement"]) == (
        "unusable",
        f"No result: the lake has no final day of {SITE}.",
    )


def test_the_end_is_the_last_day_with_the_change() -> None:
    days = made(effect=0.3, after=50)
    ended = replace(LASTING, end=date(2026, 9, 27))
    later = days.copy()
    later.loc[later["data_date"] > "2026-09-27", "variant_clicks"] *= 3
    row = clicks(later, ended)
    assert (row["days"], row["last_day"]) == (21, date(2026, 9, 27))
    assert row["effect"] == clicks(days, ended)["effect"]
    short = clicks(days, replace(LASTING, end=date(2026, 9, 16)))
    assert (short["verdict"], short["statement"]) == (
        "unusable",
        "No result: the test has 10 final days, and 14 are needed.",
    )


def test_the_result_does_not_change_after_eight_weeks() -> None:
    days = made(effect=0.3, after=90)
    row = clicks(days)
    assert (row["days"], row["last_day"]) == (56, date(2026, 11, 1))
    assert row["effect"] == clicks(days[days["data_date"] <= "2026-11-01"])["effect"]


def test_a_short_history_compares_fewer_days_rather_than_none() -> None:
    assert clicks(made(history=150, after=56))["days"] < clicks(made(history=YEAR, after=56))["days"] == 56


def test_a_gap_in_the_history_is_no_history() -> None:
    days = made(effect=0.3)
    first = days["data_date"].min()
    gap = days["data_date"].between(first + pd.Timedelta(days=20), first + pd.Timedelta(days=239))
    row = clicks(days[~gap])
    assert (row["verdict"], row["days"]) == ("effect", 21)
    since = pd.Timestamp(START - timedelta(days=120))
    is_gone = (days["data_date"] >= first + pd.Timedelta(days=20)) & (days["data_date"] < since)
    wide = clicks(days[~is_gone])
    assert (wide["verdict"], wide["statement"].startswith("No result: too many days")) == ("unusable", True)


def test_pages_before_the_first_of_both_sets_are_no_history() -> None:
    days = made(effect=0.3)
    first = days["data_date"].min() + pd.Timedelta(days=200)
    days.loc[days["data_date"] < first, ["variant_clicks", "variant_impressions"]] = 0
    row = clicks(days)
    assert (row["verdict"], row["placebos"]) == ("effect", 200 - 56 - 28 + 1)


def test_pages_of_both_sets_are_named() -> None:
    days = made().assign(shared_impressions=1)
    assert clicks(days)["statement"].endswith(" Pages that are in both sets count as changed.")


def test_the_chart_has_both_sets_on_one_scale() -> None:
    days = made(effect=0.3, control_clicks=4000)
    chart = chart_days(LASTING, days)
    assert list(chart) == ["site_url", "test", "data_date", "variant", "control", "ratio"]
    before = chart[(chart["data_date"] < pd.Timestamp(START)) & (chart["data_date"] >= "2026-07-13")]
    assert len(before) == 56
    assert before["variant"].sum() == pytest.approx(before["control"].sum())
    since = chart[chart["data_date"] >= pd.Timestamp(START)]
    assert since["ratio"].mean() == pytest.approx(1.3, abs=0.1)
    assert chart_days(replace(LASTING, name="other"), days).empty


def test_an_input_without_a_column_is_refused() -> None:
    with pytest.raises(ValueError, match="control_clicks"):
        seo_tests([LASTING], made().drop(columns="control_clicks"), START)
    assert list(require(made(), TEST_DAYS_INPUT)) == list(TEST_DAYS_INPUT)
