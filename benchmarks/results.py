"""RESULTS.md: figures as tables, with the machine, the versions and the commands."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.catalogue import CONNECTORS, PROGRAMS, Scenario
from benchmarks.measure import Measurement
from benchmarks.runner import Outcome

PACKAGES = ("dagster", "deltalake", "pyarrow", "msgspec", "numpy", "pandas", "google-api-python-client")

HEADER = (
    "program", "wall s", "CPU s", "peak MiB", "calls", "rows served", "rows/s", "CPU µs/row",
    "wall a row ÷ floor", "CPU a row ÷ floor",
)  # fmt: skip

INTRODUCTION = """\
# Results

Written by `make bench` (connectors: by `python -m benchmarks connectors`); do not edit. Each program is a
process of its own, measured with its child processes, against one server on the same machine that sends pages
encoded beforehand. Figures are medians of interleaved runs after a first run that is not counted. A scenario
with one run has no such first run: the first request for a page waits until it is encoded, so wall times are
not compared there. If the load before a scenario is more than a few tenths, other processes used the machine,
and the figures, wall times above all, are provisional. Memory is that of the largest process. Rows are those
that the server sent. The project reads two grains for each of two tables, so more rows than the floor, and
writes a ledger and residuals as well; therefore figures are compared by row. They include start-up, which
weighs more in short runs: compare their seconds instead.

- the server alone: the requests of the floor, whose answers are discarded (`programs/drain.py`)
- floor: eight concurrent one-day requests, msgspec, Arrow, one Delta commit (`programs/floor.py`)
- the usual script: Google's client, a loop over the days, pandas, Parquet (`programs/naive.py`)
- library: `sync_workspace` with the default settings, into a new lake (`programs/library.py`)
- `gsc sync`: the command; Dagster run: `dagster job execute` of `gsc_sync`, on an instance that was
  opened before
- `gsc report`: the command, on a lake in a folder; with the insights of all days computed first, and with
  those of an earlier report. It sends no requests
"""

COMMANDS = f"""\
- `python -m benchmarks` measures all scenarios, `--scenario NAME` one, `--runs N` sets the number of runs;
  `--quick` is three runs without the memory scenarios
- `python -m benchmarks connectors` measures the public connectors, each from the package index in an
  environment of its own: {", ".join(f"`{package}`" for package in CONNECTORS.values())}.
  They have no setting for the API's address, so `programs/connectors/` redirects their requests to Google's
  hosts to the server; they are not changed otherwise. The server has rows of the search type web only
"""


@dataclass(frozen=True, slots=True)
class Section:
    """The figures of a scenario, and when and where they were measured."""

    name: str
    title: str
    limit_factor: float
    runs: int
    measured: Mapping[str, Measurement]
    failures: Mapping[str, str]
    sites: int = 1
    idle: bool = False
    at: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
    load: float = 0.0
    machine: str = ""

    @property
    def compares_wall(self) -> bool:
        """Whether the server had encoded every page before the counted runs."""
        return self.runs > 1 or self.idle

    def figure(self, program: str) -> Measurement | None:
        """The median of the program; None if it was not measured."""
        return self.measured.get(program)


def section(scenario: Scenario, outcome: Outcome, load: float) -> Section:
    """The section of a scenario after its runs. `load` is the machine's load before them."""
    return Section(
        scenario.name,
        scenario.title,
        scenario.limit_factor,
        outcome.runs,
        outcome.medians,
        {name: _shortly(cause) for name, cause in outcome.failures.items()},
        len(scenario.sites),
        scenario.idle,
        load=load,
        machine=machine(),
    )


def machine() -> str:
    """The processor, its cores, memory, system and versions, on one line."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{os.cpu_count()} cores ({names[0] if names else platform.machine()}), {memory:.0f} GiB, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, {versions}"
    )


def keep(folder: Path, found: Section) -> None:
    """Write a section to `folder` for later invocations; it replaces an earlier one of the scenario."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{found.name}.json").write_text(json.dumps(asdict(found), indent=1), encoding="utf-8")


