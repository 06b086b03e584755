"""Canonical queries: the forms, their errors on labelled pairs, and sums of queries with the same form."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gsc_pipeline.days import Window
from gsc_pipeline.insights.inputs import Inputs
from gsc_pipeline.insights.refresh import refresh_insights
from gsc_pipeline.insights.scope import WHOLE, Scope
from gsc_pipeline.insights.tables import read_ranked
from gsc_pipeline.lake.canonical import (
    NO_PLURALS,
    ORDERED,
    canonical_sql,
    create_letters_key,
    letters_key_sql,
    with_canonical_query_sql,
)
from gsc_pipeline.lake.duckdb_file import write_duckdb_file
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import (
    CANNIBALISATION,
    CTR_GAP,
    SITE_IMPRESSION,
    STRIKING_DISTANCE,
    WINNERS_AND_LOSERS,
    TableSpec,
)
from gsc_pipeline.lake.sql import connect
from gsc_pipeline.search_console.auth import ServiceAccountFile
from gsc_pipeline.search_console.search_types import QueryType
from gsc_pipeline.simulator import Facts, SyntheticProperty
from gsc_pipeline.simulator.facts import ANONYMIZED, texts
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline.workspaces.thresholds import Thresholds
from gsc_pipeline_tests.insights.canonical_twin import canonical
from gsc_pipeline_tests.insights.filling import fill
from gsc_pipeline_tests.insights.query_pairs import DIFFERENT, SAME

KEY = ServiceAccountFile(Path("nowhere.json"))
# So low that every table has rows, and the change of a query is one.
LOW = Thresholds(
    significance=0, change_share=0.05, change_impressions=20, ctr_gap_share=0.9, ctr_gap_significance=0,
    ctr_gap_impressions=20, striking_impressions=20, cannibalisation_clicks=2, cannibalisation_share=0.05,
)  # fmt: skip
ACME = Workspace("acme", "Acme", KEY, None, (QueryType.WEB,), brand_terms=("acme",), thresholds=LOW)

Forms = Callable[[Sequence[str]], list[str]]


@pytest.fixture(scope="module")
def forms() -> Forms:
    """The canonical forms of queries, by the SQL of the insights."""
    connection = duckdb.connect()
    rows = with_canonical_query_sql("(SELECT unnest($1::VARCHAR[]) AS query)")
    sql = f"SELECT canonical_query FROM ({rows})"
    return lambda texts: [row[0] for row in connection.execute(sql, [list(texts)]).fetchall()]


GOLDEN = {
    "Women’s Running Shoes": "running shoe women",
    "T-shirts": "tshirt",
    "e mails": "email",
    "C++ tutorials": "c++ tutorial",
    "c#": "c#",
    "hosting .net": ".net hosting",
    "asp.net": "asp net",
    "https://www.acme.com/": "acme com",
    "50 % off": "50% off",
    "3,5 mm": "3.5 mm",
    "$50": "$ 50",
    "covid-19": "19 covid",
    "iphone15": "15 iphone",
    "vitamin b12": "b12 vitamin",
    "galaxy s10+": "galaxy s10+",
    "-5 c in f": "-5 c in f",
    "python != vs ==": "!= == python vs",
    "flights from Berlin to Paris": "flight from berlin to paris",
    "2 bedroom flat 1 bathroom": "2 bedroom flat 1 bathroom",
    "new york new york": "new new york york",
    "boxes": "box",
    "houses": "hous",
    "cities": "city",
    "movies": "movy",
    "news": "news",
    "glass": "glass",
    "buses": "bus",
    "Straße": "strass",
    "Größe": "groess",
    "Versicherungen": "versicherung",
    "CRÈME BRÛLÉE": "brulee creme",
    "cœur": "coeur",
    "bateaux": "bateau",
    "habitaciones": "habitacion",
    "łódź": "lodz",
    "İZMİR": "izmir",
    "ΑΘΉΝΑΣ": "αθηνασ",
    "Ёлка мой": "елка мой",
    "Bjǿrn Ǽ": "ae bjorn",
    "ё\u0308": "е",
    "ế ø\u0308": "o ế",
    "がっこう": "がっこう",
    "ＡＢＣ　東京": "abc 東京",
    "한국 여행": "여행 한국",
    "bạn": "bạn",
    "हिन्दी": "हिन्दी",
    "می\u200cخواهم": "میخواهم",
    "cafe\u0301": "cafe",
    "a\x00b": "a b",
    "???": "???",
    " ": " ",
    "": "",
}
"""Forms that never change within a version, whatever DuckDB's functions do."""


