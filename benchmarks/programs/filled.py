"""Fills a lake like a first sync of the job's sites, without a server. Reports need it. Not measured."""

from __future__ import annotations

import json
import multiprocessing
import sys
from datetime import date

from gsc_pipeline.days import Window
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline_tests.insights.filling import fill

PROCESSES = 2


def main() -> None:
    """Fill the lake in the first argument with the sites of the job in the second."""
    uri, job = sys.argv[1], json.loads(sys.argv[2])
    first, *rest = [(uri, site, job["rows"], job["start"], job["end"]) for site in job["sites"]]
    fill_site(*first)
    # Delta has threads, so processes must not be forked.
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        pool.starmap(fill_site, rest)


def fill_site(uri: str, site: str, rows: int, start: str, end: str) -> None:
    """Write all days of one site, the last two as provisional."""
    window = Window(date.fromisoformat(start), date.fromisoformat(end))
    fill(Lake(uri), "acme", SyntheticProperty(site, rows_a_day=rows), window, provisional=2)


if __name__ == "__main__":
    main()
