"""The HTML page of an SEO test: its result, both sets of pages over time, and what the verdict means."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd

from gsc_pipeline.insights.placebos import AFTER
from gsc_pipeline.insights.seo_tests import METRICS
from gsc_pipeline.report.charts import Size
from gsc_pipeline.report.numbers import count, decimal, is_missing, level, mood, signed
from gsc_pipeline.report.seo_test_chart import both_sets_over_time, weeks
from gsc_pipeline.report.templates import document, environment
from gsc_pipeline.report.words import shortened, words
from gsc_pipeline.workspaces.seo_tests import SeoTest

WIDE, NARROW = Size(860, 230), Size(300, 190)

VERDICTS = {
    "effect": (
        "effect",
        "The changed pages moved away from the unchanged ones by more than chance explains. One test "
        "in twenty without an effect says this too. The true effect is probably within the interval.",
        "Keep the change if it helped, and make it on more pages; take it back if it harmed.",
    ),
    "no_effect": (
        "no clear effect",
        "What the change did, if anything, is too small to distinguish from chance. The statement names the "
        "largest effect that is still possible.",
        "If a smaller effect would matter, wait until eight weeks have passed, or test more pages.",
    ),
    "control_moved": (
        "control moved",
        "The unchanged pages moved at the start by more than in their history, so they may not show what the "
        "changed pages would have done.",
        "Find out what happened to the unchanged pages: a season, a release, an update of Google's ranking. "
        "If it was the same for all pages, the effect holds. If not, choose other unchanged pages.",
    ),
    "too_early": (
        "too early",
        "Fewer than 14 days since the start are final. Early figures mislead, so there are none.",
        "Wait. The statement names the day.",
    ),
    "unusable": (
        "no result",
        "These sets of pages, or their history, cannot answer the question. The statement says why.",
        "Test sets with more clicks that moved alike before. If the history is short, begin a later test.",
    ),
}
"""For each verdict its words, its meaning, and what to do."""

NO_LATER_DAYS = "If a smaller effect would matter, test more pages, or a larger change."
"""What to do after no clear effect of a test that later days do not change."""


@dataclass(frozen=True, slots=True, eq=False)
class TestPage:
    """What the page shows: the test's rows of seo_tests, and the days of both sets by metric."""

    __test__ = False

    workspace: str
    name: str
    test: SeoTest
    rows: pd.DataFrame
    days: dict[str, pd.DataFrame]
    made_at: datetime


def seo_test_page(shown: TestPage) -> str:
    """The page as one HTML document without external resources, which links to the workspace's report."""
    templates = environment()
    templates.filters.update(count=count, decimal=decimal, words=words)
    rows = sorted(shown.rows.to_dict("records"), key=lambda row: METRICS.index(row["metric"]))
    results = [_result(row) for row in rows]
    verdicts = dict.fromkeys(row["verdict"] for row in rows)
    as_of: date = pd.Timestamp(rows[0]["as_of"]).date()
    return document(
        templates,
        "seo_test.html.j2",
        "report.js",
        workspace=shown.workspace,
        workspace_name=shown.name,
        test=shown.test,
        variant=shortened(shown.test.variant),
        control=shortened(shown.test.control),
        as_of=as_of,
        results=results,
        charts=[chart for metric in METRICS if (chart := _chart(metric, shown))],
        meanings=[_meaning(verdict, shown.test, as_of) for verdict in verdicts],
        made_at=shown.made_at,
    )


def _meaning(verdict: str, test: SeoTest, as_of: date) -> tuple[str, str, str]:
    """The verdict's words, its meaning, and what to do in this test."""
    word, meaning, advice = VERDICTS[verdict]
    is_over = test.end is not None or as_of >= test.start + timedelta(days=AFTER[-1] - 1)
    return word, meaning, NO_LATER_DAYS if verdict == "no_effect" and is_over else advice


def _result(row: Mapping[Hashable, Any]) -> dict[str, Any]:
    has_figures = not is_missing(row["effect"])
    return {
        **{name: row[name] for name in ("days", "placebos", "parallelism")},
        "statement": row["statement"],
        "effect": signed(row["effect"]),
        "title": str(row["metric"]).title(),
        "word": VERDICTS[row["verdict"]][0],
        "mood": mood(row["effect"]) if row["verdict"] == "effect" else "",
        "interval": f"{signed(row['low'])} to {signed(row['high'])}" if has_figures else "–",
        "levels": [level(row[f"{name}_{when}"]) for name in ("variant", "control") for when in _WHEN],
    }


_WHEN = ("before", "after")


def _chart(metric: str, shown: TestPage) -> dict[str, Any] | None:
    """The chart of the metric; None without a day."""
    found = weeks(shown.days[metric], shown.test.start)
    if not any(week.is_known for week in found):
        return None
    title = f"{metric.title()} a day"
    label = f"{title} of changed and unchanged pages by week, {found[0].first} to {found[-1].first}"
    start = shown.test.start
    return {
        "title": title,
        "wide": both_sets_over_time(found, start, WIDE, label=label),
        "narrow": both_sets_over_time(found, start, NARROW, label=label),
        "rows": [week.texts for week in found],
    }
