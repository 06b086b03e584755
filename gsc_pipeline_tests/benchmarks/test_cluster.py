"""The page of the cluster's benchmark, and what it reads from /proc."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from benchmarks.cluster.__main__ import main
from benchmarks.cluster.cpu import cpu_of, peak_mib, pids_of
from benchmarks.cluster.page import CELERY, DEFAULT, Measured, page

BUSY = "import time\nwhile time.process_time() < 0.3: pass"


def tick(launcher: str, per_run: int, workspaces: int, runs_cpu: float) -> Measured:
    return Measured(
        launcher=launcher,
        per_run=per_run,
        workspaces=workspaces,
        runs=-(-workspaces // per_run),
        wall=60.0,
        runs_cpu=runs_cpu,
        daemon_cpu=1.0,
        database_cpu=1.0,
        worker_mib=0.0,
        load=2.0,
    )


def test_cpu_of_a_process_includes_children_that_have_ended() -> None:
    before = cpu_of(os.getpid())
    subprocess.run([sys.executable, "-c", BUSY], check=True)
    assert (cpu_of(os.getpid()) - before).started >= 0.2
    assert os.getpid() in pids_of(os.getpid())
    assert peak_mib(os.getpid()) > 10


def test_larger_sizes_are_computed_from_the_runs_that_were_measured() -> None:
    text = page([tick(CELERY, 1, 10, 5.0), tick(CELERY, 20, 40, 4.0), tick(DEFAULT, 1, 10, 40.0)])
    assert "| Celery workers | 1 | 100 s | 500 s | 83 min |" in text
    assert "| Celery workers | 20 | 20 s | 100 s | 17 min |" in text
    assert "| default | 1 | 13 min | 67 min | 667 min |" in text
    assert "| Celery workers, 1 a run | 0.12 | 0.17 | yes |" in text


def test_a_word_that_is_no_number_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--workspaces", "many"])
    assert "invalid int value" in capsys.readouterr().err