def kept(folder: Path, scenarios: Sequence[Scenario]) -> list[Section]:
    """The sections in `folder`, in the order of the scenarios."""
    files = (folder / f"{scenario.name}.json" for scenario in scenarios)
    return [_section(json.loads(file.read_text(encoding="utf-8"))) for file in files if file.exists()]


def _section(document: dict[str, Any]) -> Section:
    measured = {name: Measurement(**figures) for name, figures in document.pop("measured").items()}
    return Section(measured=measured, **document)


def render(sections: Sequence[Section]) -> str:
    """RESULTS.md."""
    parts = [INTRODUCTION, _targets(sections), *(_rendered(found) for found in sections), _commands(sections)]
    return "\n".join(part for part in parts if part)


def _rendered(found: Section) -> str:
    runs = f"median of {found.runs} runs" if found.runs > 1 else "one run"
    lines = [f"## {found.title[0].upper()}{found.title[1:]}", ""]
    lines += [f"{found.at}, {runs}, load {found.load:.1f} before.{_limits(found)}", ""]
    lines += ["| " + " | ".join(HEADER) + " |", "|---" + "|---:" * (len(HEADER) - 1) + "|"]
    floor = found.figure("floor")
    lines += [_row(name, measured, floor, found.compares_wall) for name, measured in found.measured.items()]
    for name, cause in found.failures.items():
        lines += ["", f"{PROGRAMS[name].title} could not be measured: {cause}"]
    return "\n".join(lines) + "\n"


def _limits(found: Section) -> str:
    if found.limit_factor == 1:
        return ""
    return (
        f" With GSC_API_LIMIT_FACTOR={found.limit_factor:g}: at Google's published rate, the rate limiter "
        "would determine the time."
    )


def _row(name: str, measured: Measurement, floor: Measurement | None, compares_wall: bool) -> str:
    is_many = measured.rows > 1000  # The few rows of a probe have no meaningful cost by row.
    cells = [
        PROGRAMS[name].title,
        f"{measured.wall:.2f}",
        f"{measured.cpu:.2f}",
        f"{measured.peak_mib:.0f}",
        f"{measured.calls:.0f}",
        f"{measured.rows:,.0f}",
        f"{measured.rows / measured.wall:,.0f}" if is_many and compares_wall else "",
        f"{measured.per_row_us(measured.cpu):.2f}" if is_many else "",
    ]
    for seconds, is_shown in (("wall", is_many and compares_wall), ("cpu", is_many)):
        ratio = _ratio(measured, floor, seconds)
        cells.append("" if ratio is None or not is_shown else f"{ratio:.2f}")
    return "| " + " | ".join(cells) + " |"


def _ratio(measured: Measurement | None, other: Measurement | None, seconds: str) -> float | None:
    """Seconds for each row served, divided by the other's."""
    if measured is None or other is None or not measured.rows or not other.rows:
        return None
    ratio: float = (getattr(measured, seconds) / measured.rows) / (getattr(other, seconds) / other.rows)
    return ratio


def _targets(sections: Sequence[Section]) -> str:
    by_name = {found.name: found for found in sections}
    rows = [
        *_server_target(by_name),
        *_window_targets(by_name),
        *_idle_targets(by_name),
        *_report_targets(by_name),
        *_connector_targets(by_name),
    ]
    lines = [f"| {what} | {wanted} | {is_now} | {_ANSWERS[met]} |" for what, wanted, is_now, met in rows]
    head = ["## Against the targets", "", "| | target | measured | met |", "|---|---|---|---|"]
    return "\n".join([*head, *lines]) + "\n" if lines else ""


Target = tuple[str, str, str, bool | None]
_ANSWERS = {True: "yes", False: "no", None: ""}


def _server_target(by_name: Mapping[str, Section]) -> list[Target]:
    """Whether the server is fast enough not to limit the programs."""
    found = by_name.get("server")
    measured = found.figure("server") if found else None
    if measured is None:
        return []
    rate = measured.rows / measured.wall
    return [("the server alone: rows a second", "> 1,000,000", f"{rate:,.0f}", rate > 1_000_000)]


