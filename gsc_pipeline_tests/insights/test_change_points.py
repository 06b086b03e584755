"""change_points: where levels moved, when, by how much and how certain, and where they did not."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gsc_pipeline.insights.change_points import change_points
from gsc_pipeline.insights.tables import as_table
from gsc_pipeline.lake.annotations.record import Annotation, Kind, Source
from gsc_pipeline.lake.schemas import CHANGE_POINTS
from gsc_pipeline.workspaces.thresholds import Thresholds
from gsc_pipeline_tests.insights.change_trials import DAYS, DEFAULT, FIRST_DAY
from gsc_pipeline_tests.insights.series import counts, expected_level, with_slope, with_step
from gsc_pipeline_tests.soak import in_night, in_soak

EXPORT = Path(__file__).parents[3] / "shared" / "data" / "search-console-export"
KEYS = ["content_group", "metric", "first_day"]


def frame(
    clicks: np.ndarray, impressions: np.ndarray | None = None, position: np.ndarray | None = None, *,
    first_day: date = FIRST_DAY, search_type: str = "WEB", content_group: str = "all",
) -> pd.DataFrame:  # fmt: skip
    """Final days, by default with thirty times as many impressions and no position. NaN is a day without."""
    days = pd.DataFrame(
        {
            "site_url": "sc-domain:acme.com",
            "search_type": search_type,
            "content_group": content_group,
            "data_date": pd.date_range(first_day, periods=len(clicks)),
            "clicks": clicks,
            "impressions": 30 * clicks if impressions is None else impressions,
            "position": np.nan if position is None else position,
        }
    )
    days["as_of"] = days["data_date"].max()
    return days.dropna(subset=["clicks", "impressions"]).reset_index(drop=True)


def site(seed: int, level: float = 1000, days: int = DAYS) -> np.ndarray:
    """The expected clicks of a site whose level hardly moves."""
    return expected_level(np.random.default_rng(seed), days, level)


def seen(expected: np.ndarray, seed: int) -> np.ndarray:
    """Clicks around what is expected."""
    return counts(np.random.default_rng(1000 + seed), expected)


def found(
    days: pd.DataFrame, *annotations: Annotation, metric: str = "clicks", **thresholds: float
) -> pd.DataFrame:
    rows = change_points(days, replace(DEFAULT, **thresholds), annotations)
    as_table(CHANGE_POINTS, rows, "acme")
    return rows[rows["metric"] == metric].sort_values("first_day", ignore_index=True)


def day(index: int) -> pd.Timestamp:
    return pd.Timestamp(FIRST_DAY + timedelta(days=index))


def steps(days: pd.DataFrame, *annotations: Annotation, metric: str = "clicks") -> list[int]:
    """The indices of the first days of all changes."""
    return [(first - day(0)).days for first in found(days, *annotations, metric=metric)["first_day"]]


# steps and slopes


@pytest.mark.parametrize("size", [-0.4, 0.5])
@pytest.mark.parametrize("seed", [0, 2, 3, 4])
def test_a_step_is_found_on_its_day_with_its_levels(size: float, seed: int) -> None:
    clicks = seen(with_step(site(seed), 200 + seed, size), seed)
    (row,) = found(frame(clicks)).to_dict("records")
    assert row["kind"] == "step"
    assert abs((row["first_day"] - day(200 + seed)).days) <= 1
    assert row["earliest_day"] <= day(200 + seed) <= row["latest_day"]
    first = (row["first_day"] - day(0)).days
    assert row["level_before"] == pytest.approx(clicks[first - 28 : first].mean(), rel=0.03)
    assert row["level_after"] == pytest.approx(clicks[first : first + 28].mean(), rel=0.03)
    assert row["change"] == pytest.approx(row["level_after"] / row["level_before"] - 1)
    assert row["change"] == pytest.approx(size, abs=0.1)
    assert row["confidence"] > 0.99
    assert row["as_of"] == day(DAYS - 1)


@pytest.mark.parametrize("seed", range(4))
def test_a_change_over_three_weeks_is_a_slope_from_where_it_begins(seed: int) -> None:
    clicks = seen(with_slope(site(seed, 10_000), 240, 21, -0.5), seed)
    (row,) = found(frame(clicks)).to_dict("records")
    assert row["kind"] == "slope"
    assert abs((row["first_day"] - day(241)).days) <= 5
    assert row["change"] == pytest.approx(-0.5, abs=0.1)


@pytest.mark.parametrize("sizes", [(0.4, 0.4), (-0.4, 0.5), (0.5, -0.3)])
def test_two_changes_three_weeks_apart_are_two(sizes: tuple[float, float]) -> None:
    expected = with_step(with_step(site(3), 230, sizes[0]), 251, sizes[1])
    first, second = steps(frame(seen(expected, 3)))
    assert abs(first - 230) <= 2
    assert abs(second - 251) <= 2


def test_levels_are_those_up_to_the_next_change() -> None:
    rows = found(frame(seen(with_step(with_step(site(3), 230, 1.0), 251, -0.5), 3)))
    assert rows["level_after"][0] == pytest.approx(rows["level_before"][1], rel=0.01)
    assert rows["level_after"][0] == pytest.approx(2 * rows["level_before"][0], rel=0.2)


def test_each_metric_and_group_has_its_own_changes() -> None:
    still, moved = seen(site(1), 1), seen(with_step(site(2), 150, 0.6), 2)
    both = pd.concat([frame(still), frame(moved, 30 * still, content_group="/blog/")], ignore_index=True)
    rows = change_points(both, DEFAULT)
    assert rows[["content_group", "metric"]].to_numpy().tolist() == [["/blog/", "clicks"]]
    shuffled = both.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(change_points(shuffled, DEFAULT), rows)


def test_a_change_of_position_is_a_difference() -> None:
    rng = np.random.default_rng(4)
    position = 8 + rng.normal(0, 0.4, DAYS) + 3 * (np.arange(DAYS) >= 300)
    (row,) = found(frame(seen(site(4), 4), position=position), metric="position").to_dict("records")
    assert row["change"] == pytest.approx(3, abs=0.3)
    assert row["level_after"] - row["level_before"] == pytest.approx(row["change"])
    assert abs((row["first_day"] - day(300)).days) <= 1


@pytest.mark.parametrize("seed", [0, 3, 6])
def test_positions_of_a_site_that_is_hardly_shown_any_more_are_no_changes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    impressions = rng.poisson(np.where(np.arange(DAYS) < DAYS - 70, 60, 1.5))
    position = np.array([1 + rng.normal(4, 2.5, n).clip(0).mean() if n else np.nan for n in impressions])
    days = frame(impressions // 10, impressions, position)
    assert steps(days, metric="position") == []
    assert steps(days, metric="impressions") == [DAYS - 70]


def test_a_position_that_falls_with_nearly_all_impressions_is_a_change_where_many_are_left() -> None:
    rng = np.random.default_rng(4)
    is_after = np.arange(DAYS) >= DAYS - 70
    impressions = rng.poisson(np.where(is_after, 9_000, 100_000))
    position = np.where(is_after, 15, 5) + rng.normal(0, 0.3, DAYS)
    days = frame(impressions // 30, impressions, position)
    assert steps(days, metric="position") == [DAYS - 70]


def test_the_newest_changes_come_first() -> None:
    clicks = seen(with_step(with_step(site(3), 130, 1.0), 300, -0.5), 3)
    firsts = change_points(frame(clicks), DEFAULT)["first_day"]
    assert firsts.is_monotonic_decreasing
    assert firsts.nunique() == 2


# what is no change


def dip(first: int, days: int, factor: float, seed: int = 5) -> np.ndarray:
    expected = site(seed)
    expected[first : first + days] *= factor
    return seen(expected, seed)


@pytest.mark.parametrize(("days", "factor"), [(1, 0.1), (1, 5.0), (4, 0.4), (7, 0.5), (14, 0.5), (14, 1.8)])
def test_odd_days_and_weeks_are_no_change(days: int, factor: float) -> None:
    assert steps(frame(dip(200, days, factor))) == []


def test_three_weeks_and_longer_are_two_changes() -> None:
    assert steps(frame(dip(200, 35, 0.5))) == [200, 235]


@pytest.mark.parametrize("days", [12, 14, 16, 19])
def test_christmas_returns_and_is_no_change(days: int) -> None:
    first = (date(2025, 12, 20) - FIRST_DAY).days
    assert steps(frame(dip(first, days, 0.45))) == []


def test_christmas_is_no_change_while_it_lasts() -> None:
    first = (date(2025, 12, 22) - FIRST_DAY).days
    assert steps(frame(dip(first, 10, 0.45)[: first + 10])) == []
    assert steps(frame(dip(first - 60, 60, 0.45)[: first - 50])) != []


@pytest.mark.parametrize("day", [date(2025, 12, 15), date(2025, 12, 31), date(2026, 1, 1), date(2026, 1, 6)])
def test_a_change_that_begins_at_christmas_needs_four_weeks(day: date) -> None:
    first = (day - FIRST_DAY).days
    lower = dip(first, 60, 0.45)
    assert steps(frame(lower[: first + 24])) == []
    assert steps(frame(lower[: first + 40])) == [first]


def still(value: float, days: int = DAYS) -> np.ndarray:
    return np.full(days, value)


@pytest.mark.parametrize(
    "clicks",
    [
        still(0),
        still(5),
        still(1e9),
        still(0.0, 3),
        np.tile([0, 0, 0, 0, 0, 1, 0], 60),
    ],
    ids=["none", "constant", "huge", "three days", "one a week"],
)
def test_a_series_that_does_not_move_has_none(clicks: np.ndarray) -> None:
    assert change_points(frame(clicks, impressions=clicks + 1), DEFAULT).empty


@pytest.mark.parametrize("seed", range(3))
def test_twenty_clicks_a_week_have_no_changes_by_chance(seed: int) -> None:
    assert steps(frame(seen(site(seed, 3), seed))) == []


def test_eight_weeks_are_the_least() -> None:
    clicks = seen(with_step(site(6, 20_000, 60), 30, 1.0), 6)
    assert steps(frame(clicks[:60])) == [30]
    assert steps(frame(clicks[:55])) == []


def test_a_trend_and_a_season_are_no_changes() -> None:
    wave = np.exp(0.3 * np.sin(2 * np.pi * np.arange(DAYS) / 365))
    for seed in range(3):
        assert steps(frame(seen(site(seed) * wave, seed))) == []
        assert steps(frame(seen(site(seed) * np.linspace(1, 2, DAYS), seed))) == []


def test_weekdays_that_change_their_shares_are_no_change() -> None:
    other = np.where(np.arange(DAYS) < 240, 1.0, np.array([1, 1, 1.1, 0.9, 1, 1.5, 0.5])[np.arange(DAYS) % 7])
    assert steps(frame(seen(site(7) * other, 7))) == []


# recent and missing days


def test_a_change_needs_a_week_after_it_and_a_small_one_a_fortnight() -> None:
    large, small = (seen(with_step(site(8, 20_000), 250, size), 8) for size in (0.5, 0.14))
    for clicks, days, number in ((large, 254, 0), (large, 258, 1), (small, 260, 0), (small, 280, 1)):
        firsts = steps(frame(clicks[:days]))
        assert len(firsts) == number
        assert all(abs(first - 250) <= 2 for first in firsts)


def test_a_change_within_missing_days_may_be_on_any_of_them() -> None:
    clicks = seen(with_step(site(9), 210, 0.6), 9)
    clicks[200:215] = np.nan
    (row,) = found(frame(clicks)).to_dict("records")
    assert row["earliest_day"] <= day(200)
    assert row["first_day"] == row["latest_day"] == day(215)


def test_missing_days_make_no_change() -> None:
    clicks = seen(site(10), 10)
    for first in (60, 61, 140, 300):
        clicks[first : first + 9] = np.nan
    assert steps(frame(clicks)) == []


def test_only_the_last_sixteen_months_count() -> None:
    clicks = seen(with_step(site(11, days=700), 100, 0.8), 11)
    assert steps(frame(clicks)) == []
    assert steps(frame(clicks[:500])) == [100]


def test_thresholds_set_the_smallest_change_and_its_confidence() -> None:
    days = frame(seen(with_step(site(12, 20_000), 300, 0.25), 12))
    assert len(found(days)) == 1
    assert len(found(days, change_point_share=0.3)) == 0
    assert len(found(days, change_point_confidence=0.99)) == 1
    assert len(found(days, change_point_confidence=1)) == 0


# what is known of the data


def counting(first: int) -> Annotation:
    return Annotation(Kind.COUNTING_CHANGE, "AI Mode counts", day(first).date(), search_types=("WEB",))


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_a_counting_change_is_no_change_and_hides_no_other(seed: int) -> None:
    expected = with_step(with_step(site(seed), 200, 0.5), 300, -0.4)
    days = frame(seen(expected, seed))
    assert [abs(one - 200) <= 1 for one in steps(days)] == [True, False]
    (first,) = steps(days, counting(200))
    assert abs(first - 300) <= 2


def test_levels_across_a_counting_change_are_not_compared() -> None:
    days = frame(seen(with_step(with_step(site(2), 200, 1.0), 221, 0.5), 2))
    (row,) = found(days, counting(200)).to_dict("records")
    assert row["change"] == pytest.approx(0.5, abs=0.15)


def test_days_of_a_data_fault_are_no_change() -> None:
    days = frame(dip(200, 30, 0.5))
    assert steps(days) == [200, 230]
    fault = Annotation(Kind.DATA_FAULT, "Clicks lost", day(200).date(), day(229).date(), metrics=("clicks",))
    assert steps(days, fault) == []
    assert steps(days, replace(fault, search_types=("IMAGE",))) == [200, 230]


def stepped() -> pd.DataFrame:
    return frame(seen(with_step(site(0), 200, -0.4), 0))


def begun_in(*annotations: Annotation, days: pd.DataFrame | None = None) -> list[str | None]:
    rows = found(stepped() if days is None else days, *annotations)
    return [None if pd.isna(text) else text for text in rows["updates_and_notes"]]


UPDATE = Annotation(
    Kind.RANKING_UPDATE, "March 2025 core update", day(195).date(), day(205).date(), source=Source.GOOGLE
)


def test_a_change_within_a_roll_out_says_so_and_no_more() -> None:
    assert begun_in() == [None]
    assert begun_in(UPDATE) == ["begins within the roll-out of March 2025 core update"]
    assert begun_in(replace(UPDATE, first_day=day(150).date(), last_day=day(170).date())) == [None]
    assert begun_in(replace(UPDATE, search_types=("IMAGE",))) == [None]


def test_notes_are_named_with_their_days() -> None:
    note = Annotation(Kind.NOTE, "New navigation", day(200).date(), day(200).date(), source=Source.YOURS)
    begins = f"begins in the days of the note “New navigation” ({day(200).date()})"
    assert begun_in(note) == [begins]
    assert begun_in(UPDATE, note) == [f"begins within the roll-out of March 2025 core update; {begins}"]
    # A note that goes on is about its first day.
    assert begun_in(replace(note, last_day=None)) == [
        f"begins in the days of the note “New navigation” (since {day(200).date()})"
    ]
    assert begun_in(replace(note, first_day=day(100).date(), last_day=None)) == [None]


def test_an_uncertain_first_day_may_be_within_a_roll_out() -> None:
    clicks = seen(with_step(site(9), 210, 0.6), 9)
    clicks[200:215] = np.nan
    before = replace(UPDATE, first_day=day(190).date(), last_day=day(203).date())
    assert begun_in(before, days=frame(clicks)) == ["may begin within the roll-out of March 2025 core update"]


# dark


def test_a_property_without_impressions_is_dark_and_comes_back() -> None:
    clicks = seen(site(13), 13)
    clicks[200:220] = 0
    days = frame(clicks)
    dark, back = found(days, metric="impressions").to_dict("records")
    assert (dark["kind"], dark["first_day"], dark["change"]) == ("dark", day(200), -1.0)
    assert (dark["earliest_day"], dark["latest_day"]) == (day(200), day(200))
    assert (back["kind"], back["first_day"], back["level_before"]) == ("dark", day(220), 0.0)
    assert np.isnan(back["change"])
    assert back["level_after"] == pytest.approx(30 * clicks[220:248].mean())
    assert dark["confidence"] > 0.999
    # Nothing moved otherwise.
    assert steps(days) == []


def test_a_property_that_stays_dark_has_one_row() -> None:
    clicks = seen(site(14), 14)
    clicks[400:] = 0
    (row,) = change_points(frame(clicks), DEFAULT).to_dict("records")
    assert (row["metric"], row["kind"], row["first_day"]) == ("impressions", "dark", day(400))


def test_six_days_without_impressions_are_no_change() -> None:
    clicks = seen(site(15), 15)
    clicks[200:206] = 0
    assert change_points(frame(clicks), DEFAULT).empty


def test_a_group_that_is_seldom_shown_is_not_dark() -> None:
    rng = np.random.default_rng(16)
    clicks = rng.poisson(0.3, DAYS).astype("float64")
    assert change_points(frame(clicks, impressions=clicks), DEFAULT).empty


def test_a_level_that_is_another_after_dark_days_stands_in_its_end_alone() -> None:
    clicks = seen(with_step(site(17), 215, -0.5), 17)
    clicks[200:220] = 0
    rows = change_points(frame(clicks), DEFAULT)
    assert set(rows.loc[rows["metric"] == "impressions", "kind"]) == {"dark"}
    (of_clicks,) = rows[rows["metric"] == "clicks"].to_dict("records")
    assert of_clicks["change"] == pytest.approx(-0.5, abs=0.1)


# any input


def strange(rng: np.random.Generator) -> np.ndarray:
    """Values as they come: jumps, gaps, zeros, spikes."""
    days = int(rng.integers(1, 520))
    levels = np.repeat(10 ** rng.uniform(-1, 6, 12), 60)[:days]
    values = rng.poisson(levels * np.exp(rng.normal(0, rng.choice([0, 0.1, 1.0]), days))).astype("float64")
    values[rng.random(days) < rng.choice([0, 0.05, 0.6])] = rng.choice([0, np.nan, 1e7])
    first = int(rng.integers(0, days))
    values[first : first + int(rng.integers(0, 90))] = rng.choice([0, np.nan])
    return values


def check_rows(rows: pd.DataFrame, days: pd.DataFrame) -> None:
    assert not rows.duplicated(KEYS).any()
    assert (rows["earliest_day"] <= rows["first_day"]).all()
    assert (rows["first_day"] <= rows["latest_day"]).all()
    assert rows["first_day"].isin(days["data_date"]).all()
    assert rows["confidence"].between(DEFAULT.change_point_confidence, 1).all()
    assert (rows[["level_before", "level_after"]] >= 0).all(axis=None)
    as_table(CHANGE_POINTS, rows, "acme")


@pytest.mark.parametrize("seed", range(12))
def test_any_series_has_rows_that_can_be_stored(seed: int) -> None:
    rng = np.random.default_rng(seed)
    clicks = strange(rng)
    if np.isnan(clicks).all():
        pytest.skip("no day at all")
    position = 1 + rng.gamma(2, 5, len(clicks))
    days = frame(clicks, np.maximum(3 * clicks, rng.choice([0, 1])), position)
    annotations = [counting(int(at)) for at in rng.integers(-20, 540, int(rng.integers(0, 3)))]
    check_rows(change_points(days, DEFAULT, annotations), days)


def test_no_days_have_no_rows() -> None:
    assert change_points(frame(still(1.0, 1)).iloc[:0], DEFAULT).empty
    with pytest.raises(ValueError, match="input without the columns impressions"):
        change_points(frame(still(1.0)).drop(columns="impressions"), DEFAULT)


def test_a_real_half_year_has_one_change() -> None:
    """Impressions rose by 22 % in the middle of October 2024; American holidays are no change."""
    if not EXPORT.is_dir():
        pytest.skip("the real export is not beside the repository (shared/data/search-console-export)")
    dates = pd.read_csv(EXPORT / "Dates.csv").sort_values("Date")
    values = [dates[name].to_numpy("float64") for name in ("Clicks", "Impressions", "Position")]
    rows = change_points(frame(*values, first_day=date(2024, 5, 3)), Thresholds(change_point_confidence=0.9))
    (row,) = rows.to_dict("records")
    assert (row["metric"], row["kind"]) == ("impressions", "step")
    assert row["earliest_day"] <= pd.Timestamp("2024-10-16") <= row["latest_day"]
    assert row["change"] == pytest.approx(0.22, abs=0.05)


def test_an_outage_after_days_of_which_nothing_is_known_has_the_level_of_the_last_known_ones() -> None:
    clicks = np.full(200, 500.0)
    clicks[100:140], clicks[140:170] = np.nan, 0.0
    dark = found(frame(clicks), metric="impressions")
    assert list(dark["kind"]) == ["dark", "dark"]
    assert dark["level_before"][0] == 30 * 500
    assert list(dark["first_day"]) == [day(140), day(170)]


@pytest.mark.parametrize("recount", [98, 100])
def test_a_level_that_moved_while_nothing_was_known_around_a_counting_change_is_no_change(
    recount: int,
) -> None:
    clicks = np.full(147, 3000.0)
    clicks[97:] = 800
    clicks[97:123] = np.nan
    first = (pd.Timestamp(FIRST_DAY) + pd.Timedelta(days=recount)).date()
    recounted = Annotation(Kind.COUNTING_CHANGE, "Counted otherwise", first)
    assert found(frame(clicks), recounted).empty


def odd_days(seed: int) -> np.ndarray:
    """Days of levels that jump, with outages and stretches of which nothing is known, in any order."""
    rng = np.random.default_rng(seed)
    days = int(rng.integers(57, 480))
    clicks = np.full(days, 10 ** rng.uniform(0, 4.5))
    for _ in range(int(rng.integers(1, 5))):
        clicks[int(rng.integers(days)) :] *= rng.uniform(0.1, 8)
    clicks = rng.poisson(clicks * np.exp(rng.normal(0, rng.choice([0, 0.1, 0.5]), days))).astype("float64")
    for value in rng.choice([np.nan, 0.0], int(rng.integers(1, 6))):
        first = int(rng.integers(days))
        clicks[first : first + int(rng.integers(1, 60))] = value
    clicks[rng.random(days) < rng.choice([0, 0.05, 0.4])] = np.nan
    return clicks


def check_odd_days(seeds: range) -> None:
    rng = np.random.default_rng(seeds.start)
    for seed in seeds:
        clicks = odd_days(seed)
        if np.isnan(clicks).all():
            continue
        position = np.where(clicks > 0, rng.uniform(1, 60, len(clicks)), np.nan)
        first = FIRST_DAY + timedelta(days=int(rng.integers(len(clicks))))
        # As many rows as keys, without a missing value where none may be: the table says so.
        found(frame(clicks, position=position), Annotation(Kind.COUNTING_CHANGE, "Counted otherwise", first))
        rows = found(frame(clicks, position=position))
        assert (rows["earliest_day"] <= rows["first_day"]).all()
        assert (rows["first_day"] <= rows["latest_day"]).all()


def test_odd_days_break_no_table() -> None:
    check_odd_days(range(20))


@pytest.mark.parametrize("first", [in_soak(0), *map(in_night, range(100, 1300, 300))])
def test_many_odd_series_break_no_table(first: int) -> None:
    check_odd_days(range(first, first + 300))
