"""Charts: axes, gaps, provisional days, labels and colours."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from datetime import date, timedelta
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gsc_pipeline.lake.annotations.record import Annotation, Kind
from gsc_pipeline.report.charts import (
    IMAGE_COLOURS,
    NARROW,
    WIDE,
    Fan,
    Panel,
    Series,
    date_ticks,
    over_time,
    readings,
    short,
    value_ticks,
)
from gsc_pipeline.report.charts import drawn as drawn_panels
from gsc_pipeline.report.marks import Level, Shift, marks

LAST = date(2026, 11, 17)
SVG = "{http://www.w3.org/2000/svg}"


def series(*clicks: float, provisional: int = 0) -> Series:
    days = pd.date_range(end=LAST, periods=len(clicks))
    frame = pd.DataFrame({"clicks": clicks, "impressions": clicks}, index=days, dtype=float)
    return Series(frame, LAST - timedelta(provisional - 1) if provisional else None)


def drawn(one: Series) -> ET.Element:
    return ET.fromstring(over_time(one, WIDE, label="Clicks"))


def points(chart: ET.Element, shape: str) -> list[int]:
    """How many points each such shape of the clicks has."""
    clicks = chart.find(f"{SVG}g")
    assert clicks is not None
    return [len(found.attrib["points"].split()) for found in clicks.iter(f"{SVG}{shape}")]


def texts(chart: ET.Element) -> list[str]:
    return [found.text or "" for found in chart.iter(f"{SVG}text")]


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (950, "950"), (1_200, "1.2k"), (30_000, "30k"), (4_500_000, "4.5M")]
)
def test_axes_have_short_numbers(value: float, text: str) -> None:
    assert short(value) == text


@pytest.mark.parametrize(
    ("highest", "ticks"),
    [
        (1, [0, 1]),
        (3, [0, 1, 2, 3]),
        (9, [0, 5]),
        (99, [0, 25, 50, 75]),
        (127, [0, 50, 100]),
        (1_300_000, [0, 500_000, 1_000_000]),
    ],
)
def test_values_have_round_ticks(highest: float, ticks: list[int]) -> None:
    assert value_ticks(highest) == ticks


@settings(deadline=None)
@given(st.dates(min_value=date(2020, 1, 1), max_value=date(2030, 1, 1)), st.integers(0, 4_000))
def test_dates_have_at_least_one_tick_and_never_too_many(first: date, days: int) -> None:
    for most in (4, 6, 10):
        assert 1 <= len(date_ticks(first, first + timedelta(days), most)) <= most


def test_ticks_are_days_mondays_or_first_days_of_months() -> None:
    assert date_ticks(date(2026, 11, 9), LAST, 10) == [date(2026, 11, day) for day in range(9, 18)]
    assert {day.weekday() for day in date_ticks(date(2026, 8, 19), LAST, 10)} == {0}
    months = date_ticks(date(2025, 8, 1), LAST, 10)
    assert [(day.month, day.day) for day in months] == [(month, 1) for month in (9, 11, 1, 3, 5, 7, 9, 11)]


def test_labels_name_the_year_where_it_changes() -> None:
    days = pd.date_range("2025-08-01", "2026-11-17")
    frame = pd.DataFrame({"clicks": 1.0, "impressions": 1.0}, index=days)
    dates = [text for text in texts(drawn(Series(frame))) if text[:3] in ("Sep", "Nov", "Jan", "Mar")]
    assert dates == ["Sep 2025", "Nov", "Jan 2026", "Mar", "Sep", "Nov"]


def test_a_day_without_data_is_a_gap_and_a_day_of_zeros_is_not() -> None:
    assert points(drawn(series(5, 0, 0, 5)), "polyline") == [4]
    chart = drawn(series(5, 6, math.nan, 7, math.nan, 8, 9))
    assert points(chart, "polyline") == [2, 2]
    assert points(chart, "polygon") == [4, 4]
    assert len(list(chart.iter(f"{SVG}circle"))) == 2  # the day between two gaps, in both panels


def test_a_single_day_is_a_dot() -> None:
    chart = drawn(series(5))
    assert points(chart, "polyline") == []
    assert len(list(chart.iter(f"{SVG}circle"))) == 2
    assert "17 Nov 2026" in texts(chart)


def test_provisional_days_are_dashed_on_a_band() -> None:
    chart = drawn(series(5, 6, 7, 8, 9, provisional=2))
    assert points(chart, "polyline") == [3, 3]
    assert len(list(chart.iter(f"{SVG}rect"))) == 2
    assert not list(drawn(series(5, 6, 7)).iter(f"{SVG}rect"))
    assert points(drawn(series(5, 6, provisional=2)), "polygon") == []


def test_each_point_has_its_values_in_words() -> None:
    assert str(readings(series(1))[0]) == "Tue 17 Nov 2026: 1 click, 1 impression"
    one = series(5, math.nan, 1234, provisional=1)
    assert [str(found) for found in readings(one)] == [
        "Sun 15 Nov 2026: 5 clicks, 5 impressions",
        "Mon 16 Nov 2026: no data",
        "Tue 17 Nov 2026: 1,234 clicks, 1,234 impressions, may still change",
    ]
    mondays = pd.date_range("2026-11-02", "2026-11-09", freq="7D")
    weeks = pd.DataFrame({"clicks": 1.0, "impressions": 1.0}, index=mondays)
    assert readings(Series(weeks))[0].when == "Week from Mon 2 Nov 2026"
    chart = ET.fromstring(over_time(one, WIDE, label="Clicks", with_values=True))
    titles = [found.text for found in chart.iter(f"{SVG}title")]
    assert titles == [str(found) for found in readings(one)]
    # Two dots for each day with data: one in each panel.
    assert len(list(chart.iter(f"{SVG}circle"))) == len(list(drawn(one).iter(f"{SVG}circle"))) + 4
    assert not list(drawn(one).iter(f"{SVG}title"))


def test_the_areas_of_the_points_fill_the_chart_without_gaps() -> None:
    chart = ET.fromstring(over_time(series(*range(1, 92)), NARROW, label="Clicks", with_values=True))
    areas = [
        (float(area.attrib["x"]), float(area.attrib["width"]))
        for group in chart.iter(f"{SVG}g")
        for area in group.iter(f"{SVG}rect")
        if group.attrib.get("class") == "point"
    ]
    assert len(areas) == 91
    for (x, width), (following, _) in pairwise(areas):
        assert following == pytest.approx(x + width, abs=0.21)


def test_a_chart_of_zeros_has_an_axis() -> None:
    assert texts(drawn(series(*[0] * 91)))[:3] == ["0", "1", "Clicks"]


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.one_of(st.just(math.nan), st.floats(0, 1e10)), min_size=1, max_size=120), st.integers(0, 120)
)
def test_lines_stay_inside_the_chart_for_any_numbers(values: list[float], provisional: int) -> None:
    for size in (WIDE, NARROW):
        one = series(*values, provisional=provisional)
        chart = ET.fromstring(over_time(one, size, label="Clicks"))
        for shape in chart.iter():
            for point in shape.attrib.get("points", "").split():
                x, y = map(float, point.split(","))
                assert 0 <= x <= size.width
                assert 0 <= y <= size.height


def test_charts_are_deterministic_and_escape_their_label() -> None:
    one = series(5, 6, 7)
    assert over_time(one, WIDE, label='"><script>') == over_time(one, WIDE, label='"><script>')
    chart = ET.fromstring(over_time(one, WIDE, label='"><script>'))
    assert (chart.attrib["role"], chart.attrib["aria-label"]) == ("img", '"><script>')


def test_charts_use_css_variables_on_the_page_and_real_colours_in_an_image() -> None:
    assert "var(--clicks)" in over_time(series(5, 6), WIDE, label="Clicks")
    image = over_time(series(5, 6), WIDE, label="Clicks", colours=IMAGE_COLOURS)
    assert "var(" not in image
    assert IMAGE_COLOURS["clicks"] in image


PLOT = WIDE.width - 46
"""The width of the chart between its axis, at 40, and its right end."""


def annotation(first: date, last: date | None = None, title: str = "Fault") -> Annotation:
    return Annotation(Kind.DATA_FAULT, title, first, last)


def test_numbers_of_annotations_stay_above_the_title_of_the_next_panel() -> None:
    one = series(*range(1, 92))
    same_day = [annotation(one.days[2], title=title) for title in ("One", "Two", "Three")]
    for count in (1, 2, 3):
        found = marks(one.days, same_day[:count])
        chart = ET.fromstring(over_time(one, NARROW, label="Clicks", marked=found))
        groups = [group for group in chart.iter(f"{SVG}g") if group.get("class") == "mark"]
        numbers = [float(text.attrib["y"]) for group in groups for text in group.iter(f"{SVG}text")]
        (title,) = [
            float(text.attrib["y"]) for text in chart.iter(f"{SVG}text") if text.text == "Impressions"
        ]
        assert len(set(numbers)) == count
        # The title's letters are 8 units high, above the line that they stand on.
        assert max(numbers) < title - 8


def marked(one: Series, *annotations: Annotation) -> ET.Element:
    found = marks(one.days, annotations)
    return ET.fromstring(over_time(one, WIDE, label="Clicks", marked=found))


def mark_groups(chart: ET.Element) -> list[ET.Element]:
    return [group for group in chart.iter(f"{SVG}g") if group.get("class") == "mark"]


def test_an_annotation_is_a_line_where_it_begins_and_ends_and_a_number() -> None:
    one = series(*range(28))
    first = one.days[0]
    chart = marked(one, annotation(first + timedelta(7), first + timedelta(13)))
    (group,) = mark_groups(chart)
    # In both panels.
    xs = sorted({float(line.attrib["x1"]) for line in group.iter(f"{SVG}line")})
    assert len(list(group.iter(f"{SVG}line"))) == 4
    (bar,) = group.iter(f"{SVG}rect")
    assert float(bar.attrib["x"]) == xs[0]
    assert float(bar.attrib["width"]) == pytest.approx(xs[1] - xs[0], abs=0.2)
    assert [text.text for text in group.iter(f"{SVG}text")] == ["1"]
    # A quarter and a half of the chart: days are as wide as the line's points are apart.
    assert xs == pytest.approx([40 + PLOT * 7 / 28, 40 + PLOT * 14 / 28], abs=0.1)


def test_what_began_before_the_chart_or_goes_on_has_one_line_and_what_covers_it_all_none() -> None:
    one = series(*range(28))
    first, last = one.days[0], one.days[-1]
    begun = annotation(first - timedelta(50), first + timedelta(3), "begun")
    lasting = annotation(first + timedelta(9), None, "lasting")
    whole = annotation(first, last, "whole")
    outside = annotation(first - timedelta(9), first - timedelta(1), "outside")
    found = marks(one.days, [begun, whole, lasting, outside])
    assert [(mark.number, mark.annotation) for mark in found] == [(1, begun), (2, lasting)]
    groups = mark_groups(ET.fromstring(over_time(one, WIDE, label="Clicks", marked=found)))
    assert [len(list(group.iter(f"{SVG}line"))) for group in groups] == [2, 2]


def test_numbers_of_marks_close_together_do_not_cover_each_other() -> None:
    one = series(*range(130))
    days = [one.days[30], one.days[31], one.days[32], one.days[60]]
    groups = mark_groups(marked(one, *(annotation(day, day, str(day)) for day in days)))
    places = [
        (float(text.attrib["x"]), float(text.attrib["y"]))
        for group in groups
        for text in group.iter(f"{SVG}text")
    ]
    assert len({y for _, y in places[:3]}) == 3
    assert places[3][1] == places[0][1]


def test_weeks_are_marked_on_the_day_that_something_begins() -> None:
    weeks = pd.date_range("2026-01-05", periods=40, freq="7D")
    one = Series(pd.DataFrame({"clicks": 1.0, "impressions": 1.0}, index=weeks))
    (mark,) = marks(one.days, [annotation(weeks[-1].date() + timedelta(6))])
    assert mark.number == 1
    assert marks(one.days, [annotation(weeks[-1].date() + timedelta(7))]) == []


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(-40, 140), st.integers(0, 60) | st.none()), max_size=30))
def test_marks_stay_within_the_chart(spans: list[tuple[int, int | None]]) -> None:
    one = series(*range(91))
    first = one.days[0]
    found = [
        annotation(first + timedelta(start), None if days is None else first + timedelta(start + days))
        for start, days in spans
    ]
    for group in mark_groups(marked(one, *found)):
        for line in group.iter(f"{SVG}line"):
            assert 40 <= float(line.attrib["x1"]) <= 40 + PLOT
        for bar in group.iter(f"{SVG}rect"):
            assert float(bar.attrib["x"]) >= 40
            assert float(bar.attrib["x"]) + float(bar.attrib["width"]) <= 41 + PLOT


def shift(first: date, days: int = 5, *, metric: str = "clicks", levels: tuple[Level, ...] = ()) -> Shift:
    return Shift("A", metric, first, first + timedelta(days - 1), levels)


def test_a_change_is_a_band_over_the_days_it_may_begin_on_and_the_levels_around_it() -> None:
    one = series(*[10] * 14, *[20] * 14)
    first = one.days[0]
    levels = Level(first, first + timedelta(13), 10), Level(first + timedelta(14), one.days[-1], 20)
    changed = [shift(first + timedelta(12), levels=levels)]
    chart = ET.fromstring(over_time(one, WIDE, label="Clicks", shifts=changed))
    (band,) = [found for found in chart.iter(f"{SVG}rect") if found.get("class") == "shift"]
    assert float(band.attrib["x"]) == pytest.approx(40 + PLOT * 12 / 28, abs=0.1)
    assert float(band.attrib["width"]) == pytest.approx(PLOT * 5 / 28, abs=0.2)
    before, after = [found for found in chart.iter(f"{SVG}line") if found.get("class") == "level"]
    assert (float(before.attrib["x1"]), float(after.attrib["x2"])) == (40, 40 + PLOT)
    assert before.attrib["x2"] == after.attrib["x1"]
    # Each lies on the line of the clicks.
    clicks = chart.find(f"{SVG}g/{SVG}polyline")
    assert clicks is not None
    ys = [float(point.split(",")[1]) for point in clicks.attrib["points"].split()]
    assert (float(before.attrib["y1"]), float(after.attrib["y1"])) == (ys[0], ys[-1])
    assert texts(chart).count("A") == 1


def test_a_change_is_drawn_with_its_metric_and_one_of_positions_with_both() -> None:
    one = series(*range(28))
    for metric, bands in (("clicks", 1), ("impressions", 1), ("position", 2)):
        changed = [shift(one.days[9], metric=metric)]
        chart = ET.fromstring(over_time(one, NARROW, label="Clicks", shifts=changed))
        assert len([found for found in chart.iter(f"{SVG}rect") if found.get("class") == "shift"]) == bands


def test_the_level_of_a_day_is_seven_times_as_high_in_a_chart_of_weeks() -> None:
    weeks = pd.date_range("2026-01-05", periods=40, freq="7D")
    one = Series(pd.DataFrame({"clicks": 700.0, "impressions": 1.0}, index=weeks))
    changed = [shift(one.days[9], levels=(Level(one.days[0], one.days[9], 100),))]
    chart = ET.fromstring(over_time(one, WIDE, label="Clicks", shifts=changed))
    (level,) = [found for found in chart.iter(f"{SVG}line") if found.get("class") == "level"]
    line = chart.find(f"{SVG}g/{SVG}polyline")
    assert line is not None
    assert line.attrib["points"].split()[0].split(",")[1] == level.attrib["y1"]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(-60, 150), st.integers(1, 30)), max_size=12))
def test_bands_and_letters_stay_within_the_chart_and_apart(spans: list[tuple[int, int]]) -> None:
    one = series(*range(91))
    changed = [shift(one.days[0] + timedelta(start), days) for start, days in spans]
    chart = ET.fromstring(over_time(one, WIDE, label="Clicks", shifts=changed))
    for band in chart.iter(f"{SVG}rect"):
        assert float(band.attrib["x"]) >= 40
        assert float(band.attrib["x"]) + float(band.attrib["width"]) <= 42 + PLOT
    letters = [float(found.attrib["x"]) for found in chart.iter(f"{SVG}text") if found.get("class")]
    assert all(x <= 40 + PLOT for x in letters)
    # A title is at the left.
    assert all(x >= 80 for x in letters)


def test_a_forecast_is_a_band_around_a_dashed_line_beside_the_days_so_far() -> None:
    days = [LAST + timedelta(age) for age in range(-3, 4)]
    fan = Fan(LAST + timedelta(1), [10, 11, 12], [8, 9, 10], [12, 13, 40])
    panel = Panel("Clicks", "clicks", [9, 9, 9, 9, math.nan, math.nan, math.nan], (fan,))
    chart = ET.fromstring(drawn_panels(days, [panel], WIDE, label="Clicks", texts=["day"] * 7))
    (group,) = [found for found in chart.iter(f"{SVG}g") if found.get("class") == "fan"]
    (band,), (line,) = group.iter(f"{SVG}polygon"), group.iter(f"{SVG}polyline")
    corners = [tuple(map(float, point.split(","))) for point in band.attrib["points"].split()]
    middle = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    assert (len(corners), len(middle)) == (6, 3)
    # The band has room: its highest day sets the scale.
    assert all(0 <= y <= WIDE.height for _, y in corners)
    for (x, y), above, below in zip(middle, corners[:3], reversed(corners[3:]), strict=True):
        assert above[0] == x == below[0]
        assert above[1] < y < below[1]
    assert len(list(chart.iter(f"{SVG}title"))) == 7
