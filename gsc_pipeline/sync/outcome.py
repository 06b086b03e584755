"""The outcome of a workspace's sync.

The result of the Dagster run and of the tick, the exit code, the status, the health and the alerts are all
derived from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from gsc_pipeline.sync.problems import Problem


class Outcome(StrEnum):
    """The outcome of one workspace in one sync."""

    COMPLETE = "complete"
    """Every checked day is up to date, apart from properties that the credential may not read."""
    PARTIAL = "partial"
    """Something was read or verified, and something failed."""
    FAILED = "failed"
    """Nothing could be read or verified."""

    @classmethod
    def of(cls, problems: Iterable[Problem], *, is_verified: bool) -> Outcome:
        """The outcome of a sync. `is_verified`: at least one day was read, or found to be unchanged."""
        found = list(problems)
        if found and not is_verified:
            return cls.FAILED
        return cls.COMPLETE if all(problem.is_refusal for problem in found) else cls.PARTIAL


IMPORT = "imported"
"""The outcome in `sync_runs` of an import of the bulk export. It verifies nothing, so it is no sync's."""

MORE = "more"
"""The outcome in `sync_runs` of a sync of the other tables, which verifies no day of the search data."""


def tally(complete: int, partial: int, failed: int) -> str:
    """How many workspaces ended with each outcome, in the words of every summary."""
    total = complete + partial + failed
    return f"{complete} of {total} workspaces complete, {partial} partial, {failed} failed"


WAS_COMPLETE = "outcome = 'complete' OR outcome = 'success' AND len(problems) = 0"
"""SQL over `sync_runs`: the complete syncs.

Release 0.1.0 wrote `success` even if some days were read and others failed.
"""

IS_SYNC = f"outcome NOT IN ('{IMPORT}', '{MORE}')"
"""SQL over `sync_runs`: the syncs of the search data."""

HAS_FAILED = "outcome IN ('failed', 'failure')"
"""SQL over `sync_runs`: the failed syncs. Release 0.1.0 wrote `failure`."""