def _window_targets(by_name: Mapping[str, Section]) -> list[Target]:
    found: list[Target] = []
    if (large := by_name.get("14x25000")) is not None:
        for program, most in (("library", 1.25), ("command", 1.5)):
            for seconds, title in (("wall", "wall"), ("cpu", "CPU")):
                ratio = _ratio(large.figure(program), large.figure("floor"), seconds)
                if ratio is not None and (large.compares_wall or seconds == "cpu"):
                    what = f"14 × 25,000: {title} a row, {PROGRAMS[program].title} ÷ floor"
                    found.append((what, f"≤ {most}", f"{ratio:.2f}", ratio <= most))
    for name in ("14x25000", "14x50000", "90x50000"):
        library = by_name[name].figure("library") if name in by_name else None
        if library is not None:
            days, _, rows = name.partition("x")
            peak = library.peak_mib * 2**20 / 1e6
            found.append(
                (f"{days} × {int(rows):,}: peak memory, library", "< 600 MB", f"{peak:.0f} MB", peak < 600)
            )
    return found


def _idle_targets(by_name: Mapping[str, Section]) -> list[Target]:
    idle = by_name.get("idle")
    run, empty = (idle.figure("dagster"), idle.figure("empty")) if idle else (None, None)
    if idle is None or run is None or empty is None:
        return []
    above = run.cpu - empty.cpu
    return [
        ("idle tick: CPU of a Dagster run above an empty one", "≤ 1.0 s", f"{above:.2f} s", above <= 1.0),
        ("idle tick: API calls", str(idle.sites), f"{run.calls:.0f}", run.calls == idle.sites),
    ]


def _report_targets(by_name: Mapping[str, Section]) -> list[Target]:
    made = by_name["report"].figure("report") if "report" in by_name else None
    if made is None:
        return []
    peak = made.peak_mib * 2**20 / 1e6
    return [
        ("report of 10 properties and 16 months: wall", "< 10 s", f"{made.wall:.1f} s", made.wall < 10),
        ("the same: peak memory", "< 500 MB", f"{peak:.0f} MB", peak < 500),
    ]


def _connector_targets(by_name: Mapping[str, Section]) -> list[Target]:
    """CPU by row with start-up, at each size, and by further row, between the first two sizes."""
    small, large = by_name.get("connectors-1000"), by_name.get("connectors-5000")
    largest = by_name.get("connectors-25000")
    found: list[Target] = []
    for rows, beside in (("1,000", small), ("5,000", large), ("25,000", largest)):
        for program in CONNECTORS if beside is not None else ():
            ratio = _ratio(beside.figure(program), beside.figure("library"), "cpu") if beside else None
            found += _at_least_50(
                f"14 × {rows}: CPU a row, {PROGRAMS[program].title} ÷ library", program, ratio
            )
    library = _seconds_a_further_row(small, large, "library")
    for program in CONNECTORS:
        its_own = _seconds_a_further_row(small, large, program)
        ratio = its_own / library if its_own is not None and library else None
        found += _at_least_50(f"CPU a further row, {PROGRAMS[program].title} ÷ library", program, ratio)
    return found


def _at_least_50(what: str, program: str, ratio: float | None) -> list[Target]:
    """The target, if there is a figure. searchconsole has none to meet, because it stores nothing."""
    if ratio is None:
        return []
    if program == "searchconsole":
        return [(what, "none", f"{ratio:.1f}", None)]
    return [(what, "≥ 50", f"{ratio:.1f}", ratio >= 50)]


def _seconds_a_further_row(small: Section | None, large: Section | None, program: str) -> float | None:
    """CPU seconds by row without start-up; None if a size was not measured or the difference is noise."""
    few, many = (found.figure(program) if found else None for found in (small, large))
    if few is None or many is None or many.rows <= few.rows or many.cpu <= few.cpu:
        return None
    return (many.cpu - few.cpu) / (many.rows - few.rows)


def _commands(sections: Sequence[Section]) -> str:
    machines = dict.fromkeys(found.machine for found in sections if found.machine)
    lines = ["## Machine and commands", ""]
    lines += [f"- {text}" for text in machines]
    return "\n".join([*lines, COMMANDS])


def _shortly(cause: str) -> str:
    """The end of an error, on one line."""
    return " ".join(cause.split())[-300:]
