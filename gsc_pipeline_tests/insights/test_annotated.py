"""Insights name what is known to set days and windows apart, and hide nothing because of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest

from gsc_pipeline.days import Window
from gsc_pipeline.insights.annotated import of_windows
from gsc_pipeline.insights.anomalies import anomalies
from gsc_pipeline.insights.refresh import refresh_insights
from gsc_pipeline.insights.windows import compared, final_days
from gsc_pipeline.lake.annotations.record import Annotation, Kind, Source
from gsc_pipeline.lake.annotations.stored import bring_up_to_date
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import ANOMALIES, CONTENT_DECAY, WINNERS_AND_LOSERS, TableSpec
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline.workspaces.thresholds import Thresholds
from gsc_pipeline_tests.insights.filling import fill
from gsc_pipeline_tests.insights.test_definitions import AS_OF, DEFAULT, SITE, days

DAY = AS_OF.date()
FAULT = Annotation(Kind.DATA_FAULT, "Clicks lost", DAY - timedelta(2), metrics=("clicks",))


def annotated(*annotations: Annotation, metric: str = "clicks", lost: int = 3) -> list[str | None]:
    """The annotations of the last days, on which a metric falls from 100 to 10."""
    values = [100] * 70 + [10] * lost
    found = anomalies(days(values, metric), DEFAULT, annotations)
    assert len(found) == lost
    return found["annotation"].tolist()


def test_an_anomaly_that_a_fault_sets_apart_is_listed_with_its_title() -> None:
    assert annotated() == [None] * 3
    assert annotated(FAULT) == ["Clicks lost"] * 3
    assert annotated(FAULT, metric="impressions") == [None] * 3
    later = replace(FAULT, first_day=DAY)
    # The newest day comes first.
    assert annotated(later) == ["Clicks lost", None, None]


def test_the_end_of_a_fault_sets_apart_too_and_its_middle_does_not() -> None:
    ended = replace(FAULT, first_day=DAY - timedelta(200), last_day=DAY - timedelta(3))
    assert annotated(ended) == ["Clicks lost"] * 3
    assert annotated(replace(ended, last_day=None)) == [None] * 3
    assert annotated(replace(FAULT, first_day=DAY + timedelta(1))) == [None] * 3


def test_of_several_annotations_each_is_named_once() -> None:
    update = Annotation(Kind.RANKING_UPDATE, "Core update", DAY - timedelta(20), DAY - timedelta(1))
    note = Annotation(Kind.NOTE, "Relaunch", DAY, DAY, source=Source.YOURS)
    assert annotated(FAULT, replace(FAULT, metrics=()), update, note) == [
        "Clicks lost; Relaunch",
        "Clicks lost; Core update",
        "Clicks lost; Core update",
    ]


@pytest.mark.parametrize(
    "elsewhere",
    [{"search_types": ("IMAGE",)}, {"site_url": "https://other.example/"}, {"metrics": ("position",)}],
)
def test_an_annotation_of_something_else_is_not_named(elsewhere: dict[str, object]) -> None:
    assert annotated(replace(FAULT, **elsewhere)) == [None] * 3  # type: ignore[arg-type]


# windows


def pairs(back: int = 28) -> pd.DataFrame:
    dates = pd.date_range(end=AS_OF, periods=420)
    ledger = pd.DataFrame({**SITE, "data_date": dates, "status": "final"})
    other = ledger.assign(search_type="DISCOVER")
    return compared(final_days(pd.concat([ledger, other]), 28), 28, back, 0.9)


def named(annotation: Annotation, back: int = 28) -> dict[str, str | None]:
    found = of_windows(pairs(back), [annotation])
    texts = [None if pd.isna(text) else text for text in found["annotation"]]
    return dict(zip(found["search_type"], texts, strict=True))


def test_windows_across_a_change_of_counting_are_named_for_the_series_it_concerns() -> None:
    web = Annotation(Kind.COUNTING_CHANGE, "AI Mode", DAY - timedelta(27), search_types=("WEB",))
    assert named(web) == {"WEB": "AI Mode", "DISCOVER": None}
    # It covers both windows of the month, and only one of those a year apart.
    before = replace(web, first_day=DAY - timedelta(55))
    assert named(before) == {"WEB": None, "DISCOVER": None}
    assert named(before, back=364) == {"WEB": "AI Mode", "DISCOVER": None}


def test_a_fault_of_a_day_is_named_while_it_is_in_one_of_the_windows() -> None:
    for age, title in ((0, "Clicks lost"), (27, "Clicks lost"), (55, "Clicks lost"), (56, None)):
        day = DAY - timedelta(age)
        assert named(replace(FAULT, first_day=day, last_day=day))["WEB"] == title


@pytest.mark.parametrize("kind", [Kind.RANKING_UPDATE, Kind.NOTE])
def test_ranking_updates_and_notes_do_not_change_what_is_counted(kind: Kind) -> None:
    assert named(replace(FAULT, kind=kind))["WEB"] is None
    assert named(replace(FAULT, metrics=("ctr",)))["WEB"] is None


# a refresh

NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
EVERYTHING = Thresholds(
    significance=0, change_share=0, change_impressions=1, decay_clicks=1, decay_share=0, anomaly_z=0.5,
    anomaly_share=0,
)  # fmt: skip


def stored(lake: Lake, table: TableSpec) -> set[str | None]:
    found = lake.read(table)
    assert found.num_rows
    return set(found["annotation"].to_pylist())


def test_a_refresh_follows_the_annotations_of_its_workspace(lake: Lake, acme: Workspace) -> None:
    prop = SyntheticProperty("sc-domain:acme.com", rows_a_day=60)
    fill(lake, "acme", prop, Window(date(2026, 9, 1), date(2026, 11, 16)))
    acme = replace(acme, thresholds=EVERYTHING)
    assert refresh_insights(lake, acme, now=NOW).changed
    split = "Web search split into text and multimodal in Search Console"
    assert stored(lake, CONTENT_DECAY) == stored(lake, WINNERS_AND_LOSERS) == {split}
    assert split in stored(lake, ANOMALIES)

    theirs = replace(FAULT, workspace="globex", source=Source.YOURS)
    bring_up_to_date(lake, yours=[theirs])
    assert not refresh_insights(lake, acme, now=NOW).changed

    bring_up_to_date(lake, yours=[theirs, replace(theirs, workspace="acme", title="Tags lost")])
    assert refresh_insights(lake, acme, now=NOW).changed
    assert stored(lake, WINNERS_AND_LOSERS) == {f"{split}; Tags lost"}
    assert not any("Clicks lost" in str(text) for text in stored(lake, ANOMALIES))
    assert not refresh_insights(lake, acme, now=NOW).changed
