"""Sends alerts when the installation needs attention or has recovered, and sends the heartbeat.

An alert is sent when a kind of reason appears or ends, and when another workspace joins those that a reason
names (`HealthReason.workspaces`); not when a number in a reason changes. The shared state records what was
last sent to each address, so a restart or another machine does not repeat an alert. An address that could not
be reached is tried again at the next evaluation. An alert is sent twice only if the process crashes between
sending and recording it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import urllib3

from gsc_pipeline.days import Clock, utc_now
from gsc_pipeline.errors import PipelineError
from gsc_pipeline.settings import ConfigurationError
from gsc_pipeline.state.store import Execute, Store

if TYPE_CHECKING:
    from gsc_pipeline.monitoring.health import Health
    from gsc_pipeline.monitoring.monitor import HealthMonitor, Observation

log = logging.getLogger(__name__)

EVALUATION_SECONDS = 60.0
"""The pause between two evaluations of `gsc serve`."""

ANSWER_SECONDS = 60.0
"""How long an evaluation waits for an observation. What has not answered by then is named in an alert."""

SENSOR_SECONDS = 30.0
"""How long the summary of a tick waits for its alerts. Dagster ends a sensor's evaluation after a minute."""

HEARTBEAT_SECONDS = 10.0
"""How long the heartbeat's address may take to answer."""

CLAIM_SECONDS = 300.0
"""After this time a claim expires: the process that made the claim is assumed to have died."""

_READ = "SELECT kinds, updated_at FROM gsc_alerts WHERE key = :key"
_CLAIM = """
    INSERT INTO gsc_alerts (key, kinds, updated_at) VALUES (:key, :claim, :now)
    ON CONFLICT (key) DO UPDATE SET kinds = :claim, updated_at = :now
    WHERE gsc_alerts.updated_at <= :expired OR gsc_alerts.kinds = :claim RETURNING key
"""
_RECORD = """
    INSERT INTO gsc_alerts (key, kinds, updated_at) VALUES (:key, :kinds, :at)
    ON CONFLICT (key) DO UPDATE SET kinds = :kinds, updated_at = :at
"""
_RELEASE = "DELETE FROM gsc_alerts WHERE key = :key AND kinds = :claim"


@dataclass(frozen=True, slots=True)
class Channel:
    """One address. `key` is its hash; `send(title, body, recovered)` returns whether it was delivered."""

    key: str
    send: Callable[[str, str, bool], bool]


