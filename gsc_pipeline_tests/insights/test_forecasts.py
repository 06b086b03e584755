"""The table forecasts: what it expects, what it said four weeks ago, and when it refuses."""

from __future__ import annotations

import re
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from gsc_pipeline.insights.forecasts import forecasts
from gsc_pipeline.insights.tables import as_table
from gsc_pipeline.lake.annotations.record import Annotation, Kind
from gsc_pipeline.lake.schemas import FORECASTS
from gsc_pipeline.workspaces.thresholds import Thresholds
from gsc_pipeline_tests.insights.series import counts, expected_level

AS_OF = date(2026, 9, 30)
NUMBERS = ["expected", "low", "high"]


def frame(
    clicks: np.ndarray, *, as_of: date = AS_OF, group: str = "all", impressions: np.ndarray | None = None
) -> pd.DataFrame:
    """Days that end on `as_of`; NaN is a day that is not final."""
    dates = pd.date_range(end=pd.Timestamp(as_of), periods=len(clicks))
    shown = clicks * 20 + 500 if impressions is None else impressions
    rows = pd.DataFrame({"data_date": dates, "clicks": clicks, "impressions": shown}).dropna()
    return rows.assign(
        site_url="sc-domain:acme.com",
        search_type="WEB",
        content_group=group,
        as_of=pd.Timestamp(as_of),
        position=5.0,
    )


