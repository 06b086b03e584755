"""Inspections: the order of pages, the day's budget, which failures stop them, and the history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsc_pipeline.days import ONE_DAY
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SYNC_LEDGER, URL_IMPRESSION, URL_INSPECTIONS
from gsc_pipeline.lake.targets import Target
from gsc_pipeline.search_console.errors import (
    CredentialUnusableError,
    IllegalRequestError,
    PropertyForbiddenError,
    QuotaError,
    SearchConsoleError,
    ServiceUnavailableError,
)
from gsc_pipeline.search_console.inspections import Inspection, decode_inspection
from gsc_pipeline.search_console.search_types import QueryType
from gsc_pipeline.simulator import SyntheticProperty, google_error, inspection
from gsc_pipeline.state.store import StateError
from gsc_pipeline.sync.grains import DayOf, url_rows
from gsc_pipeline.sync.ledger import DayRecord, Status, write_ledger
from gsc_pipeline.sync.tables.inspections import COMMIT_PAGES, RANKING_DAYS, due_pages, sync_inspections
from gsc_pipeline.sync.tables.runner import TableReport
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.doubles import ScriptedConsole, answer
from gsc_pipeline_tests.sync.tables.shared import is_stopped
from gsc_pipeline_tests.world import World, sorted_rows

SITE = "sc-domain:acme.com"
NOON = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
TODAY = date(2026, 11, 21)
FINAL_DAY = TODAY - 4 * ONE_DAY
PASSED = decode_inspection(b'{"inspectionResult": {"indexStatusResult": {"verdict": "PASS"}}}')

PAGES = pa.schema([("url", pa.string()), ("clicks", pa.int64()), ("impressions", pa.int64())])
INSPECTED = pa.schema([URL_INSPECTIONS.schema.field(c) for c in ("url", "inspected_at", "inspected_on")])


def pages(clicks: dict[str, int]) -> pa.Table:
    return pa.Table.from_pylist(
        [{"url": url, "clicks": n, "impressions": 2 * n} for url, n in clicks.items()], schema=PAGES
    )


def inspected(days_ago: Sequence[tuple[str, int]]) -> pa.Table:
    rows = [
        {"url": url, "inspected_at": NOON - n * ONE_DAY, "inspected_on": TODAY - n * ONE_DAY}
        for url, n in days_ago
    ]
    return pa.Table.from_pylist(rows, schema=INSPECTED)


def test_pages_never_inspected_come_first_by_clicks_and_then_the_oldest() -> None:
    known = pages({"few": 1, "many": 9, "stale": 5, "staler": 1, "fresh": 100})
    history = inspected([("stale", 10), ("staler", 20), ("stale", 30), ("fresh", 1), ("gone", 90)])
    assert due_pages(known, history, TODAY, 10) == ["many", "few", "staler", "stale", "fresh"]
    assert due_pages(known, history, TODAY, 3) == ["many", "few", "staler"]


def test_a_page_is_inspected_once_a_day_at_most() -> None:
    history = inspected([("a", 0), ("a", 5), ("b", 1)])
    assert due_pages(pages({"a": 9, "b": 1}), history, TODAY, 10) == ["b"]


URLS = st.sampled_from(list("abcdefgh"))


@given(
    st.dictionaries(URLS, st.integers(0, 9)),
    st.lists(st.tuples(URLS, st.integers(0, 40))),
    st.integers(-3, 9),
)
def test_due_pages_are_known_unique_not_inspected_today_and_within_the_budget(
    clicks: dict[str, int], history: list[tuple[str, int]], most: int
) -> None:
    line = due_pages(pages(clicks), inspected(history), TODAY, most)
    today = {url for url, days_ago in history if days_ago == 0}
    assert len(line) == len(set(line)) == min(max(most, 0), len(clicks.keys() - today))
    assert set(line) <= clicks.keys() - today
    ages = {url: min(n for u, n in history if u == url) for url, _ in history}

    def rank(url: str) -> tuple[float, int, str]:
        return (-ages.get(url, float("inf")), -clicks[url], url)

    assert line == sorted(clicks.keys() - today, key=rank)[: max(most, 0)]


def fill(lake: Lake, clicks: dict[str, int], day: date = FINAL_DAY, status: Status = Status.FINAL) -> None:
    """Rows of one day's pages, as the main sync writes them."""
    of = DayOf("acme", SITE, QueryType.WEB, day)
    totals = answer(
        ("page", "country", "device"), [(url, "usa", "MOBILE", n, n + 1, 2.0) for url, n in clicks.items()]
    )
    target = Target("acme", SITE, "WEB", (day,))
    lake.create(SYNC_LEDGER)
    lake.replace(URL_IMPRESSION, target, url_rows(of, totals.rows, None))
    write_ledger(lake, target, [DayRecord(day, status)])


