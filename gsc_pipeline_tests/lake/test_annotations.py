"""Annotations: what they say about days, what is shipped, and the table that holds them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gsc_pipeline.lake.annotations.record import METRICS, SEARCH_TYPES, Annotation, Kind, Source
from gsc_pipeline.lake.annotations.shipped import shipped
from gsc_pipeline.lake.annotations.stored import bring_up_to_date, known, listed
from gsc_pipeline.lake.lake import Lake, LakeError
from gsc_pipeline.lake.schemas import ANNOTATIONS
from gsc_pipeline.lake.sql import connect

DAY = date(2026, 5, 13)
FAULT = Annotation(Kind.DATA_FAULT, "Impressions lost", DAY, DAY + timedelta(9), metrics=("impressions",))
NOTE = Annotation(Kind.NOTE, "New navigation", DAY, DAY, workspace="acme", source=Source.YOURS)
UPDATE = Annotation(
    Kind.RANKING_UPDATE, "August 2027 core update", DAY, url="https://a/1", source=Source.GOOGLE
)

dates = st.dates(date(2026, 1, 1), date(2026, 12, 31))


def weekdays(day: date, weeks: int = 8) -> list[date]:
    return [day - timedelta(weeks=back) for back in range(1, weeks + 1)]


# the record


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"title": ""}, "title: expected 1 to 120 characters on one line"),
        ({"title": " "}, "title: expected"),
        ({"title": "two\nlines"}, "title: expected"),
        ({"title": "\x1b[2Jred"}, "title: expected"),
        ({"title": "x" * 121}, "title: expected"),
        ({"last_day": DAY - timedelta(1)}, "last_day: expected 2026-05-13, its first day, or later"),
        ({"search_types": ("web",)}, "search_types: expected some of WEB, IMAGE"),
        ({"metrics": ("visits",)}, "metrics: expected some of clicks, impressions, ctr, position"),
    ],
)
def test_an_annotation_that_cannot_be_is_refused(values: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        replace(FAULT, **values)  # type: ignore[arg-type]


def test_it_covers_its_first_and_its_last_day_and_goes_on_without_one() -> None:
    assert [FAULT.covers(DAY + timedelta(age)) for age in (-1, 0, 9, 10)] == [False, True, True, False]
    assert replace(FAULT, last_day=None).covers(date(2100, 1, 1))
    assert FAULT.overlaps(DAY - timedelta(5), DAY)
    assert FAULT.overlaps(DAY + timedelta(9), DAY + timedelta(20))
    assert not FAULT.overlaps(DAY + timedelta(10), DAY + timedelta(20))
    assert [one.days for one in (FAULT, NOTE, UPDATE)] == [
        "2026-05-13 to 2026-05-22",
        "2026-05-13",
        "since 2026-05-13",
    ]


def test_what_it_does_not_name_it_concerns_all_of() -> None:
    assert FAULT.concerns("sc-domain:acme.com", "WEB", "impressions")
    assert not FAULT.concerns("sc-domain:acme.com", "WEB", "clicks")
    own = replace(NOTE, site_url="https://acme.com/", search_types=("WEB",))
    assert own.concerns("https://acme.com/", "WEB", "position")
    assert not own.concerns("https://acme.com/", "IMAGE")
    assert not own.concerns("sc-domain:acme.com", "WEB")
    assert (own.is_of("acme"), own.is_of("globex"), FAULT.is_of("globex")) == (True, False, True)


def test_a_day_is_set_apart_while_most_days_it_is_compared_with_are_on_the_other_side() -> None:
    lasting = replace(FAULT, last_day=None)
    for kind in (Kind.DATA_FAULT, Kind.COUNTING_CHANGE, Kind.NOTE):
        one = replace(lasting, kind=kind)
        apart = [
            week for week in range(-3, 9) if one.sets_apart(day := DAY + timedelta(7 * week), weekdays(day))
        ]
        assert apart == [0, 1, 2, 3, 4]
    # A single day is compared with many others, which it does not make unusual.
    single = replace(FAULT, last_day=DAY)
    assert single.sets_apart(DAY, weekdays(DAY))
    for week in range(1, 9):
        day = DAY + timedelta(7 * week)
        assert not single.sets_apart(day, weekdays(day))
    assert not single.sets_apart(DAY, [])


def test_a_ranking_update_sets_the_days_of_its_roll_out_apart_and_no_others() -> None:
    update = replace(FAULT, kind=Kind.RANKING_UPDATE)
    for age in range(-30, 60):
        day = DAY + timedelta(age)
        assert update.sets_apart(day, weekdays(day)) is (0 <= age <= 9)


@given(dates, dates, st.lists(dates, min_size=1, max_size=8), dates)
def test_what_covers_a_day_and_all_the_others_never_sets_it_apart(
    one: date, other: date, others: list[date], day: date
) -> None:
    first, last = min(one, other), max(one, other)
    fault = replace(FAULT, first_day=first, last_day=last)
    covered = {fault.covers(each) for each in [day, *others]}
    if len(covered) == 1:
        assert not fault.sets_apart(day, others)
    elif len({fault.covers(each) for each in others}) == 1:
        assert fault.sets_apart(day, others)


# what is shipped


def test_the_four_known_faults_and_changes_are_shipped() -> None:
    held = {(one.first_day, one.last_day): one for one in shipped() if one.changes_counting}
    impressions = held[date(2025, 5, 13), date(2026, 4, 27)]
    assert (impressions.kind, "clicks" in impressions.metrics) == (Kind.DATA_FAULT, False)
    assert held[date(2025, 6, 16), None].search_types == ("WEB",)
    assert held[date(2026, 5, 21), date(2026, 5, 21)].search_types == ("DISCOVER",)
    assert held[date(2026, 9, 24), None].kind is Kind.COUNTING_CHANGE
    assert len(held) == 4


def test_shipped_annotations_are_told_apart_sourced_and_as_short_as_google_made_them() -> None:
    titles = [one.title for one in shipped()]
    assert len(set(titles)) == len(titles)
    for one in shipped():
        assert one.source is Source.SHIPPED
        assert one.url.startswith(("https://status.search.google.com/", "https://support.google.com/"))
        assert (one.workspace, one.site_url) == (None, None)
        if one.kind is Kind.RANKING_UPDATE:
            assert one.last_day is not None
            assert one.title.startswith(f"{one.first_day:%B %Y} ")
            assert (one.last_day - one.first_day).days <= 45


def test_the_shipped_file_is_part_of_the_package() -> None:
    text = files("gsc_pipeline").joinpath("lake/annotations/shipped.yaml").read_text(encoding="utf-8")
    assert len(yaml.safe_load(text)) == len(shipped()) > 25


# the table


def test_a_lake_without_the_table_knows_what_is_shipped(lake: Lake) -> None:
    assert set(known(lake)) == set(shipped())
    assert lake.version_of(ANNOTATIONS) is None


def test_the_table_holds_all_three_sources_and_is_written_once(lake: Lake) -> None:
    bring_up_to_date(lake, yours=[NOTE], fetched=[UPDATE])
    assert set(known(lake)) == {*shipped(), NOTE, UPDATE}
    version = lake.version_of(ANNOTATIONS)
    for _ in range(2):
        bring_up_to_date(lake, yours=[NOTE], fetched=[UPDATE])
        bring_up_to_date(lake)
    assert lake.version_of(ANNOTATIONS) == version
    with connect(lake) as connection:
        rows = connection.execute(
            """SELECT title, metrics, workspace FROM annotations
               WHERE last_day IS NULL OR source = 'yours' ORDER BY first_day, title"""
        ).fetchall()
    assert rows[0][0] == "AI Mode counts in the totals of Web search"
    assert (NOTE.title, None, "acme") in rows


def test_the_users_own_rows_are_replaced_by_a_file_and_kept_without_one(lake: Lake) -> None:
    bring_up_to_date(lake, yours=[NOTE])
    assert NOTE in bring_up_to_date(lake)
    moved = replace(NOTE, first_day=DAY - timedelta(1))
    assert NOTE not in bring_up_to_date(lake, yours=[moved])
    assert moved in known(lake)
    assert set(bring_up_to_date(lake, yours=[])) == set(shipped()) == set(known(lake))


def test_a_fetched_update_replaces_its_earlier_row_and_the_shipped_one_of_its_title(lake: Lake) -> None:
    (last,) = [one for one in shipped() if one.title == "September 2026 spam update"]
    again = replace(last, title="September 2026 Spam Update", source=Source.GOOGLE, last_day=None)
    held = bring_up_to_date(lake, fetched=[again, UPDATE])
    assert last not in held
    ended = replace(UPDATE, last_day=DAY + timedelta(12))
    bring_up_to_date(lake, fetched=[ended])
    assert {one for one in known(lake) if one.source is Source.GOOGLE} == {again, ended}
    assert last not in known(lake)


def test_a_list_shows_what_would_be_stored_and_writes_nothing(lake: Lake) -> None:
    assert set(listed(lake, [NOTE])) == {*shipped(), NOTE}
    assert lake.version_of(ANNOTATIONS) is None
    bring_up_to_date(lake, yours=[NOTE], fetched=[UPDATE])
    assert set(listed(lake)) == {*shipped(), NOTE, UPDATE}


def test_rows_of_another_process_between_reading_and_writing_are_kept(lake: Lake) -> None:
    class Racing(Lake):
        """Another process stores a fetched update just before this one's first commit."""

        def replace(self, *args: object, **options: object) -> int:
            if lake.version_of(ANNOTATIONS) is None:
                bring_up_to_date(lake, fetched=[UPDATE])
            return super().replace(*args, **options)  # type: ignore[arg-type]

    bring_up_to_date(Racing(lake.uri), yours=[NOTE])
    assert set(known(lake)) == {*shipped(), NOTE, UPDATE}


@settings(max_examples=10)
@given(
    st.builds(
        Annotation,
        kind=st.sampled_from(Kind),
        title=st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=20),
        first_day=dates,
        last_day=st.none() | st.just(date(2027, 1, 1)),
        search_types=st.lists(st.sampled_from(SEARCH_TYPES), unique=True).map(tuple),
        metrics=st.lists(st.sampled_from(METRICS), unique=True).map(tuple),
        workspace=st.none() | st.just("acme"),
        site_url=st.none() | st.just("https://acme.com/"),
        description=st.just("") | st.just("it's 5 > 3"),
        url=st.just("") | st.just("https://example.com/"),
        source=st.just(Source.YOURS),
    )
)
def test_an_annotation_is_read_as_it_was_stored(
    tmp_path_factory: pytest.TempPathFactory, one: Annotation
) -> None:
    lake = Lake(str(tmp_path_factory.mktemp("lake")))
    bring_up_to_date(lake, yours=[one])
    assert one in known(lake)


def test_a_damaged_table_is_named(lake: Lake) -> None:
    bring_up_to_date(lake)
    (file,) = lake.local_files(ANNOTATIONS).paths
    Path(file).write_bytes(b"nothing")
    with pytest.raises(LakeError, match="annotations"):
        known(lake)
