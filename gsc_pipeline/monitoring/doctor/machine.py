"""Checks of the machine: Python, versions of packages, disk space, memory."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from gsc_pipeline.monitoring.doctor.checks import Result, State

PACKAGE = "gsc_pipeline"
_SHOWN = ("dagster", "deltalake", "duckdb", "pyarrow")

LITTLE_DISK, LEAST_DISK = 2_000_000_000, 200_000_000
"""Bytes. A commit of a large site's fortnight and its compaction take some hundred megabytes."""

LITTLE_MEMORY, LEAST_MEMORY = 1_000_000_000, 400_000_000
"""Bytes. A sync of 14 days with 25,000 rows each takes 500 MB."""

_MEMORY = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


def versions(
    requires: Callable[[str], Sequence[str] | None] = metadata.requires,
    version: Callable[[str], str] = metadata.version,
    python: tuple[int, ...] = sys.version_info[:3],
    supported: str = ">=3.11,<3.15",
) -> Result:
    """Whether Python and every package that the project requires have versions that it supports."""
    running = ".".join(map(str, python))
    if not SpecifierSet(supported).contains(running):
        text = f"Python {running} is not supported: expected {supported}"
        return Result("versions", State.FAIL, text, "install gsc_pipeline with Python 3.11 to 3.14")
    try:
        own, required = version(PACKAGE), [Requirement(one) for one in requires(PACKAGE) or ()]
    except metadata.PackageNotFoundError:
        text = f"Python {running}; {PACKAGE} is not installed as a package"
        return Result("versions", State.WARN, text, "install it: pip install gsc_pipeline")
    wrong = []
    for one in required:
        if one.marker is None or one.marker.evaluate({"extra": ""}):
            try:
                found = version(one.name)
            except metadata.PackageNotFoundError:
                found = ""
            if not (found and one.specifier.contains(found, prereleases=True)):
                wrong.append(f"{one.name} {found or 'is missing'}: expected {one.specifier}")
    if wrong:
        return Result("versions", State.FAIL, "; ".join(wrong), "pip install --upgrade gsc_pipeline")
    return Result.ok(
        "versions",
        f"Python {running}, {PACKAGE} {own}, " + ", ".join(f"{name} {version(name)}" for name in _SHOWN),
    )


def disk_space(
    folders: Iterable[Path], free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free
) -> Result:
    """The free space where files are written. `folders` that do not exist yet count as their parents."""
    free = {(existing := nearest(folder)): free_bytes(existing) for folder in folders}
    folder, least = min(free.items(), key=lambda one: one[1])
    step = "free some space, or move it to a larger disk; `gsc housekeeping` deletes what no table needs"
    return _amount("disk space", least, f"free at {folder}", LITTLE_DISK, LEAST_DISK, step)


def memory(available_bytes: Callable[[], int | None]) -> Result:
    """The memory that a sync may use. None where the system does not say."""
    available = available_bytes()
    if available is None:
        return Result.ok("memory", "this system does not say how much is available")
    step = "add memory, end other programs, or lower GSC_COMMIT_ROWS and max_concurrent_runs in dagster.yaml"
    return _amount("memory", available, "available", LITTLE_MEMORY, LEAST_MEMORY, step)


def available_memory(memory: Path = _MEMORY, group: Path = _GROUP) -> int | None:
    """Bytes that this process may still use, within the limit of its container; None where not Linux."""
    try:
        free = _numbers(memory)["MemAvailable:"] * 1024
    except (OSError, KeyError, ValueError):
        return None
    try:
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        pages = _numbers(group / "memory.stat")
    # There is no limit, or no such group.
    except (OSError, ValueError):
        return free
    # Cached files count as used, and are dropped when memory is needed.
    return min(free, limit - used + pages["active_file"] + pages["inactive_file"])


def _numbers(file: Path) -> dict[str, int]:
    """The number in each line, by the word before it."""
    lines = (line.split() for line in file.read_text(encoding="ascii").splitlines())
    return {words[0]: int(words[1]) for words in lines}


def nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next((one for one in (folder, *folder.parents) if one.exists()), folder)


def _amount(name: str, found: int, what: str, little: int, least: int, next_step: str) -> Result:
    """A warning for less than `little` bytes, a failure for less than `least`."""
    text = f"{found / 1e9:.1f} GB {what}"
    if found >= little:
        return Result.ok(name, text)
    return Result(name, State.FAIL if found < least else State.WARN, text, next_step)