def test_the_forms_of_known_queries_have_not_changed(forms: Forms) -> None:
    assert dict(zip(GOLDEN, forms(list(GOLDEN)), strict=True)) == GOLDEN


def test_a_form_merges_hardly_any_different_questions(forms: Forms) -> None:
    first, second = (forms([pair[side] for pair in [*SAME, *DIFFERENT]]) for side in (0, 1))
    merged = [one == other for one, other in zip(first, second, strict=True)]
    right, wrong = sum(merged[: len(SAME)]), sum(merged[len(SAME) :])
    assert len(SAME) + len(DIFFERENT) >= 500
    assert right / (right + wrong) >= 0.96
    assert right / len(SAME) >= 0.92


LETTERS = st.characters(exclude_categories=("Cs",)).filter(
    # Assigned so long ago that every version of Unicode in use treats it alike.
    lambda one: unicodedata.ucd_3_2_0.category(one) != "Cn"
)
WORDS = (
    "a e s es ies ie x ch us eaux eux mail t shirt wi fi c++ c# .net -5 - -- . .. , 's 't ’s 50% % 3.5 1,5 + "
    "# && => = < $ € to nach in ung en heit dor ion idad www. https:// ü é ế ơ й ё 東京 ・ Ａ ー İ I ß Σ ς "
    "news glasses ss y 0 4 a4 x264 ! != -> || * / 1/2 : 10:30 @ ~ mm .5"
)
SPACES = (" ", "\u3000", "\u200b", "\u0301", "\u0323", "\x00", "\n", "\x85")
PARTS = st.sampled_from([*WORDS.split(), *SPACES])
QUERIES = st.lists(st.one_of(PARTS, LETTERS), max_size=8).map("".join)


# Letters that become others, with more accents, in words that keep accents and in words that do not.
ACCENTED = [
    "".join((before, letter, *marks))
    for letter in "äöüßæœøłđıςёǽǣǿǖǻеo"
    for before in ("", "ế")
    for marks in ("", "\u0301", "\u0308", "\u0304", "\u0323\u0308", "\u05b0\u0308", "\u0301\u0308\u0308")
]


@settings(deadline=None, max_examples=15)
@given(st.lists(QUERIES, min_size=1, max_size=30))
@example(ACCENTED)
def test_duckdb_follows_the_rules(forms: Forms, queries: list[str]) -> None:
    assert forms(queries) == [canonical(query) for query in queries]


@settings(deadline=None, max_examples=15)
@given(st.lists(st.one_of(QUERIES, st.text(max_size=12)), min_size=1, max_size=30))
@example(ACCENTED)
def test_a_form_is_its_own_form_and_never_empty(forms: Forms, queries: list[str]) -> None:
    found = forms(queries)
    assert forms(found) == found
    assert all(found[at] or not query for at, query in enumerate(queries))


@pytest.fixture(scope="module")
def keys() -> Iterator[Callable[[Sequence[str]], list[int]]]:
    """The keys of letters of queries."""
    with duckdb.connect() as connection:
        create_letters_key(connection)
        sql = f"SELECT {letters_key_sql('query')} FROM (SELECT unnest($1::VARCHAR[]) AS query)"
        yield lambda texts: [row[0] for row in connection.execute(sql, [list(texts)]).fetchall()]


@settings(deadline=None, max_examples=15)
@given(st.lists(st.one_of(QUERIES, st.text(max_size=12)), min_size=1, max_size=30))
@example(ACCENTED)
def test_queries_have_the_key_of_their_form(
    forms: Forms, keys: Callable[[Sequence[str]], list[int]], queries: list[str]
) -> None:
    assert keys(queries) == keys(forms(queries))


def test_known_queries_have_the_key_of_their_form(
    forms: Forms, keys: Callable[[Sequence[str]], list[int]]
) -> None:
    known = [*GOLDEN, *(query for pair in [*SAME, *DIFFERENT] for query in pair)]
    assert keys(known) == keys(forms(known))
    assert len({*keys(known)}) > len(known) / 4


