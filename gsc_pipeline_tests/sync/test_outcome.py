"""The outcome of a workspace's sync, from its problems and days, and read back from `sync_runs`."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from gsc_pipeline.search_console.errors import (
    CredentialUnusableError,
    PropertyForbiddenError,
    ServiceUnavailableError,
)
from gsc_pipeline.sync.outcome import WAS_COMPLETE, Outcome
from gsc_pipeline.sync.problems import NO_PROPERTY, Problem
from gsc_pipeline_tests.world import World

DOMAIN = "sc-domain:acme.com"
REFUSED = Problem.of(PropertyForbiddenError("no access"), "sc-domain:lost.com", "WEB")
UNAVAILABLE = Problem.of(ServiceUnavailableError("503"), DOMAIN, "WEB")
DEAD_KEY = Problem.of(CredentialUnusableError("invalid_grant"))
FAULT = Problem.of_fault(RuntimeError("a bug"), DOMAIN, "WEB")


@pytest.mark.parametrize(
    ("problems", "is_verified", "expected"),
    [
        ((), True, Outcome.COMPLETE),
        ((), False, Outcome.COMPLETE),
        ((REFUSED,), True, Outcome.COMPLETE),
        ((REFUSED,), False, Outcome.FAILED),
        ((UNAVAILABLE,), True, Outcome.PARTIAL),
        ((UNAVAILABLE, REFUSED), True, Outcome.PARTIAL),
        ((FAULT,), True, Outcome.PARTIAL),
        ((DEAD_KEY,), True, Outcome.PARTIAL),
        ((DEAD_KEY,), False, Outcome.FAILED),
        ((NO_PROPERTY,), False, Outcome.FAILED),
    ],
)
def test_the_outcome_follows_from_problems_and_verified_days(
    problems: tuple[Problem, ...], is_verified: bool, expected: Outcome
) -> None:
    assert Outcome.of(problems, is_verified=is_verified) is expected


def test_a_sync_with_nothing_to_do_is_complete(world: World) -> None:
    world.sync(world.workspace())
    assert world.sync(world.workspace()).outcome is Outcome.COMPLETE


def test_rows_of_earlier_releases_are_complete_where_they_name_no_problem() -> None:
    runs = pa.table(
        {
            "outcome": ["complete", "partial", "failed", "success", "success", "failure"],
            "problems": [["refused"], ["503"], ["503"], [], ["503"], ["503"]],
        }
    )
    with duckdb.connect(":memory:") as connection:
        connection.register("runs", runs)
        found = connection.execute(f"SELECT {WAS_COMPLETE} FROM runs").fetchall()
    assert [row for (row,) in found] == [True, False, False, True, False, False]