def sync(
    lake: Lake,
    acme: Workspace,
    script: Callable[[str, str], Inspection] = lambda site_url, url: PASSED,
    *,
    now: datetime = NOON,
    per_day: int = 500,
    concurrency: int = 1,
    run_id: str | None = None,
) -> tuple[TableReport, list[str]]:
    """A sync, and the pages that it requested, in order."""
    console = ScriptedConsole(inspection_script=script)
    report = sync_inspections(
        acme, console, lake, per_day=per_day, concurrency=concurrency, clock=lambda: now, run_id=run_id
    )
    return report, [url for _, url in console.inspected]


def history(lake: Lake) -> list[tuple[str, datetime]]:
    rows = lake.read(URL_INSPECTIONS, columns=["url", "inspected_at"]).to_pylist()
    return sorted((row["url"], row["inspected_at"]) for row in rows)


def raising(errors: Mapping[str, Exception]) -> Callable[[str, str], Inspection]:
    def script(site_url: str, url: str) -> Inspection:
        if url in errors:
            raise errors[url]
        return PASSED

    return script


def test_a_workspace_without_final_days_inspects_nothing(lake: Lake, acme: Workspace) -> None:
    assert sync(lake, acme)[1] == []
    fill(lake, {"a": 1}, status=Status.PROVISIONAL)
    report, asked = sync(lake, acme)
    assert (asked, report.rows, report.problems) == ([], 0, ())


def test_clicks_of_the_last_final_days_rank_the_pages_and_older_or_provisional_ones_do_not(
    lake: Lake, acme: Workspace
) -> None:
    days = [FINAL_DAY - n * ONE_DAY for n in range(RANKING_DAYS + 1)]
    fill(lake, {"a": 1, "b": 2}, days[0])
    fill(lake, {"a": 5}, days[1])
    for day in days[2:-1]:
        fill(lake, {}, day)
    fill(lake, {"too old": 99}, days[-1])
    fill(lake, {"b": 99, "too new": 99}, FINAL_DAY + ONE_DAY, Status.PROVISIONAL)
    assert sync(lake, acme)[1] == ["a", "b"]


def test_runs_share_the_days_budget_and_each_pacific_day_has_its_own(lake: Lake, acme: Workspace) -> None:
    fill(lake, dict(zip("abcdefgh", range(8, 0, -1), strict=True)))
    assert sync(lake, acme, per_day=3)[1] == ["a", "b", "c"]
    assert sync(lake, acme, per_day=3)[1] == []
    assert sync(lake, acme, per_day=5)[1] == ["d", "e"]
    midnight = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
    assert sync(lake, acme, per_day=5, now=midnight - timedelta(seconds=1))[1] == []
    assert sync(lake, acme, per_day=5, now=midnight)[1] == ["f", "g", "h", "a", "b"]


def test_a_budget_of_nothing_inspects_nothing(lake: Lake, acme: Workspace) -> None:
    fill(lake, {"a": 1})
    assert sync(lake, acme, per_day=0)[1] == []


def test_the_history_is_kept(lake: Lake, acme: Workspace) -> None:
    fill(lake, {"a": 1})
    later = NOON + 7 * ONE_DAY
    sync(lake, acme)
    sync(lake, acme, now=later)
    assert history(lake) == [("a", NOON), ("a", later)]


@pytest.mark.parametrize(
    ("error", "transient"), [(PropertyForbiddenError("403"), False), (QuotaError("429"), True)]
)
def test_a_refusal_ends_the_propertys_inspections_and_keeps_earlier_ones(
    lake: Lake, acme: Workspace, error: SearchConsoleError, transient: bool
) -> None:
    fill(lake, dict(zip("abcdef", range(6, 0, -1), strict=True)))
    report, asked = sync(lake, acme, raising({"c": error}))
    assert [url for url, _ in history(lake)][:2] == ["a", "b"]
    assert len(asked) < 6
    (problem,) = report.problems
    assert (problem.site_url, problem.transient) == (SITE, transient)
    assert report.rows == len(history(lake))


