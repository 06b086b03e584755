"""When a commit is repeated that conflicts with those of other processes."""

from __future__ import annotations

import random

import tenacity
from deltalake.exceptions import CommitFailedError

RETRIES_AT_ONCE = 1
"""Delta repeats a commit so often without a wait. One brings the snapshot up to date, also where others
commit faster than this commit writes its rows. With more, many writers mostly refuse one another."""
ATTEMPTS = 20
"""Attempts with back-off, each with Delta's retries."""
LONGEST_WAIT = 60.0
"""Seconds. With ten, fifty writers in a slow store used up all attempts."""


def on_conflict() -> tenacity.Retrying:
    """Retries a commit that conflicts with another process's commit or creation of the table."""
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(CommitFailedError),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=_back_off,
        reraise=True,
    )


def _back_off(state: tenacity.RetryCallState) -> float:
    """A random wait that doubles with each attempt, from twice what an attempt takes on average.

    Where many writers slow a store down, attempts take longer, and longer waits are needed to keep apart.
    """
    attempt_seconds = ((state.seconds_since_start or 0.0) - state.idle_for) / state.attempt_number
    return random.uniform(
        0.0, min(LONGEST_WAIT, max(0.2, 2 * attempt_seconds) * 2 ** (state.attempt_number - 1))
    )
