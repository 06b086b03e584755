"""Changes of level: their sentences, their order, and which of them only repeat another."""

from __future__ import annotations

from datetime import date, timedelta

import pandas as pd
import pytest

from gsc_pipeline.report.changes import (
    Change,
    briefly,
    changes,
    how_likely_by_chance,
    latest,
    ranked,
    recent,
    repeated,
    sentences,
    shifts,
)
from gsc_pipeline.workspaces.content_groups import ALL
from gsc_pipeline_tests.report.insight_rows import SITE, Row, change

MAY = date(2026, 5, 12)


def made(*rows: Row) -> list[Change]:
    frame = pd.DataFrame(list(rows))
    days = ["first_day", "earliest_day", "latest_day"]
    return changes(frame.assign(**{day: pd.to_datetime(frame[day]) for day in days}))


def said(row: Row, *, with_property: bool = False) -> str:
    (one,) = made(row)
    return " ".join(sentences(one, with_property=with_property))


def test_a_change_is_a_sentence_with_its_size_its_days_and_how_rare_it_is() -> None:
    within = "begins within the roll-out of the core update"
    assert said(change(MAY, group="/blog/", updates_and_notes=within)) == (
        "Clicks of /blog/ fell by 32% (from 410 to 280 a day). It began on 12 May 2026, between 10 and 14 "
        "May; chance alone does this in 3 of 100 series. Begins within the roll-out of the core update."
    )


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (change(MAY), "Clicks fell by 32% (from 410 to 280 a day)."),
        (change(MAY, 280, 410, metric="impressions"), "Impressions rose by 46% (from 280 to 410 a day)."),
        (change(MAY, 40, 90, kind="slope"), "Clicks rose gradually by 125% (from 40 to 90 a day)."),
        (change(MAY, 0, 4.25), "Clicks rose from 0 to 4.2 a day."),
        (change(MAY, 100, 399), "Clicks rose by 299% (from 100 to 399 a day)."),
        (change(MAY, 100, 400), "Clicks rose from 100 to 400 a day."),
        (change(MAY, 3, 400, kind="slope"), "Clicks rose gradually from 3.0 to 400 a day."),
        (change(MAY, 7.1, 9.4, metric="position"), "The average position got worse, from 7.1 to 9.4."),
        (change(MAY, 9.4, 7.1, metric="position"), "The average position improved, from 9.4 to 7.1."),
        (change(MAY, group="other"), "Clicks of other pages fell by 32% (from 410 to 280 a day)."),
        (
            change(MAY, 38, 0, kind="dark", metric="impressions"),
            "The property has no impressions any more; before, it had 38 impressions a day.",
        ),
        (
            change(MAY, 38, 0, kind="dark", metric="impressions", group="blog"),
            "blog has no impressions any more; before, it had 38 impressions a day.",
        ),
        (
            change(MAY, 38, 0, kind="dark", metric="impressions", group="other"),
            "Other pages have no impressions any more; before, they had 38 impressions a day.",
        ),
    ],
)
def test_each_kind_of_change_has_its_words(row: Row, text: str) -> None:
    assert said(row).startswith(f"{text} It began on 12 May 2026")


DARK = change(MAY, 38, 0, kind="dark", metric="impressions", spread=0)
BACK = change(date(2026, 10, 25), 0, 35, kind="dark", metric="impressions", spread=0)
"""Both rows of a period without impressions, as change_points writes them."""


def test_impressions_that_came_back_are_said_to_be_back() -> None:
    dark, back = made(DARK, BACK)
    assert sentences(back) == [
        "Impressions came back (35 a day).",
        "It began on 25 October 2026; chance alone does this in 3 of 100 series.",
    ]
    assert sentences(dark) == [
        "The property had no impressions from 12 May to 24 October 2026; before, it had 38 impressions a "
        "day.",
        "Chance alone does this in 3 of 100 series.",
    ]
    assert (back.is_better, dark.is_better) == (True, False)
    assert briefly(back) == "impressions back since 25 October 2026"
    assert briefly(dark) == "impressions −100% since 12 May 2026"
    ended, came = made(DARK | {"content_group": "other"}, BACK | {"content_group": "other"})
    assert sentences(ended)[0] == (
        "Other pages had no impressions from 12 May to 24 October 2026; before, they had 38 impressions a "
        "day."
    )
    assert sentences(came)[0] == "Impressions of other pages came back (35 a day)."


