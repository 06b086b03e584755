"""Syncs that receive thousands of wrong answers: the lake stays true, or the sync reports a problem.

Each wrong answer is derived from the true answer to the same call (`mutations`). Answers that no further call
could distinguish from a true one are excluded:

- a list of queries or pages that lacks whole rows, or has another text, position or count in a row: Search
  Console counts by query and by page differently, so there is no known sum to compare them with;
- totals by property with another position, country or device but the same sums;
- on a day's first read, an empty list of queries that names its aggregation: a day whose queries are all
  anonymised looks the same; and a probe without a day or with other numbers, which the next probe corrects;
- a list of properties with another name or other permissions; on a first sync, one that lacks a property;
- an answer `{}`, which means no data, if the call that would contradict it was answered like this as well.

Totals by property with another sum contradict the probe. As the day may have changed during the read, it
becomes provisional, and the next sync reads it again. Its earlier rows stay; without good ones, the new rows
are stored.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gsc_pipeline.days import utc_now
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, URL_IMPRESSION
from gsc_pipeline.search_console.auth import OAuthEnvironment
from gsc_pipeline.search_console.client import HttpSearchConsole
from gsc_pipeline.search_console.retries import RetryPolicy
from gsc_pipeline.search_console.search_types import QueryType
from gsc_pipeline.search_console.transport import TransportLimits
from gsc_pipeline.simulator import Call, Reply, SyntheticProperty
from gsc_pipeline.sync.context import SyncOptions
from gsc_pipeline.sync.decide import DID_NOT_ADD_UP_ONCE, EARLIER_ROWS_KEPT, NO_QUERIES, QUERIES_KEPT
from gsc_pipeline.sync.ledger import DayRecord, LedgerKey, Status
from gsc_pipeline.sync.report import SyncReport
from gsc_pipeline.sync.workspace import sync_workspace
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.credentials import authorized_user_info
from gsc_pipeline_tests.mutations import Effect, about, effect, mutated, true_body
from gsc_pipeline_tests.search_console.test_transport import DRIBBLES, Serve, for_ever, serve
from gsc_pipeline_tests.soak import in_night, in_soak
from gsc_pipeline_tests.sync.test_truth import truth
from gsc_pipeline_tests.waiting import HANG_SECONDS
from gsc_pipeline_tests.world import World, read_ledger

__all__ = ["serve"]

WRONG_ANSWERS = [(9, 60), in_soak((0, 500)), *(in_night((seed, 500)) for seed in range(1, 4))]
"""Seeds, and how many wrong answers each sends: two thousand in the whole of `make soak`."""
DOMAIN, SHOP = "sc-domain:acme.com", "https://shop.acme.com/"
SIZES = (24, 36)
"""Facts a day, in turn, so that a sync finds that every day has moved."""
DAYS = 8
_SHARED = ["data_date", "is_anonymized_query", "query", "country", "device", "clicks", "impressions"]
COLUMNS = {
    SITE_IMPRESSION.name: [*_SHARED, "sum_top_position"],
    URL_IMPRESSION.name: [*_SHARED, "url", "sum_position"],
}
"""What is compared: everything that the facts decide."""

GRAINS = [
    ["country", "device"],
    ["page", "country", "device"],
    ["query", "country", "device"],
    ["page", "query", "country", "device"],
]
TARGETS = [*["grains"] * 7, "everything", *["probe"] * 4, "sites", "token"]

Day = tuple[str, date]
Rows = Mapping[Day, Any]
Records = Mapping[Day, DayRecord]


@dataclass
class Weather:
    """The wrong answers of one sync, described in text, with the days that may be uncertain."""

    world: World
    rng: Random
    target: str
    site_url: str | None
    share: float
    is_first_read: bool
    sent: list[str] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    doubted: set[Day] = field(default_factory=set)

    def fault(self, call: Call) -> Reply | None:
        if not self._is_meant(call) or self.rng.random() >= self.share:
            return None
        true = self.world.simulator.true_answer(call)
        if true.status != 200:
            return None
        body = true_body(true)
        for _ in range(20):
            mutation = mutated(self.rng, body)
            what = effect(call, body, mutation, is_first_read=self.is_first_read)
            if what is not Effect.QUIET:
                self.sent.append(f"{about(call)}: {mutation.how}")
                self.kinds.add(",".join(call.body["dimensions"]) if call.kind == "query" else call.kind)
                if what is Effect.DOUBTED:
                    self.doubted.add((str(call.site_url), date.fromisoformat(call.body["startDate"])))
                return mutation.reply
        return None

    def _is_meant(self, call: Call) -> bool:
        if self.site_url is not None and call.site_url not in (None, self.site_url):
            return False
        kind = call.kind
        if kind == "query":
            kind = "probe" if call.body["dimensions"] == ["date"] else "grains"
        return self.target in (kind, "everything")

    @property
    def spares(self) -> set[str]:
        """Properties without a wrong answer."""
        if self.target not in ("grains", "probe") or self.site_url is None:
            return set()
        return {DOMAIN, SHOP} - {self.site_url}


def rows_of(world: World, workspace: Workspace) -> Rows:
    """What both tables hold of each day of a workspace, in an order of its own, as far as it can be true."""
    held: dict[Day, dict[str, list[Any]]] = {
        (site_url, day): {table: [] for table in COLUMNS}
        for site_url in (DOMAIN, SHOP)
        for day in world.last(DAYS)
    }
    for table in (SITE_IMPRESSION, URL_IMPRESSION):
        for row in world.lake.read(table, workspace=workspace.id).to_pylist():
            of_day = held[row["site_url"], row["data_date"]][table.name]
            of_day.append({name: row[name] for name in COLUMNS[table.name]})
    return {day: in_order(tables) for day, tables in held.items()}


def true_rows(world: World, size: int) -> Rows:
    """What they must hold where the properties have that size, from the simulator's facts."""
    return {
        (prop.site_url, day): in_order(
            {name: rows.to_pylist() for name, rows in truth(world, prop, QueryType.WEB, [day]).items()}
        )
        for prop in properties(size)
        for day in world.last(DAYS)
    }


