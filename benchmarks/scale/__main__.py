"""`python -m benchmarks.scale` measures every part in a process of its own and writes SCALE.md.

The default sizes take about 20 minutes on two cores, `--full` (50 million rows, 120 ticks) about 25.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from benchmarks.measure import ROOT

PARTS = ("ticks", "idle", "runs", "watching", "rows", "commits", "writers", "old_runs", "month")
SIZES = ("tiny", "default", "full")
PACKAGES = ("dagster", "deltalake", "duckdb", "pyarrow")


def main(words: Sequence[str] | None = None) -> None:
    """Measure the parts of the command line, and write the report after each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--full", dest="sizes", action="store_const", const="full", default="default")
    sizes.add_argument(
        "--tiny", dest="sizes", action="store_const", const="tiny", help="small sizes, for tests"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "SCALE.md")
    parser.add_argument("--results", type=Path, help="a folder for results; earlier ones there are kept")
    parser.add_argument("--work", type=Path, help="a folder for the lakes, which is not deleted")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}")
    if options.part:
        _measure_here(options.part, options.sizes, options.results, options.work)
        return
    with tempfile.TemporaryDirectory(prefix="gsc-scale-") as folder:
        results = options.results or Path(folder)
        results.mkdir(parents=True, exist_ok=True)
        for name in options.parts or PARTS:
            _measure(name, options.sizes, results, options.work or Path(folder))
            options.out.write_text(_report(results), encoding="utf-8")


def _measure(name: str, sizes: str, results: Path, work: Path) -> None:
    """Measure a part in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.scale", "--part", name]
    command += ["--results", str(results), "--work", str(work)]
    subprocess.run([*command, *([f"--{sizes}"] if sizes != "default" else [])], cwd=ROOT, check=True)


def _measure_here(name: str, sizes: str, results: Path, work: Path) -> None:
    from benchmarks.scale import common

    chosen = {"tiny": common.TINY, "default": common.Sizes(), "full": common.FULL}[sizes]
    module = importlib.import_module(f"benchmarks.scale.{name}")
    (work / name).mkdir(parents=True)
    found = common.timed(lambda: module.measure(work / name, chosen))
    part = {**asdict(found.result), "sizes": sizes, "seconds": found.wall}
    (results / f"{name}.json").write_text(json.dumps(part), encoding="utf-8")


def _report(results: Path) -> str:
    found = [json.loads(file.read_text()) for name in PARTS if (file := results / f"{name}.json").exists()]
    return "\n".join([_HEAD.format(machine=_machine(), versions=_versions()), *map(_section, found)])


def _section(part: dict[str, object]) -> str:
    columns: list[str] = part["columns"]  # type: ignore[assignment]
    rows: list[list[str]] = part["rows"]  # type: ignore[assignment]
    option = "" if part["sizes"] == "default" else f" --{part['sizes']}"
    return "\n".join(
        [
            f"## {part['title']}",
            "",
            f"| {' | '.join(columns)} |",
            f"|{'---|' * len(columns)}",
            *(f"| {' | '.join(row)} |" for row in rows),
            "",
            f"{part['meaning']}",
            "",
            f"(Sizes:{option or ' as by default'}; {part['seconds']:,.0f} s.)",
            "",
        ]
    )


def _machine() -> str:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return f"{os.cpu_count()} cores, {pages:.0f} GiB, {platform.system()} {platform.machine()}"


def _versions() -> str:
    return ", ".join(
        [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in PACKAGES)]
    )


_HEAD = """# At scale

Written by `python -m benchmarks.scale` (`--full` for 50 million rows and a month of ticks; with the names \
of parts, only these are measured).

Machine: {machine}. {versions}.

Every part is a process of its own. Rows and ledgers are written in bulk, to the same files as by syncs. \
The measured code is the project's own, on real files, a real socket and a real Dagster instance. CPU \
seconds are those of all threads of the measured process; the server is another process.
"""


if __name__ == "__main__":
    main()