def test_words_of_the_lists_are_left_as_they_are(forms: Forms) -> None:
    assert forms(NO_PLURALS) == list(NO_PLURALS)
    assert all(form.startswith("zzz") for form in forms([f"zzz {word} yyy" for word in ORDERED]))


def test_the_macro_gives_the_forms_of_the_insights(lake: Lake, tmp_path: Path, forms: Forms) -> None:
    texts = [query for pair in SAME[:40] for query in pair]
    file = tmp_path / "search.duckdb"
    write_duckdb_file(lake, file)
    with connect(lake) as over_lake, duckdb.connect(file, read_only=True) as over_file:
        for connection in (over_lake, over_file):
            sql = "SELECT canonical_query(query) FROM (SELECT unnest($1::VARCHAR[]) AS query)"
            assert [row[0] for row in connection.execute(sql, [texts]).fetchall()] == forms(texts)


def test_one_expression_gives_the_same_as_the_steps(forms: Forms) -> None:
    sql = f"SELECT {canonical_sql('query')} FROM (SELECT unnest($1::VARCHAR[]) AS query)"
    found = [row[0] for row in duckdb.execute(sql, [list(GOLDEN)]).fetchall()]
    assert found == forms(list(GOLDEN))


# Sums of queries with the same form.

NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
WINDOW = Window(date(2026, 9, 18), date(2026, 11, 21))
TABLES = (CTR_GAP, STRIKING_DISTANCE, CANNIBALISATION, WINNERS_AND_LOSERS)
SPELLINGS: tuple[Callable[[str], str], ...] = (
    lambda text: text,
    lambda text: text.upper(),
    lambda text: text.replace(" ", "-"),
    lambda text: f"{text}?",
    lambda text: f"“{text}”",
)


class Respelled:
    """A property whose searches spell each query in five ways."""

    def __init__(self, original: SyntheticProperty) -> None:
        self.original, self.site_url = original, original.site_url

    def facts(self, search_type: str, day: date) -> Facts | None:
        facts = self.original.facts(search_type, day)
        if facts is None:
            return None
        spellings = texts([spell(text) for text in facts.labels.query for spell in SPELLINGS])
        # By day too: no other row of a day may have the same query, page, country and device.
        chosen = (facts.country + facts.device + day.toordinal()) % len(SPELLINGS)
        query = np.where(facts.query == ANONYMIZED, ANONYMIZED, facts.query * len(SPELLINGS) + chosen)
        labels = replace(facts.labels, query=spellings)
        return replace(facts, labels=labels, query=query.astype(facts.query.dtype))


@pytest.fixture(scope="module")
def lakes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, Lake]:
    """A lake, and one of the same searches in five spellings, both with insights."""
    original = SyntheticProperty("sc-domain:acme.com", rows_a_day=60)
    made = []
    for prop in (original, Respelled(original)):
        lake = Lake(str(tmp_path_factory.mktemp("lake")))
        fill(lake, "acme", prop, WINDOW, provisional=2)  # type: ignore[arg-type]
        refresh_insights(lake, ACME, now=NOW)
        made.append(lake)
    return made[0], made[1]


def rows(lake: Lake, table: TableSpec, dimension: str) -> pd.DataFrame:
    found = lake.read(table).to_pandas()
    return found[found["dimension"] == dimension].reset_index(drop=True)


