"""Circuit breakers for token endpoints, one per endpoint.

Google's keys all name the same endpoint, so all workspaces share its breaker. A key with another endpoint, or
an invalid one, has a breaker of its own and does not affect other workspaces. A refused credential is an
answer and never opens a circuit.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from gsc_pipeline.search_console.auth import CredentialSource, token_uri_of
from gsc_pipeline.search_console.breakers import BreakerState, Circuit, SharedBreaker, opened
from gsc_pipeline.search_console.errors import CredentialUnusableError
from gsc_pipeline.search_console.transport import without_secrets
from gsc_pipeline.state.store import Store

PREFIX = "token endpoint "
"""The start of their keys: distinguishes them from APIs, and names them in errors."""

LONGEST_KEY = 200
"""Characters of an endpoint's URL that its key keeps."""


class TokenBreakers:
    """Breakers that processes share through a store. The options are those of SharedBreaker."""

    def __init__(self, store: Store, **options: Any) -> None:
        self._store = store
        self._options = options
        self._lock = threading.Lock()
        self._breakers: dict[str, SharedBreaker] = {}

    def at(self, token_uri: str) -> SharedBreaker:
        """The breaker of the endpoint with this URL."""
        return self._breaker(_key(token_uri))

    def not_closed(self) -> dict[str, BreakerState]:
        """The states of the breakers that are not closed, by key. Raises StateError."""
        states = {key: self._breaker(key).state() for key in opened(self._store) if key.startswith(PREFIX)}
        return {key: state for key, state in states.items() if state.state is not Circuit.CLOSED}

    def not_closed_for(self, credentials: Mapping[str, CredentialSource]) -> dict[str, BreakerState]:
        """The state of the endpoint's breaker, if not closed, by the name of the credential.

        Reads the credentials only if some breaker is not closed, and skips those that cannot be read. Raises
        StateError.
        """
        states = self.not_closed()
        if not states:
            return {}
        return {name: states[key] for name, key in self.keys_of(credentials).items() if key in states}

    def keys_of(self, credentials: Mapping[str, CredentialSource]) -> dict[str, str]:
        """The key of the breaker for each credential's endpoint; empty if the credential cannot be read."""
        return {name: _key_of(credential) for name, credential in credentials.items()}

    def _breaker(self, key: str) -> SharedBreaker:
        # One object for each: it counts the attempts of this process.
        with self._lock:
            return self._breakers.setdefault(key, SharedBreaker(self._store, key, **self._options))


def _key_of(credential: CredentialSource) -> str:
    try:
        return _key(token_uri_of(credential))
    except CredentialUnusableError:
        return ""


def _key(token_uri: str) -> str:
    return PREFIX + without_secrets(token_uri).rstrip("/")[:LONGEST_KEY]
