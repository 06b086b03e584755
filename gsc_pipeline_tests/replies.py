"""Error answers of Search Console, and the faults that give them to some calls of a `World`."""

from __future__ import annotations

from collections.abc import Callable

from gsc_pipeline.simulator import Call, Reply, google_error

UNAVAILABLE = google_error(503, "backendError", "Service unavailable.")
FORBIDDEN = google_error(403, "forbidden", "User does not have sufficient permission for site.")
LOAD_QUOTA = google_error(429, "quotaExceeded", "Search Analytics load quota exceeded.", "usageLimits")


def queries_of(day: object, reply: Reply) -> Callable[[Call], Reply | None]:
    """A fault that answers every read of `day` with `reply`."""

    def fault(call: Call) -> Reply | None:
        asked = call.body if isinstance(call.body, dict) else {}
        one_day = asked.get("dimensions") != ["date"] and asked.get("startDate") == str(day)
        return reply if one_day else None

    return fault


def all_queries(reply: Reply, site_url: str | None = None) -> Callable[[Call], Reply | None]:
    """A fault that answers every query, or every query of one property, with `reply`."""

    def fault(call: Call) -> Reply | None:
        return reply if call.kind == "query" and site_url in (None, call.site_url) else None

    return fault
