"""Queries that do not end, or that use up memory: each call ends, and the server answers on."""

from __future__ import annotations

import time

import pytest

from gsc_pipeline.assistants.messages import Limits
from gsc_pipeline.assistants.query_pool import PROCESSES
from gsc_pipeline_tests.assistants.served import DAYS, Assistant, Served, in_process
from gsc_pipeline_tests.waiting import HANG_SECONDS, wait_until

CROSS_JOIN = "SELECT count(*) FROM range(1000000) a, range(1000000) b, range(9) c WHERE a.range <> b.range"
INTERRUPTIBLE = {
    "a cross join": CROSS_JOIN,
    "a recursion": "WITH RECURSIVE r AS (SELECT 1 n UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r",
    "a sleep": "SELECT pg_sleep(1000)",
    "a join without end": "SELECT sum(hash(a.range, b.range)) FROM range(10000000) a, range(10000000) b",
    "an explained cross join": f"EXPLAIN ANALYZE {CROSS_JOIN}",
    "a filter that nothing passes": "SELECT * FROM range(10000000000000) WHERE hash(range) = 0",
}
# DuckDB notices an interruption only between two steps. Each of these is one long step.
IN_ONE_STEP = {
    "a distance of long texts": "SELECT levenshtein(repeat('ab', 200000), repeat('ba', 200000))",
    "a padded text": "SELECT lpad('x', 2000000000, 'y')",
}
# The process may not survive these. Its end must be an answer, too.
HUNGRY = {
    "a hundred million numbers": "SELECT range(1000000000)",
    "all pairs in a list": "SELECT array_agg(a.range) FROM range(100000) a, range(100000) b",
    "growing texts": "WITH RECURSIVE r AS (SELECT repeat('x', 100000000) n UNION ALL SELECT n || 'y' FROM r) "
    "SELECT count(*) FROM r",
}
SHORT = Limits(seconds=1, grace_seconds=1)


def answers(assistant: Assistant) -> bool:
    """Whether a normal query is answered. A busy machine may need more than the short limit."""
    return assistant.query("SELECT count(*) FROM sync_ledger").data.get("rows") == [[DAYS]]


def cases() -> list[object]:
    every = INTERRUPTIBLE | IN_ONE_STEP | HUNGRY
    quick = ("a cross join", "a distance of long texts")
    return [
        pytest.param(sql, marks=() if name in quick else pytest.mark.soak, id=name)
        for name, sql in every.items()
    ]


@pytest.fixture(scope="module")
def impatient(served: Served) -> object:
    with in_process(served, SHORT) as assistant:
        yield assistant


@pytest.mark.parametrize("sql", cases())
def test_a_query_without_end_is_stopped_and_the_server_answers_on(impatient: Assistant, sql: str) -> None:
    reply = impatient.query(sql)
    assert reply.is_error
    assert "stopped" in reply.text or "memory" in reply.text
    wait_until(lambda: answers(impatient), "a normal query after the endless one")


@pytest.mark.soak
def test_cancelled_queries_end_and_leave_room_for_others(served: Served) -> None:
    with in_process(served, Limits(seconds=10 * HANG_SECONDS)) as assistant:
        started = [assistant.later("query", sql=CROSS_JOIN) for _ in range(PROCESSES)]
        wait_until(lambda: "running already" in assistant.query("SELECT 1").text, "the queries to run")
        for endless in started:
            endless.cancel()
        wait_until(lambda: answers(assistant), "a normal query after the cancelled ones")


@pytest.mark.soak
def test_other_tools_and_queries_answer_while_a_query_runs(served: Served) -> None:
    with in_process(served, Limits(seconds=10 * HANG_SECONDS)) as assistant:
        endless = assistant.later("query", sql=CROSS_JOIN)
        assert not assistant.call("status", workspace="acme").is_error
        assert not assistant.call("list_workspaces").is_error
        wait_until(lambda: answers(assistant), "a normal query beside the endless one")
        assert not endless.done()
        endless.cancel()


def test_a_call_may_take_less_than_thirty_seconds_by_default() -> None:
    assert Limits().call_seconds < 30


# It takes the default limits twice, with all threads busy.
@pytest.mark.slow
@pytest.mark.soak
def test_an_endless_query_ends_within_thirty_seconds(served: Served) -> None:
    with in_process(served, Limits()) as assistant:
        for sql in (CROSS_JOIN, IN_ONE_STEP["a distance of long texts"]):
            started = time.monotonic()
            assert assistant.query(sql).is_error
            assert time.monotonic() - started < 30
            assert answers(assistant)


@pytest.mark.soak
def test_many_endless_queries_at_once_all_end_and_the_server_answers_on(served: Served) -> None:
    with in_process(served, Limits(seconds=3)) as assistant:
        started = [assistant.later("query", sql=CROSS_JOIN) for _ in range(3 * PROCESSES)]
        replies = [one.result(HANG_SECONDS) for one in started]
        assert all(reply.is_error for reply in replies)
        assert any("running already" in reply.text for reply in replies)
        wait_until(lambda: answers(assistant), "a normal query after the endless ones")
