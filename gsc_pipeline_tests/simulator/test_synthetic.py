"""Synthetic properties: repeatable, of the given size, with the planted findings and no others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields
from datetime import date, timedelta

import numpy as np
import pytest

from gsc_pipeline.days import ONE_DAY, Window
from gsc_pipeline.simulator import Facts, SimulatorError, SyntheticProperty
from gsc_pipeline.simulator.facts import ANONYMIZED
from gsc_pipeline_tests.planted import is_lost, is_new, must_be_found
from gsc_pipeline_tests.simulator.conftest import METRICS

DAY = date(2026, 11, 17)
LAST_DAYS = [DAY, date(2026, 6, 30), date(2025, 12, 31)]


def days(prop: SyntheticProperty, window: Window) -> list[Facts]:
    return [facts for day in window if (facts := prop.facts("web", day)) is not None]


def by_label(many: Sequence[Facts], label: str, measure: str) -> dict[str, int]:
    sums: dict[str, int] = defaultdict(int)
    for facts in many:
        codes, labels = getattr(facts, label), getattr(facts.labels, label)
        named = codes != ANONYMIZED
        counts = np.bincount(codes[named], getattr(facts, measure)[named], len(labels))
        for place in np.flatnonzero(counts):
            sums[labels[place]] += int(counts[place])
    return sums


def striking(prop: SyntheticProperty, last: date) -> set[str]:
    """Queries at an average position of 4 to 20 with 100 impressions or more in 28 days."""
    many = days(prop, Window.last_complete(28, last + ONE_DAY))
    impressions = by_label(many, "query", "top_impressions")
    positions = by_label(many, "query", "sum_top_position")
    return {
        query
        for query, shown in impressions.items()
        if shown >= 100 and 4 <= positions[query] / shown + 1 <= 20
    }


def cannibalised(prop: SyntheticProperty, last: date) -> set[str]:
    """Queries with two pages or more that each have a tenth of the query's clicks."""
    clicks: dict[tuple[int, int], int] = defaultdict(int)
    labels = None
    for facts in days(prop, Window.last_complete(28, last + ONE_DAY)):
        labels = facts.labels
        for query, page, clicked in zip(facts.query, facts.page, facts.clicks, strict=True):
            if clicked and query != ANONYMIZED:
                clicks[int(query), int(page)] += int(clicked)
    assert labels is not None
    total: dict[int, int] = defaultdict(int)
    for (query, _), clicked in clicks.items():
        total[query] += clicked
    shares: dict[int, int] = defaultdict(int)
    for (query, _), clicked in clicks.items():
        shares[query] += clicked >= 0.1 * total[query]
    return {labels.query[query] for query, pages in shares.items() if pages >= 2}


def decaying(prop: SyntheticProperty, last: date) -> set[str]:
    """Pages that had 50 clicks in 28 days and lost a fifth of them in the next 28."""
    now = Window.last_complete(28, last + ONE_DAY)
    after = by_label(days(prop, now), "page", "clicks")
    before = by_label(days(prop, Window.last_complete(28, now.start)), "page", "clicks")
    return {page for page, clicks in before.items() if clicks >= 50 and after.get(page, 0) <= 0.8 * clicks}


def new_and_lost(prop: SyntheticProperty, last: date) -> tuple[set[str], set[str]]:
    """Queries with 50 impressions in 28 days and none in the 28 before, and the reverse."""
    now = Window.last_complete(28, last + ONE_DAY)
    after = by_label(days(prop, now), "query", "impressions")
    before = by_label(days(prop, Window.last_complete(28, now.start)), "query", "impressions")
    new = {query for query, shown in after.items() if shown >= 50 and not before.get(query)}
    lost = {query for query, shown in before.items() if shown >= 50 and not after.get(query)}
    return new, lost


