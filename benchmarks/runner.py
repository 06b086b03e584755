"""Running a scenario: a server, all programs in turn, and the medians."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.catalogue import PROGRAMS, Job, Program, Scenario
from benchmarks.measure import Measurement, ProgramFailedError, Server, measure, median, serving

Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a scenario: the medians of each program, and the errors of programs that failed."""

    runs: int
    medians: dict[str, Measurement]
    failures: dict[str, str]


def run_scenario(
    scenario: Scenario,
    work: Path,
    *,
    runs: int,
    programs: Mapping[str, Program] = PROGRAMS,
    log: Log = lambda line: None,
) -> Outcome:
    """Run each program `runs` times, interleaved, after one run that is not measured.

    The server encodes pages in that first run. There is none before a single run, unless the scenario is
    idle. A program that fails is not run again. Raises ProgramFailedError if the project's own programs were
    served different rows, since then one of them did not do its work.
    """
    runs = min(runs, scenario.runs or runs)
    measured: dict[str, list[Measurement]] = {name: [] for name in scenario.programs}
    failures: dict[str, str] = {}
    with serving(
        work / "server", rows=scenario.rows, latency=scenario.latency, sites=scenario.sites
    ) as server:
        for turn in range(0 if runs > 1 or scenario.idle else 1, runs + 1):
            for name in scenario.programs:
                if name in failures:
                    continue
                try:
                    result = _run(
                        programs[name], scenario, server, work, is_new=turn == 0 or not scenario.idle
                    )
                except (ProgramFailedError, OSError) as error:
                    failures[name] = str(error)
                    log(f"{scenario.name}: {name} failed: {error}")
                    continue
                log(
                    f"{scenario.name}: {name}, run {turn} of {runs}:"
                    f" {result.wall:.2f} s, {result.cpu:.2f} s CPU"
                )
                if turn:
                    measured[name].append(result)
    medians = {name: median(results) for name, results in measured.items() if results}
    check_agreement(scenario, medians)
    return Outcome(runs, medians, failures)


def _run(program: Program, scenario: Scenario, server: Server, work: Path, *, is_new: bool) -> Measurement:
    """One run, in a new folder; in an idle scenario, in the folder of the first run."""
    folder = work / program.name
    if is_new:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        program.prepare(Job(scenario, server, folder))
    job = Job(scenario, server, folder)
    program.before(job)
    return measure(program.command(job), program.env(job), work / f"{program.name}.log", server)


def check_agreement(scenario: Scenario, medians: dict[str, Measurement]) -> None:
    """Raise ProgramFailedError unless the project's own programs were served the same rows."""
    rows = {name: found.rows for name, found in medians.items() if PROGRAMS[name].is_ours}
    if len(set(rows.values())) > 1:
        raise ProgramFailedError(
            f"{scenario.name}: programs that do the same work were served different rows: {rows}"
        )
