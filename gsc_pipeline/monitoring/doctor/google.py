"""Checks of Google's side: the API, this machine's clock, credentials, circuits, and the quota learnt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from email.utils import parsedate_to_datetime

from gsc_pipeline.days import Clock
from gsc_pipeline.monitoring.doctor.checks import Result, State
from gsc_pipeline.monitoring.status import OpenCircuit
from gsc_pipeline.search_console.answers import Site
from gsc_pipeline.search_console.auth import ServiceAccountFile, other_readers
from gsc_pipeline.search_console.client import SearchConsole
from gsc_pipeline.search_console.errors import SearchConsoleError, ServiceUnavailableError, TransientError
from gsc_pipeline.search_console.limits import SlowedLimit
from gsc_pipeline.search_console.transport import Response
from gsc_pipeline.workspaces.access import WorkspaceAccess, access_of, how_to_add
from gsc_pipeline.workspaces.registry import Workspace

LITTLE_SKEW, LARGE_SKEW = 30.0, 300.0
"""Seconds between this machine's clock and Google's. Google refuses assertions that are minutes off."""

_CLOCK_STEP = "set the clock, or switch on NTP (timedatectl set-ntp true)"


def api(address: str, request: Callable[[], Response], clock: Clock) -> list[Result]:
    """Whether the API answers a call without a token, and this machine's clock against its Date."""
    try:
        response = request()
    except ServiceUnavailableError as error:
        step = "check GSC_API_URL, the network, the firewall and HTTPS_PROXY"
        return [
            Result("api", State.FAIL, error.cause, step),
            Result.unknown("clock", "the API does not answer"),
        ]
    now = clock()
    return [_reach(address, response.status), _clock(response.headers.get("Date"), now)]


def _reach(address: str, status: int) -> Result:
    if status >= 500:
        text = f"{address} answers {status}"
        return Result("api", State.FAIL, text, ServiceUnavailableError.remedy)
    if status not in (200, 401, 403, 429):
        text = f"{address} answers {status} and may not be the Search Console API"
        return Result("api", State.FAIL, text, "check GSC_API_URL")
    return Result.ok("api", f"{address} answers")


def _clock(date: str | None, now: datetime) -> Result:
    try:
        skew = (now - parsedate_to_datetime(date or "")).total_seconds()
    except (TypeError, ValueError):
        return Result.ok("clock", "the API's answer has no date to compare with")
    text = f"{abs(skew):.0f} seconds {'ahead of' if skew > 0 else 'behind'} the API's"
    if abs(skew) < LITTLE_SKEW:
        return Result.ok("clock", text)
    return Result("clock", State.FAIL if abs(skew) >= LARGE_SKEW else State.WARN, text, _CLOCK_STEP)


def credential(
    name: str, users: Sequence[Workspace], open_console: Callable[[Workspace], SearchConsole]
) -> Result:
    """Whether a credential gets a token, and may read the properties of the workspaces that use it."""
    source = users[0].credentials
    try:
        with closing(open_console(users[0])) as console:
            sites = console.sites()
    except TransientError as error:
        return Result(name, State.WARN, f"{source}: {error.cause}", error.remedy)
    except SearchConsoleError as error:
        return Result(name, State.FAIL, error.cause, error.remedy)
    found = [access_of(one, sites) for one in users]
    if not all(one.is_good for one in found):
        # A property that may not be read stops no other; a workspace without any cannot be synced.
        is_whole = any(all(each.next_step for each in one.properties) for one in found)
        steps = [each.next_step for one in found for each in one.properties if each.next_step]
        return Result(
            name,
            State.FAIL if is_whole else State.WARN,
            f"{source}: {'; '.join(text for one in found for text in _unreadable(one))}",
            "; ".join(dict.fromkeys(steps)) or how_to_add(source),
        )
    if isinstance(source, ServiceAccountFile) and (mode := other_readers(source.path)):
        text = f"{source} can be read by other users (mode {mode:03o})"
        return Result(name, State.WARN, text, f"run chmod 600 {source.path}")
    return Result.ok(name, f"{source}: {_levels(sites)}")


def _unreadable(found: WorkspaceAccess) -> list[str]:
    if found.error:
        return [f"{found.workspace}: the credential may read no property"]
    return [
        f"{found.workspace}: {one.site_url} cannot be read (permission: {one.permission or 'none'})"
        for one in found.properties
        if one.next_step
    ]


def _levels(sites: Sequence[Site]) -> str:
    counts = Counter(site.permission_level for site in sites)
    return ", ".join(f"{count} × {level}" for level, count in sorted(counts.items()))


def circuits(found: Sequence[OpenCircuit]) -> Result:
    """The circuit breakers that are not closed."""
    if not found:
        return Result.ok("circuits", "closed: calls are sent")
    texts = [
        f"{one.what}: no calls are sent for {one.workspaces} workspaces, next try at "
        f"{one.retry_at:%H:%M:%S} UTC ({one.cause})"
        for one in found
    ]
    step = "wait: it is tried again by itself; `gsc sync` tries at once. If it lasts, check that address"
    return Result("circuits", State.WARN, "; ".join(texts), step)


def quota(slowed: Sequence[SlowedLimit]) -> Result:
    """The rates of calls that Google's refusals have lowered."""
    if not slowed:
        return Result.ok("quota", "no rate is lowered")
    texts = [f"{one.what}: {one.share:.0%} of the rate" for one in slowed]
    step = "wait: a rate doubles in an hour without refusals. If it happens often, lower GSC_API_LIMIT_FACTOR"
    return Result("quota", State.WARN, "; ".join(texts), step)