@pytest.mark.parametrize("last", LAST_DAYS, ids=str)
def test_the_planted_findings_exist_and_no_others(acme: SyntheticProperty, last: date) -> None:
    plants = acme.plants
    assert striking(acme, last) == {p.query for p in plants if p.pattern == "striking_distance"}
    assert cannibalised(acme, last) == {p.query for p in plants if p.pattern == "cannibalisation"}
    decays = [p for p in plants if p.pattern == "decay"]
    found = decaying(acme, last)
    assert {p.pages[0] for p in decays if must_be_found(p, last)} <= found <= {p.pages[0] for p in decays}
    assert {p.pattern for p in plants if must_be_found(p, last)} == {
        "decay",
        "cannibalisation",
        "striking_distance",
        "ctr_gap",
        "mild_ctr_gap",
        "intermittent",
    }
    assert new_and_lost(acme, last) == (
        {p.query for p in plants if is_new(p, last)},
        {p.query for p in plants if is_lost(p, last)},
    )


@pytest.mark.parametrize("last", LAST_DAYS, ids=str)
@pytest.mark.parametrize("site_url", ["sc-domain:plain.example", "https://www.plain.example/"])
def test_without_plants_there_are_no_findings(site_url: str, last: date) -> None:
    plain = SyntheticProperty(site_url, plants=False)
    assert plain.plants == ()
    assert striking(plain, last) == cannibalised(plain, last) == decaying(plain, last) == set()
    assert new_and_lost(plain, last) == (set(), set())


def test_on_every_day_of_a_year_one_decaying_page_must_be_found(acme: SyntheticProperty) -> None:
    decays = [plant for plant in acme.plants if plant.pattern == "decay"]
    for day in Window.last_complete(365, DAY):
        assert sum(must_be_found(plant, day) for plant in decays) == 1


def test_on_every_day_of_a_year_a_query_is_new_and_a_query_is_lost(acme: SyntheticProperty) -> None:
    for day in Window.last_complete(365, DAY):
        assert any(is_new(plant, day) for plant in acme.plants)
        assert any(is_lost(plant, day) for plant in acme.plants)


def test_numbers_do_not_depend_on_the_order_in_which_days_are_read() -> None:
    one, other = (SyntheticProperty("sc-domain:same.example", rows_a_day=300) for _ in range(2))
    forward = [one.facts("web", DAY - timedelta(days=back)) for back in (0, 1, 2)]
    backward = [other.facts("web", DAY - timedelta(days=back)) for back in (2, 1, 0)][::-1]
    for a, b in zip(forward, backward, strict=True):
        assert a is not None
        assert b is not None
        for name in ("query", "page", "country", "device", *METRICS):
            assert np.array_equal(getattr(a, name), getattr(b, name))


def test_other_properties_have_other_numbers() -> None:
    one, other = (
        SyntheticProperty(f"sc-domain:{name}.example", rows_a_day=300).facts("web", DAY) for name in "ab"
    )
    assert one is not None
    assert other is not None
    assert one.impressions.sum() != other.impressions.sum()


@pytest.mark.parametrize("search_type", ["web", "image", "video", "news", "discover", "googleNews"])
def test_every_fact_is_consistent(acme: SyntheticProperty, search_type: str) -> None:
    for back in range(30):
        facts = acme.facts(search_type, DAY - timedelta(days=back))
        assert facts is not None
        assert all((getattr(facts, name) >= 0).all() for name in METRICS)
        assert (facts.impressions > 0).all()
        assert (facts.clicks <= facts.impressions).all()
        assert (facts.top_clicks <= facts.top_impressions).all()
        assert (facts.top_clicks <= facts.clicks).all()
        assert (facts.top_impressions <= facts.impressions).all()
        assert (facts.sum_top_position <= facts.sum_position).all()
        assert (facts.sum_top_position[facts.top_impressions == 0] == 0).all()
        key = np.stack([facts.query, facts.page, facts.country, facts.device], axis=1)
        assert len(np.unique(key, axis=0)) == len(facts)


@pytest.mark.parametrize("rows_a_day", [300, 2_000, 30_000])
def test_the_number_of_facts_is_about_the_given_size(rows_a_day: int) -> None:
    prop = SyntheticProperty("sc-domain:sized.example", rows_a_day=rows_a_day, plants=False)
    sizes = [len(facts) for facts in days(prop, Window.last_complete(7, DAY))]
    assert 0.6 * rows_a_day < np.mean(sizes) < 1.6 * rows_a_day