def test_a_property_that_is_back_is_not_listed_as_dark_for_ever() -> None:
    dark, back = made(DARK, BACK)
    assert (dark.is_standing_dark, back.is_standing_dark) == (False, False)
    assert recent([dark, back], date(2027, 6, 1)) == []
    (alone,) = made(DARK)
    assert recent([alone], date(2027, 6, 1)) == [alone]


def test_the_property_is_named_where_there_are_several() -> None:
    assert said(change(MAY), with_property=True).startswith(f"Clicks of {SITE} fell")
    assert said(change(MAY, group="/blog/"), with_property=True).startswith(f"Clicks of /blog/ ({SITE}) fell")
    dark = change(MAY, 38, 0, kind="dark")
    assert said(dark, with_property=True).startswith(f"{SITE} has no impressions any more")


def test_a_name_cannot_turn_the_sentence_around_or_fill_the_page() -> None:
    assert "\u202e" not in said(change(MAY, group="\u202egnitirw"))
    assert len(said(change(MAY, group="x" * 5_000))) < 250


@pytest.mark.parametrize(
    ("first", "spread", "text"),
    [
        (MAY, 0, "It began on 12 May 2026; chance alone does this in 3 of 100 series."),
        (
            date(2026, 5, 1),
            2,
            "It began on 1 May 2026, between 29 April and 3 May; chance alone does this in 3 of 100 series.",
        ),
        (
            date(2026, 1, 1),
            2,
            "It began on 1 January 2026, between 30 December 2025 and 3 January; chance alone does this "
            "in 3 of 100 series.",
        ),
        (
            date(2025, 12, 31),
            2,
            "It began on 31 December 2025, between 29 December 2025 and 2 January 2026; chance alone does "
            "this in 3 of 100 series.",
        ),
    ],
)
def test_the_days_that_a_change_may_begin_on_are_as_short_as_they_can_be(
    first: date, spread: int, text: str
) -> None:
    assert said(change(first, spread=spread)).endswith(text)


@pytest.mark.parametrize(
    ("confidence", "text"),
    [
        (1.0, "chance alone does this in fewer than 1 of 100 series"),
        (0.996, "chance alone does this in fewer than 1 of 100 series"),
        (0.99, "chance alone does this in 1 of 100 series"),
        (0.959, "chance alone does this in 5 of 100 series"),
        (0.57, "chance alone does this in 43 of 100 series"),
    ],
)
def test_what_chance_does_is_never_rounded_down(confidence: float, text: str) -> None:
    (one,) = made(change(MAY, confidence=confidence))
    assert how_likely_by_chance(one) == text


def test_changes_are_ranked_by_clicks_a_day_times_confidence() -> None:
    found = made(
        change(MAY, 500, 460, group="/small/"),
        change(MAY - timedelta(30), 100, 300, group="/sure/", confidence=0.95),
        change(MAY - timedelta(60), 100, 310, group="/less-sure/", confidence=0.6),
        change(MAY - timedelta(90), 5.0, 9.0, metric="position"),
        change(MAY - timedelta(20), 10_000, 2_000, group="/seen/", metric="impressions"),
    )
    order = [one.content_group for one in ranked(found, ctr=0.02)]
    assert order == ["/sure/", "/seen/", "/less-sure/", "/small/", "all"]


def test_groups_and_metrics_that_repeat_a_change_are_folded_under_it() -> None:
    (one,) = ranked(
        made(
            change(MAY, 1000, 700),
            change(MAY + timedelta(1), 9000, 6600, metric="impressions"),
            change(MAY, 400, 270, group="/blog/"),
            change(MAY, 300, 220, group="/shop/"),
        ),
        ctr=0.1,
    )
    assert one.content_group == ALL
    assert repeated(one) == "impressions (−27%), /blog/ (−32%), /shop/ (−27%)"