@dataclass(frozen=True, slots=True)
class Sent:
    """What an address was last sent: kinds of reasons, and `kind:workspace`; and when that was observed."""

    items: frozenset[str] = frozenset()
    observed_at: float = 0.0

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of reasons."""
        return frozenset(_kind(item) for item in self.items)

    def followed_by(self, health: Health) -> Sent:
        """What is to be recorded once this health is sent. Kinds that are unknown in it stay as they are."""
        now = {reason.kind.value for reason in health.reasons}
        now |= {f"{one.kind.value}:{id_}" for one in health.reasons for id_ in one.workspaces}
        items = {item for item in now if _kind(item) not in health.unknown}
        items |= {item for item in self.items if _kind(item) in health.unknown}
        return Sent(frozenset(items), health.observed_at.timestamp())

    def is_news(self, then: Sent) -> bool:
        """Whether `then` has a new item, or other kinds. Fewer workspaces of the same kinds do not count."""
        return bool(then.items - self.items) or then.kinds != self.kinds

    def is_newer_than(self, then: Sent) -> bool:
        """Whether another process has sent something that it observed after `then`."""
        return 0 < self.observed_at - then.observed_at < CLAIM_SECONDS


class SentAlerts:
    """What was last sent to each address, in the shared state. Raises StateError.

    A process claims an address before it sends. The claim is a separate row that expires after
    CLAIM_SECONDS, so no transaction stays open while a message is sent.
    """

    def __init__(self, store: Store, clock: Clock = utc_now) -> None:
        self._store = store
        self._clock = clock

    def last(self, key: str) -> Sent:
        """What was last sent to the address; nothing to a new address."""
        return _last(self._store.execute, key)

    def claim(self, key: str, sent: Sent) -> str | None:
        """Claim the sending to an address that was last sent `sent`, and return the claim.

        Returns None if it was sent something else since, or if another process has claimed the address.
        """
        now, claim = self._clock().timestamp(), uuid.uuid4().hex

        def work(execute: Execute) -> str | None:
            # Claim before reading: the previous holder of the claim has then recorded what it sent.
            values = {"key": _claim_key(key), "claim": claim}
            if not execute(_CLAIM, **values, now=now, expired=now - CLAIM_SECONDS):
                return None
            if _last(execute, key).items != sent.items:
                execute(_RELEASE, **values)
                return None
            return claim

        return self._store.run(work)

    def record(self, key: str, sent: Sent, claim: str = "") -> None:
        """Record what the address was sent, and release the claim."""

        def work(execute: Execute) -> None:
            execute(_RECORD, key=key, kinds=json.dumps(sorted(sent.items)), at=sent.observed_at)
            execute(_RELEASE, key=_claim_key(key), claim=claim)

        self._store.run(work)

    def release(self, key: str, claim: str) -> None:
        """Release the claim of an address that could not be reached."""
        self._store.execute(_RELEASE, key=_claim_key(key), claim=claim)


class Alerts:
    """Sends an alert to each address that was last sent something else."""

    def __init__(self, channels: Sequence[Channel], sent: SentAlerts) -> None:
        self._channels = channels
        self._sent = sent

    def evaluate(self, health: Health) -> None:
        """Send the alerts that are due. Never raises: failures are logged, and stop no other address."""
        for number, channel in enumerate(self._channels, start=1):
            try:
                self._notify(number, channel, health)
            except PipelineError as error:
                log.warning("alerts could not be evaluated (%s); the next evaluation tries again", error)
                return
            except Exception:
                log.exception("the alert to address %d of GSC_ALERT_URLS failed", number)

    def _notify(self, number: int, channel: Channel, health: Health) -> None:
        before = self._sent.last(channel.key)
        then = before.followed_by(health)
        if then.items == before.items or before.is_newer_than(then):
            return
        if not before.is_news(then):
            self._sent.record(channel.key, then)
            return
        claim = self._sent.claim(channel.key, before)
        if claim is None:
            return
        is_well = not then.items
        title = "gsc_pipeline has recovered" if is_well else "gsc_pipeline needs attention"
        try:
            delivered = channel.send(title, _body(health, before.kinds, then.kinds), is_well)
        except Exception:
            self._sent.release(channel.key, claim)
            raise
        if delivered:
            self._sent.record(channel.key, then, claim)
        else:
            self._sent.release(channel.key, claim)
            text = "the alert to address %d of GSC_ALERT_URLS could not be delivered; retrying later"
            log.warning(text, number)


def check_addresses(urls: str) -> None:
    """Check GSC_ALERT_URLS, as processes that send alerts do when they start.

    Raises ConfigurationError with the number of each address that apprise does not support, without quoting
    it: addresses are secrets.
    """
    addresses = urls.split()
    problems = [
        f"address {number} of {len(addresses)} is not in apprise's notation: see its list of services"
        for number, address in enumerate(addresses, start=1)
        if not _target(address)
    ]
    if problems:
        raise ConfigurationError("GSC_ALERT_URLS", problems)


def apprise_channels(urls: str) -> list[Channel]:
    """A channel for each of `urls`, in apprise's notation and separated by white space.

    An address that apprise does not support is logged at each message, and does not stop the others.
    """
    return [
        Channel(hashlib.sha256(address.encode()).hexdigest()[:16], _sender(_target(address)))
        for address in urls.split()
    ]


@contextmanager
def evaluating(
    alerts: Alerts, monitor: HealthMonitor, pause_seconds: float = EVALUATION_SECONDS
) -> Iterator[None]:
    """Evaluate alerts in a thread, at once and then after every pause, until the block ends."""
    ended = Event()

    def evaluate() -> None:
        while not ended.is_set():
            _evaluate(alerts, lambda: monitor.observe(ANSWER_SECONDS))
            ended.wait(pause_seconds)

    # A daemon thread: the process may end while a message is being sent.
    thread = Thread(target=evaluate, name="gsc-alerts", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()


def evaluate_in_time(
    alerts: Alerts, observe: Callable[[], Observation], seconds: float = SENSOR_SECONDS
) -> None:
    """Evaluate alerts in a thread, and wait for it for `seconds`: a storage may hang. Never raises."""
    thread = Thread(target=_evaluate, args=(alerts, observe), name="gsc-alerts", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        log.warning("alerts have not been evaluated for %g s, as a storage or server hangs", seconds)


def send_heartbeat(url: str, *, timeout_seconds: float = HEARTBEAT_SECONDS) -> bool:
    """Call `url` (GSC_HEARTBEAT_URL, a secret; empty for none), and return whether the answer was a success.

    Never raises: a failed call is logged.
    """
    if not url:
        return False
    try:
        with urllib3.PoolManager(retries=False) as pool:
            answer = pool.request("GET", url, timeout=timeout_seconds, headers={"User-Agent": "gsc_pipeline"})
        problem = "" if answer.status < 400 else f"HTTP {answer.status}"
    # The error's text contains the address, so only its type is logged.
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        problem = type(error).__name__
    if problem:
        log.warning("the heartbeat to GSC_HEARTBEAT_URL failed (%s)", problem)
    return not problem


def _evaluate(alerts: Alerts, observe: Callable[[], Observation]) -> None:
    try:
        alerts.evaluate(observe().health)
    # Whatever it is, the next evaluation may work.
    except Exception:
        log.exception("alerts could not be evaluated; the next evaluation tries again")


def _kind(item: str) -> str:
    return item.partition(":")[0]


def _claim_key(key: str) -> str:
    return f"{key} sending"


def _last(execute: Execute, key: str) -> Sent:
    rows = execute(_READ, key=key)
    return Sent(frozenset(json.loads(rows[0][0])), rows[0][1]) if rows else Sent()


def _target(address: str) -> Any:
    """The service at an address, as apprise has it; None if it supports no such address."""
    import apprise

    # The logger of apprise logs addresses, which are secrets. This module logs failures itself.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    target = apprise.Apprise()
    return target if target.add(address) else None


def _sender(target: Any) -> Callable[[str, str, bool], bool]:
    def send(title: str, body: str, recovered: bool) -> bool:
        kind = "success" if recovered else "failure"
        return target is not None and bool(target.notify(title=title, body=body, notify_type=kind))

    return send


def _body(health: Health, before: frozenset[str], now: frozenset[str]) -> str:
    """The message, from the kinds of reasons that were sent before and those that are sent now."""
    at = health.last_good_sync_at
    lines = [f"- {reason.text}." for reason in health.reasons if reason.kind in now]
    if not_evaluated := now - health.kinds:
        lines.append(f"Still as reported before: {', '.join(sorted(not_evaluated))}.")
    if ended := before - now:
        lines.append(f"No longer: {', '.join(sorted(ended))}.")
    if not now:
        lines.append(f"{health.workspaces_complete} of {health.workspaces_total} workspaces are complete.")
    lines.append(f"Last complete sync: {at:%Y-%m-%d %H:%M} UTC." if at else "No complete sync yet.")
    return "\n".join(lines)
