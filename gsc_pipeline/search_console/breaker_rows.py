"""The row that the processes share of one circuit breaker: each change is one statement.

Belongs here: reading and writing `gsc_api_breakers`. Does not: when to open and whom to let through
(`breaker`), how the database is reached (`state`).
"""

from __future__ import annotations

from dataclasses import dataclass

from gsc_pipeline.state.store import Store


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of a breaker; one whose row is not there is closed. Moments are seconds since 1970."""

    failures: int = 0
    opened_at: float | None = None
    cause: str = ""
    probe_until: float | None = None


class BreakerRow:
    """The row of one breaker. Every method raises StateError."""

    def __init__(self, store: Store, key: str) -> None:
        self._store = store
        self._key = key

    def read(self) -> Row:
        """As it is now."""
        rows = self._store.execute(
            "SELECT failures, opened_at, cause, probe_until FROM gsc_api_breakers WHERE key = :key",
            key=self._key,
        )
        return Row(*rows[0]) if rows else Row()

    def claim(self, probe: str, opened_at: float, until: float, now: float) -> bool:
        """Claim the one probe that may be sent, for a time. False when another has it, or all has changed."""
        return bool(
            self._store.execute(
                # Claimed again under the same name where the connection broke before the answer came.
                "UPDATE gsc_api_breakers SET probe = :probe, probe_until = :until WHERE key = :key "
                "AND opened_at = :opened_at AND (probe IS NULL OR probe_until <= :now OR probe = :probe) "
                "RETURNING key",
                probe=probe,
                until=until,
                key=self._key,
                opened_at=opened_at,
                now=now,
            )
        )

    def give_back(self, probe: str) -> None:
        """Another may probe at once."""
        self._store.execute(
            "UPDATE gsc_api_breakers SET probe = NULL, probe_until = NULL "
            "WHERE key = :key AND probe = :probe",
            key=self._key,
            probe=probe,
        )

    def fail(self, cause: str, now: float, *, most: int) -> bool:
        """Count a failure; the one that makes `most` in a row opens it. Answers whether this one did."""
        ((failures, opened),) = self._store.execute(
            "INSERT INTO gsc_api_breakers (key, failures, opened_at, cause) "
            "VALUES (:key, 1, CASE WHEN 1 >= :most THEN :now END, :cause) "
            "ON CONFLICT (key) DO UPDATE SET failures = gsc_api_breakers.failures + 1, "
            "cause = excluded.cause, opened_at = CASE WHEN gsc_api_breakers.opened_at IS NULL "
            "AND gsc_api_breakers.failures + 1 >= :most THEN :now ELSE gsc_api_breakers.opened_at END "
            "RETURNING failures, opened_at",
            key=self._key,
            cause=cause,
            most=most,
            now=now,
        )
        return opened is not None and failures == most

    def fail_probe(self, probe: str, cause: str, now: float) -> None:
        """The probe failed: it is opened anew, unless another has probed since."""
        self._store.execute(
            "UPDATE gsc_api_breakers SET failures = failures + 1, opened_at = :now, cause = :cause, "
            "probe = NULL, probe_until = NULL WHERE key = :key AND probe = :probe",
            now=now,
            cause=cause,
            key=self._key,
            probe=probe,
        )

    def close(self, probe: str | None) -> None:
        """Start the count anew; what is open is closed by the answer of its own probe only."""
        self._store.execute(
            "UPDATE gsc_api_breakers SET failures = 0, opened_at = NULL, cause = '', probe = NULL, "
            "probe_until = NULL WHERE key = :key AND "
            + ("opened_at IS NULL" if probe is None else "probe = :probe"),
            key=self._key,
            **({} if probe is None else {"probe": probe}),
        )


def opened(store: Store) -> list[str]:
    """The keys of all breakers that are not closed. Raises StateError."""
    rows = store.execute("SELECT key FROM gsc_api_breakers WHERE opened_at IS NOT NULL ORDER BY key")
    return [key for (key,) in rows]
