"""The circuit breakers on token endpoints: one for each that a credential's key names.

Belongs here: which endpoint has which breaker, and whom it holds back. Does not: when one opens (`breaker`),
asking for tokens (`auth`).

Google's keys all name the same endpoint, so that an outage there is found out once and not by every
workspace. A key that names another, or nonsense, has a breaker of its own and stops nobody else. A
credential that is refused is an answer: it never opens one.
"""

from __future__ import annotations

from collections.abc import Mapping

from gsc_pipeline.days import Clock, utc_now
from gsc_pipeline.search_console.auth import CredentialSource, token_uri_of
from gsc_pipeline.search_console.breaker import BreakerState, Circuit, SharedBreaker
from gsc_pipeline.search_console.breaker_rows import opened
from gsc_pipeline.search_console.errors import CredentialUnusableError
from gsc_pipeline.search_console.transport import without_secrets
from gsc_pipeline.state.store import Store

PREFIX = "token endpoint "
"""What tells their rows from those of APIs, and how errors name them."""

LONGEST_KEY = 200


class TokenBreakers:
    """The breakers that processes share through a store; the figures are SharedBreaker's."""

    def __init__(
        self,
        store: Store,
        *,
        failures: int = 5,
        seconds: float = 300.0,
        probe_seconds: float = 180.0,
        clock: Clock = utc_now,
    ) -> None:
        self._store = store
        self._failures = failures
        self._seconds = seconds
        self._probe_seconds = probe_seconds
        self._clock = clock

    def at(self, token_uri: str) -> SharedBreaker:
        """The breaker on the endpoint at this address."""
        return self._breaker(_key(token_uri))

    def not_closed(self) -> dict[str, BreakerState]:
        """The breakers that are not closed, by their keys: one query where all are. Raises StateError."""
        states = {key: self._breaker(key).state() for key in opened(self._store) if key.startswith(PREFIX)}
        return {key: state for key, state in states.items() if state.state is not Circuit.CLOSED}

    def held_back(self, credentials: Mapping[str, CredentialSource]) -> dict[str, BreakerState]:
        """Of these credentials, by any names, those whose endpoint's breaker is not closed, and how it is.

        Keys are read only where there is such a breaker; one that cannot be read is held back by nothing.
        Raises StateError.
        """
        states = self.not_closed()
        if not states:
            return {}
        return {name: states[key] for name, key in self.keys_of(credentials).items() if key in states}

    def keys_of(self, credentials: Mapping[str, CredentialSource]) -> dict[str, str]:
        """The key of the breaker on each credential's endpoint, empty where the credential cannot be read."""
        return {name: _key_of(credential) for name, credential in credentials.items()}

    def _breaker(self, key: str) -> SharedBreaker:
        return SharedBreaker(
            self._store,
            key,
            failures=self._failures,
            seconds=self._seconds,
            probe_seconds=self._probe_seconds,
            clock=self._clock,
        )


def _key_of(credential: CredentialSource) -> str:
    try:
        return _key(token_uri_of(credential))
    except CredentialUnusableError:
        return ""


def _key(token_uri: str) -> str:
    return PREFIX + without_secrets(token_uri).rstrip("/")[:LONGEST_KEY]