def named(found: pd.DataFrame) -> pd.DataFrame:
    """The rows with the canonical form in place of the spelling, in the order of the keys."""
    form = [canonical(text) for text in found["query" if "query" in found else "item"]]
    same = found.drop(columns=["query", "queries", "item", "canonical_query"], errors="ignore").assign(
        form=form
    )
    keys = [name for name in ("form", "device", "url", "kind") if name in same]
    return same.sort_values(keys, ignore_index=True)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_findings_do_not_depend_on_how_queries_are_spelled(
    lakes: tuple[Lake, Lake], table: TableSpec
) -> None:
    plain, respelled = (rows(lake, table, "canonical_query") for lake in lakes)
    assert len(plain) > 0
    pd.testing.assert_frame_equal(named(plain), named(respelled), check_dtype=False)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_each_dimension_is_complete_on_its_own(lakes: tuple[Lake, Lake], table: TableSpec) -> None:
    lake = lakes[0]
    by_query, by_form = (rows(lake, table, dimension) for dimension in ("query", "canonical_query"))
    assert "canonical_query" not in set(WHOLE.of(table, read_ranked(lake, table, "acme"))["dimension"])
    assert "query" not in set(Scope(canonical=True).of(table, read_ranked(lake, table, "acme"))["dimension"])
    if "queries" in by_form:
        assert set(by_query["queries"]) == {1}
        alone = by_form[by_form["queries"] == 1]
        same = by_query.merge(alone, on=[name for name in table.schema.names if name != "dimension"])
        assert len(same) == len(alone) > 0


def test_sums_are_those_of_all_queries_with_the_form(lakes: tuple[Lake, Lake]) -> None:
    with connect(lakes[1]) as connection:
        wrong = connection.execute(f"""
            WITH summed AS (
                SELECT canonical_query(query) AS canonical_query, count(DISTINCT query) AS queries,
                       sum(clicks) AS clicks, sum(impressions) AS impressions,
                       sum(sum_top_position) / sum(impressions) + 1 AS position
                FROM {SITE_IMPRESSION.name} WHERE data_date BETWEEN '2026-10-22' AND '2026-11-18'
                GROUP BY ALL)
            SELECT found.query FROM {STRIKING_DISTANCE.name} AS found LEFT JOIN summed USING (canonical_query)
            WHERE dimension = 'canonical_query' AND (
                found.queries IS DISTINCT FROM summed.queries OR found.clicks IS DISTINCT FROM summed.clicks
                OR found.impressions IS DISTINCT FROM summed.impressions
                OR abs(found.position - summed.position) > 1e-9)""").fetchall()
    assert wrong == []
    assert (rows(lakes[1], STRIKING_DISTANCE, "canonical_query")["queries"] == 5).any()


def test_queries_in_five_spellings_are_only_found_together(lakes: tuple[Lake, Lake]) -> None:
    found, alone = (rows(lakes[1], STRIKING_DISTANCE, name) for name in ("canonical_query", "query"))
    together = found[(found["queries"] == 5) & ~found["canonical_query"].isin(alone["canonical_query"])]
    assert len(together) > 0
    assert (together["impressions"] >= LOW.striking_impressions).all()
    # Without another spelling each of them was found.
    assert set(together["canonical_query"]) <= set(
        rows(lakes[0], STRIKING_DISTANCE, "query")["canonical_query"]
    )


def test_the_name_is_the_most_shown_spelling(lakes: tuple[Lake, Lake]) -> None:
    with connect(lakes[1]) as connection:
        shown = connection.execute(f"""
            SELECT canonical_query(query), arg_min(query, (-impressions, query)) FROM (
                SELECT query, sum(impressions) AS impressions FROM {SITE_IMPRESSION.name}
                WHERE data_date BETWEEN '2026-10-22' AND '2026-11-18' GROUP BY ALL)
            GROUP BY ALL""").fetchall()
    spelling = dict(shown)
    found = rows(lakes[1], STRIKING_DISTANCE, "canonical_query")
    assert [spelling[form] for form in found["canonical_query"]] == list(found["query"])


def test_a_canonical_query_is_brand_if_its_most_shown_spelling_is(lakes: tuple[Lake, Lake]) -> None:
    found = rows(lakes[1], STRIKING_DISTANCE, "canonical_query")
    hyphenated = next(query for query in found["query"] if "-" in query)
    with Inputs(lakes[1], replace(ACME, brand_terms=(hyphenated,))) as inputs:
        queries, (_, gaps) = inputs.queries(), inputs.curve_positions()
    both = queries[queries["dimension"] == "canonical_query"]
    assert set(both.loc[both["is_brand"], "query"]) == {hyphenated}
    # All its queries are summed, though only one of them is brand.
    before, after = (one.loc[one["query"] == hyphenated, "impressions"].sum() for one in (found, both))
    assert before == after
    assert hyphenated not in set(gaps["query"])
    assert hyphenated.replace("-", " ") in set(gaps["query"]) | set(queries["query"])
