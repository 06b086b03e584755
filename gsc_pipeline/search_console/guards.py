"""What stands before every call of a process: the rate limiter and the circuit breakers."""

from __future__ import annotations

from dataclasses import dataclass

from gsc_pipeline.search_console.breakers import SharedBreaker
from gsc_pipeline.search_console.limits import SharedLimiter
from gsc_pipeline.search_console.token_breakers import TokenBreakers


@dataclass(frozen=True, slots=True)
class Guards:
    """The guards of a process, built once and used by all its clients. Safe for many threads.

    They share their state with other processes. A guard that is None is switched off.
    """

    limiter: SharedLimiter | None = None
    breaker: SharedBreaker | None = None
    token_breakers: TokenBreakers | None = None


NO_GUARDS = Guards()
"""With these, calls are sent at once."""
