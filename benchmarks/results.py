"""RESULTS.md: what was measured, as tables, with the machine, the versions and the commands.

Belongs here: keeping figures between invocations, and how they are told. Does not: measuring.
"""

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

Written by `make bench` (the public connectors' part by `python -m benchmarks connectors`); do not edit. Each
program is a process of its own, children included, against one server on the same machine that sends pages
encoded beforehand. Figures are medians of interleaved runs, after one that is not counted; where a scenario
is run but once, none goes before it: who asks for a page first waits for the server's encoding, so that wall
times are not compared there. Where the load before is more than a few tenths, others were using the machine,
and the figures are provisional, wall times most of all. Memory is the largest process's. Rows are those the
server sent: the project reads two grains of two tables, so more of them than the floor, and keeps a ledger
and residuals besides; hence the ratios by row. They count starting up too, which more rows share: where a
run is short, look at its seconds.

- the server alone: the floor's requests, the answers received and thrown away (`programs/drain.py`)
- floor: eight concurrent one-day requests, msgspec, Arrow, one Delta commit (`programs/floor.py`)
- the usual script: Google's client, a loop over the days, pandas, Parquet (`programs/naive.py`)
- library: `sync_workspace` with the default settings, into a new lake (`programs/library.py`)
- `gsc sync`: the command; Dagster run: `dagster job execute` of `gsc_sync`, on an instance that was
  opened before
- `gsc report`: the command, on a lake in a folder; with the insights of all days made first, and with those
  that an earlier report made. It asks the server nothing
"""

COMMANDS = f"""\
- `python -m benchmarks` measures all, `--scenario NAME` one, `--runs N` says how often; `--quick` is three
  runs without the memory scenarios
- `python -m benchmarks connectors` measures the public connectors, each from the package index in an
  environment of its own: {", ".join(f"`{package}`" for package in CONNECTORS.values())}.
  They have no setting for the API's address, so `programs/connectors/` sends to the server what they send to
  Google's hosts; nothing else of them is changed. The server has rows of the search type web alone
"""


@dataclass(frozen=True, slots=True)
class Section:
    """A scenario's figures, and when and where they were taken."""

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
        """Whether the server had encoded every page before the runs that count."""
        return self.runs > 1 or self.idle

    def figure(self, program: str) -> Measurement | None:
        """The program's median, None where it was not measured."""
        return self.measured.get(program)


def section(scenario: Scenario, outcome: Outcome, load: float) -> Section:
    """The section of a scenario that has just been run. `load` is the machine's load before."""
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
    """Keep a section for the next RESULTS.md, in place of an earlier one of the same scenario."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{found.name}.json").write_text(json.dumps(asdict(found), indent=1), encoding="utf-8")


def kept(folder: Path, scenarios: Sequence[Scenario]) -> list[Section]:
    """The sections kept, in the order of the scenarios."""
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
        f" With GSC_API_LIMIT_FACTOR={found.limit_factor:g}: at Google's published rate the limiter, which is"
        " meant to slow such a read down, would be what is measured."
    )


def _row(name: str, measured: Measurement, floor: Measurement | None, compares_wall: bool) -> str:
    is_many = measured.rows > 1000  # A probe's few rows have no cost worth telling.
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
    for seconds, is_told in (("wall", is_many and compares_wall), ("cpu", is_many)):
        ratio = _ratio(measured, floor, seconds)
        cells.append("" if ratio is None or not is_told else f"{ratio:.2f}")
    return "| " + " | ".join(cells) + " |"


def _ratio(measured: Measurement | None, other: Measurement | None, seconds: str) -> float | None:
    """Seconds for each row served, as a multiple of the other's."""
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
    """Whether the server is fast enough not to be what is measured."""
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
    """Of all rows, start-up included, at each size; and of each row more, from the first to the second."""
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
    """One target, none where there is no figure. searchconsole stores nothing, and has none to meet."""
    if ratio is None:
        return []
    if program == "searchconsole":
        return [(what, "none", f"{ratio:.1f}", None)]
    return [(what, "≥ 50", f"{ratio:.1f}", ratio >= 50)]


def _seconds_a_further_row(small: Section | None, large: Section | None, program: str) -> float | None:
    """What start-up has no part in; None where a size was not measured, or noise hides it."""
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
    """An error's last words, on one line."""
    return " ".join(cause.split())[-300:]
