"""Telling people that something needs them: on a change of state only, and on recovery.

Belongs here: when to tell, whom, and remembering what each was told. Does not: what is wrong (`health`).

Each address is told by itself and remembered by itself: one that could not be reached is tried again at
the next evaluation, and the others are not told twice. A change of numbers (3 stale, then 4) is no change of
state. Between a message that went out and the note of it lies a moment in which a crash repeats it.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gsc_pipeline.errors import PipelineError
from gsc_pipeline.health import Health

log = logging.getLogger(__name__)

Told = Mapping[str, frozenset[str]]
"""By address (its key, never itself): the kinds of reasons it was told of last; none means all is well."""


class AlertMemory(Protocol):
    """What was told to whom, shared by all processes and outliving them."""

    def exclusive(self) -> AbstractContextManager[None]:
        """Held while a state is compared, told and noted, so that two processes do not both tell it."""

    def recall(self) -> Told:
        """What is noted."""

    def note(self, told: Told) -> None:
        """Replace what is noted, at once or not at all."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One address: `key` stands for it in the memory, `send(title, body, recovered)` is true on success."""

    key: str
    send: Callable[[str, str, bool], bool]


class Alerts:
    """Compares each evaluation with what was told last."""

    def __init__(self, channels: Sequence[Channel], memory: AlertMemory) -> None:
        self._channels = channels
        self._memory = memory

    def evaluate(self, health: Health) -> None:
        """Tell whoever was last told otherwise. Never raises: what goes wrong is logged."""
        if not self._channels:
            return
        try:
            with self._memory.exclusive():
                self._tell(health)
        except (OSError, TimeoutError, PipelineError) as error:
            log.warning("alerts could not be evaluated (%s); the next evaluation tries again", error)

    def _tell(self, health: Health) -> None:
        known = self._memory.recall()
        told = dict(known)
        for number, channel in enumerate(self._channels, start=1):
            if known.get(channel.key, frozenset()) == health.kinds:
                continue
            if channel.send(_title(health), _body(health), health.ok):
                told[channel.key] = health.kinds
            else:
                text = "the alert for address %d of GSC_ALERT_URLS could not be delivered; it is tried again"
                log.warning(text, number)
        if told != known:
            self._memory.note(told)


class FileAlertMemory:
    """An AlertMemory in a small JSON file, for the processes of one machine. OSError where it fails."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Holds the lock beside the file; TimeoutError after two minutes."""
        from filelock import FileLock

        self._path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self._path}.lock", timeout=120):
            yield

    def recall(self) -> Told:
        """What the file says; nothing where there is none, or none that can be understood."""
        try:
            noted = json.loads(self._path.read_text("utf-8"))
            return {str(key): frozenset(kinds) for key, kinds in noted.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, AttributeError, TypeError):
            log.warning("%s is not what was written there: alerts begin anew", self._path)
            return {}

    def note(self, told: Told) -> None:
        """Write beside the file, then take its place."""
        text = json.dumps({key: sorted(kinds) for key, kinds in told.items()})
        beside = self._path.with_name(f"{self._path.name}.new")
        beside.write_text(text + "\n", "utf-8")
        beside.replace(self._path)


def apprise_channels(urls: str) -> list[Channel]:
    """A channel for each of `urls` (as apprise writes them, white space between), which are secrets.

    Raises PipelineError, without repeating it, for one that apprise does not know.
    """
    addresses = urls.split()
    if not addresses:
        return []
    import apprise

    # It logs addresses, which are secrets; what matters of it is logged here.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    channels = []
    for number, address in enumerate(addresses, start=1):
        target = apprise.Apprise()
        if not target.add(address):
            raise PipelineError(
                f"GSC_ALERT_URLS: address {number} of {len(addresses)} is none that apprise knows: see "
                "its list of services"
            )
        channels.append(Channel(hashlib.sha256(address.encode()).hexdigest()[:16], _sender(target)))
    return channels


def _sender(target: object) -> Callable[[str, str, bool], bool]:
    def send(title: str, body: str, recovered: bool) -> bool:
        kind = "success" if recovered else "failure"
        return bool(target.notify(title=title, body=body, notify_type=kind))  # type: ignore[attr-defined]

    return send


def _title(health: Health) -> str:
    return "gsc_pipeline: all is well again" if health.ok else "gsc_pipeline needs you"


def _body(health: Health) -> str:
    at = health.last_good_sync_at
    last = f"Last good sync: {at:%Y-%m-%d %H:%M} UTC." if at else "No good sync yet."
    return "\n".join([*(f"- {reason.text}" for reason in health.reasons), last])
