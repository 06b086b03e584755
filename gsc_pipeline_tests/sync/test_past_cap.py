"""Days past the cap: what is recovered, what it costs, and that totals stay exact."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import strategies as st
from typing_extensions import override

from gsc_pipeline.lake.encoding import decoded
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, URL_IMPRESSION
from gsc_pipeline.lake.targets import Target
from gsc_pipeline.search_console.errors import CircuitOpenError, IllegalRequestError, LoadQuotaError
from gsc_pipeline.search_console.requests import CutRequest
from gsc_pipeline.search_console.search_types import QueryType
from gsc_pipeline.sync.cut_days import CutDays, CutGrain, Earlier, PastCapOptions, Tried
from gsc_pipeline.sync.earlier import EarlierRows
from gsc_pipeline.sync.ledger import DayRecord, Status
from gsc_pipeline.sync.read import DayRead, DayReader, OptionalDevice
from gsc_pipeline_tests.soak import any_of
from gsc_pipeline_tests.sync.capped import CappedConsole, Fact, changed, totals_of

DAY = date(2026, 11, 20)
NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
SITE = "https://acme.com"


def cut_days(cap: int, calls: int = 1_000, known: dict[str, Tried] | None = None) -> CutDays:
    of = "sc-domain:acme.com", "WEB"
    return CutDays(PastCapOptions(calls, cap), lambda: known or {}, of=of, now=NOW, at_once=2)


def read(
    console: CappedConsole,
    days: CutDays,
    facts: list[Fact] | None = None,
    earlier: Earlier | None = None,
) -> DayRead:
    """A final day whose probe shows the totals of `facts`, by default the console's."""
    with ThreadPoolExecutor(2) as executor:
        reader = DayReader(
            console,
            "acme",
            "sc-domain:acme.com",
            QueryType.WEB,
            executor=executor,
            device=OptionalDevice(),
            cut_days=days,
        )
        totals = totals_of(facts or console.facts)
        return reader.start(DAY, totals, is_final=True, earlier=earlier).result()


def sums(rows: pa.Table, *keys: str) -> dict[tuple[object, ...], tuple[int, int]]:
    found: dict[tuple[object, ...], tuple[int, int]] = {}
    for row in rows.to_pylist():
        key = tuple(row[name] for name in keys)
        clicks, impressions = found.get(key, (0, 0))
        found[key] = clicks + row["clicks"], impressions + row["impressions"]
    return found


def true_sums(facts: list[Fact], *keys: str) -> dict[tuple[object, ...], tuple[int, int]]:
    rows = [
        {
            "url": one.page,
            "query": one.query or "",
            "is_anonymized_query": one.query is None,
            "country": one.country,
            "device": one.device,
            "clicks": one.clicks,
            "impressions": one.impressions,
        }
        for one in facts
    ]
    return sums(pa.Table.from_pylist(rows), *keys) if rows else {}


CELL = ("country", "device")
SITE_KEYS = ("query", "is_anonymized_query", *CELL)
URL_KEYS = ("url", *SITE_KEYS)


def moving_console(facts: list[Fact], after: list[Fact], *, cap: int, at: int) -> CappedConsole:
    """A console whose facts become those of `after` before the call with the number `at`."""
    console = CappedConsole(facts=facts, cap=cap)

    def move(number: int) -> None:
        if number == at:
            console.facts = after

    console.before_call = move
    return console


