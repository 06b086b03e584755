"""The templates' environments."""

from __future__ import annotations

from gsc_pipeline.report.templates import environment


def test_a_template_is_compiled_once_and_each_page_has_filters_of_its_own() -> None:
    first, second = environment(), environment()
    first.filters["mood"] = str
    assert "mood" not in second.filters
    codes = [one.get_template("chart.svg.j2").root_render_func.__code__ for one in (first, second)]
    assert codes[0] is codes[1]
