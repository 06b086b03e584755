"""`python -m benchmarks.insights NAME…` measures insights and writes their sections of INSIGHTS.md."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from benchmarks.insights.changes import changes
from benchmarks.insights.forecasts import forecasts
from benchmarks.insights.sections import RESULTS, with_section
from benchmarks.insights.tests import section as tests

BENCHMARKS: dict[str, Callable[[], str]] = {
    "changes": changes,
    "forecasts": forecasts,
    "tests": tests,
}
"""Each makes its section, in Markdown."""


def main(words: Sequence[str] | None = None) -> None:
    """Measure the named insights, or all; the sections of others are kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.insights", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all by default"
    )
    options = parser.parse_args(words)
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}")
    for name in options.names or BENCHMARKS:
        section = BENCHMARKS[name]()
        print(section)  # noqa: T201
        RESULTS.write_text(with_section(RESULTS.read_text(encoding="utf-8"), name, section), encoding="utf-8")


if __name__ == "__main__":
    main()
