"""The benchmark of forecasts measures what its section of INSIGHTS.md says."""

from __future__ import annotations

import pytest

from benchmarks.insights.forecasts import forecasts
from benchmarks.insights.sections import RESULTS, section_of

pytestmark = pytest.mark.soak


def test_the_section_has_the_tables_that_are_published() -> None:
    published, measured = (
        [line.split(" | ")[:2] for line in text.splitlines() if line.startswith("|")]
        for text in (section_of(RESULTS.read_text(encoding="utf-8"), "forecasts"), forecasts())
    )
    # The real export may not be on this machine.
    of_export = ("metric", "clicks", "impressions")
    published, measured = (
        [line for line in lines if line[0].removeprefix("| ") not in of_export]
        for lines in (published, measured)
    )
    assert [line for line in measured if "---" not in line[0]] == [
        line for line in published if "---" not in line[0]
    ]