def in_order(tables: Mapping[str, list[dict[str, Any]]]) -> Mapping[str, list[tuple[Any, ...]]]:
    """Rows as tuples, sorted, so that two tables can be compared."""
    return {
        table: sorted((tuple(row[name] for name in COLUMNS[table]) for row in rows), key=repr)
        for table, rows in tables.items()
    }


def records_of(world: World, workspace: Workspace) -> Records:
    ledger: Mapping[LedgerKey, Mapping[date, DayRecord]] = read_ledger(
        world.lake, workspace.id, world.last(DAYS)
    )
    return {(url, day): record for (url, _), its in ledger.items() for day, record in its.items()}


def is_kept(record: DayRecord, known: DayRecord | None) -> bool:
    """Whether the record says that the day's earlier rows may not be those of its totals."""
    is_same = record == known or record.reason in (EARLIER_ROWS_KEPT, QUERIES_KEPT)
    return record.status is Status.PROVISIONAL and is_same


def complaints(
    weather: Weather,
    report: SyncReport,
    before: tuple[Rows, Records],
    after: tuple[Rows, Records],
    true: Rows,
) -> list[str]:
    """The violations found after a sync that received wrong answers."""
    found = [
        f"an error of this project: {problem}"
        for problem in report.problems
        if "fault of gsc_pipeline" in str(problem) or "unexpected error" in str(problem)
    ]
    named = {problem.site_url for problem in report.problems}
    (old, known), (now, records) = before, after
    for day in true:
        record = records.get(day)
        if now[day] == true[day] and (record is None or record.status is not Status.EMPTY):
            continue
        is_as_before = now[day] == old[day]
        if day[0] in weather.spares:
            found.append(f"{day} was not read, though nothing was wrong with its property's answers")
        elif is_as_before and record and is_kept(record, known.get(day)):
            continue
        elif record is not None and record.status in (Status.FINAL, Status.EMPTY) and record != known[day]:
            found.append(f"{day} is {record.status} beside rows that are not true")
        elif is_as_before and not named & {"", day[0]}:
            found.append(f"{day} was not read, and no problem says so")
        elif not is_as_before and not (
            day in weather.doubted
            and record is not None
            and (record.status, record.reason in (NO_QUERIES, DID_NOT_ADD_UP_ONCE))
            == (Status.PROVISIONAL, True)
        ):
            found.append(f"{day} has rows that are neither true nor as before: {record}")
    return found