def test_a_dead_credential_stops_the_workspace_and_keeps_earlier_inspections(
    lake: Lake, acme: Workspace
) -> None:
    fill(lake, {"a": 3, "b": 2})
    report, _ = sync(lake, acme, raising({"b": CredentialUnusableError("revoked")}))
    assert is_stopped(report)
    assert [url for url, _ in history(lake)] == ["a"]


def test_if_the_shared_state_fails_what_was_inspected_before_is_kept(lake: Lake, acme: Workspace) -> None:
    fill(lake, {"a": 3, "b": 2, "c": 1})
    with pytest.raises(StateError):
        sync(lake, acme, raising({"b": StateError("locked")}))
    assert [url for url, _ in history(lake)] == ["a"]


def test_a_page_that_fails_is_reported_and_the_others_are_inspected(lake: Lake, acme: Workspace) -> None:
    fill(lake, {"a": 3, "b": 2, "c": 1})
    report, asked = sync(lake, acme, raising({"b": ServiceUnavailableError("no answer")}))
    assert asked == ["a", "b", "c"]
    assert [url for url, _ in history(lake)] == ["a", "c"]
    (problem,) = report.problems
    assert problem.transient
    assert "b: no answer" in str(problem)
    assert sync(lake, acme)[1] == ["b"]


def test_after_several_failed_pages_in_a_row_the_rest_is_skipped(lake: Lake, acme: Workspace) -> None:
    urls = [f"{n:03}" for n in range(COMMIT_PAGES + 50)]
    fill(lake, dict.fromkeys(urls, 1))
    errors: dict[str, SearchConsoleError] = {url: ServiceUnavailableError("no answer") for url in urls}
    report, asked = sync(lake, acme, raising(errors))
    assert 3 <= len(report.problems) < 10
    assert len(asked) < 10
    assert history(lake) == []


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize(
    "error", [ServiceUnavailableError("no answer"), IllegalRequestError("not part of this property")]
)
@pytest.mark.parametrize(("per_day", "days"), [(500, 10), (8, 40)], ids=["many calls", "as many as fail"])
def test_pages_that_always_fail_keep_no_other_from_being_inspected_for_ever(
    lake: Lake, acme: Workspace, error: SearchConsoleError, per_day: int, days: int, concurrency: int
) -> None:
    urls = [f"{n:02}" for n in range(40)]
    fill(lake, dict(zip(urls, range(40, 0, -1), strict=True)))
    failing = dict.fromkeys(urls[:8], error)
    for n in range(days):
        now = NOON + n * ONE_DAY
        _, asked = sync(
            lake,
            acme,
            raising(failing),
            now=now,
            per_day=per_day,
            concurrency=concurrency,
            run_id=f"run {n}",
        )
        assert len(asked) <= per_day
    assert {url for url, _ in history(lake)} == set(urls[8:])


def test_a_single_page_that_the_api_rejects_leaves_the_order_by_clicks(lake: Lake, acme: Workspace) -> None:
    urls = [f"{n:02}" for n in range(40)]
    fill(lake, dict(zip(urls, range(40, 0, -1), strict=True)))
    _, asked = sync(lake, acme, raising({urls[0]: IllegalRequestError("not part")}), per_day=10)
    assert asked == urls[:10]


def test_pages_that_the_api_rejects_are_one_problem_and_stop_nothing(lake: Lake, acme: Workspace) -> None:
    fill(lake, dict(zip("abcdef", range(6, 0, -1), strict=True)))
    illegal: dict[str, SearchConsoleError] = {
        url: IllegalRequestError("not part of this property") for url in "abcd"
    }
    report, _ = sync(lake, acme, raising(illegal))
    (problem,) = report.problems
    assert "a and 3 more: not part of this property" in str(problem)
    assert [url for url, _ in history(lake)] == ["e", "f"]


def test_more_pages_than_one_commit_holds_are_all_inspected_concurrently(lake: Lake, acme: Workspace) -> None:
    urls = [f"https://acme.com/{n:03}" for n in range(2 * COMMIT_PAGES + 7)]
    fill(lake, dict.fromkeys(urls, 1))
    report, asked = sync(lake, acme, concurrency=4)
    assert sorted(asked) == urls
    assert report.rows == len(urls)
    assert [url for url, _ in history(lake)] == urls


