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
_LIMIT, _USED = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")


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
    text = f"{least / 1e9:.1f} GB free at {folder}"
    if least >= LITTLE_DISK:
        return Result.ok("disk space", text)
    return Result(
        "disk space",
        State.FAIL if least < LEAST_DISK else State.WARN,
        text,
        "free some space, or move it to a larger disk; `gsc housekeeping` deletes what no table needs",
    )


def memory(available_bytes: Callable[[], int | None]) -> Result:
    """The memory that a sync may use. None where the system does not say."""
    available = available_bytes()
    if available is None:
        return Result.ok("memory", "this system does not say how much is available")
    text = f"{available / 1e9:.1f} GB available"
    if available >= LITTLE_MEMORY:
        return Result.ok("memory", text)
    return Result(
        "memory",
        State.FAIL if available < LEAST_MEMORY else State.WARN,
        text,
        "add memory, end other programs, or lower GSC_COMMIT_ROWS and max_concurrent_runs in dagster.yaml",
    )


def available_memory() -> int | None:
    """Bytes that this process may still use, within the limit of its container; None where not Linux."""
    try:
        lines = dict(line.split(":", 1) for line in _MEMORY.read_text(encoding="ascii").splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    try:
        return min(free, int(_LIMIT.read_text()) - int(_USED.read_text()))
    except (OSError, ValueError):
        return free


def nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next((one for one in (folder, *folder.parents) if one.exists()), folder)