@pytest.mark.parametrize(("seed", "many"), WRONG_ANSWERS)
def test_wrong_answers_leave_old_rows_or_true_ones_and_the_next_sync_is_true(
    tmp_path: Path, seed: int, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, sent, kinds, number, size = Random(seed), 0, set[str](), 0, 0
    deck: list[str] = []
    with World.serving(tmp_path, properties(SIZES[0])) as world:
        truths = [true_rows(world, size) for size in SIZES]
        monkeypatch.setenv("ACME_USER", json.dumps(authorized_user_info(world.url)))
        # The new workspaces have service accounts, whose keys take ten times as long to load.
        acme = replace(world.workspace(properties=None), credentials=OAuthEnvironment("ACME_USER"))
        sync(world, acme)
        now = rows_of(world, acme)
        while sent < many:
            number += 1
            is_first_read = rng.random() < 0.08
            workspace = world.workspace(f"new-{number}", properties=None) if is_first_read else acme
            deck = deck or rng.sample(TARGETS, len(TARGETS))
            target = deck.pop()
            is_about_days = target in ("grains", "everything")
            if is_about_days or rng.random() < 0.3:
                size = 1 - size
                for prop in properties(SIZES[size]):
                    world.simulator.put(prop)
            true = truths[size]
            weather = Weather(
                world,
                rng,
                target,
                rng.choice([None, None, DOMAIN, SHOP]),
                1.0 if target in ("sites", "token") else rng.choice([0.4, 0.8, 1.0]),
                is_first_read,
            )
            old = rows_of(world, workspace) if is_first_read else now
            before = old, records_of(world, workspace)
            world.faults = [weather.fault]
            report = sync(world, workspace)
            world.faults = []
            after = rows_of(world, workspace), records_of(world, workspace)
            found = complaints(weather, report, before, after, true)
            again = sync(world, workspace)
            found += [f"the next sync says: {problem}" for problem in again.problems]
            healed = rows_of(world, workspace)
            now = now if is_first_read else healed
            found += [f"{day} is not true after the next sync" for day in true if healed[day] != true[day]]
            assert not found, "\n".join([*found, "answered wrongly:", *weather.sent, report.reason])
            sent += len(weather.sent)
            kinds |= weather.kinds
    assert kinds == {"token", "sites", "date", *(",".join(grain) for grain in GRAINS)}


@cache
def properties(size: int) -> list[SyntheticProperty]:
    return [SyntheticProperty(url, rows_a_day=size, plants=False) for url in (DOMAIN, SHOP)]


def sync(world: World, workspace: Workspace) -> SyncReport:
    """One thread, so that the same seed gives the same answers."""
    return world.sync(workspace, world.last(DAYS), SyncOptions(concurrency=1))


BOMB_BYTES = 4_000_000_000
MOST_MEMORY = 600_000_000

SYNC_AND_TELL_MEMORY = """
import resource, sys
from gsc_pipeline.cli.main import main
sys.argv = ["gsc", "sync", "--days", "2", "--json"]
try:
    main()
finally:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(most if sys.platform == "darwin" else most * 1024, file=sys.stderr)
"""


def gigabytes() -> bytes:
    """Few bytes that unpack to a list of rows of four gigabytes."""
    piece = (b'{"keys":["' + b"a" * 980 + b'"],"clicks":1},') * 64_000
    return gzip.compress(b'{"rows":[') + gzip.compress(piece) * (BOMB_BYTES // len(piece))


def empty_rows() -> bytes:
    """Few bytes that unpack to as many rows as the longest answer can hold."""
    return gzip.compress(b'{"rows":[' + b"{}," * 21_000_000 + b"{}]}")


@pytest.mark.parametrize(
    ("target", "bomb", "said"),
    [
        ("query", gigabytes, "is larger than"),
        in_soak(("token", gigabytes, "is larger than")),
        in_soak(("sites", gigabytes, "is larger than")),
        in_soak(("query", empty_rows, "commas")),
    ],
)
def test_an_answer_that_unpacks_to_gigabytes_takes_no_more_memory_than_one_may(
    tmp_path: Path, target: str, bomb: Callable[[], bytes], said: str
) -> None:
    reply, sent = Reply(200, bomb(), {"content-encoding": "gzip"}), list[Call]()

    def fault(call: Call) -> Reply | None:
        if call.kind != target:
            return None
        sent.append(call)
        return reply

    with World.serving(tmp_path, properties(SIZES[0]), now=utc_now()) as world:
        world.faults.append(fault)
        env = {**os.environ, **world.environment({"id": "acme", "properties": "all"}), "DAGSTER_HOME": ""}
        # The shell between is small: a process begins with the memory of the one that starts it.
        shell = ["sh", "-c", '"$@"; true', "sh", sys.executable, "-c", SYNC_AND_TELL_MEMORY]
        done = subprocess.run(shell, env=env, cwd=tmp_path, capture_output=True, text=True)
    *lines, most = done.stderr.splitlines()
    assert sent
    assert int(most) < MOST_MEMORY
    assert said in " ".join(lines)
    assert "Traceback" not in done.stderr


CALL_SECONDS = 3.0
"""Long enough for a good answer of the token endpoint, on a busy machine as well."""


@pytest.mark.soak
def test_a_slow_answer_does_not_delay_a_sync_for_long(tmp_path: Path, serve: Serve) -> None:
    with World.serving(tmp_path, properties(SIZES[0])) as world:
        acme = world.workspace(properties=[DOMAIN, SHOP])
        sync(world, acme)
        before = rows_of(world, acme), records_of(world, acme)
        for how in ("headers", "body of a known length", "body in chunks", "silence"):
            first, then = DRIBBLES[how]
            console = HttpSearchConsole(
                acme.credentials,
                base_url=serve(for_ever(first, then, 0.05)),
                retry=RetryPolicy(attempts=2, sleep=world.waits.append),
                limits=TransportLimits(call_seconds=CALL_SECONDS),
                clock=lambda: world.now,
            )
            began = time.monotonic()
            with closing(console):
                report = sync_workspace(acme, world.last(DAYS), console, world.lake, clock=lambda: world.now)
            # Two properties, two attempts each: the server would keep it for four times as long.
            assert time.monotonic() - began < HANG_SECONDS
            assert {problem.site_url for problem in report.problems} == {DOMAIN, SHOP}
            assert all(f"within {CALL_SECONDS:g} seconds" in problem.cause for problem in report.problems)
            assert rows_of(world, acme) == before[0]
        assert not sync(world, acme).problems
        assert {day: one.status for day, one in records_of(world, acme).items()} == {
            day: one.status for day, one in before[1].items()
        }
