"""What stands before every call of a process: the rate limiter and the circuit breakers."""

from __future__ import annotations

from dataclasses import dataclass

from gsc_pipeline.search_console.breakers import SharedBreaker
from gsc_pipeline.search_console.limits import SharedLimiter
from gsc_pipeline.search_console.token_breakers import TokenBreakers
from gsc_pipeline.state.store import Store


@dataclass(frozen=True, slots=True)
class Guards:
    """The guards of a process and the store that they share with other processes. Safe for many threads.

    Build them once per process; all its clients use them. A guard that is None is switched off.
    """

    store: Store
    limiter: SharedLimiter | None = None
    breaker: SharedBreaker | None = None
    token_breakers: TokenBreakers | None = None

    def close(self) -> None:
        """Close the store's connection. A later call opens another."""
        self.store.close()