def sync_world(world: World, workspace: Workspace, per_day: int = 20) -> TableReport:
    return world.sync_table(sync_inspections, workspace, per_day=per_day, run_id="r1")


def test_the_lake_holds_exactly_the_inspections_that_search_console_returns(tmp_path: Path) -> None:
    prop = SyntheticProperty(SITE, rows_a_day=100, plants=False)
    with World.serving(tmp_path, [prop]) as world:
        world.sync(world.workspace(), world.last(10))
        report = sync_world(world, world.workspace())
        assert (report.read, report.rows, report.problems) == (20, 20, ())
        rows = world.lake.read(URL_INSPECTIONS).to_pylist()
        assert len({row["url"] for row in rows}) == 20
        for row in rows:
            told = inspection(prop, row["url"], world.now)
            status = told["indexStatusResult"]
            assert decode_inspection(
                b'{"inspectionResult":' + row["result_json"].encode() + b"}"
            ) == _as_read(row)
            assert row["verdict"] == status["verdict"]
            assert row["coverage_state"] == status["coverageState"]
            assert row["google_canonical"] == status.get("googleCanonical")
            assert row["referring_urls"] == status.get("referringUrls", [])
            assert (row["last_crawled_at"] is None) == ("lastCrawlTime" not in status)
            assert (row["inspected_at"], row["inspected_on"]) == (world.now, world.today)
            assert (row["workspace"], row["site_url"], row["run_id"]) == ("acme", SITE, "r1")


def _as_read(row: dict[str, Any]) -> Inspection:
    names = [name for name in Inspection.__dataclass_fields__ if name != "raw"]
    values = {name: tuple(v) if isinstance(v := row[name], list) else v for name in names}
    return Inspection(**values, raw=row["result_json"])


def test_the_most_clicked_pages_of_the_main_sync_are_inspected_first(tmp_path: Path) -> None:
    with World.serving(tmp_path, [SyntheticProperty(SITE, rows_a_day=100, plants=False)]) as world:
        world.sync(world.workspace(), world.last(10))
        sync_world(world, world.workspace(), per_day=5)
        days = world.lake.read(SYNC_LEDGER).to_pylist()
        final = [row["data_date"] for row in days if row["status"] == "final"]
        clicks: dict[str, int] = {}
        for row in world.lake.read(URL_IMPRESSION).to_pylist():
            if row["data_date"] in final:
                clicks[row["url"]] = clicks.get(row["url"], 0) + row["clicks"]
        asked = world.lake.read(URL_INSPECTIONS)["url"].to_pylist()
        assert sorted((clicks[url] for url in asked), reverse=True) == sorted(clicks.values())[-5:][::-1]


def test_googles_daily_quota_ends_the_inspections_and_keeps_earlier_ones(world: World) -> None:
    world.sync(world.workspace(), world.last(10))
    left = [7]

    def exhausted(call: Any) -> Any:
        if call.kind != "inspect":
            return None
        left[0] -= 1
        refusal = google_error(429, "quotaExceeded", "Quota exceeded: requests per day", "usageLimits")
        return refusal if left[0] < 0 else None

    world.faults.append(exhausted)
    report = sync_world(world, world.workspace(), per_day=100)
    assert report.rows == 7
    assert report.is_worth_retrying
    assert len([call for call in world.simulator.calls if call.kind == "inspect"]) < 40


def test_a_restricted_user_inspects_nothing_and_the_other_properties_are_inspected(tmp_path: Path) -> None:
    shop = "https://shop.acme.com/"
    properties = [
        SyntheticProperty(SITE, rows_a_day=40, plants=False, permission_level="siteRestrictedUser"),
        SyntheticProperty(shop, rows_a_day=40, plants=False),
    ]
    with World.serving(tmp_path, properties) as world:
        workspace = world.workspace(properties=(SITE, shop))
        world.sync(workspace, world.last(8))
        report = sync_world(world, workspace, per_day=3)
        (problem,) = report.problems
        assert (problem.site_url, problem.transient) == (SITE, False)
        assert {row["site_url"] for row in sorted_rows(world.lake.read(URL_INSPECTIONS))} == {shop}
        assert report.rows == 3
