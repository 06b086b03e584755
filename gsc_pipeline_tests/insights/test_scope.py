"""The scope of a report: the rows of every finding that it selects, and the names of its files."""

from __future__ import annotations

import re
from dataclasses import replace

import pandas as pd
import pytest

from gsc_pipeline.insights.scope import WHOLE, Scope
from gsc_pipeline.lake.schemas import (
    ANOMALIES,
    CANNIBALISATION,
    CHANGE_POINTS,
    CONTENT_DECAY,
    CTR_GAP,
    FORECASTS,
    INDEX_COVERAGE,
    STRIKING_DISTANCE,
    WINNERS_AND_LOSERS,
    TableSpec,
)
from gsc_pipeline.workspaces.entries import ID_PATTERN
from gsc_pipeline.workspaces.seo_tests import page_name

BLOG = Scope("/blog/")
CANONICAL = Scope(canonical=True)


def frame(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """Rows of an item, its dimension and its content group."""
    return pd.DataFrame(rows, columns=["item", "dimension", "content_group"])


QUERIES = frame(
    ("shoes", "query", "/blog/"),
    ("shoe", "query", "/shop/"),
    ("shoes", "canonical_query", "/blog/"),
)


@pytest.mark.parametrize("table", [CTR_GAP, STRIKING_DISTANCE, CANNIBALISATION], ids=lambda one: one.name)
def test_findings_by_query_are_as_typed_or_canonical_and_of_the_group(table: TableSpec) -> None:
    assert list(WHOLE.of(table, QUERIES)["item"]) == ["shoes", "shoe"]
    assert list(CANONICAL.of(table, QUERIES)["dimension"]) == ["canonical_query"]
    assert list(BLOG.of(table, QUERIES)["item"]) == ["shoes"]
    both = Scope("/shop/", canonical=True)
    assert both.of(table, QUERIES).empty


def test_winners_and_losers_keep_pages_beside_either_kind_of_query() -> None:
    rows = frame(
        ("shoes", "query", "/blog/"),
        ("shoes", "canonical_query", "/blog/"),
        ("https://acme.com/blog/1", "page", "/blog/"),
        ("/blog/", "content_group", "/blog/"),
    )
    assert list(WHOLE.of(WINNERS_AND_LOSERS, rows)["dimension"]) == ["query", "page"]
    assert list(CANONICAL.of(WINNERS_AND_LOSERS, rows)["dimension"]) == ["canonical_query", "page"]


def test_winners_and_losers_of_a_group_are_its_pages() -> None:
    rows = pd.DataFrame(
        {"dimension": ["query", "page", "page"], "content_group": [None, "/blog/", "/shop/"]}, dtype=object
    )
    assert list(BLOG.of(WINNERS_AND_LOSERS, rows).index) == [0]
    assert list(BLOG.of(WINNERS_AND_LOSERS, rows)["content_group"]) == ["/blog/"]


def test_pages_that_lose_clicks_are_those_of_the_group_and_not_the_groups() -> None:
    rows = frame(
        ("https://acme.com/blog/1", "page", "/blog/"),
        ("https://acme.com/shop/1", "page", "/shop/"),
        ("/blog/", "content_group", "/blog/"),
    )
    assert len(WHOLE.of(CONTENT_DECAY, rows)) == 2
    assert list(BLOG.of(CONTENT_DECAY, rows)["item"]) == ["https://acme.com/blog/1"]


@pytest.mark.parametrize("table", [ANOMALIES, INDEX_COVERAGE, FORECASTS], ids=lambda one: one.name)
def test_tables_with_rows_of_the_whole_property_show_these_or_those_of_the_group(table: TableSpec) -> None:
    rows = frame(("x", "", "all"), ("y", "", "/blog/"), ("z", "", "/shop/"))
    assert list(WHOLE.of(table, rows)["item"]) == ["x"]
    assert list(BLOG.of(table, rows)["item"]) == ["y"]


def test_rows_of_releases_without_groups_and_dimensions_are_of_the_whole() -> None:
    rows = pd.DataFrame({"item": ["x"], "dimension": [None], "content_group": [None]})
    for table in (ANOMALIES, CTR_GAP, CONTENT_DECAY):
        assert len(WHOLE.of(table, rows)) == 1
        assert BLOG.of(table, rows).empty
    assert CANONICAL.of(CTR_GAP, rows).empty


def test_changes_are_those_of_all_groups_or_of_one() -> None:
    rows = frame(("x", "", "all"), ("y", "", "/blog/"))
    assert len(WHOLE.of(CHANGE_POINTS, rows)) == 2
    assert list(BLOG.of(CHANGE_POINTS, rows)["item"]) == ["y"]


def test_a_finding_that_does_not_name_groups_has_no_rows_of_one() -> None:
    rows = pd.DataFrame({"item": ["shoes"], "dimension": ["query"]})
    assert len(WHOLE.of(WINNERS_AND_LOSERS, rows)) == 1
    assert BLOG.of(WINNERS_AND_LOSERS, rows).empty


def test_the_title_names_what_is_not_the_whole() -> None:
    assert WHOLE.words == ""
    assert BLOG.words == "/blog/"
    assert CANONICAL.words == "canonical queries"
    assert Scope("/blog/", canonical=True).words == "/blog/, canonical queries"


def test_each_scope_has_its_own_file() -> None:
    assert WHOLE.file_stem("acme") == "acme"
    assert CANONICAL.file_stem("acme") == "acme.canonical"
    assert BLOG.file_stem("acme", ["/blog/", "/shop/", "other"]) == "acme.group-blog"
    assert Scope("Guides & News").file_stem("acme") == "acme.group-guides-news"
    assert Scope("../../etc").file_stem("acme") == "acme.group-etc"
    assert Scope("日本").file_stem("acme").startswith("acme.group-")
    names = {Scope(one).file_stem("acme", ["/blog/", "Blog", "blog"]) for one in ("/blog/", "Blog", "blog")}
    assert len(names) == 3


def test_no_workspace_has_the_file_of_a_scope_or_a_test_of_another() -> None:
    ids = ("acme", "acme-canonical", "acme-group-blog", "acme-group-blog-canonical", "acme-test-titles")
    scopes = (WHOLE, CANONICAL, BLOG, replace(BLOG, canonical=True), Scope("blog canonical"))
    names = [f"{scope.file_stem(id_)}.html" for id_ in ids for scope in scopes]
    names += [page_name(id_, test) for id_ in ids for test in ("titles", "canonical", "test-titles")]
    assert len(names) == len(set(names))
    assert [name for name in names if re.fullmatch(rf"{ID_PATTERN}\.html", name)] == [
        f"{id_}.html" for id_ in ids
    ]