def usual(days: int = 300, level: float = 400, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return counts(rng, expected_level(rng, days, level))


def made(days: pd.DataFrame, *annotations: Annotation, metric: str = "clicks") -> pd.DataFrame:
    """The rows of the metric, in the form in which they are stored."""
    rows = forecasts(days, Thresholds(), annotations)
    stored = as_table(FORECASTS, rows, "acme").to_pandas()
    return stored[stored["metric"] == metric].reset_index(drop=True)


def now(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["made_on"] == rows["as_of"]].reset_index(drop=True)


def four_weeks_ago(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["made_on"] < rows["as_of"]].reset_index(drop=True)


def why(rows: pd.DataFrame) -> str:
    """The reason of the only row, which is a refusal."""
    (row,) = rows.to_dict("records")
    assert row["method"] == "refused"
    assert all(pd.isna(row[name]) for name in NUMBERS)
    assert row["data_date"] == row["made_on"] + timedelta(days=1)
    return str(row["reason"])


def test_each_series_has_a_forecast_of_28_days_and_one_of_the_last_28() -> None:
    days = pd.concat([frame(usual()), frame(usual(seed=2) / 4, group="blog")])
    rows = forecasts(days, Thresholds())
    by_series = rows.groupby(["content_group", "metric", "made_on"])
    assert by_series.ngroups == 2 * 2 * 2
    assert (by_series.size() == 28).all()
    for (_, _, made_on), of_series in by_series:
        assert of_series["data_date"].tolist() == pd.date_range(made_on, periods=29).tolist()[1:]
    assert (rows["low"] >= 0).all()
    assert (rows["low"] <= rows["expected"]).all()
    assert (rows["expected"] <= rows["high"]).all()


def test_the_future_has_no_actual_values_and_the_last_four_weeks_have() -> None:
    values = usual()
    rows = made(frame(values))
    assert now(rows)["actual"].isna().all()
    past = four_weeks_ago(rows)
    assert past["actual"].tolist() == values[-28:].tolist()
    assert past["actual"].between(past["low"], past["high"]).mean() > 0.5


def test_the_earlier_forecast_is_what_was_said_then() -> None:
    values = usual(480)
    later = four_weeks_ago(made(frame(values)))
    then = now(made(frame(values[:-28], as_of=AS_OF - timedelta(days=28))))
    columns = ["data_date", "made_on", "method", *NUMBERS]
    pd.testing.assert_frame_equal(later[columns], then[columns])


def test_later_days_do_not_change_the_earlier_forecast() -> None:
    values = usual()
    changed = values.copy()
    changed[-28:] *= 9
    pd.testing.assert_frame_equal(
        four_weeks_ago(made(frame(values)))[NUMBERS], four_weeks_ago(made(frame(changed)))[NUMBERS]
    )


@pytest.mark.parametrize(
    ("final", "reason"),
    [
        (41, "only 41 days are final"),
        (56, None),
        (29, "only 29 days are final"),
        (3, "only 3 days are final"),
    ],
)
def test_eight_weeks_of_final_days_are_needed(final: int, reason: str | None) -> None:
    rows = made(frame(usual(final)))
    if reason is None:
        assert len(now(rows)) == 28
    else:
        assert why(now(rows)) == f"{reason}, and 56 are needed"
    then = {56: "only 28 days are final", 41: "only 13 days are final", 29: "only 1 day is final"}
    assert why(four_weeks_ago(rows)) == f"{then.get(final, 'no day is final')}, and 56 are needed"


def test_too_many_gaps_are_refused() -> None:
    values = usual()
    values[-40:-5] = np.nan
    assert why(now(made(frame(values)))) == "21 of the last 56 days are final, 42 are needed"


def test_a_weekday_that_is_hardly_known_is_refused() -> None:
    values = usual()
    # 2026-09-30 is a Wednesday.
    values[-4 : -4 - 7 * 7 : -7] = np.nan
    assert why(now(made(frame(values)))) == "1 of the last 8 Sundays are final, 3 are needed"


def test_a_few_clicks_are_refused_and_their_impressions_are_not() -> None:
    values = np.zeros(200)
    values[::9] = 1
    rows = frame(values, impressions=usual(200))
    assert why(now(made(rows))) == "7 clicks in the last 56 final days, 56 are needed"
    assert len(now(made(rows, metric="impressions"))) == 28
    values[-50:] = 0
    assert why(now(made(frame(values)))) == "1 click in the last 56 final days, 56 are needed"
    assert why(now(made(frame(np.zeros(200))))) == "0 clicks in the last 56 final days, 56 are needed"


def test_missing_days_are_not_zeros() -> None:
    values = usual()
    gaps = values.copy()
    gaps[np.random.default_rng(3).random(300) < 0.15] = np.nan
    gaps[-1] = values[-1]
    whole, with_gaps = (now(made(frame(one)))["expected"].sum() for one in (values, gaps))
    assert with_gaps == pytest.approx(whole, rel=0.03)


def test_days_of_a_data_fault_are_left_out() -> None:
    values = usual()
    wrong = values.copy()
    wrong[-10:-3] = 0
    last = AS_OF - timedelta(days=3)
    fault = Annotation(Kind.DATA_FAULT, "Clicks were lost", last - timedelta(days=6), last)
    rows = made(frame(wrong), fault)
    assert now(rows)["expected"].sum() == pytest.approx(now(made(frame(values)))["expected"].sum(), rel=0.1)
    assert four_weeks_ago(rows)["actual"].isna().sum() == 7


def test_only_days_since_the_last_change_of_counting_are_used() -> None:
    values = usual()
    values[:-100] *= 3
    first = AS_OF - timedelta(days=99)
    change = Annotation(Kind.COUNTING_CHANGE, "Clicks are counted once", first)
    rows = made(frame(values), change)
    alone = made(frame(values[-100:]))
    pd.testing.assert_frame_equal(now(rows)[NUMBERS], now(alone)[NUMBERS])
    recent = Annotation(Kind.COUNTING_CHANGE, "Clicks are counted once", AS_OF - timedelta(days=39))
    rows = made(frame(values), recent)
    assert (
        why(now(rows))
        == "only 40 days are final, and 56 are needed; numbers count something else since 2026-08-22"
    )
    assert (
        why(four_weeks_ago(rows))
        == "only 12 days are final, and 56 are needed; numbers count something else since 2026-08-22"
    )


def test_a_forecast_from_before_a_change_of_counting_says_that_days_do_not_compare() -> None:
    change = Annotation(Kind.COUNTING_CHANGE, "Clicks are counted once", AS_OF - timedelta(days=9))
    rows = four_weeks_ago(made(frame(usual()), change))
    assert len(rows) == 28
    assert set(rows["reason"]) == {"numbers count something else since 2026-09-21"}


@pytest.mark.parametrize("dark", [7, 20, 90])
def test_a_dark_property_is_expected_to_stay_dark(dark: int) -> None:
    values = usual()
    values[-dark:] = 0
    impressions = values * 20
    since = AS_OF - timedelta(days=dark - 1)
    for metric in ("clicks", "impressions"):
        rows = now(made(frame(values, impressions=impressions), metric=metric))
        assert not rows[NUMBERS].to_numpy().any()
        assert set(rows["reason"]) == {f"no {metric} since {since}, so none are expected until they return"}


def test_a_series_that_often_pauses_is_not_dark() -> None:
    values = usual()
    values[np.arange(300) % 30 < 12] = 0
    rows = now(made(frame(values[:281])))
    assert values[270:281].sum() == 0
    assert rows["reason"].isna().all()
    assert (rows["high"] > 100).all()


@pytest.mark.parametrize(("factor", "reason"), [(0.5, "below"), (1.6, "above"), (1.0, None)])
def test_a_last_week_that_is_far_off_is_named(factor: float, reason: str | None) -> None:
    values = usual()
    values[-7:] = np.round(values[-7:] * factor)
    reasons = set(now(made(frame(values)))["reason"].dropna())
    if reason is None:
        assert not reasons
    else:
        (text,) = reasons
        words = re.fullmatch(
            r"the last 7 days came out (\d+)% (\w+) their forecast, which is not taken for lasting yet", text
        )
        assert words is not None
        assert words[2] == reason
        assert int(words[1]) == pytest.approx(100 * abs(factor - 1), abs=12)


def test_a_property_without_any_days_has_no_rows() -> None:
    assert not len(forecasts(frame(np.zeros(0)), Thresholds()))
    assert not len(forecasts(frame(np.zeros(100), impressions=np.zeros(100)), Thresholds()))


def test_columns_that_are_missing_are_named() -> None:
    with pytest.raises(ValueError, match="position"):
        forecasts(frame(usual()).drop(columns="position"), Thresholds())


def with_christmas(values: np.ndarray, as_of: date, share: float) -> np.ndarray:
    days = [as_of - timedelta(days=back) for back in range(len(values) - 1, -1, -1)]
    quiet = np.array([(one.month, one.day) >= (12, 22) or (one.month, one.day) <= (1, 4) for one in days])
    return np.where(quiet, np.round(values * share), values)


def test_christmas_is_expected_as_a_year_before() -> None:
    as_of = date(2026, 12, 10)
    values = with_christmas(usual(480), as_of, 0.4)
    rows = now(made(frame(values, as_of=as_of)))
    by_day = rows.set_index("data_date")["expected"]
    assert by_day[date(2026, 12, 29)] == pytest.approx(0.4 * by_day[date(2026, 12, 15)], rel=0.25)
    assert by_day[date(2026, 12, 15)] == pytest.approx(by_day[date(2027, 1, 7) - timedelta(days=23)], rel=0.2)
    assert set(rows["reason"]) == {"20 December to 6 January is expected as a year before"}
    first_year = now(made(frame(values[-200:], as_of=as_of)))
    assert set(first_year["reason"]) == {
        "20 December to 6 January is expected as other days, because the year before is unknown"
    }


@pytest.mark.parametrize("as_of", [date(2026, 12, 31), date(2027, 1, 5), date(2027, 1, 12)])
def test_the_days_after_christmas_are_expected_as_those_before(as_of: date) -> None:
    values = with_christmas(usual(200), as_of, 0.4)
    rows = now(made(frame(values, as_of=as_of)))
    january = rows[rows["data_date"] > date(2027, 1, 6)]
    usual_week = usual(200)[-56:-28].mean()
    assert january["expected"].mean() == pytest.approx(usual_week, rel=0.12)


def test_eight_weeks_with_christmas_are_too_few() -> None:
    rows = now(made(frame(usual(60), as_of=date(2027, 1, 10))))
    assert why(rows) == "only 42 days outside 20 December to 6 January are final, and 56 are needed"
