"""One day or property that is never answered stops nothing else; an outage of the API costs few calls."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from gsc_pipeline.bootstrap import Services
from gsc_pipeline.days import ONE_DAY
from gsc_pipeline.lake.schemas import SYNC_LEDGER
from gsc_pipeline.search_console.breakers import Circuit
from gsc_pipeline.search_console.search_types import FeedType, QueryType, SearchType
from gsc_pipeline.settings import load_settings
from gsc_pipeline.simulator import Call, Reply, SyntheticProperty, google_error
from gsc_pipeline.sync.context import SyncOptions
from gsc_pipeline.sync.outcome import Outcome
from gsc_pipeline.sync.paging import GrainRows
from gsc_pipeline.sync.report import DayResult, Progress, SyncReport
from gsc_pipeline.sync.sync_all import SyncFatalError, sync_all
from gsc_pipeline.sync.workspace import sync_workspace
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.replies import FORBIDDEN, LOAD_QUOTA, UNAVAILABLE, all_queries
from gsc_pipeline_tests.soak import in_night, in_soak, rest_in_soak
from gsc_pipeline_tests.sync.test_truth import assert_lake_is_true
from gsc_pipeline_tests.world import World

BAD = "sc-domain:bad.com"
EVERY_TYPE: tuple[SearchType, ...] = (*QueryType, *FeedType)
DAYS = 6


@dataclass
class Tenants:
    """Workspaces in a world, and processes that sync the last `days` of them one after another."""

    world: World
    workspaces: Sequence[Workspace]
    settings: Any
    days: int

    @classmethod
    @contextmanager
    def of(
        cls,
        folder: Path,
        properties: Sequence[Sequence[str]],
        kinds: Sequence[SearchType] = (QueryType.WEB,),
        *,
        days: int = DAYS,
        **settings: Any,
    ) -> Iterator[Tenants]:
        """A workspace for each list of properties."""
        names = tuple(kind.value for kind in kinds)
        sites = dict.fromkeys(site for listed in properties for site in listed)
        served = [SyntheticProperty(site, rows_a_day=8, plants=False, search_types=names) for site in sites]
        with World.serving(folder, served) as world:
            workspaces = [
                world.workspace(f"w{i}", properties=listed, search_types=kinds)
                for i, listed in enumerate(properties)
            ]
            options = {
                "state": str(folder / "state.db"),
                "api_url": world.url,
                "api_backoff_seconds": 0.0,
                "api_limit_factor": 100.0,
                **settings,
            }
            yield cls(world, workspaces, load_settings(**options), days)

    def process(self, *, by_person: bool = False) -> Callable[[], list[SyncReport]]:
        """A process, which syncs all workspaces each time it is called."""
        services = Services(self.settings, clock=lambda: self.world.now)

        def sync() -> list[SyncReport]:
            reports: list[SyncReport] = []
            try:
                sync_all(
                    self.workspaces,
                    self.world.last(self.days),
                    services.opener(by_person=by_person),
                    self.world.lake,
                    clock=lambda: self.world.now,
                    on_report=reports.append,
                )
            except SyncFatalError:
                assert all(report.outcome is Outcome.FAILED for report in reports)
            return reports

        return sync

    def circuit(self) -> Circuit:
        breaker = Services(self.settings, clock=lambda: self.world.now).guards.breaker
        assert breaker is not None
        return breaker.state().state


class Fault:
    """Answers the calls of which `is_meant` is true with `reply`, and counts them."""

    def __init__(self, reply: Reply, is_meant: Callable[[Call], bool]) -> None:
        self.reply = reply
        self.is_meant = is_meant
        self.calls: list[Call] = []

    def __call__(self, call: Call) -> Reply | None:
        if not self.is_meant(call):
            return None
        self.calls.append(call)
        return self.reply


def reads_of(site_url: str, first: date, last: date) -> Callable[[Call], bool]:
    """Whether a call reads a day from `first` to `last` of the property."""

    def is_read(call: Call) -> bool:
        if call.kind != "query" or call.site_url != site_url or call.body["dimensions"] == ["date"]:
            return False
        return str(first) <= str(call.body["startDate"]) <= str(last)

    return is_read


def sites(workspaces: int, properties: int = 1) -> list[list[str]]:
    return [[f"sc-domain:w{w}p{p}.com" for p in range(properties)] for w in range(workspaces)]


@contextmanager
def rows_in_cycles() -> Iterator[list[GrainRows]]:
    """Collects the rows of the block's reads that only Python's garbage collector would free."""
    found: list[GrainRows] = []
    gc.disable()
    gc.freeze()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found += [one for one in gc.garbage if isinstance(one, GrainRows)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.unfreeze()
        gc.enable()


THREE = [["sc-domain:a.com", BAD, "sc-domain:b.com"], ["sc-domain:c.com"], ["sc-domain:d.com"]]


@pytest.mark.parametrize("types", rest_in_soak([1, 6]))
def test_a_day_that_is_never_answered_is_named_and_every_other_day_is_read(
    tmp_path: Path, types: int
) -> None:
    kinds = EVERY_TYPE[:types]
    with Tenants.of(tmp_path, THREE, kinds) as tenants:
        world = tenants.world
        days = list(world.last(DAYS))
        bad = days[2]
        world.faults.append(fault := Fault(UNAVAILABLE, reads_of(BAD, bad, bad)))

        first, *others = tenants.process()()

        assert [report.outcome for report in (first, *others)] == [Outcome.PARTIAL, *[Outcome.COMPLETE] * 2]
        assert {problem.days for problem in first.problems} == {(bad,)}
        assert {problem.site_url for problem in first.problems} == {BAD}
        assert "503" in first.reason
        assert len(fault.calls) <= 6
        for kind in kinds:
            good = [site for listed in THREE for site in listed if site != BAD]
            assert_lake_is_true(world, days, kind, site_urls=good)
            assert_lake_is_true(world, [day for day in days if day != bad], kind, site_urls=[BAD])
        assert tenants.circuit() is Circuit.CLOSED

        # The other two attempts of a Dagster run.
        again = tenants.process()
        assert [report.outcome for report in again()] == [Outcome.PARTIAL, *[Outcome.COMPLETE] * 2]
        again()
        assert len(fault.calls) <= 20
        assert {call.body["startDate"] for call in fault.calls} == {str(bad)}

        world.faults.clear()
        assert all(not report.problems for report in again())
        for kind in kinds:
            assert_lake_is_true(world, days, kind)


def test_a_day_of_which_one_search_type_is_never_answered_is_read_for_the_others(tmp_path: Path) -> None:
    kinds = (QueryType.WEB, QueryType.IMAGE, QueryType.VIDEO)
    with Tenants.of(tmp_path, [[BAD]], kinds) as tenants:
        world = tenants.world
        days = list(world.last(DAYS))
        is_bad_day = reads_of(BAD, days[2], days[2])
        world.faults.append(Fault(UNAVAILABLE, lambda call: is_bad_day(call) and call.body["type"] == "web"))
        # The types of a day share its attempts, so the first sync may have none left for the others.
        for _ in range(3):
            tenants.process()()
        for kind in (QueryType.IMAGE, QueryType.VIDEO):
            assert_lake_is_true(world, days, kind)


@pytest.mark.parametrize("types", rest_in_soak([1, 6]))
@pytest.mark.parametrize("how", ["503", "hangs"])
@pytest.mark.soak
def test_a_property_that_is_never_answered_stops_no_other(tmp_path: Path, types: int, how: str) -> None:
    kinds = EVERY_TYPE[:types]
    settings = {"api_read_timeout_seconds": 0.3} if how == "hangs" else {}
    reply = Reply(body={}, seconds=1.0) if how == "hangs" else UNAVAILABLE
    with Tenants.of(tmp_path, THREE, kinds, **settings) as tenants:
        world = tenants.world
        world.faults.append(fault := Fault(reply, lambda call: call.site_url == BAD))
        sync = tenants.process()
        for _ in range(3):
            first, *others = sync()
            assert [report.outcome for report in (first, *others)] == [
                Outcome.PARTIAL,
                *[Outcome.COMPLETE] * 2,
            ]
            assert {problem.site_url for problem in first.problems} == {BAD}
        assert len(fault.calls) <= 20
        for kind in kinds:
            good = [site for listed in THREE for site in listed if site != BAD]
            assert_lake_is_true(world, list(world.last(DAYS)), kind, site_urls=good)
        assert tenants.circuit() is Circuit.CLOSED


@pytest.mark.parametrize("types", rest_in_soak([2, 6]))
@pytest.mark.soak
def test_a_property_whose_days_fail_from_the_third_on_keeps_the_first_two(tmp_path: Path, types: int) -> None:
    kinds = EVERY_TYPE[:types]
    with Tenants.of(tmp_path, THREE, kinds) as tenants:
        world = tenants.world
        # In the order in which they are read.
        days = list(world.last(DAYS))[::-1]
        world.faults.append(fault := Fault(UNAVAILABLE, reads_of(BAD, days[-1], days[2])))
        sync = tenants.process()
        for _ in range(3):
            first, *others = sync()
            assert [report.outcome for report in (first, *others)] == [
                Outcome.PARTIAL,
                *[Outcome.COMPLETE] * 2,
            ]
        named = {day for problem in first.problems for day in problem.days}
        assert named == set(days[2:])
        for day in days:
            assert sum(call.body["startDate"] == str(day) for call in fault.calls) <= 20
        for kind in kinds:
            good = [site for listed in THREE for site in listed if site != BAD]
            assert_lake_is_true(world, days, kind, site_urls=good)
            assert_lake_is_true(world, days[:2], kind, site_urls=[BAD])
        assert tenants.circuit() is Circuit.CLOSED


REFUSED = google_error(400, "badRequest", "Request contains an invalid argument.")


@pytest.mark.parametrize(
    "reply", rest_in_soak([UNAVAILABLE, FORBIDDEN, REFUSED]), ids=lambda one: str(one.status)
)
def test_days_that_always_fail_keep_no_other_day_from_being_read(tmp_path: Path, reply: Reply) -> None:
    with Tenants.of(tmp_path, [[BAD]]) as tenants:
        *good, first_bad, _, last_bad = tenants.world.last(DAYS)
        tenants.world.faults.append(Fault(reply, reads_of(BAD, first_bad, last_bad)))
        # A sync stops when one to three days have failed in a row, as many as had been sent for.
        for _ in range(4):
            (report,) = tenants.process()()
            tenants.world.now += timedelta(minutes=10)
        assert report.outcome is Outcome.PARTIAL
        assert_lake_is_true(tenants.world, good)
        failed = {day.day for day in report.days if day.result is DayResult.FAILED}
        assert failed == {*tenants.world.last(3)}


@pytest.mark.parametrize("reply", [FORBIDDEN, UNAVAILABLE], ids=lambda one: str(one.status))
def test_after_a_first_sync_that_read_nothing_days_are_read_newest_first(
    tmp_path: Path, reply: Reply
) -> None:
    with Tenants.of(tmp_path, [[BAD]]) as tenants:
        world, (workspace,), days = tenants.world, tenants.workspaces, tenants.world.last(DAYS)
        one_call_at_a_time = SyncOptions(concurrency=1)
        world.faults.append(all_queries(reply))
        refused = world.sync(workspace, days, one_call_at_a_time)
        assert all(str(reply.status) in day.record.reason for day in refused.days)
        world.faults.clear()
        before = len(world.queries())
        assert not world.sync(workspace, days, one_call_at_a_time).problems
        _probe, *reads = world.queries()[before:]
        asked = dict.fromkeys(call.body["startDate"] for call in reads)
        assert list(asked) == [str(day) for day in days][::-1]


def test_a_day_that_failed_earlier_is_reported_with_the_present_cause(tmp_path: Path) -> None:
    with Tenants.of(tmp_path, [[BAD]]) as tenants:
        *_, bad = tenants.world.last(DAYS)
        tenants.world.faults.append(Fault(UNAVAILABLE, reads_of(BAD, bad, bad)))
        tenants.process()()
        tenants.world.faults[:] = [all_queries(FORBIDDEN)]
        (report,) = tenants.process()()
        (failed,) = [day for day in report.days if day.day == bad]
        assert failed.result is DayResult.FAILED
        assert "403" in failed.record.reason
        (record,) = tenants.world.lake.read(SYNC_LEDGER, where=pc.field("data_date") == bad).to_pylist()
        assert "503" in record["reason"]


@pytest.mark.parametrize(
    "reply", rest_in_soak([UNAVAILABLE, FORBIDDEN, LOAD_QUOTA]), ids=lambda one: str(one.status)
)
def test_the_rows_of_a_failed_day_leave_the_memory_at_once(tmp_path: Path, reply: Reply) -> None:
    with Tenants.of(tmp_path, [[BAD]]) as tenants:
        tenants.world.faults.append(Fault(reply, lambda call: "page" in call.body.get("dimensions", "")))
        with rows_in_cycles() as found:
            (report,) = tenants.process()()
        assert report.count(DayResult.FAILED) == DAYS
        assert not found


def test_an_unexpected_error_between_two_days_loses_none_that_were_read(tmp_path: Path) -> None:
    with Tenants.of(tmp_path, [[BAD]]) as tenants:
        world, (workspace,), days = tenants.world, tenants.workspaces, tenants.world.last(DAYS)

        def show(progress: Progress) -> None:
            if progress.done == 2:
                raise BrokenPipeError("the terminal is gone")

        with closing(world.open_console(workspace)) as console:
            report = sync_workspace(
                workspace, days, console, world.lake, clock=lambda: world.now, on_progress=show
            )
        (problem,) = report.problems
        assert "the terminal is gone" in problem.cause
        assert report.count(DayResult.READ) == 2
        assert_lake_is_true(world, [*days][-2:])


@pytest.mark.soak
def test_days_that_always_fail_keep_no_day_from_being_read_that_failed_with_them(tmp_path: Path) -> None:
    with Tenants.of(tmp_path, [[BAD]]) as tenants:
        first, *_, last = tenants.world.last(DAYS)
        tenants.world.faults.append(Fault(UNAVAILABLE, reads_of(BAD, first, last)))
        for _ in range(DAYS):
            tenants.process()()
        tenants.world.faults[:] = [Fault(UNAVAILABLE, reads_of(BAD, first + ONE_DAY, last))]
        reports = (tenants.process()()[0] for _ in range(200))
        assert any(report.outcome is Outcome.PARTIAL for report in reports)
        assert_lake_is_true(tenants.world, [first])


@pytest.mark.soak
def test_a_property_that_fails_for_weeks_never_opens_the_circuit_by_itself(tmp_path: Path) -> None:
    with Tenants.of(tmp_path, [[BAD]], EVERY_TYPE) as tenants:
        tenants.world.faults.append(all_queries(UNAVAILABLE))
        for _ in range(10):
            tenants.process()()
            tenants.world.now += timedelta(days=1)
        assert tenants.circuit() is Circuit.CLOSED


OUTAGES = [
    (1, 1, 1),
    (4, 1, 1),
    (20, 1, 1),
    (1, 1, 6),
    (2, 1, 6),
    (1, 4, 6),
    (3, 2, 2),
    (1, 9, 1),
]


@pytest.mark.parametrize("kind_of_call", ["query", "token"])
@pytest.mark.parametrize(
    ("workspaces", "properties", "kinds"), [*rest_in_soak(OUTAGES), in_night((20, 3, 1))]
)
def test_an_outage_gets_at_most_ten_calls_from_a_process(
    tmp_path: Path, workspaces: int, properties: int, kinds: int, kind_of_call: str
) -> None:
    listed = sites(workspaces, properties)
    # The outage ends every sync before its first day, so that more days would only lengthen what follows it.
    with Tenants.of(tmp_path, listed, EVERY_TYPE[:kinds], days=2, api_attempts=9) as tenants:
        world = tenants.world
        world.faults.append(fault := Fault(UNAVAILABLE, lambda call: call.kind == kind_of_call))
        sync = tenants.process()
        # Three attempts of a Dagster run.
        for _ in range(3):
            sync()
        assert len(fault.calls) <= 10
        # Another process finds the circuit open, or finds out by itself.
        tenants.process()()
        assert len(fault.calls) <= 20

        world.faults.clear()
        world.now += timedelta(minutes=61)
        for report in tenants.process()():
            assert report.outcome is Outcome.COMPLETE
        assert tenants.circuit() is Circuit.CLOSED
        for kind in EVERY_TYPE[:kinds]:
            assert_lake_is_true(world, list(world.last(tenants.days)), kind)


@pytest.mark.soak
def test_workspaces_with_the_same_property_send_no_more_calls(tmp_path: Path) -> None:
    with Tenants.of(tmp_path, [["sc-domain:a.com"]] * 20) as tenants:
        tenants.world.faults.append(fault := Fault(UNAVAILABLE, lambda call: call.kind == "query"))
        tenants.process()()
        assert len(fault.calls) <= 10
        assert tenants.circuit() is Circuit.CLOSED


@pytest.mark.parametrize("after", [7, *map(in_soak, (1, 3, 12, 30)), *map(in_night, (2, 5, 9, 16, 23))])
@pytest.mark.parametrize(
    ("workspaces", "properties", "kinds", "days"),
    # Of all but the first, thirty calls are a small part also with half as many days.
    rest_in_soak([(3, 2, 1, DAYS), (1, 4, 6, 3), (20, 1, 1, 3)]),
)
@pytest.mark.soak
def test_an_outage_in_the_middle_of_a_sync_gets_at_most_ten_calls(
    tmp_path: Path, workspaces: int, properties: int, kinds: int, days: int, after: int
) -> None:
    with Tenants.of(tmp_path, sites(workspaces, properties), EVERY_TYPE[:kinds], days=days) as tenants:
        world = tenants.world
        world.faults.append(
            fault := Fault(UNAVAILABLE, lambda call: call.kind == "query" and len(world.queries()) > after)
        )
        sync = tenants.process()
        reports = sync()
        assert sum(report.count(DayResult.FAILED) for report in reports) > 0
        sync()
        sync()
        assert len(fault.calls) <= 10

        world.faults.clear()
        world.now += timedelta(minutes=6)
        assert all(report.outcome is Outcome.COMPLETE for report in tenants.process()())
        assert_lake_is_true(world, list(world.last(days)))


def test_a_person_is_let_through_once_while_the_circuit_is_open(tmp_path: Path) -> None:
    with Tenants.of(tmp_path, sites(6)) as tenants:
        world = tenants.world
        world.faults.append(fault := Fault(UNAVAILABLE, lambda call: call.kind == "query"))
        tenants.process()()
        assert tenants.circuit() is Circuit.OPEN
        fault.calls.clear()

        reports = tenants.process()()
        assert not fault.calls
        reports = tenants.process(by_person=True)()
        assert len(fault.calls) == 1
        assert tenants.circuit() is Circuit.OPEN
        for report in reports:
            assert "circuit open since" in report.reason
            assert all(problem.deferred for problem in report.problems)
            assert report.retry_at == world.now + timedelta(minutes=5)

        world.faults.clear()
        assert all(report.outcome is Outcome.COMPLETE for report in tenants.process(by_person=True)())
        assert tenants.circuit() is Circuit.CLOSED
        assert_lake_is_true(world, list(world.last(DAYS)))


@pytest.mark.soak
def test_a_person_is_let_through_to_a_token_endpoint_as_well(tmp_path: Path) -> None:
    with Tenants.of(tmp_path, sites(6)) as tenants:
        world = tenants.world
        world.faults.append(fault := Fault(UNAVAILABLE, lambda call: call.kind == "token"))
        tenants.process()()
        fault.calls.clear()
        assert all("token endpoint" in report.reason for report in tenants.process(by_person=True)())
        assert len(fault.calls) == 1
        world.faults.clear()
        assert all(report.outcome is Outcome.COMPLETE for report in tenants.process(by_person=True)())