def test_a_day_resembles_that_of_a_real_site(acme: SyntheticProperty) -> None:
    many = days(acme, Window.last_complete(7, DAY))
    shown = sum(facts.impressions.sum() for facts in many)
    anonymised = sum(facts.impressions[facts.query == ANONYMIZED].sum() for facts in many)
    assert 0.2 < anonymised / shown < 0.6
    assert sum(facts.top_impressions.sum() for facts in many) < shown
    assert len(by_label(many, "country", "impressions")) > 10
    assert set(by_label(many, "device", "impressions")) == {"DESKTOP", "MOBILE", "TABLET"}
    assert "acme" in by_label(many, "query", "clicks")


def test_queries_that_look_like_missing_values_are_among_the_texts(acme: SyntheticProperty) -> None:
    facts = acme.facts("web", DAY)
    assert facts is not None
    assert {"null", "nan", "123", 'knife "damascus" 8"', "東京 コーヒー"} <= set(facts.labels.query)
    for field in fields(facts.labels):
        column = getattr(facts.labels, field.name)
        assert len(set(column)) == len(column)


def test_an_unknown_search_type_is_an_error() -> None:
    with pytest.raises(SimulatorError, match="shopping"):
        SyntheticProperty("sc-domain:acme.example", search_types=["shopping"])


@pytest.mark.parametrize("rows_a_day", [200, 2_000])
def test_hard_texts_have_impressions_every_day(rows_a_day: int) -> None:
    prop = SyntheticProperty("sc-domain:hard.example", rows_a_day=rows_a_day, hard_texts=True)
    for facts in days(prop, Window.last_complete(3, DAY)):
        queries = set(facts.labels.query[facts.query[facts.query != ANONYMIZED]])
        pages = set(facts.labels.page[facts.page])
        assert {"NaN", "two\nlines", "1e5", "null", 'the "quoted" one', "🏕️"} <= queries
        assert 2_000 in {len(page) for page in pages}
        for field in fields(facts.labels):
            column = getattr(facts.labels, field.name)
            assert len(set(column)) == len(column)


def test_hard_texts_are_off_by_default(acme: SyntheticProperty) -> None:
    facts = acme.facts("web", DAY)
    assert facts is not None
    assert not any("\n" in query for query in facts.labels.query)
    assert max(len(page) for page in facts.labels.page) < 200


def test_a_day_with_a_dip_has_a_fifth_of_the_impressions() -> None:
    usual = SyntheticProperty("sc-domain:dip.example", rows_a_day=500)
    dipped = SyntheticProperty("sc-domain:dip.example", rows_a_day=500, dips=[DAY])
    (one,), (other,) = (days(prop, Window(DAY, DAY + ONE_DAY)) for prop in (usual, dipped))
    assert other.impressions.sum() == pytest.approx(one.impressions.sum() / 5, rel=0.2)
    assert other.clicks.sum() == pytest.approx(one.clicks.sum() / 5, rel=0.3)
    assert len(days(dipped, Window(DAY - ONE_DAY, DAY))[0]) == len(days(usual, Window(DAY - ONE_DAY, DAY))[0])


def test_queries_at_a_ctr_gap_get_a_tenth_of_the_usual_clicks(acme: SyntheticProperty) -> None:
    many = days(acme, Window.last_complete(28, DAY))
    clicks, shown = (by_label(many, "query", measure) for measure in ("clicks", "impressions"))
    for plant in [plant for plant in acme.plants if plant.pattern == "ctr_gap"]:
        assert plant.query is not None
        assert shown[plant.query] > 300
        assert clicks[plant.query] / shown[plant.query] < 0.03
    (mild,) = (plant for plant in acme.plants if plant.pattern == "mild_ctr_gap")
    assert mild.query is not None
    assert 0.05 < clicks[mild.query] / shown[mild.query] < 0.09


def test_history_can_be_longer_than_googles() -> None:
    prop = SyntheticProperty("sc-domain:old.example", rows_a_day=50, history_months=20)
    assert prop.days_shown(DAY) == Window(date(2025, 3, 17), DAY + ONE_DAY)
    assert prop.facts("web", date(2025, 3, 17)) is not None
