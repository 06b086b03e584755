"""Guarded replacements are checked on their snapshot, and retried if it is outdated."""

from __future__ import annotations

from datetime import date

import pytest
from deltalake import DeltaTable

from gsc_pipeline.lake.lake import CommitGuard, Lake
from gsc_pipeline.lake.schemas import SITE_IMPRESSION
from gsc_pipeline_tests.lake.test_lake import clicks_by_day, rows, target

DAY = date(2026, 11, 1)
NONE = SITE_IMPRESSION.schema.empty_table()


def clear_first(lake: Lake, *, ours: str, theirs: str) -> list[int]:
    """Replace a day without rows while another writer clears it between our snapshot and our commit.

    Returns the versions that our check saw. Delta alone would let both commits pass.
    """
    lake.replace(SITE_IMPRESSION, target(date(2026, 11, 2)), rows(date(2026, 11, 2), 1))
    versions: list[int] = []

    def check(snapshot: DeltaTable) -> None:
        versions.append(snapshot.version())
        if len(versions) == 1:
            other = Lake(lake.uri)
            other.replace(SITE_IMPRESSION, target(DAY), NONE, CommitGuard(theirs, lambda snapshot: None))

    lake.replace(SITE_IMPRESSION, target(DAY), rows(DAY, 2), CommitGuard(ours, check))
    return versions


def test_the_check_runs_again_after_a_commit_with_the_same_name(lake: Lake) -> None:
    first, second = clear_first(lake, ours="acme", theirs="acme")
    assert second > first
    assert clicks_by_day(lake)["acme", "sc-domain:acme.com", DAY] == 6


def test_commits_with_other_names_do_not_conflict(lake: Lake) -> None:
    assert len(clear_first(lake, ours="acme", theirs="globex")) == 1


def test_a_check_that_raises_stops_the_replacement_before_anything_is_written(lake: Lake) -> None:
    lake.replace(SITE_IMPRESSION, target(DAY), rows(DAY, 1))

    def refuse(snapshot: DeltaTable) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        lake.replace(SITE_IMPRESSION, target(DAY), rows(DAY, 2), CommitGuard("acme", refuse))
    assert set(clicks_by_day(lake).values()) == {3}
