"""Commits of many processes at once to one table in an object store."""

from __future__ import annotations

import os
import statistics
from pathlib import Path

from benchmarks.scale.common import Part, Sizes, s
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline_tests.cluster.bucket import BucketServer, serving_bucket
from gsc_pipeline_tests.lake.writers import commits_by_run, write_at_once


def measure(folder: Path, sizes: Sizes) -> Part:
    """So many processes as the sizes say commit to one table, each number to a table of its own."""
    with serving_bucket() as server:
        os.environ.update(server.environment)
        rows = tuple(
            _row(server, writers, max(2, sizes.commits_at_once // writers)) for writers in sizes.at_once
        )
    return Part(
        "Writers of one table in a bucket",
        (
            "writers",
            "commits",
            "in the log once",
            "puts refused, each commit",
            "requests, each commit",
            "commits a second",
            "median of a commit",
            "slowest",
        ),
        rows,
        "By turns each writer appends a row and replaces it. A put of a version that exists is refused, and "
        "the commit is tried again: once immediately, then with back-off. The bucket is moto's, one Python "
        "process that answers one request at a time, on the same processors as the writers: seconds and "
        "commits a second say little about another store. The counts depend less on the machine.",
    )


def _row(server: BucketServer, writers: int, commits: int) -> tuple[str, ...]:
    uri, total = f"{server.uri}/{writers}", writers * commits
    Lake(uri).refuse_unsafe_store()
    before = server.counts()
    written = write_at_once(uri, writers=writers, commits=commits)
    after = server.counts()
    once = sum(count == 1 for count in commits_by_run(uri).values())
    seconds = list(written.seconds.values())
    return (
        str(writers),
        str(total),
        str(once),
        f"{(after.refused - before.refused) / total:.1f}",
        f"{(after.requests - before.requests) / total:.0f}",
        f"{len(seconds) / written.wall:.1f}",
        s(statistics.median(seconds)),
        s(max(seconds)),
    )
