"""Replaying an export: the sums over the replayed days are those of the files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from gsc_pipeline.days import Window
from gsc_pipeline.simulator import Facts, ReplayedProperty, Simulator, visible_facts
from gsc_pipeline.simulator.facts import ANONYMIZED
from gsc_pipeline.simulator.replay.export_files import Export, Listing, read_export
from gsc_pipeline_tests.simulator.conftest import EXAMPLE_EXPORT, METRICS
from gsc_pipeline_tests.simulator.wire import Wire

LATER = date(2100, 1, 1)


def replayed(export: Export) -> tuple[ReplayedProperty, list[Facts]]:
    prop = ReplayedProperty(export)
    return prop, [facts for day in export.days if (facts := prop.facts("web", day)) is not None]


def totals(many: Sequence[Facts], label: str, measure: str) -> dict[str, int]:
    labels = getattr(many[0].labels, label)
    sums = np.zeros(len(labels), dtype=np.int64)
    for facts in many:
        named = getattr(facts, label) != ANONYMIZED
        np.add.at(sums, getattr(facts, label)[named], getattr(facts, measure)[named])
    return dict(zip(labels.tolist(), sums.tolist(), strict=True))


def assert_sums(many: Sequence[Facts], label: str, listing: Listing, prefix: str) -> None:
    for measure in ("clicks", "impressions"):
        found = totals(many, label, prefix + measure)
        listed = dict(zip(listing.labels, getattr(listing, measure).tolist(), strict=True))
        assert {name: found[name] for name in listed} == listed


def test_every_sum_of_the_files_is_exact(export_folder: Path) -> None:
    export = read_export(export_folder)
    _, many = replayed(export)
    assert len(many) == len(export.days)
    assert_sums(many, "query", export.queries, "top_")
    assert_sums(many, "country", export.countries, "top_")
    assert_sums(many, "device", export.devices, "top_")
    assert_sums(many, "page", export.pages, "")


def test_every_day_has_the_clicks_impressions_and_position_of_dates(export_folder: Path) -> None:
    export = read_export(export_folder)
    _, many = replayed(export)
    for facts, clicks, impressions, position in zip(
        many, export.dates.clicks, export.dates.impressions, export.dates.position, strict=True
    ):
        assert facts.top_clicks.sum() == clicks
        assert facts.top_impressions.sum() == impressions
        assert facts.sum_top_position.sum() == round((position - 1) * impressions)
        assert round(facts.sum_top_position.sum() / impressions + 1, 2) == position


def test_every_fact_is_consistent_and_their_number_is_limited(export_folder: Path) -> None:
    _, many = replayed(read_export(export_folder))
    for facts in many:
        assert all((getattr(facts, name) >= 0).all() for name in METRICS)
        assert (facts.impressions > 0).all()
        assert (facts.clicks <= facts.impressions).all()
        assert (facts.top_clicks <= facts.top_impressions).all()
        assert (facts.top_clicks <= facts.clicks).all()
        assert (facts.top_impressions <= facts.impressions).all()
        assert (facts.sum_top_position <= facts.sum_position).all()
        assert (facts.sum_top_position[facts.top_impressions == 0] == 0).all()
        key = np.stack([facts.query, facts.page, facts.country, facts.device], axis=1)
        assert len(np.unique(key, axis=0)) == len(facts) <= 8_000


def test_fewer_pieces_make_fewer_facts(export_folder: Path) -> None:
    export = read_export(export_folder)
    few, many = (ReplayedProperty(export, pieces=n).facts("web", export.days[0]) for n in (20, 400))
    assert few is not None
    assert many is not None
    assert len(few) < len(many)
    assert few.top_clicks.sum() == many.top_clicks.sum()


def test_a_named_query_keeps_its_own_position_within_rounding(export_folder: Path) -> None:
    export = read_export(export_folder)
    _, many = replayed(export)
    shown, placed = (totals(many, "query", name) for name in ("top_impressions", "sum_top_position"))
    for query, position in zip(export.queries.labels[:20], export.queries.position[:20], strict=True):
        assert placed[query] / shown[query] + 1 == pytest.approx(position, abs=0.1)


def test_a_query_keeps_its_few_pages_from_day_to_day(export_folder: Path) -> None:
    export = read_export(export_folder)
    _, many = replayed(export)
    largest = many[0].labels.query.tolist().index(export.queries.labels[0])
    pages = [set(facts.page[facts.query == largest].tolist()) for facts in many[:28]]
    assert len(set.union(*pages)) <= 12
    assert set.intersection(*pages)


def test_a_replay_is_the_same_every_time() -> None:
    one, other = (ReplayedProperty.from_export(EXAMPLE_EXPORT).facts("web", date(2026, 10, 5)) for _ in "ab")
    assert one is not None
    assert other is not None
    for name in ("query", "page", "country", "device", *METRICS):
        assert np.array_equal(getattr(one, name), getattr(other, name))


def test_the_property_is_the_domain_of_the_pages() -> None:
    prop = ReplayedProperty.from_export(EXAMPLE_EXPORT, readers=["a@b.example"])
    assert prop.site_url == "sc-domain:bluebirdcoffee.example"
    assert prop.readers == frozenset({"a@b.example"})
    assert prop.permission_level == "siteOwner"
    assert prop.facts("image", date(2026, 10, 5)) is None


def test_days_do_not_expire() -> None:
    prop = ReplayedProperty.from_export(EXAMPLE_EXPORT)
    assert prop.days_shown(LATER) == Window.inclusive(date(2026, 8, 3), date(2026, 10, 31))
    assert prop.days_shown(date(2026, 8, 3)) == Window.inclusive(date(2026, 8, 3), date(2026, 8, 3))
    assert prop.days_shown(date(2026, 8, 2)) is None


@pytest.mark.parametrize(
    ("until", "last"),
    [
        (date(2026, 11, 21), date(2026, 11, 21)),
        (date(2026, 11, 20), date(2026, 11, 14)),
        (date(2026, 10, 30), date(2026, 10, 24)),
        (date(2025, 1, 1), date(2024, 12, 28)),
    ],
)
def test_days_can_be_moved_by_whole_weeks(until: date, last: date) -> None:
    prop = ReplayedProperty.from_export(EXAMPLE_EXPORT, until=until)
    shown = prop.days_shown(LATER)
    assert shown is not None
    assert shown.last == last
    assert last.weekday() == date(2026, 10, 31).weekday()
    assert len(shown) == 90
    here, there = (
        prop.facts("web", last),
        ReplayedProperty.from_export(EXAMPLE_EXPORT).facts("web", date(2026, 10, 31)),
    )
    assert here is not None
    assert there is not None
    assert (here.day, here.impressions.tolist()) == (last, there.impressions.tolist())


def test_a_moved_replay_has_incomplete_days() -> None:
    prop = ReplayedProperty.from_export(EXAMPLE_EXPORT, until=date(2026, 11, 21))
    noon = datetime(2026, 11, 21, 20, tzinfo=UTC)
    young = visible_facts(prop, "web", date(2026, 11, 21), noon)
    final = visible_facts(prop, "web", date(2026, 11, 21), noon + timedelta(days=4))
    assert young is not None
    assert final is not None
    assert 0 < young.impressions.sum() < final.impressions.sum()


def test_a_replay_is_served_like_any_property() -> None:
    prop = ReplayedProperty.from_export(EXAMPLE_EXPORT)
    export = read_export(EXAMPLE_EXPORT)
    with Wire.to(Simulator([prop])) as wire:
        body = {"startDate": "2026-08-01", "endDate": "2026-12-31", "rowLimit": 25_000}
        by_date = wire.query(prop.site_url, **body, dimensions=["date"])["rows"]
        by_page = wire.query(prop.site_url, **body, dimensions=["page"])["rows"]
    assert [row["clicks"] for row in by_date] == export.dates.clicks.tolist()
    assert [round(row["position"], 2) for row in by_date] == export.dates.position.tolist()
    assert {row["keys"][0]: row["clicks"] for row in by_page} == dict(
        zip(export.pages.labels, export.pages.clicks.tolist(), strict=True)
    )


def write(folder: Path, **files: str) -> Path:
    """A small export of one day with 100 impressions and ten clicks, with the given files replaced."""
    listings = {
        "Dates": "2026-10-31,10,100,10%,5",
        "Queries": "shoes,4,40,10%,3",
        "Pages": "https://www.tiny.example/,10,100,10%,5",
        "Countries": "Germany,10,100,10%,5",
        "Devices": "Mobile,10,100,10%,5",
    } | files
    for name, rows in listings.items():
        (folder / f"{name}.csv").write_text(
            "Label,Clicks,Impressions,CTR,Position\n" + rows, encoding="utf-8"
        )
    return folder


def only_day(folder: Path) -> Facts:
    facts = ReplayedProperty.from_export(folder).facts("web", date(2026, 10, 31))
    assert facts is not None
    return facts


def test_impressions_that_queries_lack_are_anonymised(tmp_path: Path) -> None:
    facts = only_day(write(tmp_path))
    anonymised = facts.query == ANONYMIZED
    assert facts.top_clicks[anonymised].sum() == 6
    assert facts.top_impressions[anonymised].sum() == 60


def test_queries_that_exceed_the_property_are_scaled_down(tmp_path: Path) -> None:
    facts = only_day(write(tmp_path, Queries="shoes,16,160,10%,3\nboots,4,40,10%,3"))
    assert not (facts.query == ANONYMIZED).any()
    assert totals([facts], "query", "top_clicks") == {"shoes": 8, "boots": 2}
    assert totals([facts], "query", "top_impressions") == {"shoes": 80, "boots": 20}


def test_countries_and_devices_are_scaled_to_the_property(tmp_path: Path) -> None:
    facts = only_day(
        write(tmp_path, Countries="Germany,4,40,10%,5\nFrance,1,10,10%,5", Devices="Mobile,20,200,10%,5")
    )
    assert totals([facts], "country", "top_impressions") == {"deu": 80, "fra": 20}
    assert totals([facts], "device", "top_clicks") == {"MOBILE": 10}


def test_pages_that_exceed_the_property_are_not_scaled(tmp_path: Path) -> None:
    facts = only_day(
        write(tmp_path, Pages="https://tiny.example/a,9,90,10%,5\nhttps://tiny.example/b,8,80,10%,2")
    )
    assert (facts.top_clicks.sum(), facts.clicks.sum()) == (10, 17)
    assert (facts.top_impressions.sum(), facts.impressions.sum()) == (100, 170)


def test_impressions_that_pages_lack_are_those_of_one_more_page(tmp_path: Path) -> None:
    facts = only_day(
        write(tmp_path, Pages="https://tiny.example/a,3,90,10%,5\nhttps://tiny.example/other-pages,1,2,50%,2")
    )
    clicks = totals([facts], "page", "clicks")
    assert clicks == {
        "https://tiny.example/a": 3,
        "https://tiny.example/other-pages": 1,
        "https://tiny.example/other-pages-": 6,
    }
    assert facts.impressions.sum() == 100


@pytest.mark.parametrize(
    ("position", "expected"), [("1", 0), ("1.5", 50), ("90", 8_900)], ids=["top", "high", "far"]
)
def test_positions_are_scaled_if_named_queries_do_not_fit_the_day(
    tmp_path: Path, position: str, expected: int
) -> None:
    facts = only_day(write(tmp_path, Dates=f"2026-10-31,10,100,10%,{position}"))
    assert facts.sum_top_position.sum() == expected
    assert (facts.sum_top_position >= 0).all()


def test_without_queries_all_impressions_are_anonymised(tmp_path: Path) -> None:
    facts = only_day(write(tmp_path, Queries="", Countries="", Devices=""))
    assert (facts.query == ANONYMIZED).all()
    assert facts.labels.country[facts.country].tolist() == ["zzz"] * len(facts)
    assert facts.labels.device[facts.device].tolist() == ["DESKTOP"] * len(facts)


def test_days_without_impressions_and_missing_days_have_no_facts(tmp_path: Path) -> None:
    folder = write(tmp_path, Dates="2026-10-31,10,100,10%,5\n2026-10-30,0,0,0%,0\n2026-10-28,0,0,0%,0")
    prop = ReplayedProperty.from_export(folder)
    for day in (28, 29, 30):
        assert prop.facts("web", date(2026, 10, day)) is None
    assert prop.facts("web", date(2026, 10, 31)) is not None
