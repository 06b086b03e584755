"""Checks and their results, and running them: each in a thread of its own with a deadline."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from gsc_pipeline.errors import PipelineError
from gsc_pipeline.text.secrets import masked

DEADLINE_SECONDS = 45.0
"""How long a check may take. A call that gets no answer ends before."""

AT_ONCE = 8
"""Checks that run at the same time."""

_LONGEST = 600
"""Characters of a detail."""


class State(StrEnum):
    """The state of what was checked: green, yellow and red in a terminal."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Result:
    """What a check found: one line of detail, and what to do, which is empty if all is well.

    Secrets are masked.
    """

    name: str
    state: State
    detail: str
    next_step: str = ""

    def __post_init__(self) -> None:
        for name in ("detail", "next_step"):
            line = " ".join(masked(getattr(self, name)).split())
            object.__setattr__(self, name, line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}...")

    @classmethod
    def ok(cls, name: str, detail: str) -> Result:
        """All is well."""
        return cls(name, State.OK, detail)

    @classmethod
    def unknown(cls, name: str, why: str) -> Result:
        """Not checked, as another check fails, whose next step counts."""
        return cls(name, State.WARN, f"not checked, as {why}", "correct that first, and run gsc doctor again")


@dataclass(frozen=True, slots=True)
class Check:
    """A check by name. `run` may raise. After `seconds` without a result it counts as failed."""

    name: str
    run: Callable[[], Result | Sequence[Result]]
    seconds: float = DEADLINE_SECONDS


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The results in the order of their checks. `hangs`: a check is still running, in its own thread."""

    results: tuple[Result, ...]
    hangs: bool = False

    @property
    def ok(self) -> bool:
        """Whether no check failed. Warnings do not count."""
        return all(result.state is not State.FAIL for result in self.results)

    def __add__(self, other: Diagnosis) -> Diagnosis:
        return Diagnosis((*self.results, *other.results), self.hangs or other.hangs)

    def as_json(self) -> dict[str, Any]:
        """The object that `gsc doctor --json` prints."""
        return {"ok": self.ok, "checks": [asdict(result) for result in self.results]}


def run_checks(checks: Iterable[Check], *, at_once: int = AT_ONCE) -> Diagnosis:
    """Run every check. One that raises or hangs is a failure of its own, and the others go on."""
    waiting = deque(enumerate(checks))
    order = [check for _, check in waiting]
    running: dict[int, float] = {}
    found: dict[int, Sequence[Result]] = {}
    ended: SimpleQueue[tuple[int, Sequence[Result]]] = SimpleQueue()
    hangs = False
    while waiting or running:
        while waiting and len(running) < at_once:
            number, check = waiting.popleft()
            running[number] = time.monotonic() + check.seconds
            # A daemon thread, as a storage that hangs must not keep the process.
            Thread(target=_work, args=(number, check, ended), name="gsc-doctor", daemon=True).start()
        try:
            number, results = ended.get(timeout=max(0.0, min(running.values()) - time.monotonic()))
        except Empty:
            hangs = True
            for number in [one for one, until in running.items() if until <= time.monotonic()]:
                found[number] = [_no_answer(order[number])]
                del running[number]
            continue
        # A result that comes after the deadline is too late.
        if running.pop(number, None) is not None:
            found[number] = results
    return Diagnosis(tuple(one for number in range(len(order)) for one in found[number]), hangs)


def _work(number: int, check: Check, ended: SimpleQueue[tuple[int, Sequence[Result]]]) -> None:
    try:
        results = check.run()
    # A panic of a library in Rust is a BaseException.
    except BaseException as error:  # noqa: BLE001
        results = _raised(check, error)
    ended.put((number, [results] if isinstance(results, Result) else results))


def _raised(check: Check, error: BaseException) -> Result:
    if isinstance(error, PipelineError):
        return Result(check.name, State.FAIL, str(error), "the detail says what to correct")
    return Result(
        check.name,
        State.FAIL,
        f"the check ended with {type(error).__name__}: {error}",
        "see whether the detail names a cause outside gsc_pipeline; otherwise report it with this text",
    )


def _no_answer(check: Check) -> Result:
    return Result(
        check.name,
        State.FAIL,
        f"no answer within {check.seconds:g} seconds",
        "see whether the storage or server behind it hangs: a network mount, a database, a proxy",
    )
