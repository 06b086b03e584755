"""Every table of a workspace's insights, computed from its inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from gsc_pipeline.insights.annotated import of_windows
from gsc_pipeline.insights.anomalies import anomalies
from gsc_pipeline.insights.cannibalisation import cannibalisation
from gsc_pipeline.insights.canonical_queries import NAMED_QUERY
from gsc_pipeline.insights.change_points import change_points
from gsc_pipeline.insights.content_decay import content_decay
from gsc_pipeline.insights.content_groups import compared_groups, grouped_days
from gsc_pipeline.insights.ctr_curve import ctr_curve
from gsc_pipeline.insights.ctr_gap import ctr_gap
from gsc_pipeline.insights.daily_performance import daily_performance
from gsc_pipeline.insights.forecasts import forecasts
from gsc_pipeline.insights.index_coverage import index_coverage
from gsc_pipeline.insights.inputs import Inputs
from gsc_pipeline.insights.measures import SERIES
from gsc_pipeline.insights.seo_tests import seo_tests
from gsc_pipeline.insights.striking_distance import striking_distance
from gsc_pipeline.insights.windows import YEAR
from gsc_pipeline.insights.winners_and_losers import winners_and_losers
from gsc_pipeline.lake.annotations.record import Annotation
from gsc_pipeline.lake.schemas import (
    ANOMALIES,
    CANNIBALISATION,
    CHANGE_POINTS,
    CONTENT_DECAY,
    CTR_CURVE,
    CTR_GAP,
    DAILY_PERFORMANCE,
    FORECASTS,
    INDEX_COVERAGE,
    SEO_TESTS,
    STRIKING_DISTANCE,
    WINNERS_AND_LOSERS,
    TableSpec,
)
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline.workspaces.thresholds import Thresholds


def computed(
    inputs: Inputs, workspace: Workspace, annotations: Sequence[Annotation], groups: pd.DataFrame
) -> Iterator[tuple[TableSpec, pd.DataFrame]]:
    """Each table with its rows, one at a time, so that memory holds the inputs of one.

    `groups` has the days of the largest content groups. Raises LakeError if the lake cannot be read.
    """
    thresholds = workspace.thresholds
    daily = daily_performance(inputs.ledger, inputs.named_by_day())
    yield DAILY_PERFORMANCE, daily
    days = grouped_days(daily.merge(inputs.final, on=[*SERIES, "data_date"]), groups)
    yield ANOMALIES, anomalies(days, thresholds, annotations)
    yield CHANGE_POINTS, change_points(days, thresholds, annotations)
    yield FORECASTS, forecasts(days, thresholds, annotations)
    del days
    yield from _of_queries(inputs, thresholds)
    yield from _of_two_windows(inputs, thresholds, annotations, groups)
    inspections = inputs.with_groups(inputs.inspections())
    yield INDEX_COVERAGE, index_coverage(inspections, inputs.sitemaps(), thresholds)
    tested = inputs.test_days(workspace.seo_tests)
    yield SEO_TESTS, seo_tests(workspace.seo_tests, tested, inputs.newest, annotations)


def _of_queries(inputs: Inputs, thresholds: Thresholds) -> Iterator[tuple[TableSpec, pd.DataFrame]]:
    """The tables of queries, each with the content group of its page."""
    positions, query_positions = inputs.curve_positions()
    curve = ctr_curve(positions, thresholds)
    yield CTR_CURVE, curve
    gaps = ctr_gap(query_positions, curve, thresholds)
    del query_positions
    striking = striking_distance(inputs.queries(), curve, thresholds)
    shared, top_pages = inputs.query_pages(pd.concat([gaps, striking]))
    for table, found in ((CTR_GAP, gaps), (STRIKING_DISTANCE, striking)):
        yield table, inputs.with_groups(found.merge(top_pages, on=NAMED_QUERY, how="left"))
    yield CANNIBALISATION, inputs.with_groups(cannibalisation(shared, thresholds))


def _of_two_windows(
    inputs: Inputs, thresholds: Thresholds, annotations: Sequence[Annotation], groups: pd.DataFrame
) -> Iterator[tuple[TableSpec, pd.DataFrame]]:
    """The tables of queries, pages and content groups in a window, compared with earlier ones."""
    backs = {"previous": thresholds.window_days, "year_before": YEAR}
    pairs = {name: inputs.pairs(back) for name, back in backs.items()}
    unlike = {name: of_windows(days, annotations) for name, days in pairs.items()}
    of_groups = {
        name: compared_groups(groups, days).assign(dimension="content_group") for name, days in pairs.items()
    }
    pages = {name: inputs.compared_pages(back).assign(dimension="page") for name, back in backs.items()}
    compared = pd.concat(
        [pd.concat([pages[name], of_groups[name]]).assign(compared_with=name) for name in backs]
    )
    decayed = content_decay(compared.rename(columns={"item": "url"}), thresholds)
    decayed = _with_groups(inputs, decayed, decayed["url"])
    named = pd.concat([unlike[name].assign(compared_with=name) for name in backs])
    yield CONTENT_DECAY, decayed.merge(named, on=[*SERIES, "compared_with"], how="left")
    items = pd.concat([inputs.compared_queries(), pages["previous"], of_groups["previous"]])
    moved = winners_and_losers(items, thresholds)
    moved = _with_groups(inputs, moved, moved["item"])
    yield WINNERS_AND_LOSERS, moved.merge(unlike["previous"], on=SERIES, how="left")


def _with_groups(inputs: Inputs, rows: pd.DataFrame, items: pd.Series) -> pd.DataFrame:
    """The rows with the content group that an item is or, if it is a page, is in; missing for queries."""
    is_page, is_group = (rows["dimension"] == name for name in ("page", "content_group"))
    group_of = inputs.with_groups(pd.DataFrame({"url": items.where(is_page)}, index=rows.index))
    return rows.assign(content_group=group_of["content_group"].where(~is_group, items))
