"""`python -m benchmarks.past_cap` measures what is recovered past the cap, for docs/past-the-cap.md.

For each size a simulator with a large property runs in a process of its own, and so does each sync of one
final day into an empty lake. Takes about fifteen minutes on two cores; `--rows` and `--calls` choose less.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT

ROWS = (60_000, 250_000, 1_000_000)
CALLS = (0, 50, 200, 100_000)
"""The budgets; the last is as good as none."""

SITE = "sc-domain:large.example"
DAY = date(2026, 11, 10)
NOW = datetime(2026, 11, 21, 20, tzinfo=UTC)
PAGE = ROOT / "docs" / "past-the-cap.md"
START, END = "<!-- measured -->\n", "<!-- end -->"


def main() -> None:
    """Measure every size and budget of the command line, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.past_cap", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=ROWS, help="rows by page a day")
    parser.add_argument("--calls", type=int, nargs="*", default=CALLS, help="budgets of calls")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page to write the table to")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--sync", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        _serve(options.serve, options.home)
    elif options.sync is not None:
        print(json.dumps(_sync(options.sync, options.home)))  # noqa: T201
    else:
        _write(options.out, [line for rows in options.rows for line in _measured(rows, options.calls)])


def _measured(rows: int, budgets: Sequence[int]) -> Iterator[str]:
    """A line of the table for each budget."""
    with tempfile.TemporaryDirectory(prefix="gsc-past-cap-") as folder, _serving(rows, Path(folder)) as truth:
        for calls in budgets:
            command = [sys.executable, "-m", "benchmarks.past_cap", "--sync", str(calls), "--home", folder]
            done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
            yield _line(rows, calls, truth, json.loads(done.stdout.splitlines()[-1]))


def _line(rows: int, calls: int, truth: Mapping[str, int], found: Mapping[str, float]) -> str:
    cells = (
        f"{rows:,}",
        "none" if not calls else "unlimited" if calls >= CALLS[-1] else str(calls),
        f"{found['calls']:,}",
        f"{found['site_named'] / truth['site_named']:.1%}",
        f"{found['url_named'] / truth['url_named']:.1%}",
        f"{found['impressions_named'] / truth['impressions_named']:.1%}",
        f"{found['cut_impressions'] / found['impressions']:.1%}",
        f"{found['seconds']:.0f} s",
        f"{found['peak_mib']:,.0f} MB",
    )
    return f"| {' | '.join(cells)} |"


def _write(page: Path, lines: Sequence[str]) -> None:
    columns = (
        "rows a day",
        "budget",
        "calls of the day",
        "queries",
        "queries by page",
        "impressions of queries",
        "impressions in cut cells",
        "time",
        "peak memory",
    )
    table = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}", *lines]
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(START, 1)
    page.write_text(f"{before}{START}{chr(10).join(table)}\n{END}{rest.split(END, 1)[1]}", encoding="utf-8")


@contextmanager
def _serving(rows: int, home: Path) -> Iterator[dict[str, int]]:
    """Run the simulator while the context lasts; the true numbers of the day."""
    command = [sys.executable, "-m", "benchmarks.past_cap", "--serve", str(rows), "--home", str(home)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            truth: dict[str, int] = json.loads(process.stdout.readline())
            yield truth
        finally:
            process.kill()


def _serve(rows: int, home: Path) -> None:
    import numpy as np

    from gsc_pipeline.simulator import LargeProperty, Simulator, serve_forever, write_service_account_key
    from gsc_pipeline.simulator.facts import ANONYMIZED

    prop = LargeProperty(SITE, rows_a_day=rows)
    facts = prop.facts("web", DAY)
    assert facts is not None
    named = facts.take(facts.query != ANONYMIZED)
    shown = named.take(named.top_impressions > 0)
    by_property = np.stack([shown.query, shown.country, shown.device])
    truth = {
        "site_named": np.unique(by_property, axis=1).shape[1],
        "url_named": int((named.impressions > 0).sum()),
        "impressions_named": int(shown.top_impressions.sum()),
    }

    def ready(url: str) -> None:
        write_service_account_key(home / "key.json", base_url=url, client_email="reader@example.com")
        (home / "url").write_text(url)
        print(json.dumps(truth), flush=True)  # noqa: T201

    serve_forever(Simulator([prop], clock=lambda: NOW), host="127.0.0.1", port=0, on_ready=ready)


def _sync(calls: int, home: Path) -> dict[str, Any]:
    """Sync the day into an empty lake, with a budget of calls."""
    from gsc_pipeline.lake.process_memory import limit_memory

    # As the command `gsc` does, before Arrow is imported.
    limit_memory()
    import pyarrow.compute as pc

    from gsc_pipeline.days import Window
    from gsc_pipeline.lake.arrow_process import prepare_arrow
    from gsc_pipeline.lake.lake import Lake
    from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_LEDGER, URL_IMPRESSION
    from gsc_pipeline.search_console.auth import ServiceAccountFile
    from gsc_pipeline.search_console.client import HttpSearchConsole
    from gsc_pipeline.search_console.search_types import QueryType
    from gsc_pipeline.sync.context import SyncOptions
    from gsc_pipeline.sync.cut_days import PastCapOptions
    from gsc_pipeline.sync.workspace import sync_workspace
    from gsc_pipeline.workspaces.registry import Workspace

    prepare_arrow()
    key = ServiceAccountFile(home / "key.json")
    workspace = Workspace("large", "large", key, properties=(SITE,), search_types=(QueryType.WEB,))
    lake = Lake(str(home / f"lake-{calls}"))
    options = SyncOptions(past_cap=PastCapOptions(calls))
    started = time.perf_counter()
    with closing(HttpSearchConsole(key, base_url=(home / "url").read_text(), clock=lambda: NOW)) as console:
        window = Window.inclusive(DAY, DAY)
        report = sync_workspace(workspace, window, console, lake, options=options, clock=lambda: NOW)
    found = {
        "seconds": time.perf_counter() - started,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    if report.problems:
        raise RuntimeError("; ".join(map(str, report.problems)))
    (row,) = lake.read(SYNC_LEDGER).to_pylist()
    named = (~pc.field("is_anonymized_query")) & (pc.field("query") != "")
    site = lake.read(SITE_IMPRESSION, columns=["impressions"], where=named)
    url = lake.read(URL_IMPRESSION, columns=["impressions"], where=named)
    return {
        **found,
        "calls": row["api_calls"],
        "site_named": site.num_rows,
        "url_named": url.num_rows,
        "impressions_named": pc.sum(site["impressions"]).as_py(),
        "impressions": row["impressions"],
        "cut_impressions": row["cut_impressions"],
    }


if __name__ == "__main__":
    main()
