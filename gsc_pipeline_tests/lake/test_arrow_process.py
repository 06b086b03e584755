"""What a process that syncs loads, and where its memory comes from."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gsc_pipeline_tests.soak import rest_in_soak
from gsc_pipeline_tests.waiting import HANG_SECONDS
from gsc_pipeline_tests.world import World

MODULES_AT_EXIT = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
from gsc_pipeline.cli.main import main
sys.argv = ["gsc", "sync", "--days", "3", "--json"]
main()
"""


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=HANG_SECONDS
    )


def test_a_sync_by_command_loads_neither_pandas_nor_dagster_nor_duckdb(tmp_path: Path) -> None:
    with World.serving(tmp_path) as world:
        synced = run(MODULES_AT_EXIT, **world.environment())

    assert synced.returncode == 0, synced.stderr
    assert json.loads(synced.stdout)["total_workspaces"] == 1
    loaded = set(json.loads(synced.stderr.splitlines()[-1]))
    assert "gsc_pipeline.sync.sync_all" in loaded
    assert not loaded & {"pandas", "dagster", "duckdb", "sqlalchemy"}


def test_importing_the_definitions_loads_no_pandas_and_no_duckdb() -> None:
    imported = run("import sys, gsc_pipeline.definitions; print(*sys.modules)")

    assert imported.returncode == 0, imported.stderr
    assert not set(imported.stdout.split()) & {"pandas", "duckdb"}


def test_arrow_takes_its_memory_from_the_system() -> None:
    used = run(
        "from gsc_pipeline.lake.arrow_process import prepare_arrow; prepare_arrow();"
        "import pyarrow as pa; print(pa.default_memory_pool().backend_name)"
    )

    assert used.stdout == "system\n", used.stderr


@pytest.mark.parametrize(
    "use_of_pandas",
    rest_in_soak(
        [
            "assert pa.table({'a': pa.array([1, None])}).to_pandas()['a'].tolist()[0] == 1",
            "import pandas as pd; assert pa.array(pd.Series(['x', 'y'])).to_pylist() == ['x', 'y']",
            "import pandas as pd; times = pd.to_datetime(['2026-01-01', None]);"
            "frame = pd.DataFrame({'a': ['x', None], 't': times});"
            "assert pa.Table.from_pandas(frame)['a'].to_pylist() == ['x', None];"
            "assert pa.Table.from_pandas(frame)['t'].null_count == 1",
            "import duckdb; assert duckdb.sql('SELECT 1 AS a').df()['a'].tolist() == [1]",
        ]
    ),
)
def test_what_needs_pandas_finds_it_afterwards(use_of_pandas: str) -> None:
    used = run(
        "import sys; from gsc_pipeline.lake.arrow_process import prepare_arrow; prepare_arrow();"
        "import pyarrow as pa; pa.array(['x']); assert 'pandas' not in sys.modules;" + use_of_pandas
    )

    assert used.returncode == 0, used.stderr
