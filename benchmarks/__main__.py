"""`python -m benchmarks` measures scenarios and writes RESULTS.md, as `make bench` does."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.catalogue import CONNECTOR_SCENARIOS, CONNECTORS, KEPT, SCENARIOS, Scenario
from benchmarks.results import keep, kept, render, section
from benchmarks.runner import run_scenario

RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> None:
    """Measure the chosen scenarios. The figures of the others are kept."""
    options = _parser().parse_args()
    if options.what == "connectors":
        install_connectors()
    scenarios = CONNECTOR_SCENARIOS if options.what == "connectors" else SCENARIOS
    chosen = [one for one in scenarios if one.name in (options.scenario or [s.name for s in scenarios])]
    if options.quick and not options.scenario:
        chosen = [one for one in chosen if not one.title.startswith("memory")]
    runs = options.runs or (3 if options.quick else 5)
    measure_all(chosen, runs)


def measure_all(scenarios: Sequence[Scenario], runs: int) -> None:
    """Run the scenarios one after another, and rewrite RESULTS.md after each."""
    for scenario in scenarios:
        load = os.getloadavg()[0]
        with TemporaryDirectory(prefix="gsc-benchmark-") as folder:
            outcome = run_scenario(scenario, Path(folder), runs=runs, log=_log)
        keep(KEPT / "results", section(scenario, outcome, load))
        RESULTS.write_text(
            render(kept(KEPT / "results", (*SCENARIOS, *CONNECTOR_SCENARIOS))), encoding="utf-8"
        )


def install_connectors() -> None:
    """Install each connector in an environment of its own, unless it is installed already."""
    for name, package in CONNECTORS.items():
        home = KEPT / "venvs" / name
        if (home / ".installed").exists():
            continue
        _log(f"installing {package}")
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "--disable-pip-version-check", package], check=True)
        (home / ".installed").touch()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("project", "connectors"), default="project")
    names = [one.name for one in (*SCENARIOS, *CONNECTOR_SCENARIOS)]
    parser.add_argument("--scenario", action="append", choices=names, help="only this one (repeatable)")
    parser.add_argument("--runs", type=int, help="runs of each program (5)")
    parser.add_argument("--quick", action="store_true", help="3 runs, and nothing that takes minutes")
    return parser


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
