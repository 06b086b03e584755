"""Waiting for a condition, with a limit that only a hang reaches."""

from __future__ import annotations

import time
from collections.abc import Callable

HANG_SECONDS = 300.0
"""The longest that a test waits for one thing. No machine is this slow: only a hang takes so long."""


def wait_until(
    condition: Callable[[], bool],
    what: str,
    *,
    every: float = 0.05,
    log: Callable[[], str] = str,
) -> None:
    """Return as soon as `condition` is true, asked every so many seconds.

    After `HANG_SECONDS` the test fails; the message names `what` it waited for and ends with the last lines
    of `log()`.
    """
    limit = time.monotonic() + HANG_SECONDS
    while not condition():
        assert time.monotonic() < limit, f"waited {HANG_SECONDS:g} seconds for {what}\n{log()[-4000:]}"
        time.sleep(every)