def zipf_facts(queries: int = 60, pages: int = 12) -> list[Fact]:
    """Facts whose clicks and impressions fall with the rank of query, page, country and device."""
    facts = []
    for place, country in enumerate(("usa", "gbr", "deu", "fra", "esp")):
        for rank, device in enumerate(("MOBILE", "DESKTOP", "TABLET")):
            for number in range(queries // (1 + place + rank)):
                weight = 200 // ((1 + number) * (1 + place) * (1 + rank))
                page = f"{SITE}/{('shop', 'blog', 'help')[number % 3]}/{number % pages}"
                facts.append(Fact(page, f"query {number}", country, device, weight // 10, weight + 1))
            facts.append(Fact(f"{SITE}/shop/1", None, country, device, 1, 10))
    return facts


def assert_exact(found: DayRead, facts: list[Fact]) -> None:
    """Totals, cells and the sums without a query are those of the facts, whatever was recovered."""
    assert sums(found.site_rows, *CELL) == true_sums(facts, *CELL)
    named = [one for one in found.site_rows.to_pylist() if not one["is_anonymized_query"]]
    true = true_sums(facts, *SITE_KEYS)
    assert all(
        true[tuple(row[name] for name in SITE_KEYS)] == (row["clicks"], row["impressions"]) for row in named
    )
    for rows in (found.site_rows, found.url_rows):
        assert (
            max(
                Counter(
                    zip(
                        *(rows[name].to_pylist() for name in URL_KEYS if name in rows.column_names),
                        strict=True,
                    )
                ).values(),
                default=1,
            )
            == 1
        )
    # A residual that is not cut is the anonymised part, no more and no less.
    for rows, keys in ((found.site_rows, SITE_KEYS), (found.url_rows, URL_KEYS)):
        of_all = true_sums(facts, *keys)
        for row in rows.to_pylist():
            if row["is_anonymized_query"] and not row["is_truncated"]:
                assert of_all[tuple(row[name] for name in keys)] == (row["clicks"], row["impressions"])


def assert_whole(found: DayRead, facts: list[Fact]) -> None:
    assert_exact(found, facts)
    assert sums(found.site_rows, *SITE_KEYS) == true_sums(facts, *SITE_KEYS)
    assert sums(found.url_rows, *URL_KEYS) == true_sums(facts, *URL_KEYS)
    assert not found.truncated


def test_a_cut_day_is_completed_where_filters_see_every_row() -> None:
    console = CappedConsole(facts=zipf_facts(), cap=64)
    days = cut_days(cap=64)
    found = read(console, days)
    assert_whole(found, console.facts)
    assert found.adds_up
    news = {one.grain: one for one in days.take_news()}
    assert set(news) == set(CutGrain)
    assert all(one.sees_every_row and one.is_complete and one.rows > 0 for one in news.values())
    # Four requests for the grains and one for the totals by page; the rest are the parts.
    assert found.api_calls == len(console.asked)
    assert sum(one.calls for one in news.values()) == len(console.asked) - 5


def test_nothing_changes_where_filters_see_the_cut_rows_and_it_is_not_tried_again_for_30_days() -> None:
    console = CappedConsole(facts=zipf_facts(), cap=64, filters_see="cut_rows")
    days = cut_days(cap=64)
    found = read(console, days)
    assert_exact(found, console.facts)
    assert found.truncated
    assert found.site_rows.num_rows < 64 + 16
    spent = len(console.asked) - 4
    assert spent <= 10
    news = days.take_news()
    assert {one.grain: one.sees_every_row for one in news} == dict.fromkeys(CutGrain, False)
    read(console, days)
    assert len(console.asked) == 4 + spent + 4
    again = cut_days(64, known={one.grain: one for one in news})
    read(console, again)
    assert len(console.asked) == 4 + spent + 4 + 4
    old = {one.grain: replace(one, tried_at=NOW - timedelta(days=30)) for one in news}
    read(console, cut_days(64, known=old))
    assert len(console.asked) > 4 + spent + 4 + 4 + 4


def test_a_day_that_is_not_final_is_not_completed() -> None:
    console = CappedConsole(facts=zipf_facts(), cap=64)
    with ThreadPoolExecutor(2) as executor:
        reader = DayReader(
            console,
            "acme",
            "s",
            QueryType.WEB,
            executor=executor,
            device=OptionalDevice(),
            cut_days=cut_days(64),
        )
        found = reader.start(DAY, totals_of(console.facts)).result()
    assert found.truncated
    assert len(console.asked) == 4


@pytest.mark.parametrize("calls", [0, 12, 30, 60])
def test_the_budget_is_kept_and_what_was_read_is_kept_too(calls: int) -> None:
    console = CappedConsole(facts=zipf_facts(), cap=25)
    plain = read(CappedConsole(facts=zipf_facts(), cap=25), cut_days(25, calls=0))
    found = read(console, cut_days(25, calls))
    assert len(console.asked) - 4 <= calls
    assert_exact(found, console.facts)
    assert found.truncated
    assert (found.site_rows.num_rows > plain.site_rows.num_rows) is (calls > 0)


@pytest.mark.parametrize("error", [LoadQuotaError("load"), CircuitOpenError("open")])
def test_a_deferred_call_ends_it_and_keeps_what_there_was(error: Exception) -> None:
    def refuse(number: int) -> None:
        if number > 9:
            raise error

    console = CappedConsole(facts=zipf_facts(), cap=64, before_call=refuse)
    days = cut_days(64)
    found = read(console, days)
    assert_exact(found, console.facts)
    assert found.truncated
    assert found.ended_by is error
    console.before_call = lambda number: None
    asked = len(console.asked)
    assert_exact(read(console, days), console.facts)
    assert len(console.asked) == asked + 4


@pytest.mark.parametrize("answers", ["400", "everything"])
def test_filters_that_leave_values_out_are_replaced_where_the_api_does_not_take_them(answers: str) -> None:
    class WithoutExclusion(CappedConsole):
        def query(self, site_url, request, *, start_row=0):  # type: ignore[no-untyped-def]
            filters = request.filters if isinstance(request, CutRequest) else ()
            kept = tuple(one for one in filters if not one.is_excluded)
            if kept != filters and answers == "400":
                raise IllegalRequestError("notEquals")
            plain = type(request)(request.search_type, request.day, filters=kept) if filters else request
            return super().query(site_url, plain, start_row=start_row)

    console = WithoutExclusion(facts=zipf_facts(), cap=64)
    found = read(console, cut_days(64))
    assert_exact(found, console.facts)
    assert sums(found.site_rows, *SITE_KEYS) == true_sums(console.facts, *SITE_KEYS)


def test_a_day_that_moves_while_its_parts_are_read_is_read_once_more() -> None:
    facts = zipf_facts()
    after = [changed(facts[0], 5), *facts[1:]]
    console = moving_console(facts, after, cap=64, at=7)
    found = read(console, cut_days(64), facts)
    # The probe is older than the day: it does not add up, so the next sync reads it again.
    assert not found.adds_up
    settled = read(CappedConsole(facts=after, cap=64), cut_days(64))
    assert_whole(settled, after)


def test_a_day_that_moved_before_its_second_read_is_completed_then() -> None:
    facts = zipf_facts()
    console = CappedConsole(facts=facts, cap=64)
    odd = [changed(facts[0], 5), *facts[1:]]

    def move(number: int) -> None:
        console.facts = odd if number == 6 else facts

    console.before_call = move
    found = read(console, cut_days(64))
    assert found.adds_up
    assert_whole(found, facts)


_pages = st.sampled_from(
    [
        f"{SITE}/",
        f"{SITE}/a",
        f"{SITE}/a/1",
        f"{SITE}/a?x=1",
        f"{SITE}/ab",
        f"{SITE}/b+c/1",
        "https://m.acme.com/a",
    ]
)
_facts = st.lists(
    st.builds(
        Fact,
        _pages,
        st.one_of(st.none(), st.sampled_from([f"q{n}" for n in range(9)])),
        st.sampled_from(["usa", "gbr", "fra", "zzz"]),
        st.sampled_from(["MOBILE", "DESKTOP", "TABLET"]),
        st.integers(0, 2),
        st.integers(2, 4),
    ),
    min_size=1,
    max_size=120,
)


@any_of(
    few=30,
    many=150,
    facts=_facts,
    cap=st.integers(3, 30),
    see=st.sampled_from(["every_row", "cut_rows"]),
    calls=st.integers(0, 90),
)
def test_totals_and_cells_are_exact_in_any_world(facts: list[Fact], cap: int, see: str, calls: int) -> None:
    console = CappedConsole(facts=facts, cap=cap, filters_see=see)  # type: ignore[arg-type]
    found = read(console, cut_days(cap, calls))
    assert_exact(found, facts)
    assert found.adds_up
    assert len(console.asked) - 4 <= max(calls, 0)
    if see == "cut_rows":
        plain = read(CappedConsole(facts=facts, cap=cap, filters_see="cut_rows"), cut_days(cap, 0))
        assert len(console.asked) - 4 <= 10
        assert sums(found.site_rows, *SITE_KEYS) == sums(plain.site_rows, *SITE_KEYS)
    elif not found.truncated:
        assert_whole(found, facts)


def held_in(lake: Lake, found: DayRead) -> Earlier:
    """Write a day into the lake, and return what reads it for the next try."""
    target = Target("acme", "sc-domain:acme.com", "WEB", (DAY,))
    lake.replace(SITE_IMPRESSION, target, found.site_rows)
    lake.replace(URL_IMPRESSION, target, found.url_rows)
    return EarlierRows(lake, target)


def cut_keys(found: DayRead) -> set[tuple[object, ...]]:
    return {
        tuple(row[name] for name in URL_KEYS if name in row)
        for rows in (found.site_rows, found.url_rows)
        for row in rows.to_pylist()
        if row["is_truncated"]
    }


@pytest.mark.parametrize("calls", [12, 30])
def test_later_tries_go_on_until_nothing_is_left(tmp_path: Path, calls: int) -> None:
    facts, lake = zipf_facts(), Lake(str(tmp_path))
    whole = read(CappedConsole(facts=facts, cap=25), cut_days(25))
    assert not whole.parts_left
    console = CappedConsole(facts=facts, cap=25)
    found = read(console, cut_days(25, calls))
    tries = 1
    while found.parts_left:
        before, asked = found, len(console.asked)
        found = read(console, cut_days(25, calls), earlier=held_in(lake, found))
        assert len(console.asked) - asked - 4 == found.part_calls <= calls
        assert_exact(found, facts)
        assert found.site_rows.num_rows >= before.site_rows.num_rows
        assert found.url_rows.num_rows >= before.url_rows.num_rows
        tries += 1
        assert tries < 40
    assert tries > 2
    assert cut_keys(found) <= cut_keys(whole)
    assert found.site_rows.num_rows == whole.site_rows.num_rows
    assert found.url_rows.num_rows == whole.url_rows.num_rows


class HeldDay(Lake):
    """Has the rows of one day in memory."""

    def __init__(self, found: DayRead) -> None:
        super().__init__("unused")
        self._rows = {SITE_IMPRESSION: found.site_rows, URL_IMPRESSION: found.url_rows}

    @override
    def read(self, table, *, columns=None, where=None, workspace=None, months=None):  # type: ignore[no-untyped-def]
        return decoded(self._rows[table]).filter(where).select(columns)


@any_of(
    few=8,
    many=30,
    facts=_facts,
    cap=st.integers(3, 30),
    see=st.sampled_from(["every_row", "cut_rows"]),
    budgets=st.lists(st.integers(16, 40), min_size=1, max_size=6),
)
def test_going_on_is_exact_and_ends_in_any_world(
    facts: list[Fact], cap: int, see: str, budgets: list[int]
) -> None:
    console = CappedConsole(facts=facts, cap=cap, filters_see=see)  # type: ignore[arg-type]
    days = cut_days(cap, budgets[0])
    found, known = read(console, days), {one.grain: one for one in days.take_news()}
    for number in range(1, 150):
        days = cut_days(cap, budgets[number % len(budgets)], known)
        if not found.parts_left or not days.may_go_on:
            break
        before = found
        target = Target("acme", "sc-domain:acme.com", "WEB", (DAY,))
        found = read(console, days, earlier=EarlierRows(HeldDay(before), target))
        known |= {one.grain: one for one in days.take_news()}
        assert found.adds_up
        assert found.part_calls <= budgets[number % len(budgets)]
        assert_exact(found, facts)
        assert found.site_rows.num_rows >= before.site_rows.num_rows
    else:
        raise AssertionError("it does not end")
    if not found.truncated:
        assert_whole(found, facts)


def test_rows_of_an_earlier_try_that_contradict_the_answers_are_left_out(tmp_path: Path) -> None:
    facts = zipf_facts()
    earlier = held_in(Lake(str(tmp_path)), read(CappedConsole(facts=facts, cap=64), cut_days(64, 30)))
    after = [changed(facts[0], 5), *facts[1:]]
    found = read(CappedConsole(facts=after, cap=64), cut_days(64), earlier=earlier)
    assert_whole(found, after)


@any_of(
    few=20, many=100, facts=_facts, cap=st.integers(3, 30), at=st.integers(1, 40), which=st.integers(0, 119)
)
def test_a_day_that_moves_at_any_call_never_gets_wrong_totals(
    facts: list[Fact], cap: int, at: int, which: int
) -> None:
    place = which % len(facts)
    after = [changed(one) if i == place else one for i, one in enumerate(facts)]
    console = moving_console(facts, after, cap=cap, at=at)
    found = read(console, cut_days(cap), facts)
    if found.adds_up:
        clicks, impressions = totals_of(facts).clicks, totals_of(facts).impressions
        assert sum(found.site_rows["impressions"].to_pylist()) == impressions
        assert sum(found.site_rows["clicks"].to_pylist()) == clicks


def test_queries_beyond_the_totals_of_their_device_do_not_add_up_also_where_answers_are_small() -> None:
    facts = [
        Fact(f"{SITE}/", query, "usa", device, 0, 2)
        for query, device in ((None, "DESKTOP"), ("q0", "TABLET"), (None, "MOBILE"))
    ]
    after = [changed(one) if one.query else one for one in facts]
    # The totals by property have as many rows as an answer may have, but agree with the probe.
    console = moving_console(facts, after, cap=3, at=2)
    found = read(console, cut_days(3), facts)
    assert not found.adds_up


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (DayRecord(DAY, Status.FINAL, parts_left=True, site_rows=400_000, url_rows=600_000), True),
        (DayRecord(DAY, Status.FINAL, parts_left=True, site_rows=400_000, url_rows=600_001), False),
        (DayRecord(DAY, Status.PROVISIONAL, parts_left=True), False),
        (DayRecord(DAY, Status.FINAL, parts_left=True, source="bulk_export"), False),
        (DayRecord(DAY, Status.FINAL, parts_left=False), False),
        (DayRecord(DAY, Status.FINAL), False),
    ],
)
def test_only_final_days_of_the_api_that_fit_into_memory_are_gone_on_with(
    record: DayRecord, expected: bool
) -> None:
    assert record.has_parts_left is expected