def test_a_group_that_explains_the_change_of_the_whole_comes_after_it() -> None:
    found = made(
        change(MAY, 777, 628), change(MAY, 316, 141, group="/blog/"), change(MAY, 900, 1400, group="/b/")
    )
    assert [one.content_group for one in ranked(found, ctr=None)] == ["/b/", "all", "/blog/"]


def test_the_clicks_lead_although_more_impressions_were_lost() -> None:
    (one,) = ranked(made(change(MAY, 300, 200), change(MAY, 9000, 1000, metric="impressions")), ctr=0.1)
    assert (one.metric, repeated(one)) == ("clicks", "impressions (−89%)")


@pytest.mark.parametrize(
    "other",
    [
        change(MAY + timedelta(5), 400, 270, group="/blog/"),  # at another time
        change(MAY, 270, 400, group="/blog/"),  # in the other direction
        change(MAY, 400, 40, group="/blog/"),  # much larger: the explanation
        change(MAY, 400, 270, site_url="https://other.example/"),
    ],
)
def test_what_differs_from_a_change_is_listed_beside_it(other: Row) -> None:
    assert len(ranked(made(change(MAY, 1000, 700), other), ctr=0.1)) == 2


def test_the_changes_of_the_last_days_are_recent_and_a_site_that_stayed_dark() -> None:
    long_ago, last = MAY - timedelta(200), MAY + timedelta(10)
    dark = change(long_ago, 38, 0, kind="dark", group="/old/")
    back = change(long_ago + timedelta(50), 0, 30, group="/back/")
    found = made(
        change(MAY),
        dark,
        change(long_ago, group="/long-ago/"),
        change(long_ago, 38, 0, kind="dark", group="/back/"),
        back,
    )
    assert {one.content_group for one in recent(found, last)} == {"all", "/old/"}
    assert {one.content_group for one in recent(found, last, 9)} == {"/old/"}


def test_the_latest_change_of_a_group_is_that_of_its_clicks() -> None:
    found = made(
        change(MAY - timedelta(30)),
        change(MAY - timedelta(9), 100, 120),
        change(MAY, metric="impressions"),
        change(MAY, 7.0, 9.0, metric="position", group="/blog/"),
    )
    clicks, position = latest(found), latest(found, "/blog/")
    assert clicks is not None
    assert briefly(clicks) == "+20% since 3 May 2026"
    assert position is not None
    assert briefly(position) == "position 7.0 → 9.0 since 12 May 2026"
    (impressions,) = made(change(MAY, 100, 40, metric="impressions"))
    assert briefly(impressions) == "impressions −60% since 12 May 2026"
    assert latest(found, "/shop/") is None


def test_a_chart_has_the_levels_of_its_own_series_over_four_weeks_or_to_the_next_change() -> None:
    found = made(change(MAY, 100, 140), change(MAY + timedelta(20), 140, 90), change(MAY, group="/blog/"))
    first, second = shifts([("A", found[1]), ("B", found[2])], SITE, ALL)
    assert [(level.first, level.last, level.value) for level in first.levels] == [
        (MAY - timedelta(28), MAY - timedelta(1), 100.0),
        (MAY, MAY + timedelta(19), 140.0),
    ]
    assert [(level.first, level.last) for level in second.levels] == [
        (MAY, MAY + timedelta(19)),
        (MAY + timedelta(20), MAY + timedelta(47)),
    ]
    # What a slope moved to is the level from its end, and its end is not known.
    slope = made(change(MAY, 100, 140, kind="slope"))
    (level,) = shifts([("A", slope[0])], SITE, ALL)[0].levels
    assert (level.last, level.value) == (MAY - timedelta(1), 100.0)
    # Levels of a group, and of one of several properties, are not those of the line.
    assert shifts([("C", found[0])], SITE, ALL)[0].levels == ()
    assert shifts([("A", found[1])], None, ALL)[0].levels == ()
